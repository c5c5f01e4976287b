//! Bytes as a peer sends them, and worse.

use super::*;

async fn read(bytes: &[u8]) -> Result<Message, String> {
    let message = Input::new(bytes).message().await;
    message.map_err(|broken| broken.to_string())
}

/// A message with the right length.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind], length.as_slice(), body].concat()
}

#[tokio::test]
async fn whole_messages_are_read() {
    assert_eq!(
        read(&message(b'Q', b"select 1\0")).await.unwrap(),
        Message::Query("select 1".to_owned())
    );
    let bind = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x02ab\xff\xff\xff\xff\0\x01\0\0";
    assert_eq!(
        read(&message(b'B', bind)).await.unwrap(),
        Message::Bind {
            portal: "p".to_owned(),
            statement: "s".to_owned(),
            formats: vec![Format::Binary],
            values: vec![Some(b"ab".to_vec()), None],
            results: vec![Format::Text],
        }
    );
    let execute = Message::Execute {
        portal: String::new(),
        rows_max: 7,
    };
    assert_eq!(
        read(&message(b'E', b"\0\0\0\0\x07")).await.unwrap(),
        execute
    );
}

#[tokio::test]
async fn no_length_makes_it_wait_hold_or_read_too_much() {
    let with_length = |kind: u8, length: u32| [&[kind], length.to_be_bytes().as_slice()].concat();
    for kind in *b"QPBDECHSXFdcf" {
        for length in [0, 1, 3] {
            let said = read(&with_length(kind, length)).await.unwrap_err();
            assert!(said.contains("a length of"), "{said}");
        }
        // Refused by its length alone: nothing of it was sent.
        for length in [0x3fff_ffff, i32::MIN as u32, u32::MAX] {
            let said = read(&with_length(kind, length)).await.unwrap_err();
            assert!(said.contains("is longer than"), "{said}");
        }
    }
    for kind in (0..=u8::MAX).filter(|kind| !b"QPBDECHSXFdcf".contains(kind)) {
        let said = read(&with_length(kind, 4)).await.unwrap_err();
        assert!(said.contains("not expected here"), "{said}");
    }
}

#[tokio::test]
async fn bodies_that_are_none_are_refused() {
    let cases: [(u8, &[u8]); 14] = [
        (b'Q', b"select 1"),
        (b'Q', b"select 1\0x"),
        (b'Q', b"\xff\0"),
        (b'P', b"\0select 1\0\0\x02\0\0\0\x17"),
        (b'P', b"\0select 1\0\xff\xff"),
        (b'B', b"\0\0\0\x01\0\x02\0\0\0\0"),
        (b'B', b"\0\0\0\0\0\x01\0\0\0\x09ab\0\0"),
        (b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0"),
        (b'B', b"\0\0"),
        (b'D', b"X\0"),
        (b'D', b""),
        (b'E', b"\0\0\0"),
        (b'C', b"Sx"),
        (b'S', b"x"),
    ];
    for (kind, body) in cases {
        let said = read(&message(kind, body)).await.unwrap_err();
        assert!(said.starts_with("malformed message"), "{said}");
    }
}

#[tokio::test]
async fn no_bytes_panic() {
    // A fixed sequence, so that a failure is found again.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..20_000 {
        let kind = b"QPBDECHSXFdcfp"[(next() % 14) as usize];
        let body: Vec<u8> = (0..next() % 40).map(|_| (next() % 5) as u8 * 51).collect();
        let _ = read(&message(kind, &body)).await;
        let bytes = message(kind, &body);
        let _ = Input::new(bytes.as_slice()).password().await;
        let _ = Input::new(&bytes[1..]).startup().await;
    }
}
