//! Server-sent events (WHATWG HTML, section 9.2) out of bytes as they come.

use crate::failure::Failure;

/// Longest event: one entry of the log is at most some 100 KiB.
const EVENT_BYTES_MAX: usize = 4 << 20;

/// An event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its type.
    pub(crate) kind: String,
    /// What it says.
    pub(crate) data: String,
}

/// Reads events; keeps where a client that comes back goes on.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// The line that has begun.
    line: Vec<u8>,
    /// The last byte was a CR, of whose line end a LF would be part.
    is_behind_cr: bool,
    kind: String,
    data: String,
    /// What was said of the next event.
    id: Option<String>,
    last_id: Option<String>,
    retry_ms: Option<u64>,
}

impl Events {
    /// The id of the last event that was read whole.
    pub(crate) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref().filter(|id| !id.is_empty())
    }

    /// After which time to come back, if the server said so.
    pub(crate) fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// Forgets an event that has begun, for a stream that begins anew.
    pub(crate) fn begin(&mut self) {
        *self = Self {
            last_id: self.last_id.take(),
            retry_ms: self.retry_ms,
            ..Self::default()
        };
    }

    /// Takes bytes, and gives the events that end in them to `take` with their ids, until it wants no more.
    /// False if it does not.
    ///
    /// # Errors
    /// An event is too long, or those of `take`.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        take: &mut dyn FnMut(Event) -> Result<bool, Failure>,
    ) -> Result<bool, Failure> {
        for &byte in bytes {
            let is_end = match byte {
                b'\n' if std::mem::take(&mut self.is_behind_cr) => continue,
                b'\r' | b'\n' => true,
                _ => false,
            };
            self.is_behind_cr = byte == b'\r';
            if !is_end {
                if self.line.len() + self.data.len() >= EVENT_BYTES_MAX {
                    return Err(Failure::failed("the server sent an event that is too long"));
                }
                self.line.push(byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(&line);
            if !line.is_empty() {
                self.field(line.trim_start_matches('\u{feff}'));
            } else if let Some(event) = self.dispatch()
                && !take(event)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.kind),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "retry" => self.retry_ms = value.parse().ok().or(self.retry_ms),
            // Comments, and what later versions add.
            _ => {}
        }
    }

    /// Ends an event. Without data it only says where the stream stands.
    fn dispatch(&mut self) -> Option<Event> {
        if let Some(id) = self.id.take() {
            self.last_id = Some(id);
        }
        let kind = std::mem::take(&mut self.kind);
        let mut data = std::mem::take(&mut self.data);
        data.pop()?;
        let kind = match kind.is_empty() {
            true => "message".to_owned(),
            false => kind,
        };
        Some(Event { kind, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every event with the id behind it, however the bytes are cut.
    fn read(text: &str) -> (Vec<(String, String)>, Option<String>, Option<u64>) {
        let whole = read_in(text, text.len().max(1));
        for size in 1..8 {
            assert_eq!(read_in(text, size), whole, "{text:?} by {size}");
        }
        whole
    }

    fn read_in(text: &str, size: usize) -> (Vec<(String, String)>, Option<String>, Option<u64>) {
        let (mut events, mut found) = (Events::default(), Vec::new());
        for part in text.as_bytes().chunks(size) {
            let mut take = |event: Event| {
                found.push((event.kind, event.data));
                Ok(true)
            };
            events.read(part, &mut take).unwrap();
        }
        (
            found,
            events.last_id().map(str::to_owned),
            events.retry_ms(),
        )
    }

    fn event(kind: &str, data: &str) -> (String, String) {
        (kind.to_owned(), data.to_owned())
    }

    #[test]
    fn streams_of_the_standard_are_read_as_it_says() {
        let (events, id, retry) = read(
            "\u{feff}: test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        );
        let expected = ["first event", "second event", " third event"];
        assert_eq!(events, expected.map(|data| event("message", data)));
        assert_eq!((id, retry), (None, None), "an empty id resets it");
        let (events, ..) = read("data\n\ndata\ndata\n\ndata:");
        assert_eq!(events, [event("message", ""), event("message", "\n")]);
        let (events, ..) = read("data:test\n\ndata: test\r\n\r\nevent: add\rdata: 7\rdata: 8\r\r");
        let test = event("message", "test");
        assert_eq!(events, [test.clone(), test, event("add", "7\n8")]);
    }

    #[test]
    fn a_place_is_no_event_and_counts_once_it_is_whole() {
        let (events, id, retry) = read("retry: 250\n\n:\nid: 41\n\nid: 42\nevent: end\n");
        assert_eq!(events, []);
        assert_eq!((id.as_deref(), retry), (Some("41"), Some(250)));
        let (events, id, retry) = read("retry: soon\nid: 9\nevent: end\n\nid: a\0b\ndata: x\n\n");
        assert_eq!(events, [event("message", "x")]);
        assert_eq!((id.as_deref(), retry), (Some("9"), None));
    }

    #[test]
    fn whoever_comes_back_begins_anew_where_the_last_event_was() {
        let mut events = Events::default();
        let mut none = |_: Event| -> Result<bool, Failure> { panic!("no event has ended") };
        events
            .read(b":\nid: 3\n\nid: 4\ndata: ha", &mut none)
            .unwrap();
        events.begin();
        events.read(b"lf\n\n", &mut none).unwrap();
        assert_eq!(events.last_id(), Some("3"));
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut events = Events::default();
        let part = [b"data: ".as_slice(), &vec![b'x'; 1 << 20], b"\n"].concat();
        let mut none = |_: Event| Ok(true);
        let refused = (0..8).find_map(|_| events.read(&part, &mut none).err());
        assert!(refused.is_some());
    }
}
