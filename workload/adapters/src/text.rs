//! What people wrote, made fit to be answered.

use std::borrow::Cow;

use chatbot_message::{Attachment, AttachmentKind};

use crate::{Fault, Refusal};

/// A text without NUL, which no model can read; everything else, marks of direction among it, stays as it was.
pub(crate) fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A platform's text, no longer than the platform itself allows.
pub(crate) fn bounded(text: &str, most: usize) -> Result<String, Refusal> {
    // Every character has a byte at least: most texts need not be counted.
    if text.len() > most && text.chars().count() > most {
        return Err(Refusal::new(
            Fault::TooLong,
            format!("the text has more than the {most} characters that the platform allows"),
        ));
    }
    Ok(clean(text))
}

/// What is asked: the text, or what was sent in its place. Nothing at all is no question.
pub(crate) fn question(text: String, attachments: &[Attachment]) -> Option<String> {
    if !text.trim().is_empty() {
        return Some(text);
    }
    let shown: Vec<_> = attachments.iter().map(described).collect();
    (!shown.is_empty()).then(|| shown.join(" "))
}

fn described(attachment: &Attachment) -> String {
    let kind = match attachment.kind {
        AttachmentKind::Image => "image",
        AttachmentKind::Audio => "audio",
        AttachmentKind::Video => "video",
        AttachmentKind::Sticker => "sticker",
        AttachmentKind::File => "file",
    };
    match &attachment.name {
        Some(name) => format!("[{kind}: {}]", clean(name)),
        None => format!("[{kind}]"),
    }
}

/// The kind of a media type.
pub(crate) fn kind_of(media_type: Option<&str>) -> AttachmentKind {
    match media_type.and_then(|whole| whole.split('/').next()) {
        Some("image") => AttachmentKind::Image,
        Some("audio") => AttachmentKind::Audio,
        Some("video") => AttachmentKind::Video,
        _ => AttachmentKind::File,
    }
}

/// The command that a text is: `/name`, perhaps `/name@bot`, then white space or nothing. Returns its name, the bot that
/// it is for if it says so, and nothing when the text is none.
pub(crate) fn command(text: &str) -> Option<(&str, Option<&str>)> {
    let word = text.strip_prefix('/')?.split_whitespace().next()?;
    if text[1..].starts_with(char::is_whitespace) {
        return None;
    }
    let (name, bot) = word
        .split_once('@')
        .map_or((word, None), |(name, bot)| (name, Some(bot)));
    let named = !name.is_empty()
        && name.len() <= 64
        && name
            .chars()
            .all(|character| character.is_alphanumeric() || "_-".contains(character));
    named.then_some((name, bot))
}

/// A text without one way of calling the bot, wherever it stands; what was around it stays one space apart.
pub(crate) fn without<'t>(text: &'t str, mention: &str) -> Cow<'t, str> {
    if mention.is_empty() || !text.contains(mention) {
        return Cow::Borrowed(text.trim());
    }
    let parts: Vec<_> = text.split(mention).collect();
    let mut joined = String::with_capacity(text.len());
    for part in parts {
        let opens = joined.is_empty() || joined.ends_with(char::is_whitespace);
        let part = if opens { part.trim_start() } else { part };
        joined.push_str(part);
    }
    Cow::Owned(joined.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_its_first_word() {
        assert_eq!(command("/start"), Some(("start", None)));
        assert_eq!(command("/ask@my_bot what?"), Some(("ask", Some("my_bot"))));
        assert_eq!(command("/帮助 x"), Some(("帮助", None)));
        for none in ["start", "/", "/ x", "/a/b", "", "/@bot"] {
            assert_eq!(command(none), None, "{none}");
        }
    }

    #[test]
    fn a_mention_is_taken_out_wherever_it_stands() {
        assert_eq!(without("<@U1> hello", "<@U1>"), "hello");
        assert_eq!(without("hello <@U1>", "<@U1>"), "hello");
        assert_eq!(without("hey <@U1> there", "<@U1>"), "hey there");
        assert_eq!(without("<@U1>", "<@U1>"), "");
        assert_eq!(without(" as it is ", "<@U1>"), "as it is");
    }

    #[test]
    fn what_has_no_text_is_described() {
        let image = Attachment {
            kind: AttachmentKind::Image,
            reference: "1".to_owned(),
            name: None,
            media_type: None,
            bytes: None,
        };
        let file = Attachment {
            kind: AttachmentKind::File,
            name: Some("a.pdf".to_owned()),
            ..image.clone()
        };
        assert_eq!(
            question(String::new(), &[image, file]).as_deref(),
            Some("[image] [file: a.pdf]")
        );
        assert_eq!(question(" ".to_owned(), &[]), None);
    }

    #[test]
    fn only_what_is_too_long_is_refused() {
        assert_eq!(bounded("a\0b", 3).unwrap(), "a\u{fffd}b");
        assert!(bounded("éé", 2).is_ok());
        assert_eq!(bounded("ééé", 2).unwrap_err().fault, Fault::TooLong);
    }
}
