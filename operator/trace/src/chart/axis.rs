//! Where axes have their marks, and what is written there.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use super::Clock;

/// A mark: where it is, what is written, and whether its line is strong.
pub(super) struct Tick<T> {
    pub(super) at: T,
    pub(super) text: String,
    pub(super) strong: bool,
}

/// Marks from 0 to at least `most`, in steps of 1, 2 or 5 times a power of ten.
pub(super) fn values(most: f64) -> Vec<Tick<f64>> {
    let most = if most.is_finite() && most > 0.0 {
        most
    } else {
        1.0
    };
    let rough = most / 4.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough);
    let step = step.unwrap_or(power);
    let tick = |order: u32| {
        let at = f64::from(order) * step;
        Tick {
            at,
            text: number(at, step),
            strong: order == 0,
        }
    };
    let mut ticks: Vec<_> = (0..12).map(tick).collect();
    let needed = ticks.iter().position(|tick| tick.at >= most);
    ticks.truncate(needed.map_or(ticks.len(), |needed| needed + 1));
    ticks
}

/// A number with as many decimals as its step needs, and its thousands apart; with an exponent where that takes no room.
fn number(value: f64, step: f64) -> String {
    if value != 0.0 && !(1e-3..1e9).contains(&step) {
        return format!("{value:.1e}");
    }
    if step < 1.0 {
        let decimals = if step < 0.01 {
            3
        } else if step < 0.1 {
            2
        } else {
            1
        };
        return format!("{value:.decimals$}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (order, digit) in digits.chars().enumerate() {
        if order > 0 && (digits.len() - order).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Marks of time between two ends: days, or hours when there are few days.
pub(super) fn times(from: Timestamp, to: Timestamp, clock: &Clock) -> Vec<Tick<Timestamp>> {
    let hours = (to.as_second() - from.as_second()) / 3600;
    let every = match hours {
        i64::MIN..=14 => 1,
        15..=40 => 3,
        41..=80 => 6,
        81..=120 => 12,
        121..=400 => 24,
        _ => 24 * (hours / 400 + 1),
    };
    match clock {
        Clock::Calendar(zone) => by_calendar(from, to, zone, every),
        Clock::Days(begin) => by_days(from, to, *begin, every),
    }
}

fn by_calendar(
    from: Timestamp,
    to: Timestamp,
    zone: &TimeZone,
    every: i64,
) -> Vec<Tick<Timestamp>> {
    let mut ticks = Vec::new();
    let mut day = zone.to_datetime(from).date();
    let days = i32::try_from(every / 24).unwrap_or(1).max(1);
    while let Ok(midnight) =
        zone.to_timestamp(DateTime::from_parts(day, jiff::civil::time(0, 0, 0, 0)))
    {
        if midnight > to {
            break;
        }
        let mut hour = 0;
        while hour < 24 {
            let local = DateTime::from_parts(day, jiff::civil::time(hour, 0, 0, 0));
            if let Ok(at) = zone.to_timestamp(local)
                && (from..=to).contains(&at)
            {
                let text = if hour == 0 {
                    local.strftime("%a %-d %b").to_string()
                } else {
                    local.strftime("%H:%M").to_string()
                };
                ticks.push(Tick {
                    at,
                    text,
                    strong: hour == 0,
                });
            }
            hour += i8::try_from(every.min(24)).unwrap_or(24);
        }
        let Ok(next) = day.checked_add(days.days()) else {
            break;
        };
        day = next;
    }
    ticks
}

fn by_days(from: Timestamp, to: Timestamp, begin: Timestamp, every: i64) -> Vec<Tick<Timestamp>> {
    let hours = (from.as_second() - begin.as_second()).div_euclid(3600);
    let first = hours.div_euclid(every) * every;
    let at_hour = |hour: i64| begin.checked_add(SignedDuration::from_hours(hour)).ok();
    (0..60)
        .map(|order| first + order * every)
        .filter_map(|hour| Some((hour, at_hour(hour)?)))
        .filter(|(_, at)| (from..=to).contains(at))
        .map(|(hour, at)| {
            let strong = hour % 24 == 0;
            let text = if strong {
                format!("day {}", hour / 24 + 1)
            } else {
                format!("{:02}:00", hour.rem_euclid(24))
            };
            Tick { at, text, strong }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_reach_the_most_in_round_steps() {
        let texts = |most: f64| {
            values(most)
                .into_iter()
                .map(|tick| tick.text)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            texts(22_000.0),
            ["0", "10\u{202f}000", "20\u{202f}000", "30\u{202f}000"]
        );
        assert_eq!(texts(0.35), ["0.0", "0.1", "0.2", "0.3", "0.4"]);
        assert_eq!(texts(f64::NAN), ["0.0", "0.5", "1.0"]);
        assert_eq!(texts(2e18), ["0", "5.0e17", "1.0e18", "1.5e18", "2.0e18"]);
        assert_eq!(
            texts(2e-7),
            ["0.000", "5.0e-8", "1.0e-7", "1.5e-7", "2.0e-7"]
        );
    }

    #[test]
    fn days_are_marked_at_local_midnight_through_daylight_saving() {
        let zone = TimeZone::get("Europe/Paris").expect("a known zone");
        let from: Timestamp = "2026-10-24T00:00:00+02:00".parse().expect("a time");
        let to: Timestamp = "2026-11-01T00:00:00+01:00".parse().expect("a time");
        let ticks = times(from, to, &Clock::Calendar(zone));
        let days = ticks
            .windows(2)
            .map(|pair| pair[0].at.duration_until(pair[1].at).as_hours());
        assert_eq!(days.collect::<Vec<_>>(), [24, 25, 24, 24, 24, 24, 24, 24]);
    }
}
