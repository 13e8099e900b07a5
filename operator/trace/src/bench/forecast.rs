//! The benchmark `forecast`: errors and coverage on recorded traces, and what a tick of many series takes.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use chatbot_forecast::backtest::{Backtest, backtest};
use chatbot_forecast::{Forecaster, Settings};
use clap::Parser;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::RECORDED;
use crate::file::{Columns, name, series};
use crate::forecast::{Task, picture, steps, told};
use crate::table::duration;

/// Of the error of the last value, the most that is aimed at.
const GOAL: f64 = 0.9;
/// Series of a tick.
const SERIES: usize = 10_000;
/// Judges the forecast on recorded traces.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// Folder with the traces of `ServeGen` and the World Cup of 1998.
    #[arg(long, value_name = "DIR", default_value = "../shared/data")]
    data: PathBuf,
    /// A trace to judge in their place.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    columns: Columns,
    /// Days of that trace that are forecast.
    #[arg(long, value_name = "DAYS", default_value_t = 5)]
    test_days: usize,
    /// Folder into which a picture of each series is drawn.
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,
    /// A tick of a tenth of the series.
    #[arg(long)]
    quick: bool,
    /// Of the load in the tick.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Prints progress to standard error and the report to standard output.
pub fn run(arguments: &Arguments) -> Result<()> {
    let (mut rows, mut figures) = (Vec::new(), Map::new());
    for task in tasks(arguments)? {
        eprintln!("{}: {} steps", task.name, task.series.values.len());
        let found = backtest(&task.series, &task.settings, task.test)
            .with_context(|| format!("failed to forecast {}", task.name))?;
        eprintln!("{}", told(&task, &found));
        if let Some(folder) = &arguments.pictures {
            let path = folder.join(format!("forecast-{}.svg", task.name));
            std::fs::write(&path, picture(&task, &found).svg())
                .with_context(|| format!("failed to write the picture {}", path.display()))?;
        }
        let (of_series, figure) = judged(&task, &found)?;
        rows.extend(of_series);
        figures.insert(task.name, figure);
    }
    let count = if arguments.quick { SERIES / 10 } else { SERIES };
    eprintln!("a tick of {count} series");
    let tick = tick(count, arguments.seed)?;
    rows.push(json!({
        "name": format!("a tick of {count} series, CPU time"), "unit": "s", "ours": tick.cpu,
        "goal": "10,000 under 1 s on one core", "met": tick.cpu < count as f64 / SERIES as f64,
    }));
    rows.push(json!({
        "name": format!("a tick of {count} series, by the clock"), "unit": "s", "ours": tick.seconds,
    }));
    rows.push(json!({"name": "memory of a series", "unit": "KiB", "ours": tick.kibibytes}));
    rows.push(json!({"name": "a series, stored", "unit": "KiB", "ours": tick.stored}));
    let result = json!({"series": figures, "tick_s": tick.seconds, "tick_cpu_s": tick.cpu, "memory_kib": tick.kibibytes, "stored_kib": tick.stored});
    println!(
        "{}",
        json!({"rows": rows, "must_be_zero": {}, "result": result})
    );
    Ok(())
}

fn tasks(arguments: &Arguments) -> Result<Vec<Task>> {
    if let Some(path) = &arguments.trace {
        return Ok(vec![task(
            &name(path),
            path,
            &arguments.columns,
            arguments.test_days,
        )?]);
    }
    let tasks = RECORDED.iter().map(|recorded| {
        let path = recorded.path(&arguments.data)?;
        let columns = recorded.columns(recorded.step);
        task(recorded.name, &path, &columns, recorded.days)
    });
    tasks.collect()
}

fn task(name: &str, path: &Path, columns: &Columns, test_days: usize) -> Result<Task> {
    let series = series(path, columns)?;
    let settings = Settings::new(series.step, steps(30, series.step)?);
    Ok(Task {
        name: name.to_owned(),
        test: test_days * settings.steps_of_a_day(),
        series,
        settings,
    })
}

