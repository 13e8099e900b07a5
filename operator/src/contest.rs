//! Who insists: an object that somebody changes back again and again is written ever more seldom, and told.
//!
//! Repairs of one object that follow each other are counted. The first of them are made at once, as a person's single edit
//! is; from then on each waits twice as long as the one before, up to half a minute. Whatever is left alone for a minute is
//! as if nobody had touched it: nobody who insists is slower than that without being repaired each time at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chatbot_plan::names::FIELD_MANAGER;
use chatbot_plan::world::ObjectKey;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;

/// So many repairs in a row are made at once.
const AT_ONCE: u32 = 6;
/// The wait before the next one.
const SHORTEST: Duration = Duration::from_secs(1);
/// The wait before any.
const LONGEST: Duration = Duration::from_secs(30);
/// For how long an object must have been left alone to be as any other: longer than any wait, or who insists would be told
/// and untold in turns, and no longer than a minute, after which nothing that is told may be stale.
const CALM: Duration = Duration::from_mins(1);

/// One object, and how often it was repaired.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Contest {
    /// Repairs in a row.
    repairs: u32,
    /// The last one.
    repaired: Instant,
    /// When it was last found undone.
    undone: Instant,
    /// Who undoes it, in words.
    rival: Option<String>,
}

/// Of one resource, the objects that were repaired lately.
#[derive(Clone, Debug, Default)]
pub struct Contests(BTreeMap<ObjectKey, Contest>);

impl Contests {
    /// An object is not as it was last written. Tells how long the next repair has to wait.
    pub fn undone(&mut self, key: &ObjectKey, now: Instant) -> Duration {
        self.0
            .retain(|_, contest| now.saturating_duration_since(contest.undone) < CALM);
        let Some(contest) = self.0.get_mut(key) else {
            return Duration::ZERO;
        };
        contest.undone = now;
        (contest.repaired + wait(contest.repairs)).saturating_duration_since(now)
    }

    /// It was written again.
    pub fn repaired(&mut self, key: &ObjectKey, now: Instant) {
        let contest = self.0.entry(key.clone()).or_insert(Contest {
            repairs: 0,
            repaired: now,
            undone: now,
            rival: None,
        });
        contest.repairs = contest.repairs.saturating_add(1);
        contest.repaired = now;
    }

    /// Whether so many repairs were made that the next one waits.
    #[must_use]
    pub fn is_contested(&self, key: &ObjectKey) -> bool {
        self.0.get(key).is_some_and(Contest::is_contested)
    }

    /// Whether it is known who undoes it.
    #[must_use]
    pub fn is_named(&self, key: &ObjectKey) -> bool {
        self.0
            .get(key)
            .is_some_and(|contest| contest.rival.is_some())
    }

    /// Notes who undoes it.
    pub fn name_rival(&mut self, key: &ObjectKey, rival: String) {
        if let Some(contest) = self.0.get_mut(key) {
            contest.rival = Some(rival);
        }
    }

    /// What is contested, until it has been left alone for long enough, in words that do not change with each repair. Who
    /// insists is looked up when the last of those that were made at once is undone, too: until then nobody does.
    #[must_use]
    pub fn told(&self, now: Instant) -> Vec<String> {
        let contested = self.0.iter().filter(|(_, contest)| {
            contest.is_contested() && now.saturating_duration_since(contest.undone) < CALM
        });
        contested
            .filter_map(|(key, contest)| {
                let rival = contest.rival.as_deref()?;
                Some(format!(
                    "{} {} is changed again and again by {rival}",
                    key.kind, key.name
                ))
            })
            .collect()
    }
}

impl Contest {
    const fn is_contested(&self) -> bool {
        self.repairs >= AT_ONCE
    }
}

/// How long after so many repairs in a row the next one is made.
fn wait(repairs: u32) -> Duration {
    match repairs.checked_sub(AT_ONCE) {
        None => Duration::ZERO,
        Some(more) => SHORTEST.saturating_mul(1 << more.min(16)).min(LONGEST),
    }
}

