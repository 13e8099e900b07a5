//! What was measured, in the harness's form.

use chatbot_e2e::bench::report::{Report, Row, quantile};
use serde_json::json;

use super::{Arguments, Found, GOAL_MS, search};

/// The most that a route's p99 may take, milliseconds.
const ROUTE_MS: f64 = 2.0;
/// The most memory of a gateway with all sockets open, MiB.
const MEMORY_MIB: f64 = 64.0;
/// Of the bare clients' p90, the most that ours is to take.
const OVER_BARE: f64 = 3.0;

pub(super) fn report(arguments: &Arguments, found: &Found) -> Report {
    let ours = |share| found.ours.quantile(share);
    let bare = |share| quantile(&found.bare, share);
    let rate = arguments.rate;
    let best = search::best(&found.tried, GOAL_MS);
    let [route, near, hget] = [&found.routes.ours, &found.routes.near, &found.routes.hget]
        .map(|times| quantile(times, 0.99));
    let over = ours(0.9).zip(bare(0.9)).map(|(ours, bare)| ours / bare);
    let sockets = &found.sockets;
    let time = |name: &str, share| {
        let row = Row::new(format!("{name} at {rate} messages/s"), "ms", ours(share));
        row.peer("bare clients", bare(share))
    };
    let rows = vec![
        time("p50", 0.5),
        time("p90", 0.9).at_most(GOAL_MS),
        time("p99", 0.99),
        Row::new("p90 over the bare clients'", "×", over).at_most(OVER_BARE),
        Row::new(
            "highest rate with p90 within 100 ms",
            "1/s",
            best.map(f64::from),
        ),
        Row::new("answers from a cache", "%", found.hits * 100.0),
        Row::new("route looked up, p99", "ms", route)
            .peer("HGET", hget)
            .at_most(ROUTE_MS),
        Row::new("route kept near, p99", "ms", near),
        Row::new(
            format!("gateway with {} WebSockets", arguments.sockets),
            "MiB",
            sockets.all_mib,
        )
        .at_most(MEMORY_MIB),
        Row::new("the most until then", "MiB", sockets.peak_mib),
        Row::new("gateway without any", "MiB", sockets.none_mib),
        Row::new("time to open them", "s", sockets.seconds),
    ];
    let tried: Vec<_> = found
        .tried
        .iter()
        .map(|tried| json!([tried.rate, tried.p90_ms]))
        .collect();
    let result = json!({
        "rate": rate,
        "p50_ms": ours(0.5),
        "p90_ms": ours(0.9),
        "p99_ms": ours(0.99),
        "bare_p50_ms": bare(0.5),
        "bare_p90_ms": bare(0.9),
        "bare_p99_ms": bare(0.99),
        "max_rate_p90_100ms": best,
        "tried": tried,
        "route_p99_ms": route,
        "route_near_p99_ms": near,
        "hget_p99_ms": hget,
        "rss_mib_5000_sockets": (arguments.sockets == 5_000).then_some(sockets.all_mib),
        "sockets": arguments.sockets,
        "rss_mib_sockets": sockets.all_mib,
        "rss_mib_no_socket": sockets.none_mib,
        "mix": { "questions": found.mix.len(), "zipf_exponent": found.mix.exponent },
        "cache_hits": found.hits,
        "sent": found.ours.sent,
    });
    Report {
        rows,
        must_be_zero: [("lost".to_owned(), found.ours.lost.into())]
            .into_iter()
            .collect(),
        result: result.as_object().cloned().unwrap_or_default(),
    }
}
