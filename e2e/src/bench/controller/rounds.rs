//! The order in which everything is measured: growth, rest, repairs, starts.

use std::collections::BTreeSet;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use super::api::Watch;
use super::operator::{self, Measured};
use super::repair::{self, Harm, Repairs};
use super::site::{self, RESOURCES, Site, Write};
use super::{Extent, Inside, say};
use crate::bench::report::{Report, Row, median, quantile};
use crate::command;

/// The longest that resources may take to settle.
const LIMIT: Duration = Duration::from_mins(15);
/// How long nothing must have been written before rest is measured.
const QUIET: Duration = Duration::from_secs(20);
/// How long CPU at rest is measured where rest itself is not.
const SHORT_REST: Duration = Duration::from_secs(30);
/// Given to the peer's garbage collector before its memory is read.
const BREATH: Duration = Duration::from_secs(15);
/// What the peer is called.
const PEER: &str = "client-go informers";

/// What was measured at one number of resources.
struct Stage {
    resources: u32,
    created_s: f64,
    cpu_s_per_resource: f64,
    rss_mib: f64,
    cores_at_rest: f64,
    peer: Peer,
}

/// What the peer took.
struct Peer {
    filled_s: f64,
    rss_mib: f64,
    cpu_s: f64,
}

/// One start with all resources there, each of them edited while no operator ran.
struct Start {
    filled_s: f64,
    settled_s: f64,
    cpu_s: f64,
    peak_mib: f64,
}

/// Measures everything.
pub fn measure(site: &mut Site, inside: &Inside, extent: &Extent) -> Result<Report> {
    let mut ceiling = 4;
    let mut ours = start(site, inside)?;
    let (mut stages, mut rest, mut before) = (Vec::new(), Vec::new(), 0);
    for resources in extent.growth.iter().copied() {
        let (stage, writes) = grow(site, inside, extent, &mut ours, before..resources, ceiling)?;
        rest.extend(writes);
        stages.push(stage);
        before = resources;
    }
    let most = extent.most();
    let repairs = repair::measure(&site.api, most, extent.repairs, inside.seed, say)?;
    let peak_mib = ours.peak_mib()?;
    let mut starts = Vec::new();
    for _ in 0..extent.restarts {
        ours.stop()?;
        ceiling += 1;
        let one;
        (ours, one) = restart(site, inside, most, ceiling)?;
        starts.push(one);
    }
    ours.stop()?;
    let mut report = report(&stages, &rest, &repairs, &starts, peak_mib);
    let kubernetes = site.version.as_str().into();
    report.result.insert("kubernetes".to_owned(), kubernetes);
    Ok(report)
}

fn start(site: &Site, inside: &Inside) -> Result<Measured> {
    operator::operator(&inside.operator, &site.kubeconfig, site.log("operator"))
}

/// Adds resources; gives what was measured then, and what was written at rest.
fn grow(
    site: &mut Site,
    inside: &Inside,
    extent: &Extent,
    ours: &mut Measured,
    new: Range<u32>,
    ceiling: u32,
) -> Result<(Stage, Vec<Write>)> {
    let resources = new.end;
    say(&format!("{resources} resources: creating"));
    let watch = site.api.watch(RESOURCES)?;
    let (began, cpu_before) = (Instant::now(), ours.cpu_s()?);
    site.want(new.clone(), ceiling)?;
    let settled = settle(site, ours, &watch, new.clone(), ceiling)?;
    drop(watch);
    let created_s = (settled - began).as_secs_f64();
    let cpu_s = ours.cpu_s()? - cpu_before;
    say(&format!(
        "{resources} resources: Ready after {created_s:.1} s"
    ));
    quiet(site, ours)?;
    let is_rest = resources == extent.rest_at;
    let time = if is_rest {
        Duration::from_secs(extent.rest_seconds)
    } else {
        SHORT_REST
    };
    say(&format!(
        "{resources} resources: at rest for {} s",
        time.as_secs()
    ));
    let (writes, cpu_before) = (site.writes()?.len(), ours.cpu_s()?);
    let began = Instant::now();
    while began.elapsed() < time {
        thread::sleep(Duration::from_secs(1).min(time));
        ours.check()?;
    }
    let cores_at_rest = (ours.cpu_s()? - cpu_before) / began.elapsed().as_secs_f64();
    let written = site.writes()?.split_off(writes);
    if !written.is_empty() {
        say(&format!(
            "written at rest: {:?}",
            &written[..written.len().min(5)]
        ));
    }
    let stage = Stage {
        resources,
        created_s,
        cpu_s_per_resource: cpu_s / f64::from(new.end - new.start),
        rss_mib: ours.rss_mib()?,
        cores_at_rest,
        peer: peer(site, inside)?,
    };
    say(&format!(
        "{resources} resources: {:.0} MiB, the peer {:.0} MiB",
        stage.rss_mib, stage.peer.rss_mib
    ));
    // What is written in a short rest is written at rest, too.
    Ok((stage, written))
}

