//! Which questions are asked how often. Pure.

use fastrand::Rng;

/// So many questions, the k-th most frequent in proportion to 1 / k to the power of an exponent (Zipf's law).
#[derive(Clone, Debug)]
pub(super) struct Mix {
    /// The shares of all questions up to each, rising to 1.
    up_to: Vec<f64>,
    pub(super) exponent: f64,
}

impl Mix {
    pub(super) fn new(questions: u32, exponent: f64) -> Self {
        let mut sum = 0.0;
        let mut up_to: Vec<f64> = (1..=questions)
            .map(|rank| {
                sum += f64::from(rank).powf(-exponent);
                sum
            })
            .collect();
        for share in &mut up_to {
            *share /= sum;
        }
        Self { up_to, exponent }
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.up_to.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn draw(&self, rng: &mut Rng) -> u32 {
        let drawn = rng.f64();
        let place = self.up_to.partition_point(|share| *share <= drawn);
        u32::try_from(place).unwrap_or(u32::MAX).min(self.len() - 1)
    }

    /// The text of a question: as long as people's are.
    pub(super) fn question(&self, which: u32) -> String {
        format!(
            "Question {which} of {}: my parcel has not come yet, and the page says that it was delivered. What can I do?",
            self.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_asked_as_often_as_zipf_says() {
        let mix = Mix::new(100, 1.0);
        let mut rng = Rng::with_seed(1);
        let mut counts = [0_u32; 100];
        for _ in 0..100_000 {
            counts[mix.draw(&mut rng) as usize] += 1;
        }
        // The sum of 1 / k up to 100 is 5.187.
        assert!((18_700..19_900).contains(&counts[0]), "{}", counts[0]);
        assert!((9_200..10_100).contains(&counts[1]), "{}", counts[1]);
        assert!(counts[99] > 0);
    }

    #[test]
    fn without_an_exponent_all_are_alike() {
        let mix = Mix::new(4, 0.0);
        let mut rng = Rng::with_seed(1);
        let drawn = (0..40_000).filter(|_| mix.draw(&mut rng) == 3).count();
        assert!((9_500..10_500).contains(&drawn), "{drawn}");
    }
}
