use super::*;

/// RFC 7677, section 3: user `user`, password `pencil`, 4096 iterations.
const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
const FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const LAST: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn salt() -> Vec<u8> {
    STANDARD.decode(SALT).unwrap()
}

fn begun(mechanism: &str, first: &[u8], channel: Option<&[u8]>) -> Result<Exchange, Fault> {
    Exchange::begin(mechanism, first, channel, &salt(), NONCE)
}

#[test]
fn the_example_of_the_standard_is_followed_to_the_byte() {
    let mut exchange = begun(SCRAM, FIRST, None).unwrap();
    // The example has other iterations than we tell.
    let (start, _) = exchange.challenge.rsplit_once(",i=").unwrap();
    exchange.challenge = format!("{start},i=4096");
    assert_eq!(
        exchange.challenge(),
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    let proof = exchange.answered(LAST.as_bytes()).unwrap();
    let right = Verifier::of("pencil", &salt(), 4096);
    assert_eq!(proof.shows(&right).as_deref(), Some(SERVER));
    let kept = Verifier::from_bytes(&right.to_bytes()).unwrap();
    assert_eq!(proof.shows(&kept).as_deref(), Some(SERVER));
    for wrong in [
        Verifier::of("pencils", &salt(), 4096),
        Verifier::of("pencil", &salt(), 4097),
        Verifier::of("pencil", b"another salt", 4096),
        Verifier::NOBODYS,
    ] {
        assert!(proof.shows(&wrong).is_none());
    }
}

#[test]
fn passwords_are_prepared_as_drivers_do() {
    let verifier = |password: &str| Verifier::of(password, b"salt", 1);
    // RFC 4013, section 3: a soft hyphen is nothing, a roman numeral is its letters.
    assert_eq!(verifier("I\u{ad}X"), verifier("\u{2168}"));
    assert_ne!(verifier("IX"), verifier("ix"));
    // What is prohibited is taken as it is.
    assert_ne!(verifier("a\u{7}"), verifier("a"));
}

/// The client's side, by the same standard.
pub(crate) fn answer(exchange: &Exchange, channel: &[u8], password: &str) -> String {
    let channel = STANDARD.encode(channel);
    let unproved = format!("c={channel},r={}", exchange.nonce);
    let said = format!("{},{},{unproved}", exchange.first, exchange.challenge);
    let (_, salt) = exchange.challenge.split_once(",s=").unwrap();
    let (salt, iterations) = salt.split_once(",i=").unwrap();
    let mut salted = [0; KEY_BYTES];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        iterations.parse().unwrap(),
        &STANDARD.decode(salt).unwrap(),
        password.as_bytes(),
        &mut salted,
    );
    let client_key = sign(&salted, b"Client Key");
    let signature = sign(&hash(&client_key), said.as_bytes());
    let proof: Vec<u8> = client_key
        .iter()
        .zip(signature)
        .map(|(a, b)| a ^ b)
        .collect();
    format!("{unproved},p={}", STANDARD.encode(proof))
}

#[test]
fn a_log_in_is_bound_to_the_channel_that_the_client_sees() {
    let first = b"p=tls-server-end-point,,n=,r=abc";
    let exchange = begun(SCRAM_PLUS, first, Some(b"hash")).unwrap();
    let said = |channel: &[u8]| answer(&exchange, channel, "pencil");
    let right = said(b"p=tls-server-end-point,,hash");
    let verifier = Verifier::of("pencil", &salt(), ITERATIONS);
    let proof = exchange.answered(right.as_bytes()).unwrap();
    assert!(proof.shows(&verifier).is_some());
    for elsewhere in [
        &b"p=tls-server-end-point,,other"[..],
        b"p=tls-server-end-point,,",
        b"n,,",
        b"y,,",
    ] {
        let fault = exchange.answered(said(elsewhere).as_bytes()).unwrap_err();
        assert_eq!(fault.reason, "scram_channel");
    }
    let fault = begun(SCRAM, b"y,,n=,r=abc", Some(b"hash")).unwrap_err();
    assert_eq!(fault.reason, "scram_downgraded");
    assert!(begun(SCRAM, b"y,,n=,r=abc", None).is_ok());
    assert!(begun(SCRAM, b"n,,n=,r=abc", Some(b"hash")).is_ok());
}

#[test]
fn what_is_no_message_is_told_and_ends_the_log_in() {
    for (mechanism, first, channel) in [
        (SCRAM, "", None),
        (SCRAM, "n", None),
        (SCRAM, "n,,", None),
        (SCRAM, "n,,n=user", None),
        (SCRAM, "n,,n=user,", None),
        (SCRAM, "n,,n=user,r=", None),
        (SCRAM, "n,,n=user,r=a b", None),
        (SCRAM, "n,,n=user,r=\u{e9}", None),
        (SCRAM, "n,,r=abc,n=user", None),
        (SCRAM, "n,,m=more,n=user,r=abc", None),
        (SCRAM, "n,a=admin,n=user,r=abc", None),
        (SCRAM, "x,,n=user,r=abc", None),
        (
            SCRAM,
            "p=tls-server-end-point,,n=,r=abc",
            Some(&b"hash"[..]),
        ),
        (SCRAM_PLUS, "p=tls-server-end-point,,n=,r=abc", None),
        (SCRAM_PLUS, "p=tls-unique,,n=,r=abc", Some(b"hash")),
        (SCRAM_PLUS, "n,,n=,r=abc", Some(b"hash")),
        ("PLAIN", "n,,n=user,r=abc", None),
        ("", "n,,n=user,r=abc", None),
    ] {
        let fault = begun(mechanism, first.as_bytes(), channel).unwrap_err();
        assert_eq!(fault.reason, "scram_malformed", "{mechanism} {first}");
    }
    assert!(begun(SCRAM, b"n,,n=\xff,r=abc", None).is_err());
    let exchange = begun(SCRAM, FIRST, None).unwrap();
    let (unproved, proof) = LAST.rsplit_once(",p=").unwrap();
    for last in [
        String::new(),
        unproved.to_owned(),
        format!("{unproved},p="),
        format!("{unproved},p={proof}="),
        format!("{unproved},p={}", STANDARD.encode([0; 31])),
        format!("{unproved},p={}", STANDARD.encode([0; 33])),
        LAST.replace("r=r", "r=R"),
        LAST.replace("$k0", ""),
        LAST.replace(",r=", ",x=1,r="),
        format!("c=biws,p={proof}"),
    ] {
        let fault = exchange.answered(last.as_bytes()).unwrap_err();
        assert_eq!(fault.reason, "scram_malformed", "{last}");
    }
    // Extensions that nobody knows may stand before the proof, and are part of what is proved.
    let extended = format!("{unproved},x=1,p={proof}");
    let proof = exchange.answered(extended.as_bytes()).unwrap();
    assert!(
        proof
            .shows(&Verifier::of("pencil", &salt(), 4096))
            .is_none()
    );
}
