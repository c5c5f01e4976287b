use super::*;

/// The example of the C2SP text, without its signature's key, which is not published there.
const EXAMPLE: &str = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\n\
    ed \u{e8} subito sera.\n\n\u{2014} quasimodo.example/salvatore \
    NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";

fn key() -> SignerKey {
    SignerKey::from_seed("logs.example/demo", &[7; 32]).unwrap()
}

fn signed(text: &str) -> SignedNote {
    let signature = NoteSignature::new(key().verifier(), &key().sign(text.as_bytes()));
    SignedNote {
        text: text.to_owned(),
        signatures: vec![signature],
    }
}

#[test]
fn the_published_example_reads_back() {
    let note = SignedNote::parse(EXAMPLE).unwrap();
    assert_eq!(note.text.lines().count(), 4);
    assert_eq!(note.signatures[0].name, "quasimodo.example/salvatore");
    assert_eq!(note.to_string(), EXAMPLE);
    assert_eq!(
        note.verify(key().verifier()),
        Err(NoteError::Unsigned("logs.example/demo".to_owned()))
    );
}

#[test]
fn only_the_signed_text_verifies() {
    let note = SignedNote::parse(&signed("one\n\ntwo\n").to_string()).unwrap();
    assert!(note.verify(key().verifier()).is_ok());
    let changed = SignedNote {
        text: "one\n\ntwO\n".to_owned(),
        ..note.clone()
    };
    assert!(matches!(
        changed.verify(key().verifier()),
        Err(NoteError::Signature(_))
    ));
    let mut short = note.clone();
    short.signatures[0].bytes.pop();
    assert!(matches!(
        short.verify(key().verifier()),
        Err(NoteError::Signature(_))
    ));
    // A second signature by the same key that fails spoils the note.
    let mut twice = note;
    twice.signatures.push(NoteSignature {
        bytes: vec![0; 64],
        ..twice.signatures[0].clone()
    });
    assert!(matches!(
        twice.verify(key().verifier()),
        Err(NoteError::Signature(_))
    ));
}

#[test]
fn malformed_notes_are_refused() {
    let good = signed("text\n").to_string();
    let check = |note: String| {
        assert!(
            matches!(SignedNote::parse(&note), Err(NoteError::Malformed(_))),
            "{note:?}"
        );
    };
    check(String::new());
    check("text\n".to_owned());
    check("text\n\n".to_owned());
    check(good.trim_end().to_owned());
    check(good.replace('\u{2014}', "-"));
    check(good.replace("demo ", "demo  "));
    check(good.replace("text", "te\u{7}xt"));
    check(good.replace("logs.example/demo", "logs+example"));
    check(format!("text\n\n{}", "\u{2014} a AAAAAAA=\n".repeat(17)));
    check("x".repeat(NOTE_BYTES_MAX + 1));
}

#[test]
fn verifier_keys_print_and_parse() {
    let text = key().verifier().to_string();
    assert_eq!(&text.parse::<VerifierKey>().unwrap(), key().verifier());
    let check = |text: String| {
        assert!(
            matches!(text.parse::<VerifierKey>(), Err(NoteError::Key(_))),
            "{text}"
        );
    };
    check(String::new());
    check(text.replace("demo", "dem0"));
    check(text.replace("logs.example/demo", ""));
    check(text.replace("+A", "+B"));
    check(text.replace('+', "-"));
    check(format!("{text}AAAA"));
    check("x".repeat(10_000));
    assert!(SignerKey::from_seed("a b", &[7; 32]).is_err());
    assert!(!format!("{:?}", key()).contains("key: SigningKey"));
}
