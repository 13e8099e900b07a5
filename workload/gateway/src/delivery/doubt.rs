//! Whether a part of a reply may be seen twice. Pure.

use std::time::Duration;

use chatbot_queue::lease::Moment;

/// What is not known of the sends of one part.
pub(super) struct Doubt {
    /// For how long the platform knows the part's key; none where it has none.
    life: Option<Duration>,
    /// When the earliest send began of which nobody knows whether it was seen, and which was not counted.
    since: Option<Moment>,
}

impl Doubt {
    pub(super) fn new(life: Option<Duration>) -> Self {
        Self { life, since: None }
    }

    /// A send has left that began then. Whether it may be seen beside an earlier one, of which the platform no longer knew
    /// the key.
    pub(super) fn sent(&mut self, begun: Moment) -> bool {
        let life = self.life.unwrap_or_default();
        self.since
            .take_if(|since| begun.since(*since) > life)
            .is_some()
    }

    /// Nobody knows whether the send that began then was seen. Whether the next one may be seen beside it in any case.
    pub(super) fn unknown(&mut self, begun: Moment) -> bool {
        if self.life.is_some() {
            self.since.get_or_insert(begun);
        }
        self.life.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::default().after(Duration::from_secs(seconds))
    }

    #[test]
    fn without_a_key_every_send_of_unknown_effect_counts_at_once() {
        let mut doubt = Doubt::new(None);
        for second in 0..3 {
            assert!(!doubt.sent(at(second)));
            assert!(doubt.unknown(at(second)));
        }
    }

    #[test]
    fn with_a_key_it_counts_when_the_key_has_expired_before_the_next_send() {
        let mut doubt = Doubt::new(Some(Duration::from_mins(1)));
        assert!(!doubt.sent(at(0)));
        assert!(!doubt.unknown(at(0)));
        // Refused for now until then: nothing new is in doubt, and the first send still is.
        assert!(!doubt.sent(at(30)));
        assert!(!doubt.sent(at(60)));
        assert!(doubt.sent(at(61)));
        assert!(!doubt.sent(at(200)));
    }

    #[test]
    fn the_earliest_of_several_tells_when_the_key_expires() {
        let mut doubt = Doubt::new(Some(Duration::from_mins(1)));
        for second in [0, 50] {
            assert!(!doubt.sent(at(second)));
            assert!(!doubt.unknown(at(second)));
        }
        assert!(doubt.sent(at(70)));
        // That one may have been seen as well: its key is another's beginning.
        assert!(!doubt.unknown(at(70)));
        assert!(!doubt.sent(at(130)));
        assert!(doubt.sent(at(131)));
    }

    #[test]
    fn what_was_never_in_doubt_never_counts() {
        let mut doubt = Doubt::new(Some(Duration::from_mins(1)));
        for second in [0, 100, 1_000] {
            assert!(!doubt.sent(at(second)));
        }
    }
}
