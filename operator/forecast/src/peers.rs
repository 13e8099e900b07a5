//! What forecasts are judged beside: last value, the value a day before, and Holt-Winters with a daily season.

use crate::member::{HoltWinters, Shares};
use crate::settings::Settings;

/// Forecasts of one slot: last value, seasonal naive, Holt-Winters.
pub(crate) type Peer = [f64; 3];

/// What the peers have seen.
pub(crate) struct Peers {
    day: usize,
    shares: Shares,
    floor: f64,
    winters: Option<HoltWinters>,
    values: Vec<Option<f64>>,
    last: Option<f64>,
}

impl Peers {
    /// With the shares of Holt-Winters that were best on the part before the test, at the horizon.
    pub(crate) fn chosen_on(settings: &Settings, training: &[Option<f64>]) -> Self {
        let known = training.iter().flatten();
        let count = known.clone().count().max(1) as f64;
        let floor = (0.005 * known.sum::<f64>() / count).max(f64::MIN_POSITIVE);
        let with = |shares: Shares| Self {
            day: settings.steps_of_a_day(),
            shares,
            floor,
            winters: None,
            values: Vec::new(),
            last: None,
        };
        let ahead = usize::from(settings.horizon);
        let best = candidates().min_by(|left, right| {
            let of = |shares: &Shares| with(*shares).error(training, ahead);
            of(left).total_cmp(&of(right))
        });
        with(best.unwrap_or(PLAIN))
    }

    /// The sum of its absolute errors, some steps ahead, after a day.
    fn error(mut self, training: &[Option<f64>], ahead: usize) -> f64 {
        let mut error = 0.0;
        for (slot, &value) in training.iter().enumerate() {
            self.observe(slot, value);
            let target = slot + ahead;
            if slot > self.day
                && let Some(Some(value)) = training.get(target)
            {
                error += (self.forecast(target)[2] - value).abs();
            }
        }
        error
    }

    pub(crate) fn observe(&mut self, slot: usize, value: Option<f64>) {
        self.values.push(value);
        self.last = value.or(self.last);
        let log = value.map(|value| (value + self.floor).ln());
        if self.winters.is_none() {
            self.winters = log.map(|log| HoltWinters::starting(log, self.day));
        }
        if let Some(winters) = &mut self.winters {
            winters.observe(i64::try_from(slot).unwrap_or(0), log, &self.shares);
        }
    }

    /// The newest value.
    pub(crate) fn last_value(&self) -> Option<f64> {
        self.last
    }

    /// Forecasts of a slot after the newest; the last value where a peer knows nothing.
    pub(crate) fn forecast(&self, target: usize) -> Peer {
        let last = self.last.unwrap_or(0.0);
        let mut day_before = (1..).map_while(|days| target.checked_sub(days * self.day));
        let seasonal = day_before.find_map(|slot| self.values.get(slot).copied().flatten());
        let newest = self.values.len().saturating_sub(1);
        let winters = self.winters.as_ref().map(|winters| {
            let slot = i64::try_from(newest).unwrap_or(0);
            let log = winters.forecast(slot, target.saturating_sub(newest), &self.shares);
            (log.exp() - self.floor).clamp(0.0, f64::MAX)
        });
        [last, seasonal.unwrap_or(last), winters.unwrap_or(last)]
    }
}

/// Holt-Winters without limits on errors.
const PLAIN: Shares = Shares {
    level: 0.3,
    trend: 0.0,
    damping: 0.98,
    season: 0.2,
    limit: f64::MAX,
};

/// A grid of shares.
fn candidates() -> impl Iterator<Item = Shares> {
    let levels = [0.1, 0.2, 0.4, 0.6, 0.8, 0.95];
    let trends = [0.0, 0.05, 0.2];
    let seasons = [0.05, 0.2, 0.5, 0.9];
    levels.into_iter().flat_map(move |level| {
        trends.into_iter().flat_map(move |trend| {
            seasons.into_iter().map(move |season| Shares {
                level,
                trend,
                season,
                ..PLAIN
            })
        })
    })
}
