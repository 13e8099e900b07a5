//! What a holder leaves to the next one.

use serde::{Deserialize, Serialize};

/// Bytes that a commit can carry.
const LONGEST: usize = 4_096;
/// A position that has not moved for so long is forgotten, milliseconds: platforms remember less, and Telegram numbers its
/// updates anew after a week without any, so that an old number could lie above new ones.
const FORGOTTEN: i64 = 6 * 24 * 60 * 60 * 1_000;

/// Where a channel goes on, and whose position that is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The platform's id of the bot: positions of another bot mean nothing.
    bot: String,
    /// Milliseconds since the epoch when it moved.
    at: i64,
    cursor: Option<String>,
}

impl Kept {
    /// What was left for a bot, if it still means something.
    pub(super) fn found(left: &str, bot: &str, now: i64) -> Self {
        let left: Self = serde_json::from_str(left).unwrap_or_default();
        let cursor = left.cursor(now).filter(|_| left.bot == bot);
        Self {
            bot: bot.to_owned(),
            at: if cursor.is_some() { left.at } else { now },
            cursor,
        }
    }

    pub(super) fn cursor(&self, now: i64) -> Option<String> {
        let is_fresh = now.saturating_sub(self.at) < FORGOTTEN;
        self.cursor.clone().filter(|_| is_fresh)
    }

    pub(super) fn moves(&mut self, cursor: Option<String>, now: i64) {
        self.cursor = cursor;
        self.at = now;
    }

    /// As a commit carries it. A position too long for that is left out: more comes again, and is known.
    pub(super) fn encode(&self) -> String {
        let encode = |kept: &Self| serde_json::to_string(kept).unwrap_or_default();
        let encoded = encode(self);
        if encoded.len() <= LONGEST {
            return encoded;
        }
        encode(&Self {
            cursor: None,
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(cursor: &str) -> String {
        let mut kept = Kept::found("", "bot", 1);
        kept.moves(Some(cursor.to_owned()), 1_000);
        kept.encode()
    }

    #[test]
    fn a_position_goes_on_for_the_same_bot_and_no_other() {
        let found = |bot| Kept::found(&left("42"), bot, 2_000).cursor(2_000);
        assert_eq!(found("bot").as_deref(), Some("42"));
        assert_eq!(found("another"), None);
        assert_eq!(Kept::found("no JSON", "bot", 1).cursor(1), None);
    }

    #[test]
    fn a_position_that_did_not_move_for_a_week_is_forgotten_by_whoever_keeps_it() {
        let week = 1_000 + 7 * 24 * 60 * 60 * 1_000;
        let mut kept = Kept::found(&left("42"), "bot", 2_000);
        assert_eq!(kept.cursor(week), None);
        assert_eq!(Kept::found(&left("42"), "bot", week).cursor(week), None);
        kept.moves(Some("7".to_owned()), week);
        assert_eq!(kept.cursor(week + 1).as_deref(), Some("7"));
    }

    #[test]
    fn a_position_too_long_for_a_commit_is_left_out() {
        let long = left(&"x".repeat(5_000));
        assert!(long.len() <= LONGEST);
        assert_eq!(Kept::found(&long, "bot", 2_000).cursor(2_000), None);
    }
}
