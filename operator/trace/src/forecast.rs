//! `forecast`: how good the forecast of a recorded load would have been, as a table and a picture.

use std::io::stdout;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use chatbot_forecast::backtest::{Backtest, NoBacktest, Quality, Slot, backtest};
use chatbot_forecast::trace::Series;
use chatbot_forecast::{QUANTILES, Settings, Skill};
use clap::Args;
use jiff::tz::TimeZone;

use crate::chart::{Bars, Body, Clock, Layer, Mark, Panel, Picture, colour};
use crate::file::{Source, say};
use crate::table::{duration, percent, ratio, table};

/// Shows how well a recorded load would have been forecast.
#[derive(Args, Clone, Debug)]
pub struct Forecast {
    /// The trace.
    #[command(flatten)]
    pub source: Source,
    /// Minutes ahead.
    #[arg(long, value_name = "MINUTES", default_value_t = 30)]
    pub ahead: u32,
    /// Days at the end that are forecast; what comes before is learned from. Absent: a third of them, at most 7.
    #[arg(long, value_name = "DAYS")]
    pub test_days: Option<u32>,
    /// Time zone whose days the load follows, such as Europe/Paris.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub zone: String,
    /// The picture. Absent: forecast-TRACE.svg in the current folder.
    #[arg(long, value_name = "FILE")]
    pub picture: Option<PathBuf>,
}

/// What is forecast.
pub struct Task {
    /// What the series is called.
    pub name: String,
    /// The series.
    pub series: Series,
    /// Grid and horizon.
    pub settings: Settings,
    /// Slots of the test part.
    pub test: usize,
}

impl Forecast {
    /// Prints the table and writes the picture.
    pub fn run(&self) -> Result<()> {
        let task = self.task()?;
        let found = backtest(&task.series, &task.settings, task.test)
            .map_err(|refused| refusal(refused, &task.settings))
            .with_context(|| format!("failed to forecast {}", self.source.trace.display()))?;
        say(stdout(), &told(&task, &found))?;
        let path = self.picture.clone();
        let path = path.unwrap_or_else(|| PathBuf::from(format!("forecast-{}.svg", task.name)));
        std::fs::write(&path, picture(&task, &found).svg())
            .with_context(|| format!("failed to write the picture {}", path.display()))?;
        say(stdout(), &format!("\nThe picture: {}\n", path.display()))?;
        Ok(())
    }

    fn task(&self) -> Result<Task> {
        let zone = TimeZone::get(&self.zone).with_context(|| {
            format!(
                "--zone {}: give a name such as Europe/Paris or UTC",
                self.zone
            )
        })?;
        let series = self.source.series()?;
        let settings = Settings::new(series.step, steps(self.ahead, series.step)?).in_zone(zone);
        let days = series.values.len() / settings.steps_of_a_day();
        let test_days = match self.test_days {
            Some(0) => bail!("--test-days 0: give 1 or more, or leave it out"),
            Some(days) => days as usize,
            None => days.div_ceil(3).clamp(1, 7),
        };
        Ok(Task {
            name: self.source.name(),
            test: test_days * settings.steps_of_a_day(),
            series,
            settings,
        })
    }
}

/// A refusal in the words of the command.
fn refusal(refused: NoBacktest, settings: &Settings) -> anyhow::Error {
    let NoBacktest::TooShort {
        test,
        slots,
        needed,
    } = refused
    else {
        return refused.into();
    };
    let day = settings.steps_of_a_day();
    let least = needed + day;
    let step = duration(settings.step);
    let days = test / day;
    match slots.saturating_sub(needed) / day {
        0 => anyhow!(
            "--trace: {slots} steps of {step} are too few: the least is {least}, of which a day is forecast and {needed} \
             steps are learned from; give a longer trace, or with --step the seconds of a step if {step} is not meant"
        ),
        most => anyhow!(
            "--test-days {days}: {slots} steps of {step} are too few, since {needed} are learned from before; give at \
             most --test-days {most}, or a longer trace"
        ),
    }
}

/// Minutes as steps.
pub fn steps(minutes: u32, step: u32) -> Result<u16> {
    let steps = (u64::from(minutes) * 60).div_ceil(u64::from(step.max(1)));
    match u16::try_from(steps) {
        Ok(steps) if (1..=48).contains(&steps) => Ok(steps),
        _ => bail!(
            "--ahead {minutes} with steps of {step} s: that is {steps} steps, give 1 to 48; --step makes them longer"
        ),
    }
}

