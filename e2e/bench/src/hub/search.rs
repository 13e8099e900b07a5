//! The highest rate that keeps a promise: upwards by a quarter until one fails, or halved until one is kept; then the middle
//! of what is between. Pure.

/// Rates tried at most.
const MOST: usize = 10;
/// Two rates nearer to each other than this share are one.
const NEAR: f64 = 0.05;

/// A rate, and what was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tried {
    pub(super) rate: u32,
    /// Absent when messages were lost.
    pub(super) p90_ms: Option<f64>,
}

/// A search under way.
pub(super) struct Search {
    first: u32,
    /// What p90 is to stay below, milliseconds.
    goal_ms: f64,
    tried: Vec<Tried>,
}

impl Search {
    pub(super) fn new(first: u32, goal_ms: f64) -> Self {
        Self {
            first,
            goal_ms,
            tried: Vec::new(),
        }
    }

    /// The rate to be tried next; none when enough is known.
    pub(super) fn next(&self) -> Option<u32> {
        if self.tried.len() >= MOST {
            return None;
        }
        let (kept, failed) = (best(&self.tried, self.goal_ms), self.lowest_failed());
        let next = match (kept, failed) {
            (None, None) => f64::from(self.first),
            (Some(kept), None) => f64::from(kept) * 1.25,
            (None, Some(failed)) => f64::from(failed) * 0.5,
            (Some(kept), Some(failed)) => {
                let (kept, failed) = (f64::from(kept), f64::from(failed));
                if failed - kept <= failed * NEAR {
                    return None;
                }
                f64::midpoint(kept, failed)
            }
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        // a small, positive number
        let next = next as u32;
        (next > 0).then_some(next)
    }

    pub(super) fn tried(&mut self, tried: Tried) {
        self.tried.push(tried);
    }

    pub(super) fn done(self) -> Vec<Tried> {
        self.tried
    }

    /// A rate that failed above one that was kept; noise may have failed a lower one.
    fn lowest_failed(&self) -> Option<u32> {
        let kept = best(&self.tried, self.goal_ms).unwrap_or(0);
        let rates = self.tried.iter().map(|tried| tried.rate);
        rates.filter(|rate| *rate > kept).min()
    }
}

/// The highest rate that kept the promise.
pub(super) fn best(tried: &[Tried], goal_ms: f64) -> Option<u32> {
    let kept = tried
        .iter()
        .filter(|tried| tried.p90_ms.is_some_and(|p90| p90 <= goal_ms));
    kept.map(|tried| tried.rate).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(first: u32, limit: u32) -> (Option<u32>, usize) {
        let mut search = Search::new(first, 100.0);
        while let Some(rate) = search.next() {
            let p90_ms = (rate <= limit * 2).then_some(if rate <= limit { 20.0 } else { 300.0 });
            search.tried(Tried { rate, p90_ms });
        }
        let tried = search.done();
        (best(&tried, 100.0), tried.len())
    }

    #[test]
    fn the_limit_is_found_from_below_and_from_above() {
        for (first, limit) in [(500, 1_300), (500, 520), (500, 90), (500, 3)] {
            let (best, tries) = found(first, limit);
            let best = best.unwrap_or_default();
            assert!(
                best <= limit && f64::from(best) >= f64::from(limit) * 0.6,
                "{best} of {limit}"
            );
            assert!(tries <= MOST);
        }
    }
}
