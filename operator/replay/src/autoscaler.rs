//! The HorizontalPodAutoscaler, by its published algorithm.
//!
//! Source: <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/>, "Algorithm details" and
//! "Default behavior", and `pkg/controller/podautoscaler/replica_calculator.go` for how pods without a usable metric
//! count: at a scale-down as if they used all that they request, at a scale-up as if they used nothing; and when that
//! turns the direction round, nothing is done. `--horizontal-pod-autoscaler-sync-period` 15 s, `-tolerance` 0.1,
//! `-downscale-stabilization` 300 s, all defaults. Up: at most double or 4 more in 15 s, whichever is more.
//!
//! Left out: several metrics, metrics that come late or not at all, behaviour other than the default, and the minute
//! that the metrics server averages over: use is seen as it was in the 15 s before the look.

use std::collections::VecDeque;

/// Seconds between two looks.
pub const SYNC: i64 = 15;
const TOLERANCE: f64 = 0.1;
const STABILISATION: i64 = 300;
const UP_PODS: u32 = 4;

/// One autoscaler, and what it remembers.
#[derive(Clone, Debug)]
pub struct Autoscaler {
    /// Utilisation to steer to, as a part of the requests.
    pub target: f64,
    /// Fewest replicas.
    pub min: u32,
    /// Most replicas.
    pub max: u32,
    recommendations: VecDeque<(i64, u32)>,
}

/// What it sees at one look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sight {
    /// Replicas that are wanted now.
    pub current: u32,
    /// Pods with a usable metric.
    pub measured: u32,
    /// Their mean use; unknown when metrics are not to be had.
    pub utilisation: Option<f64>,
    /// Pods that are not ready, or too young to be measured.
    pub unready: u32,
}

impl Autoscaler {
    /// One that has seen nothing yet.
    #[must_use]
    pub fn new(target: f64, min: u32, max: u32) -> Self {
        Self {
            target,
            min,
            max,
            recommendations: VecDeque::new(),
        }
    }

    /// The replicas that it wants from now on.
    pub fn sync(&mut self, now: i64, sight: Sight) -> u32 {
        let wanted = self.recommend(sight);
        self.recommendations.push_back((now, wanted));
        while self
            .recommendations
            .front()
            .is_some_and(|(at, _)| *at <= now - STABILISATION)
        {
            self.recommendations.pop_front();
        }
        // Down only as far as the highest of the last five minutes.
        let highest = self
            .recommendations
            .iter()
            .map(|(_, replicas)| *replicas)
            .max();
        let steady = if wanted < sight.current {
            highest.unwrap_or(wanted).min(sight.current)
        } else {
            wanted
        };
        let fastest = (sight.current * 2).max(sight.current + UP_PODS);
        steady.min(fastest).clamp(self.min, self.max.max(self.min))
    }

    fn recommend(&self, sight: Sight) -> u32 {
        let current = sight.current;
        // Without a single metric it holds.
        let (Some(utilisation), true) = (sight.utilisation, sight.measured > 0) else {
            return current;
        };
        let ratio = utilisation / self.target;
        if sight.unready == 0 || ratio < 1.0 {
            // Unready pods count only at a scale-up.
            if (ratio - 1.0).abs() <= TOLERANCE {
                return current;
            }
            return up(ratio * f64::from(sight.measured));
        }
        let pods = f64::from(sight.measured + sight.unready);
        let mean = utilisation * f64::from(sight.measured) / pods;
        let new = mean / self.target;
        if (new - 1.0).abs() <= TOLERANCE || new < 1.0 {
            return current;
        }
        let wanted = up(new * pods);
        wanted.max(current)
    }
}

fn up(replicas: f64) -> u32 {
    // The controller rounds up; a hair above a whole number is that number.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped"
    )]
    let wanted = (replicas - 1e-9).ceil().clamp(0.0, 1e6) as u32;
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(current: u32, utilisation: f64) -> Sight {
        Sight {
            current,
            measured: current,
            utilisation: Some(utilisation),
            unready: 0,
        }
    }

    #[test]
    fn it_follows_the_ratio_outside_of_the_tolerance() {
        for (utilisation, expected) in [(0.7, 10), (0.76, 10), (0.64, 10), (0.84, 12), (1.0, 15)] {
            let mut hpa = Autoscaler::new(0.7, 1, 40);
            assert_eq!(
                hpa.sync(0, sight(10, utilisation)),
                expected,
                "{utilisation}"
            );
        }
    }

    #[test]
    fn it_comes_down_after_five_minutes_and_goes_up_at_once() {
        let mut hpa = Autoscaler::new(0.7, 1, 40);
        assert_eq!(hpa.sync(0, sight(10, 0.7)), 10);
        assert_eq!(hpa.sync(15, sight(10, 0.35)), 10);
        assert_eq!(hpa.sync(285, sight(10, 0.35)), 10);
        assert_eq!(hpa.sync(300, sight(10, 0.35)), 5);
        assert_eq!(hpa.sync(315, sight(5, 1.4)), 10);
    }

    #[test]
    fn pods_that_are_not_ready_keep_it_from_asking_twice() {
        let mut hpa = Autoscaler::new(0.7, 1, 40);
        let starting = Sight {
            current: 15,
            measured: 10,
            utilisation: Some(1.0),
            unready: 5,
        };
        assert_eq!(hpa.sync(0, starting), 15);
    }

    #[test]
    fn without_metrics_it_holds() {
        let mut hpa = Autoscaler::new(0.7, 2, 40);
        let blind = Sight {
            utilisation: None,
            ..sight(7, 0.0)
        };
        for now in [0, 300, 600] {
            assert_eq!(hpa.sync(now, blind), 7);
        }
    }

    #[test]
    fn it_at_most_doubles_and_stays_within_its_bounds() {
        let mut hpa = Autoscaler::new(0.7, 2, 40);
        assert_eq!(hpa.sync(0, sight(2, 7.0)), 6, "four more");
        assert_eq!(hpa.sync(0, sight(10, 7.0)), 20, "double");
        assert_eq!(hpa.sync(0, sight(30, 7.0)), 40, "the ceiling");
        hpa.min = 12;
        assert_eq!(hpa.sync(600, sight(5, 0.7)), 12, "the floor");
    }
}