/// Who has changed an object last, beside this operator and whoever reports its state, by the API server's account. Where
/// nobody else has, it was somebody of this operator's own name.
#[must_use]
pub fn rival(managers: &[ManagedFieldsEntry]) -> String {
    let others = managers.iter().filter(|entry| {
        entry.subresource.as_deref() != Some("status")
            && entry.manager.as_deref() != Some(FIELD_MANAGER)
    });
    let last = others.max_by_key(|entry| entry.time.as_ref().map(|time| time.0));
    match last.and_then(|entry| entry.manager.as_deref()) {
        Some(manager) => format!("the field manager {manager:?}"),
        None => format!("another operator (field manager {FIELD_MANAGER:?})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(name: &str) -> ObjectKey {
        ObjectKey {
            kind: "Service",
            name: name.to_owned(),
        }
    }

    /// Repairs of an object that is undone every so many milliseconds, as their times since the beginning.
    fn repairs(every: u64, until: u64) -> (Contests, Instant, Vec<u64>) {
        let (mut contests, start) = (Contests::default(), Instant::now());
        let (mut repaired, mut now) = (Vec::new(), start);
        for milliseconds in (0..until).step_by(usize::try_from(every).unwrap()) {
            now = start + Duration::from_millis(milliseconds);
            if contests.undone(&key("a"), now).is_zero() {
                contests.repaired(&key("a"), now);
                repaired.push(milliseconds);
            }
        }
        (contests, now, repaired)
    }

    #[test]
    fn who_insists_is_answered_ever_more_seldom_up_to_twice_a_minute() {
        let (_, _, repaired) = repairs(50, 600_000);
        let gaps: Vec<u64> = repaired.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(gaps[..5], [50; 5], "single edits are repaired at once");
        assert_eq!(gaps[5..11], [1000, 2000, 4000, 8000, 16000, 30_000]);
        assert!(gaps[11..].iter().all(|gap| *gap == 30_000), "{gaps:?}");
        assert!(repaired.len() < 35, "{} in ten minutes", repaired.len());
    }

    #[test]
    fn another_object_is_repaired_at_once_meanwhile() {
        let (mut contests, now, _) = repairs(50, 10_000);
        assert!(!contests.undone(&key("a"), now).is_zero());
        assert!(contests.undone(&key("b"), now).is_zero());
        assert!(!contests.is_contested(&key("b")));
    }

    #[test]
    fn it_is_told_without_a_break_until_nobody_has_touched_it_for_a_minute() {
        let (mut contests, now, _) = repairs(50, 60_000);
        contests.name_rival(&key("a"), "the field manager \"tool\"".to_owned());
        let told = contests.told(now + CALM.saturating_sub(SHORTEST));
        assert_eq!(
            told,
            ["Service a is changed again and again by the field manager \"tool\""]
        );
        assert!(contests.told(now + CALM).is_empty());
        // From then on it is as any other.
        assert!(contests.undone(&key("a"), now + CALM).is_zero());
        assert!(!contests.is_contested(&key("a")));
    }

    #[test]
    fn who_stops_before_a_repair_is_late_does_not_insist() {
        let (mut contests, now, repaired) = repairs(50, 300);
        assert_eq!(repaired.len(), 6);
        assert!(contests.is_contested(&key("a")));
        assert!(contests.told(now).is_empty(), "all was repaired at once");
        // The seventh time it is looked up who it is.
        assert!(!contests.undone(&key("a"), now).is_zero());
        contests.name_rival(&key("a"), "the field manager \"tool\"".to_owned());
        assert_eq!(contests.told(now).len(), 1);
    }

    #[test]
    fn what_is_changed_every_few_minutes_is_no_contest() {
        let (contests, now, repaired) = repairs(150_000, 3_000_000);
        assert_eq!(repaired.len(), 20);
        assert!(contests.told(now).is_empty());
    }

    fn entry(manager: &str, subresource: Option<&str>, second: u32) -> ManagedFieldsEntry {
        serde_json::from_value(json!({
            "manager": manager, "subresource": subresource, "operation": "Update",
            "time": format!("2026-11-24T10:00:{second:02}Z"),
        }))
        .unwrap()
    }

    #[test]
    fn the_last_one_who_is_neither_this_operator_nor_a_reporter_is_the_rival() {
        let managers = [
            entry("early", None, 1),
            entry("kubectl-edit", None, 5),
            entry(FIELD_MANAGER, None, 7),
            entry("kube-controller-manager", Some("status"), 9),
        ];
        assert_eq!(rival(&managers), "the field manager \"kubectl-edit\"");
        assert_eq!(
            rival(&managers[2..]),
            "another operator (field manager \"chatbot-operator\")"
        );
    }
}
