//! What the pods report at `/state`: asked in parallel, with little patience, and remembered with the time at which
//! it was first heard.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chatbot_crds::Reason;
use chatbot_crds::config::{ADMIN_PORT, State};
use chatbot_plan::world::Signal;
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};

use crate::body;

/// The longest time to wait for a pod.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Pods asked at the same time.
const AT_ONCE: usize = 16;
/// The longest report that is read.
const LIMIT: usize = 256 * 1024;

/// Asks pods what they report.
pub struct Reports {
    http: reqwest::Client,
    heard: Mutex<HashMap<String, Heard>>,
}

/// What was last heard of a pod.
#[derive(Clone)]
struct Heard {
    state: State,
    /// When the synthetic conversation in it was first heard of: the pod's clock may differ from the operator's, and that
    /// one may be set.
    at: Instant,
}

/// Now, by the clock on the wall and by one that nobody sets.
#[derive(Clone, Copy)]
struct Now {
    wall: Timestamp,
    steady: Instant,
}

impl Now {
    fn read() -> Self {
        Self {
            wall: Timestamp::now(),
            steady: Instant::now(),
        }
    }

    /// What the wall's clock, as it is set now, would have shown then.
    fn wall_at(self, then: Instant) -> Timestamp {
        let age = self.steady.saturating_duration_since(then);
        SignedDuration::try_from(age)
            .and_then(|age| self.wall.checked_sub(age))
            .unwrap_or(self.wall)
    }
}

impl Reports {
    /// Nothing heard yet.
    pub fn new() -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .no_proxy()
            // Whoever may make a pod would have the operator ask anywhere.
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(1)
            .build()?;
        Ok(Self {
            http,
            heard: Mutex::default(),
        })
    }

    /// What it asks with.
    #[must_use]
    pub fn http(&self) -> reqwest::Client {
        self.http.clone()
    }

    /// Asks the pods of one resource, each given by its identity and address. A pod that does not answer goes on
    /// being known by what it said last, with that time.
    pub async fn ask(&self, pods: Vec<(String, String)>) -> HashMap<String, Signal<State>> {
        futures::stream::iter(pods)
            .map(|(uid, ip)| async move {
                let answer = self.fetch(&ip).await;
                let signal = self.remember(&uid, answer, Now::read());
                (uid, signal)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await
    }

    /// Forgets pods that are gone.
    pub fn forget(&self, is_gone: impl Fn(&str) -> bool) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.retain(|uid, _| !is_gone(uid));
    }

    async fn fetch(&self, ip: &str) -> Option<State> {
        let host = match ip.parse().ok()? {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let url = format!("http://{host}:{ADMIN_PORT}/state");
        let response = self
            .http
            .get(url)
            .send()
            .await
            .ok()?
            .error_for_status()
            .ok()?;
        serde_json::from_slice(&body::read(response, LIMIT).await?).ok()
    }

    fn remember(&self, uid: &str, answer: Option<State>, now: Now) -> Signal<State> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let before = heard.get(uid);
        let known = match answer {
            Some(state) => {
                let at = before
                    .filter(|before| {
                        before.state.probe.as_ref().map(|probe| probe.at)
                            == state.probe.as_ref().map(|probe| probe.at)
                    })
                    .map_or(now.steady, |before| before.at);
                Some(Heard { state, at })
            }
            None => before.cloned(),
        };
        match known {
            Some(known) => {
                heard.insert(uid.to_owned(), known.clone());
                Signal::Known {
                    value: known.state,
                    at: now.wall_at(known.at),
                }
            }
            None => Signal::Unknown(Reason::Pending),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatbot_crds::config::ProbeState;

    fn state(at: i64) -> State {
        State {
            probe: Some(ProbeState {
                at,
                failed_hop: None,
                message: String::new(),
            }),
            ..State::default()
        }
    }

    /// So many seconds after the start by the steady clock; by the wall's, which was set meanwhile by so many.
    fn second(start: Instant, second: u64, set: i64) -> Now {
        let wall = i64::try_from(second).unwrap() + set;
        Now {
            wall: Timestamp::from_second(wall).unwrap(),
            steady: start + Duration::from_secs(second),
        }
    }

    fn heard_at(signal: &Signal<State>) -> Option<i64> {
        match signal {
            Signal::Known { at, .. } => Some(at.as_second()),
            Signal::Unknown(_) => None,
        }
    }

    #[test]
    fn a_conversation_is_as_old_as_its_first_hearing() {
        let reports = Reports::new().unwrap();
        let start = Instant::now();
        let heard = |answer, at| heard_at(&reports.remember("a", answer, second(start, at, 0)));
        assert_eq!(heard(None, 1), None);
        assert_eq!(heard(Some(state(7)), 2), Some(2));
        assert_eq!(heard(Some(state(7)), 9), Some(2));
        assert_eq!(heard(None, 10), Some(2));
        assert_eq!(heard(Some(state(8)), 11), Some(11));
        reports.forget(|uid| uid == "a");
        assert_eq!(heard(None, 12), None);
    }

    #[test]
    fn a_clock_that_is_set_makes_no_conversation_older_or_younger() {
        let reports = Reports::new().unwrap();
        let start = Instant::now();
        reports.remember("a", Some(state(7)), second(start, 1000, 0));
        for set in [-600, 0, 600] {
            let now = second(start, 1005, set);
            let at = heard_at(&reports.remember("a", None, now)).unwrap();
            assert_eq!(now.wall.as_second() - at, 5, "set by {set} s");
        }
    }
}
