//! From the bytes of tokens to text that may be shown: whole characters, and nothing that may yet become a stop
//! sequence.

/// The text of one answer as it grows.
#[derive(Debug, Default)]
pub(crate) struct Text {
    stops: Vec<String>,
    /// The beginning of a character whose rest has not come.
    bytes: Vec<u8>,
    /// Text that is the beginning of a stop sequence, so far.
    held: String,
}

/// What can be shown after a token.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    pub text: String,
    /// A stop sequence came; the text ends before it.
    pub stopped: bool,
}

impl Text {
    /// An answer that ends at any of `stops`; empty ones mean nothing.
    pub fn new(stops: Vec<String>) -> Self {
        Self {
            stops: stops.into_iter().filter(|stop| !stop.is_empty()).collect(),
            ..Self::default()
        }
    }

    /// Adds the bytes of one token.
    pub fn push(&mut self, bytes: &[u8]) -> Piece {
        self.bytes.extend_from_slice(bytes);
        self.decode();
        if let Some(start) = self.first_stop() {
            self.held.truncate(start);
            self.bytes.clear();
            return Piece {
                text: std::mem::take(&mut self.held),
                stopped: true,
            };
        }
        let keep = self.longest_beginning();
        let rest = self.held.split_off(self.held.len() - keep);
        Piece {
            text: std::mem::replace(&mut self.held, rest),
            stopped: false,
        }
    }

    /// What was held back, once nothing follows.
    pub fn finish(&mut self) -> String {
        if !self.bytes.is_empty() {
            self.bytes.clear();
            self.held.push(char::REPLACEMENT_CHARACTER);
        }
        std::mem::take(&mut self.held)
    }

    /// Moves whole characters from `bytes` to `held`; bytes that can never become one are replaced.
    fn decode(&mut self) {
        loop {
            match std::str::from_utf8(&self.bytes) {
                Ok(text) => {
                    self.held.push_str(text);
                    self.bytes.clear();
                    return;
                }
                Err(error) => {
                    let valid = error.valid_up_to();
                    self.held
                        .push_str(&String::from_utf8_lossy(&self.bytes[..valid]));
                    let Some(bad) = error.error_len() else {
                        self.bytes.drain(..valid);
                        return;
                    };
                    self.held.push(char::REPLACEMENT_CHARACTER);
                    self.bytes.drain(..valid + bad);
                }
            }
        }
    }

    fn first_stop(&self) -> Option<usize> {
        self.stops
            .iter()
            .filter_map(|stop| self.held.find(stop))
            .min()
    }

    /// Length of the longest end of `held` that is the beginning of a stop sequence.
    fn longest_beginning(&self) -> usize {
        self.held
            .char_indices()
            .map(|(start, _)| &self.held[start..])
            .find(|end| self.stops.iter().any(|stop| stop.starts_with(end)))
            .map_or(0, str::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything shown for `whole`, cut into tokens of `size` bytes.
    fn shown(whole: &str, size: usize, stops: &[&str]) -> (String, bool) {
        let mut text = Text::new(stops.iter().map(ToString::to_string).collect());
        let mut shown = String::new();
        for bytes in whole.as_bytes().chunks(size) {
            let piece = text.push(bytes);
            shown.push_str(&piece.text);
            if piece.stopped {
                return (shown, true);
            }
        }
        shown.push_str(&text.finish());
        (shown, false)
    }

    #[test]
    fn a_character_split_over_tokens_comes_whole() {
        let mut text = Text::new(vec![]);
        let euro = "€".as_bytes();
        assert_eq!(text.push(&euro[..1]).text, "");
        assert_eq!(text.push(&euro[1..2]).text, "");
        assert_eq!(text.push(&euro[2..]).text, "€");
    }

    #[test]
    fn however_tokens_are_cut_the_text_is_the_same() {
        let whole = "Grüße 你好 👋🏽 and <|en and <|end|> never shown";
        for size in 1..12 {
            assert_eq!(
                shown(whole, size, &[]),
                (whole.to_owned(), false),
                "size {size}"
            );
            assert_eq!(
                shown(whole, size, &["<|end|>"]),
                ("Grüße 你好 👋🏽 and <|en and ".to_owned(), true),
                "size {size}"
            );
        }
    }

    #[test]
    fn the_beginning_of_a_stop_sequence_is_held_until_it_is_decided() {
        let mut text = Text::new(vec!["###".to_owned()]);
        assert_eq!(text.push(b"a #").text, "a ");
        assert_eq!(text.push(b"#").text, "");
        assert_eq!(text.push(b" b").text, "## b");
        assert_eq!(text.push(b"##").text, "");
        assert_eq!(text.finish(), "##");
    }

    #[test]
    fn the_earliest_of_several_stop_sequences_ends_the_answer() {
        assert_eq!(
            shown("one\ntwo. three", 20, &[". ", "\n"]),
            ("one".to_owned(), true)
        );
        assert_eq!(
            shown("one\ntwo. three", 3, &["", ". "]),
            ("one\ntwo".to_owned(), true)
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_and_never_lost() {
        let mut text = Text::new(vec![]);
        assert_eq!(text.push(&[b'a', 0xff, b'b']).text, "a\u{fffd}b");
        assert_eq!(text.push(&[0xe2, 0x82]).text, "");
        assert_eq!(text.finish(), "\u{fffd}");
    }
}