/// The table and what is said around it.
#[must_use]
pub fn told(task: &Task, found: &Backtest) -> String {
    let step = task.settings.step;
    let days = task.test / task.settings.steps_of_a_day();
    let gaps = task
        .series
        .values
        .iter()
        .filter(|value| value.is_none())
        .count();
    let mut rows = vec![
        [
            "ahead",
            "error",
            "last value",
            "day before",
            "Holt-Winters",
            "of last value",
            "pinball 0.9",
            "below 0.9",
            "below 0.1",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    rows.extend(found.ahead.iter().map(|quality| row(quality, step)));
    let unanswered = found.ahead.last().map_or(0, |quality| quality.unanswered);
    format!(
        "{}: {} steps of {}, {gaps} of them gaps; the last {days} days are forecast from what was known before\n\n{}\n\
         error: WAPE, the sum of absolute errors over the sum of the values; pinball: mean loss of the 0.9 quantile over \
         the mean value;\nbelow 0.9: share of values at or below the one-sided 0.9 quantile. Slots without a forecast for \
         want of values: {unanswered}.\n{}, {} changes of level.\n",
        task.name,
        task.series.values.len(),
        duration(step),
        table(&rows),
        said(found.skill),
        found.level_changes,
    )
}

fn row(quality: &Quality, step: u32) -> Vec<String> {
    vec![
        duration(u32::from(quality.steps) * step),
        percent(quality.wape),
        percent(quality.last_value),
        percent(quality.seasonal_naive),
        percent(quality.holt_winters),
        ratio(quality.wape, quality.last_value),
        percent(quality.pinball90),
        percent(quality.coverage90),
        percent(quality.coverage10),
    ]
}

fn said(skill: Skill) -> String {
    match skill {
        Skill::CollectingHistory { compared, needed } => {
            format!("At the end: collecting history, {compared} of {needed} forecasts compared")
        }
        Skill::NoLoad => {
            "At the end: there has been no load for a day, and the last value is used".to_owned()
        }
        Skill::BetterThanLastValue { wape, last_value } => format!(
            "At the end: the forecast is used, with {} over the last day beside {} of the last value",
            percent(wape),
            percent(last_value)
        ),
        Skill::WorseThanLastValue { wape, last_value } => format!(
            "At the end: the last value is used, with {} over the last day beside {} of the forecast",
            percent(last_value),
            percent(wape)
        ),
    }
}

/// Load, forecast, band and errors.
#[must_use]
pub fn picture(task: &Task, found: &Backtest) -> Picture {
    let quality = found.ahead.last().copied().unwrap_or_default();
    let ahead = duration(u32::from(quality.steps) * task.settings.step);
    let slots = &found.slots;
    let day = task.settings.steps_of_a_day();
    let closer = closer_look(slots, day);
    Picture {
        title: format!("{}: load, and what was forecast {ahead} before", task.name),
        subtitle: format!(
            "Error {} (last value {}, day before {}, Holt-Winters {}); {} of the values at or below the 90 % quantile",
            percent(quality.wape),
            percent(quality.last_value),
            percent(quality.seasonal_naive),
            percent(quality.holt_winters),
            percent(quality.coverage90),
        ),
        clock: Clock::of(task.series.begin, &task.settings.zone),
        panels: vec![
            load("Every step of the test part", slots, 300.0),
            load(
                "A closer look: the day with the largest changes",
                closer,
                260.0,
            ),
            errors(slots, (day / 8).max(1)),
            bars(found, task.settings.step),
        ],
    }
}

/// The day, of those in whole steps of a day, in which the last value was farthest off.
fn closer_look(slots: &[Slot], day: usize) -> &[Slot] {
    let of = |slots: &&[Slot]| -> f64 {
        slots
            .iter()
            .filter_map(|slot| Some((slot.value? - slot.last_value?).abs()))
            .sum()
    };
    let days = slots.chunks_exact(day.max(1));
    days.max_by(|left, right| of(left).total_cmp(&of(right)))
        .unwrap_or(slots)
}

fn load(title: &str, slots: &[Slot], height: f64) -> Panel {
    let band = |low: usize, high: usize| {
        let band = |slot: &Slot| {
            slot.forecast
                .map(|(_, quantiles)| (quantiles[low], quantiles[high]))
        };
        slots.iter().map(|slot| (slot.at, band(slot))).collect()
    };
    let line =
        |of: fn(&Slot) -> Option<f64>| slots.iter().map(|slot| (slot.at, of(slot))).collect();
    let level = |level: f64| {
        let known = QUANTILES.iter().position(|known| *known >= level);
        known.unwrap_or(QUANTILES.len() - 1)
    };
    let layer = |name: &str, colour, mark| Layer {
        name: name.to_owned(),
        colour,
        mark,
    };
    let layers = vec![
        layer(
            "5 to 95 %",
            colour::OURS,
            Mark::Band {
                opacity: 0.12,
                points: band(level(0.05), level(0.95)),
            },
        ),
        layer(
            "10 to 90 %",
            colour::OURS,
            Mark::Band {
                opacity: 0.22,
                points: band(level(0.1), level(0.9)),
            },
        ),
        layer(
            "load",
            colour::MEASURED,
            Mark::Line {
                width: 1.6,
                points: line(|slot| slot.value),
            },
        ),
        layer(
            "forecast",
            colour::OURS,
            Mark::Line {
                width: 1.6,
                points: line(|slot| slot.forecast.map(|(point, _)| point)),
            },
        ),
    ];
    Panel {
        title: title.to_owned(),
        unit: "load, in the trace's unit".to_owned(),
        height,
        body: over(slots, layers),
    }
}

fn over(slots: &[Slot], layers: Vec<Layer>) -> Body {
    let ends = slots.first().zip(slots.last());
    let (from, to) = ends.map_or_else(Default::default, |(first, last)| (first.at, last.at));
    Body::Time { from, to, layers }
}

/// Mean errors of the last `window` slots, over the mean load.
fn errors(slots: &[Slot], window: usize) -> Panel {
    let known: Vec<f64> = slots.iter().filter_map(|slot| slot.value).collect();
    let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
    let recent = |of: fn(&Slot) -> Option<f64>| {
        let end = |order: usize| {
            let errors: Vec<f64> = slots[(order + 1).saturating_sub(window)..=order]
                .iter()
                .filter_map(of)
                .collect();
            // Over no load there is no error.
            let known = mean > 0.0 && errors.len() * 2 >= window.min(order + 1);
            known.then(|| 100.0 * errors.iter().sum::<f64>() / errors.len().max(1) as f64 / mean)
        };
        slots
            .iter()
            .enumerate()
            .map(|(order, slot)| (slot.at, end(order)))
            .collect()
    };
    let layer = |name: &str, colour, points| Layer {
        name: name.to_owned(),
        colour,
        mark: Mark::Line { width: 1.6, points },
    };
    let layers = vec![
        layer(
            "last value",
            colour::PEER,
            recent(|slot| Some((slot.value? - slot.last_value?).abs())),
        ),
        layer(
            "forecast",
            colour::OURS,
            recent(|slot| Some((slot.value? - slot.forecast?.0).abs())),
        ),
    ];
    Panel {
        title: "Error, mean of three hours".to_owned(),
        unit: "% of the mean load".to_owned(),
        height: 150.0,
        body: over(slots, layers),
    }
}

fn bars(found: &Backtest, step: u32) -> Panel {
    let series = |name: &str, colour, of: fn(&Quality) -> f64| Bars {
        name: name.to_owned(),
        colour,
        values: found
            .ahead
            .iter()
            .map(|quality| 100.0 * of(quality))
            .collect(),
    };
    let groups = found
        .ahead
        .iter()
        .map(|quality| duration(u32::from(quality.steps) * step));
    Panel {
        title: "Error by time ahead".to_owned(),
        unit: "WAPE, %".to_owned(),
        height: 180.0,
        body: Body::Bars {
            groups: groups.collect(),
            series: vec![
                series("forecast", colour::OURS, |quality| quality.wape),
                series("last value", colour::PEER, |quality| quality.last_value),
                series("Holt-Winters", colour::OTHER, |quality| {
                    quality.holt_winters
                }),
                series("day before", colour::THIRD, |quality| {
                    quality.seasonal_naive
                }),
            ],
        },
    }
}

#[cfg(test)]
mod tests;
