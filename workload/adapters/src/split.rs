//! Cutting an answer into parts that a platform takes.
//!
//! A part ends where a reader would pause: after a paragraph, else a line, a sentence, a word; never inside what a reader
//! sees as one character (UAX #29), unless that alone is longer than a part, and never inside a code point. A block of
//! code (three back-quotes) that is cut is closed at the end of the part and opened again in the next.

use unicode_segmentation::UnicodeSegmentation;

/// How long a part may be, and what each character costs.
#[derive(Clone, Copy)]
pub(crate) struct Measure {
    /// The most that a part may cost.
    pub(crate) most: usize,
    /// What a character costs, escaped as the platform wants it.
    pub(crate) cost: fn(char) -> usize,
}

impl Measure {
    /// So many UTF-16 code units, which are never fewer than characters: right whichever of the two a platform counts.
    pub(crate) const fn utf16(most: usize) -> Self {
        Self {
            most,
            cost: char::len_utf16,
        }
    }

    pub(crate) fn of(self, text: &str) -> usize {
        text.chars().map(self.cost).sum()
    }
}

const FENCE: &str = "```";
const CLOSING: &str = "\n```";
/// The longest opening line that is repeated; of a longer one only the back-quotes are.
const LONGEST_OPENING: usize = 32;
/// What is sent for an answer without any text: platforms take no empty message.
const NOTHING: &str = "…";

/// The parts of a text, at least one.
pub(crate) fn split(text: &str, measure: Measure) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    let mut opening = String::new();
    while !rest.is_empty() {
        let prefix = measure.of(&opening);
        if prefix + measure.of(rest) <= measure.most {
            parts.push(format!("{opening}{rest}"));
            break;
        }
        let room = measure
            .most
            .saturating_sub(prefix + measure.of(CLOSING))
            .max(1);
        let (end, next) = cut(rest, room, measure);
        let said = rest[..end].trim_end();
        rest = &rest[next..];
        if said.is_empty() {
            continue;
        }
        let mut part = format!("{opening}{said}");
        opening = open_block(&part).map_or_else(String::new, |line| format!("{line}\n"));
        if opening.is_empty() {
            rest = rest.trim_start();
        } else {
            part.push_str(CLOSING);
        }
        parts.push(part);
    }
    if parts.is_empty() {
        parts.push(NOTHING.to_owned());
    }
    parts
}

/// Where the first part ends and the next one begins; the second is greater than 0.
fn cut(text: &str, room: usize, measure: Measure) -> (usize, usize) {
    let fitting = fitting(text, room, measure);
    let (head, half) = (&text[..fitting], fitting / 2);
    // A mark in the first half would leave a stump.
    for mark in ["\n\n", "\n"] {
        if let Some(at) = head.rfind(mark).filter(|at| *at > half) {
            return (at, at + mark.len());
        }
    }
    let ends = |characters: &[char]| {
        let last = head
            .char_indices()
            .rev()
            .find(|(at, character)| *at > half && characters.contains(character))?;
        Some(last.0 + last.1.len_utf8())
    };
    let after_sentence = ["。", "！", "？", ". ", "! ", "? "]
        .iter()
        .filter_map(|mark| head.rfind(mark).map(|at| at + mark.len()))
        .filter(|at| *at > half)
        .max();
    if let Some(at) = after_sentence.or_else(|| ends(&[' ', '\t', '\u{3000}'])) {
        return (at, at);
    }
    (fitting, fitting)
}

/// The bytes of a text that fit: whole graphemes, or whole characters of a grapheme that alone is too long, at least one.
fn fitting(text: &str, room: usize, measure: Measure) -> usize {
    let mut cost = 0;
    let mut end = 0;
    for grapheme in text.graphemes(true) {
        cost += measure.of(grapheme);
        if cost > room {
            break;
        }
        end += grapheme.len();
    }
    if end > 0 {
        return end;
    }
    let mut cost = 0;
    for character in text.chars() {
        cost += (measure.cost)(character);
        if cost > room && end > 0 {
            break;
        }
        end += character.len_utf8();
    }
    end
}