/// Rows of the table and figures, of 30 minutes ahead; where a step is longer, of one step.
fn judged(task: &Task, found: &Backtest) -> Result<([Value; 3], Value)> {
    let quality = found.ahead.last().context("nothing was forecast")?;
    let percent = |fraction: f64| 100.0 * fraction;
    let name = &task.name;
    let ahead = duration(u32::from(quality.steps) * task.settings.step);
    let rows = [
        json!({
            "name": format!("{name}: error {ahead} ahead"), "unit": "%", "ours": percent(quality.wape),
            "peers": {
                "last value": percent(quality.last_value),
                "day before": percent(quality.seasonal_naive),
                "Holt-Winters": percent(quality.holt_winters),
            },
            "goal": "at most 0.9 × last value", "met": quality.wape <= GOAL * quality.last_value,
        }),
        json!({
            "name": format!("{name}: at or below the 90 % quantile"), "unit": "%", "ours": percent(quality.coverage90),
            "goal": "88 to 92", "met": (0.88..=0.92).contains(&quality.coverage90),
        }),
        json!({"name": format!("{name}: pinball loss of the 90 % quantile"), "unit": "%", "ours": percent(quality.pinball90)}),
    ];
    let figure = json!({
        "wape": percent(quality.wape),
        "wape_last_value": percent(quality.last_value),
        "wape_seasonal_naive": percent(quality.seasonal_naive),
        "wape_holt_winters": percent(quality.holt_winters),
        "pinball90": percent(quality.pinball90),
        "coverage90": percent(quality.coverage90),
        "compared": quality.compared,
        "unanswered": quality.unanswered,
    });
    Ok((rows, figure))
}

/// What a tick took.
struct Tick {
    /// By the clock: what else the machine does is in it.
    seconds: f64,
    /// CPU time of the thread.
    cpu: f64,
    kibibytes: f64,
    stored: f64,
}

/// Many series that have each learned for eight days take one more value each, and forecast; in one thread.
fn tick(count: usize, seed: u64) -> Result<Tick> {
    let learned: Vec<Forecaster> = (0..100)
        .map(|order| learned(seed.wrapping_add(order)))
        .collect::<Result<_>>()?;
    let stored = serde_json::to_string(&learned[0])
        .context("failed to store a series")?
        .len();
    let before = resident();
    let mut all: Vec<Forecaster> = learned.iter().cycle().take(count).cloned().collect();
    let kibibytes = (resident() - before) / count as f64;
    let at = after(8 * 144)?;
    let (begin, cpu_before) = (Instant::now(), cpu());
    let mut sum = 0.0;
    for (order, forecaster) in all.iter_mut().enumerate() {
        forecaster.observe(at, Some(100.0 + (order % 50) as f64))?;
        sum += forecaster
            .forecast()?
            .steps
            .iter()
            .map(|step| step.point)
            .sum::<f64>();
    }
    let (seconds, cpu) = (begin.elapsed().as_secs_f64(), cpu() - cpu_before);
    ensure!(sum.is_finite() && sum > 0.0, "the forecasts are no numbers");
    Ok(Tick {
        seconds,
        cpu,
        kibibytes,
        stored: stored as f64 / 1024.0,
    })
}

/// A series of 10-minute steps that has learned from more than a week, as far ahead as the planner asks: the lead of 30
/// minutes and the longest checkpoint.
fn learned(seed: u64) -> Result<Forecaster> {
    let mut forecaster = Forecaster::new(Settings::new(600, 6))?;
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for slot in 0..8_i64 * 144 {
        // xorshift64 (G. Marsaglia 2003): noise that is the same everywhere.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let noise = (state >> 11) as f64 / (1_u64 << 53) as f64;
        let day = (slot % 144) as f64 / 144.0;
        let value = 100.0 * (1.5 + (std::f64::consts::TAU * day).sin()) * (0.9 + 0.2 * noise);
        forecaster.observe(after(slot)?, Some(value))?;
    }
    Ok(forecaster)
}

fn after(slots: i64) -> Result<Timestamp> {
    Timestamp::UNIX_EPOCH
        .checked_add(SignedDuration::from_secs(slots * 600))
        .context("the time is out of range")
}

/// CPU time of this thread so far, in seconds.
fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Resident memory of this process in KiB; 0 where the kernel does not tell.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0)
}
