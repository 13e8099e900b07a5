//! Server-sent events, as far as a completion stream uses them: the data of each event. Pure.

/// Bytes without a line's end that a well-meaning server never sends.
const LONGEST_LINE: usize = 1 << 20;

/// Splits a stream of bytes, in whatever pieces it comes, into the data of events.
#[derive(Default)]
pub(crate) struct Events {
    line: Vec<u8>,
    data: Option<String>,
}

/// The server sends something that is no event stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LineTooLong;

impl Events {
    /// Takes in the next piece; gives the data of the events that it ends.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, LineTooLong> {
        let mut events = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + piece.len() > LONGEST_LINE {
                return Err(LineTooLong);
            }
            self.line.extend_from_slice(piece);
            if self.line.last() == Some(&b'\n') {
                let line = std::mem::take(&mut self.line);
                events.extend(self.end_line(&line));
            }
        }
        Ok(events)
    }

    /// A blank line ends an event; other fields than `data`, and comments, mean nothing here.
    fn end_line(&mut self, line: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            return self.data.take();
        }
        if let Some(value) = text.strip_prefix("data:") {
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        let stream = ": hello\r\ndata: {\"a\":\"ü\"}\r\n\r\nevent: x\ndata:one\ndata: two\n\n\ndata: [DONE]\n\ndata: cut";
        for size in 1..stream.len() {
            let mut events = Events::default();
            let found: Vec<_> = stream
                .as_bytes()
                .chunks(size)
                .flat_map(|piece| events.push(piece).unwrap())
                .collect();
            assert_eq!(
                found,
                ["{\"a\":\"ü\"}", "one\ntwo", "[DONE]"],
                "in pieces of {size}"
            );
        }
    }

    #[test]
    fn a_line_without_an_end_is_refused() {
        let mut events = Events::default();
        assert_eq!(events.push(&vec![b'x'; LONGEST_LINE]), Ok(Vec::new()));
        assert_eq!(events.push(b"x"), Err(LineTooLong));
    }
}