/// The opening line of the block of code that a text ends in, if it does.
fn open_block(text: &str) -> Option<&str> {
    let mut open = None;
    for line in text.lines().map(str::trim) {
        // Code within a line has its end there: behind the fence that opens a block is no other (CommonMark 4.5).
        let is_fence = line
            .strip_prefix(FENCE)
            .is_some_and(|rest| !rest.contains('`') || open.is_some());
        if is_fence {
            open = match open {
                None => Some(line),
                Some(_) => None,
            };
        }
    }
    open.map(|line| {
        if line.len() <= LONGEST_OPENING {
            line
        } else {
            FENCE
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(text: &str, most: usize) -> Vec<String> {
        split(text, Measure::utf16(most))
    }

    #[test]
    fn code_within_a_line_opens_no_block() {
        let text = format!("```ls -la```\n{}", "word ".repeat(50));
        let all = parts(&text, 100);
        assert!(all.len() > 2);
        assert_eq!(all.concat().matches("ls -la").count(), 1, "{all:?}");
        assert_eq!(all.concat().matches("```").count(), 2, "{all:?}");
    }

    #[test]
    fn what_fits_is_one_part_as_it_is() {
        assert_eq!(parts(" hello\n\nworld ", 4_096), ["hello\n\nworld"]);
        assert_eq!(parts(" \n", 4_096), ["…"]);
    }

    #[test]
    fn a_part_ends_where_a_reader_pauses() {
        assert_eq!(
            parts("one two three four five", 18),
            ["one two three", "four five"]
        );
        assert_eq!(
            parts("First one. Then two more words", 20),
            ["First one.", "Then two more words"]
        );
        assert_eq!(
            parts("a line here\nanother one", 18),
            ["a line here", "another one"]
        );
        assert_eq!(
            parts("第一句话。第二句话很长很长。", 12),
            ["第一句话。", "第二句话很长很长。"]
        );
    }

    #[test]
    fn nothing_that_is_seen_as_one_is_cut() {
        let family = "👩‍👩‍👧";
        let text = family.repeat(10);
        for part in parts(&text, 30) {
            assert!(part.chars().count() % family.chars().count() == 0, "{part}");
        }
        let parts = parts(&format!("e{}", "\u{301}".repeat(100)), 40);
        assert_eq!(parts.concat().chars().count(), 101);
    }

    #[test]
    fn a_block_of_code_is_closed_and_opened_again() {
        let text = format!("Look:\n```rust\n{}```\nDone.", "let a = 1;\n".repeat(12));
        let parts = parts(&text, 80);
        assert!(parts.len() > 2);
        for part in &parts {
            assert_eq!(part.matches(FENCE).count() % 2, 0, "{part}");
        }
        assert!(parts[1].starts_with("```rust\nlet a"), "{}", parts[1]);
        assert_eq!(parts.concat().matches("let a = 1;").count(), 12);
    }

    proptest! {
        #[test]
        fn no_part_is_longer_than_the_limit(
            text in "(\\PC|\n|```|[ \u{301}🏳️‍🌈]|[a-z]{1,9} ){0,400}",
            most in 64_usize..300,
        ) {
            let measure = Measure::utf16(most);
            for part in split(&text, measure) {
                prop_assert!(measure.of(&part) <= most, "{part:?}");
                prop_assert!(!part.trim().is_empty());
            }
        }

        #[test]
        fn nothing_is_lost_but_white_space(text in "(\\PC|\n| ){0,400}", most in 64_usize..300) {
            prop_assume!(!text.contains(FENCE));
            let visible = |text: &str| text.split_whitespace().collect::<String>();
            let joined = split(&text, Measure::utf16(most)).concat();
            if !text.trim().is_empty() {
                prop_assert_eq!(visible(&joined), visible(&text));
            }
        }
    }
}
