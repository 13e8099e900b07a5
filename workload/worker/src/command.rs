//! What a user types to link accounts: `/link`, `/link CODE`, `/unlink`. Pure.

use chatbot_message::Message;
use uuid::Uuid;

/// A command of the hub's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// A code is wanted.
    Offer,
    /// A code, as it was given out.
    Link(String),
    /// To be a person of its own again.
    Unlink,
}

/// Letters and digits of a code: no two look alike.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// 50 bits: with five attempts for each account in ten minutes nobody comes across somebody else's.
const LENGTH: usize = 10;

/// The command that a message is. Where a platform has commands of its own, it says so, and the text is what follows.
pub(crate) fn command(message: &Message) -> Option<Command> {
    if message.synthetic {
        return None;
    }
    let text = message.text.trim();
    let (name, rest) = match (&message.details.command, text.strip_prefix('/')) {
        (Some(name), None) => (name.as_str(), text),
        (_, Some(text)) => text.split_once(char::is_whitespace).unwrap_or((text, "")),
        (None, None) => return None,
    };
    // `/link@bot` where several bots listen.
    let name = name.split('@').next().unwrap_or(name);
    let code = normalised(rest);
    match name.to_ascii_lowercase().as_str() {
        "link" if code.is_empty() => Some(Command::Offer),
        "link" => Some(Command::Link(code)),
        "unlink" => Some(Command::Unlink),
        _ => None,
    }
}

/// A code as it was made, however it was typed.
fn normalised(text: &str) -> String {
    let letters = text
        .chars()
        .filter(|letter| !letter.is_whitespace() && *letter != '-');
    let letters = letters.map(|letter| match letter.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        letter => letter,
    });
    // What is longer is none, and need not be kept.
    letters.take(LENGTH + 1).collect()
}

/// A code that nobody can guess.
pub(crate) fn new_code() -> String {
    // The last seven bytes of sixteen are random in all of their bits.
    let mut random = [0; 8];
    random[1..].copy_from_slice(&Uuid::new_v4().into_bytes()[9..]);
    let bits = u64::from_be_bytes(random);
    let letter = |at: usize| {
        let index = (bits >> (5 * at)) & 31;
        char::from(ALPHABET[usize::try_from(index).unwrap_or_default()])
    };
    (0..LENGTH).map(letter).collect()
}

/// A code as it is shown.
pub(crate) fn shown(code: &str) -> String {
    let (first, second) = code.split_at(code.len() / 2);
    format!("{first}-{second}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatbot_message::{Account, Details, Way};
    use std::collections::HashSet;

    fn read(text: &str, platform: Option<&str>) -> Option<Command> {
        command(&Message {
            id: Uuid::nil(),
            account: Account {
                channel: "web".to_owned(),
                user: "u".to_owned(),
            },
            origin: String::new(),
            text: text.to_owned(),
            sent_at: None,
            synthetic: false,
            details: Details {
                command: platform.map(str::to_owned),
                ..Details::default()
            },
            way: Way::default(),
        })
    }

    #[test]
    fn commands_are_read_however_the_platform_says_them() {
        let code = || Some(Command::Link("ABCDE01123".to_owned()));
        assert_eq!(read("/link", None), Some(Command::Offer));
        assert_eq!(read(" /Link@bot ", Some("link")), Some(Command::Offer));
        assert_eq!(read("/link abcde-oi123", None), code());
        assert_eq!(read("/link  ABCDE 01l23", None), code());
        assert_eq!(read("ABCDE-01123", Some("link")), code());
        assert_eq!(read("/unlink", None), Some(Command::Unlink));
        for none in ["link", "/linking", "/start", "a /link", "/", ""] {
            assert_eq!(read(none, None), None, "{none}");
        }
        assert_eq!(read("hello", Some("start")), None);
    }

    #[test]
    fn a_code_comes_back_as_it_was_made_and_none_comes_twice() {
        let codes: HashSet<_> = (0..1_000).map(|_| new_code()).collect();
        assert_eq!(codes.len(), 1_000);
        for code in codes {
            assert_eq!(code.len(), LENGTH);
            assert_eq!(normalised(&shown(&code).to_ascii_lowercase()), code);
        }
    }
}
