use super::{Frames, FramesSent, Messages, Sent};

/// Reason, status, and whether it was a head.
type Told = Option<(&'static str, u16, bool)>;

/// What passes of `input`, given in pieces of `size` bytes, and the reason that ends it.
fn read(input: &[u8], size: usize) -> (Vec<u8>, Told, u64) {
    let (mut messages, mut passed) = (Messages::default(), Vec::new());
    for piece in input.chunks(size) {
        if let Err(broken) = messages.take(piece, &mut passed) {
            let refusal = &broken.refusal;
            let told = (refusal.reason, refusal.status.as_u16(), broken.in_head);
            // Nothing behind a refusal is read.
            let before = passed.len();
            messages
                .take(b"GET / HTTP/1.1\r\n\r\n", &mut passed)
                .unwrap();
            assert_eq!(passed.len(), before);
            return (passed, Some(told), messages.heads());
        }
    }
    (passed, None, messages.heads())
}

/// The same however the bytes are cut.
fn reason(input: &[u8]) -> Told {
    let whole = read(input, input.len().max(1));
    for size in [1, 2, 3, 7] {
        assert_eq!(
            read(input, size).1,
            whole.1,
            "{}",
            String::from_utf8_lossy(input)
        );
    }
    whole.1
}

#[test]
fn whole_messages_pass_as_they_came() {
    let input = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\
        POST /x HTTP/1.1\r\nHost: a\r\ncontent-length: 5\r\n\r\nhello\
        POST /y HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n\
        5;a=b\r\nhello\r\nA\r\n0123456789\r\n0\r\nx-sum: 1\r\n\r\n\
        GET /last HTTP/1.0\r\n\r\n";
    for size in [1, 2, 5, 16, input.len()] {
        let (passed, refused, heads) = read(input, size);
        assert_eq!((refused, heads), (None, 4), "{size}");
        assert_eq!(passed, input, "{size}");
    }
    // An empty line before a request is to be ignored.
    let (passed, refused, heads) = read(b"\r\nGET / HTTP/1.1\r\n\r\n", 3);
    assert_eq!(
        (passed.as_slice(), refused, heads),
        (&b"GET / HTTP/1.1\r\n\r\n"[..], None, 1)
    );
}

#[test]
fn a_head_passes_only_when_it_is_whole() {
    let (mut messages, mut passed) = (Messages::default(), Vec::new());
    messages
        .take(b"GET / HTTP/1.1\r\nhost: a\r\n", &mut passed)
        .unwrap();
    assert!(passed.is_empty() && messages.is_within_head());
    messages.take(b"\r\n", &mut passed).unwrap();
    assert!(!passed.is_empty() && !messages.is_within_head());
}

#[test]
fn bad_bodies_end_behind_their_head() {
    let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(300));
    let trailers = format!("0\r\n{}\r\n", "x-a: 1\r\n".repeat(600));
    for (body, expected) in [
        ("5\nhello\r\n", "bare_lf"),
        ("5\rhello\r\n", "bare_cr"),
        ("5\r\nhello\n", "chunk_end"),
        ("5\r\nhelloo\r\n", "chunk_end"),
        ("\r\n", "chunk_size"),
        ("x\r\n", "chunk_size"),
        ("0x5\r\nhello\r\n", "chunk_extension"),
        ("-1\r\n", "chunk_size"),
        ("+5\r\nhello\r\n", "chunk_size"),
        ("00000000000000005\r\nhello\r\n", "chunk_size"),
        ("5 \r\nhello\r\n", "chunk_extension"),
        ("5;\x01\r\nhello\r\n", "chunk_extension"),
        (&long, "chunk_extension"),
        ("0\r\ncontent-length: 3\r\n\r\n", "trailer"),
        ("0\r\nTransfer-Encoding: chunked\r\n\r\n", "trailer"),
        ("0\r\nauthorization: Bearer a\r\n\r\n", "trailer"),
        ("0\r\nx-forwarded-for: a\r\n\r\n", "trailer"),
        ("0\r\nx y: a\r\n\r\n", "header_name"),
        ("0\r\nx-a: a\n\r\n", "bare_lf"),
        ("0\r\n x-a: a\r\n\r\n", "line_folded"),
        (&trailers, "trailers_too_large"),
    ] {
        let told = reason(format!("{head}{body}").as_bytes());
        assert_eq!(told, Some((expected, 400, false)), "{body:?}");
    }
}

fn frame(bytes: usize, kind: u8, flags: u8) -> Vec<u8> {
    let length = u32::try_from(bytes).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
    frame.extend(std::iter::repeat_n(0, bytes));
    frame
}

/// The number of frames, each in second `index * seconds`, that are let through.
fn let_through(frame: &[u8], seconds: u64) -> (usize, Option<&'static str>) {
    let mut frames = Frames::default();
    frames.take(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0).unwrap();
    for index in 0..2000 {
        if let Err(flood) = frames.take(frame, index * seconds) {
            assert_eq!(flood.passed_bytes, 9);
            return (usize::try_from(index).unwrap(), Some(flood.reason));
        }
    }
    (2000, None)
}

#[test]
fn frames_that_cost_the_peer_nothing_are_bounded() {
    for (kind, bytes, most, reason) in [
        (6, 8, 512, "http2_control_flood"),
        (4, 0, 512, "http2_control_flood"),
        (2, 5, 512, "http2_control_flood"),
        (0, 0, 512, "http2_control_flood"),
        (77, 1, 512, "http2_control_flood"),
        (3, 4, 128, "http2_reset_flood"),
        (9, 10, 8, "http2_continuation_flood"),
    ] {
        assert_eq!(
            let_through(&frame(bytes, kind, 0), 0),
            (most, Some(reason)),
            "{kind}"
        );
        if kind != 9 {
            assert_eq!(
                let_through(&frame(bytes, kind, 0), 1),
                (2000, None),
                "{kind}"
            );
        }
    }
    for (kind, bytes) in [(0, 1), (1, 20), (8, 4)] {
        assert_eq!(
            let_through(&frame(bytes, kind, 0), 0),
            (2000, None),
            "{kind}"
        );
    }
}

#[test]
fn what_the_library_refuses_is_seen_in_what_it_sends() {
    let closing = |kind: u8, code: u8| match kind {
        3 => [frame(0, 3, 0), vec![0, 0, 0, code]].concat(),
        _ => [frame(0, 7, 0), vec![0, 0, 0, 9, 0, 0, 0, code]].concat(),
    };
    for (kind, code, expected) in [
        (3, 0, None),
        (3, 8, None),
        (3, 1, Some("http2_malformed")),
        (3, 7, Some("http2_streams")),
        (7, 0, None),
        (7, 11, Some("http2_flood")),
        (7, 1, Some("http2_malformed")),
    ] {
        let mut bytes = closing(kind, code);
        bytes[2] = if kind == 3 { 4 } else { 8 };
        let input = [frame(3, 0, 0), bytes, frame(2, 6, 0)].concat();
        for size in [1, 4, input.len()] {
            let mut sent = FramesSent::default();
            let refused = input
                .chunks(size)
                .find_map(|piece| sent.take(piece).refused);
            assert_eq!(refused, expected, "{kind} {code} {size}");
        }
    }
    assert_eq!(FramesSent::default().take(&frame(8, 6, 1)), Sent::default());
    assert!(FramesSent::default().take(&frame(8, 1, 1)).has_answer);
}