/// Waits until these resources are as they are wanted; gives the moment at which the last one was.
fn settle(
    site: &mut Site,
    ours: &mut Measured,
    watch: &Watch,
    resources: Range<u32>,
    ceiling: u32,
) -> Result<Instant> {
    let wanted = resources.len();
    let began = Instant::now();
    let mut settled = BTreeSet::new();
    let mut told = Instant::now();
    while began.elapsed() < LIMIT {
        if let Some(event) = watch.next(Instant::now() + Duration::from_secs(5))? {
            let resource = &event.object;
            let name = resource["metadata"]["name"].as_str().unwrap_or_default();
            let as_wanted = resource
                .pointer("/spec/inference/autoscaling/maxReplicas")
                .and_then(Value::as_u64)
                == Some(ceiling.into());
            if as_wanted && site::is_settled(resource) {
                settled.insert(name.to_owned());
            } else {
                settled.remove(name);
            }
            if settled.len() == wanted {
                return Ok(event.heard);
            }
        }
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            say(&format!("{} of {wanted} Ready", settled.len()));
            ours.check()?;
            site.check()?;
        }
    }
    let said = ours.said();
    let lines: Vec<&str> = said.lines().collect();
    bail!(
        "{} of {wanted} resources are Ready after {} s; one that is not: {}\n{}",
        settled.len(),
        LIMIT.as_secs(),
        site::why_not(&site.api)?,
        lines[lines.len().saturating_sub(5)..].join("\n")
    )
}

/// Waits until nothing has been written for a while. What goes on being written is found at rest.
fn quiet(site: &Site, ours: &mut Measured) -> Result<()> {
    let (began, mut since, mut known) = (Instant::now(), Instant::now(), site.writes()?.len());
    while since.elapsed() < QUIET && began.elapsed() < QUIET * 6 {
        thread::sleep(Duration::from_secs(1));
        ours.check()?;
        let now = site.writes()?.len();
        if now > known {
            (since, known) = (Instant::now(), now);
        }
    }
    Ok(())
}

/// Edits every resource while no operator runs, and starts one.
fn restart(
    site: &mut Site,
    inside: &Inside,
    resources: u32,
    ceiling: u32,
) -> Result<(Measured, Start)> {
    site.want(0..resources, ceiling)?;
    let list = site.api.get(&format!("{RESOURCES}?limit=1"))?;
    let version = list["metadata"]["resourceVersion"].as_str();
    let watch = site
        .api
        .watch_from(RESOURCES, version.context("a list without a version")?)?;
    let mut ours = start(site, inside)?;
    command::wait_until("the operator's caches filled", LIMIT, || {
        ours.check()?;
        Ok(is_ready())
    })?;
    let filled_s = ours.started.elapsed().as_secs_f64();
    let settled = settle(site, &mut ours, &watch, 0..resources, ceiling)?;
    let start = Start {
        filled_s,
        settled_s: (settled - ours.started).as_secs_f64(),
        cpu_s: ours.cpu_s()?,
        peak_mib: ours.peak_mib()?,
    };
    say(&format!(
        "started with {resources} resources: caches filled after {filled_s:.1} s, all as wanted after {:.1} s",
        start.settled_s
    ));
    quiet(site, &mut ours)?;
    Ok((ours, start))
}

