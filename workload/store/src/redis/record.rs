//! Turns and routes as they stand in Redis: what scripts compare stands before the rest, in plain numbers.

use crate::route::Stored;
use crate::{Route, Turn};

/// `<position> <at> <JSON of the turn>`.
pub(crate) fn turn_text(turn: &Turn) -> String {
    let json = serde_json::to_string(turn).unwrap_or_default();
    format!("{} {} {json}", turn.position, turn.at)
}

/// Nothing for one that this release does not understand: it is left out.
pub(crate) fn turn(text: &str) -> Option<Turn> {
    let json = text.splitn(3, ' ').nth(2)?;
    serde_json::from_str(json).ok()
}

/// `<position> <fold>`; nothing known: 0 and no fold.
pub(crate) fn position(text: &str) -> (u64, String) {
    let (position, fold) = text.split_once(' ').unwrap_or((text, ""));
    position.parse().map_or_else(
        |_| Default::default(),
        |position| (position, fold.to_owned()),
    )
}

/// A route from the journal: `<epoch> 0 - <origin>`.
pub(crate) fn route_text(route: &Route) -> String {
    format!("{} 0 - {}", route.epoch, route.origin)
}

/// `<epoch> <announced> <instance or -> <origin>`.
pub(crate) fn stored(text: &str) -> Option<Stored> {
    let mut parts = text.splitn(4, ' ');
    Some(Stored {
        epoch: parts.next()?.parse().ok()?,
        announced: parts.next()?.parse().ok()?,
        instance: parts
            .next()
            .map(|instance| (instance != "-").then(|| instance.to_owned()))?,
        origin: parts.next()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_nothing() {
        assert_eq!(position(""), (0, String::new()));
        assert_eq!(position("x y"), (0, String::new()));
        assert_eq!(position("7 {\"a\": 1}"), (7, "{\"a\": 1}".to_owned()));
        assert_eq!(turn("1 2"), None);
        assert_eq!(turn("1 2 {}"), None);
        for text in ["", "1", "1 2 -", "x 2 - o", "1 x - o"] {
            assert_eq!(stored(text), None, "{text:?}");
        }
        let route = stored("1 2 a:1 an origin  with spaces").unwrap();
        assert_eq!(route.origin, "an origin  with spaces");
    }
}
