//! Frames of HTTP/2, counted: what a peer may send for nothing is bounded, and what the HTTP
//! library refuses by itself is seen in what it sends.

/// Bytes of the connection preface.
const PREFACE_BYTES: usize = 24;
/// Bytes of a frame's head.
const HEAD_BYTES: usize = 9;
/// Most frames that continue one header block: with 16 kB each, far above what a head may hold.
const CONTINUATIONS_MAX: u32 = 8;
/// SETTINGS, PING, PRIORITY, unknown and empty DATA frames at once, and more of them each second.
const CONTROLS: Budget = Budget::new(512, 64);
/// Streams reset by the peer at once, and more of them each second.
const RESETS: Budget = Budget::new(128, 32);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;

/// A number that is used up and grows again with time.
#[derive(Clone, Copy, Debug)]
struct Budget {
    most: u32,
    per_second: u32,
    left: u32,
    refilled_s: u64,
}

impl Budget {
    const fn new(most: u32, per_second: u32) -> Self {
        Self {
            most,
            per_second,
            left: most,
            refilled_s: 0,
        }
    }

    /// Takes one at `now_s`; false if none is left.
    fn take(&mut self, now_s: u64) -> bool {
        let seconds = now_s.saturating_sub(self.refilled_s);
        let more = seconds.saturating_mul(u64::from(self.per_second));
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(more).min(self.most);
        self.refilled_s = self.refilled_s.max(now_s);
        let taken = self.left.checked_sub(1);
        self.left = taken.unwrap_or(0);
        taken.is_some()
    }
}

/// The head of one frame.
#[derive(Clone, Copy, Debug)]
struct FrameHead {
    bytes: usize,
    kind: u8,
    flags: u8,
}

/// Cuts a stream of bytes into frames.
#[derive(Debug, Default)]
struct Cutter {
    head: Vec<u8>,
    /// Bytes left of the running payload.
    left: usize,
}

impl Cutter {
    /// Reads up to the end of the next frame head or payload. Says how much was read, the head if
    /// one is whole now, and else the part of a payload.
    fn take<'a>(&mut self, input: &'a [u8]) -> (usize, Option<FrameHead>, &'a [u8]) {
        if self.left > 0 {
            let part = input.get(..self.left).unwrap_or(input);
            self.left -= part.len();
            return (part.len(), None, part);
        }
        let needed = HEAD_BYTES.saturating_sub(self.head.len());
        let part = input.get(..needed).unwrap_or(input);
        self.head.extend_from_slice(part);
        let [a, b, c, kind, flags, ..] = *self.head.as_slice() else {
            return (part.len(), None, &[]);
        };
        if self.head.len() < HEAD_BYTES {
            return (part.len(), None, &[]);
        }
        self.head.clear();
        self.left = u32::from_be_bytes([0, a, b, c]) as usize;
        let bytes = self.left;
        let head = FrameHead { bytes, kind, flags };
        (part.len(), Some(head), &[])
    }
}

/// More frames than a peer may send for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flood {
    pub(crate) reason: &'static str,
    /// Bytes up to the payload of the frame that was one too many.
    pub(crate) passed_bytes: usize,
}

/// Frames that a peer sends.
#[derive(Debug)]
pub(crate) struct Frames {
    preface_left: usize,
    cutter: Cutter,
    continuations: u32,
    controls: Budget,
    resets: Budget,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            preface_left: PREFACE_BYTES,
            cutter: Cutter::default(),
            continuations: 0,
            controls: CONTROLS,
            resets: RESETS,
        }
    }
}

impl Frames {
    /// Counts the frames in `input`, read in second `now_s` of the connection.
    ///
    /// # Errors
    /// The flood that this is.
    pub(crate) fn take(&mut self, input: &[u8], now_s: u64) -> Result<(), Flood> {
        let mut at = self.preface_left.min(input.len());
        self.preface_left -= at;
        while let Some(rest) = input.get(at..)
            && !rest.is_empty()
        {
            let (used, head, _) = self.cutter.take(rest);
            at += used;
            if let Some(head) = head {
                let passed_bytes = at;
                self.count(head, now_s).map_err(|reason| Flood {
                    reason,
                    passed_bytes,
                })?;
            }
        }
        Ok(())
    }

    fn count(&mut self, head: FrameHead, now_s: u64) -> Result<(), &'static str> {
        let is_within = match head.kind {
            HEADERS => {
                self.continuations = 0;
                true
            }
            CONTINUATION => {
                self.continuations += 1;
                self.continuations <= CONTINUATIONS_MAX
            }
            DATA if head.bytes > 0 || head.flags & END_STREAM != 0 => true,
            // Cheap to read, and as many as the data that they make room for.
            WINDOW_UPDATE => true,
            RST_STREAM => self.resets.take(now_s),
            _ => self.controls.take(now_s),
        };
        match (is_within, head.kind) {
            (true, _) => Ok(()),
            (false, CONTINUATION) => Err("http2_continuation_flood"),
            (false, RST_STREAM) => Err("http2_reset_flood"),
            (false, _) => Err("http2_control_flood"),
        }
    }
}

/// Frames that we send.
#[derive(Debug, Default)]
pub(crate) struct FramesSent {
    cutter: Cutter,
    /// Kind and payload so far of a frame that carries an error code.
    closing: Option<(u8, Vec<u8>)>,
}

/// What was in a piece of what we send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Whether part of an answer was.
    pub(crate) has_answer: bool,
    /// The reason code of a stream or connection that the HTTP library refused.
    pub(crate) refused: Option<&'static str>,
}

impl FramesSent {
    /// Looks at the next bytes.
    pub(crate) fn take(&mut self, mut input: &[u8]) -> Sent {
        let mut sent = Sent::default();
        while !input.is_empty() {
            let (used, head, payload) = self.cutter.take(input);
            if let Some(head) = head {
                sent.has_answer |= matches!(head.kind, DATA | HEADERS);
                let closes = matches!(head.kind, RST_STREAM | GOAWAY);
                self.closing = closes.then(|| (head.kind, Vec::new()));
            }
            if let Some((kind, bytes)) = &mut self.closing {
                let skipped = if *kind == GOAWAY { 4 } else { 0 };
                bytes.extend_from_slice(payload.get(..8.min(payload.len())).unwrap_or_default());
                if let Some(code) = bytes.get(skipped..skipped + 4) {
                    sent.refused = sent.refused.or(reason(code));
                    self.closing = None;
                }
            }
            input = input.get(used..).unwrap_or_default();
        }
        sent
    }
}

/// The reason code for an error code of RFC 9113, section 7; none for an end without fault.
fn reason(code: &[u8]) -> Option<&'static str> {
    match code {
        [0, 0, 0, 0 | 8] => None,
        [0, 0, 0, 7] => Some("http2_streams"),
        [0, 0, 0, 11] => Some("http2_flood"),
        _ => Some("http2_malformed"),
    }
}