/// Whether the operator says that its caches are filled.
fn is_ready() -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 18080));
    let ask = || -> std::io::Result<String> {
        let mut connection = TcpStream::connect(address)?;
        connection.set_read_timeout(Some(Duration::from_secs(2)))?;
        connection
            .write_all(b"GET /readyz HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

fn peer(site: &Site, inside: &Inside) -> Result<Peer> {
    // The administrator's access: it watches what the operator may not.
    let program = inside.programs.join("informers");
    let log = site.log("informers");
    let _ = std::fs::remove_file(&log); // what an earlier one said is not true of this one
    let mut peer = operator::informers(&program, &site.plane.kubeconfig(), log)?;
    command::wait_until("the peer's caches filled", LIMIT, || {
        peer.check()?;
        Ok(peer.said().contains("synced"))
    })?;
    let filled_s = peer.started.elapsed().as_secs_f64();
    thread::sleep(BREATH);
    Ok(Peer {
        filled_s,
        rss_mib: peer.rss_mib()?,
        cpu_s: peer.cpu_s()?,
    })
}

fn report(
    stages: &[Stage],
    rest: &[Write],
    repairs: &Repairs,
    starts: &[Start],
    peak_mib: f64,
) -> Report {
    let mut rows = Vec::new();
    for stage in stages {
        let with = |what: &str| format!("{} resources: {what}", stage.resources);
        rows.extend([
            Row::new(with("memory"), "MiB", stage.rss_mib).peer(PEER, stage.peer.rss_mib),
            Row::new(with("created until Ready"), "s", stage.created_s),
            Row::new(with("CPU to create one"), "CPU-s", stage.cpu_s_per_resource),
            Row::new(with("CPU at rest"), "cores", stage.cores_at_rest),
        ]);
    }
    let per_resource = |of: fn(&Stage) -> f64| {
        let (first, last) = (stages.first()?, stages.last()?);
        let more = f64::from(last.resources.checked_sub(first.resources)?);
        (more > 0.0).then(|| (of(last) - of(first)) * 1024.0 / more)
    };
    let memory = per_resource(|stage| stage.rss_mib);
    let peer_memory = per_resource(|stage| stage.peer.rss_mib);
    rows.push(Row::new("memory for each further resource", "KiB", memory).peer(PEER, peer_memory));
    rows.push(Row::new("most memory", "MiB", peak_mib));
    let of = |figure: fn(&Start) -> f64| {
        let figures: Vec<f64> = starts.iter().map(figure).collect();
        (!figures.is_empty()).then(|| median(&figures))
    };
    let last_peer = stages.last().map(|stage| &stage.peer);
    let sync_s = of(|start| start.settled_s);
    rows.extend([
        Row::new(
            "start until the caches are filled",
            "s",
            of(|start| start.filled_s),
        )
        .peer(PEER, last_peer.map(|peer| peer.filled_s)),
        Row::new("start until all are as wanted", "s", sync_s),
        Row::new("CPU of a start", "CPU-s", of(|start| start.cpu_s))
            .peer(PEER, last_peer.map(|peer| peer.cpu_s)),
        Row::new("most memory of a start", "MiB", of(|start| start.peak_mib)),
    ]);
    let all = repairs.all();
    let p99 = quantile(&all, 0.99);
    rows.push(Row::new("a child repaired (p50)", "s", quantile(&all, 0.5)));
    rows.push(Row::new("a child repaired (p99)", "s", p99).at_most(1.0));
    for harm in Harm::ALL {
        let of_harm = repairs.seconds.get(&harm).map(Vec::as_slice);
        let slowest = quantile(of_harm.unwrap_or_default(), 0.99);
        rows.push(Row::new(
            format!("a child {} (p99)", harm.name()),
            "s",
            slowest,
        ));
    }
    let written = rest.len();
    rows.push(Row::new("written at rest", "writes", Some(written as f64)).at_most(0.0));
    for lost in repairs.lost.iter().take(10) {
        say(&format!("never came back: {lost}"));
    }
    let growth: Vec<Value> = stages.iter().map(stage_json).collect();
    let last = stages.last();
    let result = json!({
        "resources": last.map(|stage| stage.resources),
        "writes_at_rest": written,
        "cpu_s_per_resource": last.map(|stage| stage.cpu_s_per_resource),
        "rss_mib": last.map(|stage| stage.rss_mib),
        "peak_rss_mib": peak_mib,
        "sync_s": sync_s,
        "sync_created_s": last.map(|stage| stage.created_s),
        "repair_p99_s": p99,
        "repairs": all.len(),
        "memory_kib_per_resource": memory,
        "growth": growth,
    });
    Report {
        rows,
        must_be_zero: fields(
            json!({ "writes_at_rest": written, "repairs_lost": repairs.lost.len() }),
        ),
        result: fields(result),
    }
}

fn stage_json(stage: &Stage) -> Value {
    json!({
        "resources": stage.resources,
        "rss_mib": stage.rss_mib,
        "sync_created_s": stage.created_s,
        "cpu_s_per_resource": stage.cpu_s_per_resource,
        "cores_at_rest": stage.cores_at_rest,
        "peer_rss_mib": stage.peer.rss_mib,
    })
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
