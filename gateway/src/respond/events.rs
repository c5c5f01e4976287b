//! Server-sent events (WHATWG HTML, section 9.2): their text, and a body of them.

use std::{
    fmt::{self, Write},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::Stream;
use serde_json::Value;

/// Their content type.
pub(crate) const EVENT_STREAM: &str = "text/event-stream";

/// The text of events.
#[derive(Debug, Default)]
pub(crate) struct EventText {
    text: String,
    events: u64,
}

impl EventText {
    /// An event of this type with a JSON document, which is one line. What has an id is where a client that
    /// comes back goes on.
    pub(crate) fn event(&mut self, kind: &str, id: Option<u64>, data: &Value) {
        if let Some(id) = id {
            // Writing to a String cannot fail.
            let _ = writeln!(self.text, "id: {id}");
        }
        let _ = write!(self.text, "event: {kind}\ndata: {data}\n\n");
        self.events += 1;
    }

    /// Says where a client that comes back goes on, and that the server lives. To its reader it is no event.
    pub(crate) fn place(&mut self, id: Option<u64>) {
        self.text.push_str(":\n");
        if let Some(id) = id {
            let _ = writeln!(self.text, "id: {id}");
        }
        self.text.push('\n');
    }

    /// After which time a client whose stream ended is to come back.
    pub(crate) fn retry(&mut self, milliseconds: u64) {
        let _ = write!(self.text, "retry: {milliseconds}\n\n");
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

/// What comes next of a stream of events.
#[derive(Debug)]
pub(crate) enum EventPart {
    /// Some events.
    Events(EventText),
    /// The last ones, and why there are no more.
    End(EventText, &'static str),
}

/// Says to a stream of events that it is to end in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct WindUp(Arc<AtomicBool>);

impl WindUp {
    /// Whether it is time.
    pub(crate) fn is_said(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn say(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Events on their way into a body. They are made when there is room for them, so that a slow client costs
/// no memory.
pub(crate) struct Events {
    parts: Pin<Box<dyn Stream<Item = EventPart> + Send>>,
    wind_up: WindUp,
    events: u64,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

impl Events {
    /// Of a source that ends soon after it is told to.
    pub(crate) fn new(
        parts: impl Stream<Item = EventPart> + Send + 'static,
        wind_up: WindUp,
    ) -> Self {
        Self {
            parts: Box::pin(parts),
            wind_up,
            events: 0,
        }
    }

    /// The next bytes; with a reason if they are the last.
    pub(super) fn poll_part(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<(Bytes, Option<&'static str>)> {
        let (text, ended) = match ready!(self.parts.as_mut().poll_next(context)) {
            Some(EventPart::Events(text)) => (text, None),
            Some(EventPart::End(text, reason)) => (text, Some(reason)),
            None => (EventText::default(), Some("ended")),
        };
        self.events += text.events;
        Poll::Ready((Bytes::from(text.text), ended))
    }

    pub(super) fn wind_up(&self) {
        self.wind_up.say();
    }

    /// Events that were given out.
    pub(super) fn count(&self) -> u64 {
        self.events
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::EventText;

    #[test]
    fn events_are_lines_that_end_in_an_empty_one() {
        let mut text = EventText::default();
        text.retry(1000);
        text.event("entry", Some(7), &json!({"text": "two\nlines\r and id: 9"}));
        text.event("lagged", None, &json!({"behind": 3}));
        text.place(Some(9));
        text.place(None);
        assert_eq!(
            text.text,
            "retry: 1000\n\nid: 7\nevent: entry\ndata: {\"text\":\"two\\nlines\\r and id: 9\"}\n\n\
             event: lagged\ndata: {\"behind\":3}\n\n:\nid: 9\n\n:\n\n"
        );
        assert_eq!(text.events, 2);
    }
}
