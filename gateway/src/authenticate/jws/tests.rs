//! Each case of RFC 8725 and 9068 as a caller meets it: a token, its answer, and its reason in the
//! log. Every family has controls beside its cases: tokens that must pass.

mod claims;
mod keys;

use std::{net::TcpListener, time::Duration};

use aws_lc_rs::signature::{
    RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RsaPublicKeyComponents,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use dataos_model::record::EntryKind;
use serde_json::{Value, json};

use super::{TOKEN_BYTES_MAX, TokenFault, Unverified};
use crate::{
    authenticate::jwks::KeySet,
    config::{ClaimNames, IssuerConfig, KeySource},
    serve::tests::{
        fakes::{Scene, scene_with_issuers},
        json_of, request, send,
    },
};
use keys::{
    Keys, SMALL_MODULUS, SMALL_SIGNATURE, SMALL_SIGNED, claims, header, padded_digest, resigned,
    signed, with, without,
};

const NOW_S: i64 = 1_800_000_000;
const ISSUER: &str = "https://idp.example";
/// Where operators look a reason up.
const PAGE: &str = include_str!("../../../../docs/authentication.md");

/// A gateway that trusts one issuer, and the issuer's keys.
struct Bench {
    scene: Scene,
    keys: Keys,
    _jwks: tempfile::NamedTempFile,
}

async fn bench() -> Bench {
    bench_with(|_| {}).await
}

async fn bench_with(change: impl FnOnce(&mut IssuerConfig)) -> Bench {
    let keys = Keys::generate();
    let jwks = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(jwks.path(), keys.jwks().to_string()).unwrap();
    let mut issuer = IssuerConfig {
        issuer: ISSUER.to_owned(),
        audience: "dataos".to_owned(),
        algorithms: ["ES256", "RS256", "PS256", "EdDSA", "Ed25519"]
            .map(str::to_owned)
            .to_vec(),
        types: vec!["at+jwt".to_owned()],
        keys: KeySource::File(jwks.path().to_owned()),
        ca_file: None,
        key_hosts: Vec::new(),
        clients: Vec::new(),
        skew: Duration::from_secs(30),
        user_prefix: String::new(),
        claims: ClaimNames {
            user: "sub".to_owned(),
            groups: None,
            roles: None,
            attributes: Vec::new(),
        },
        login: None,
    };
    change(&mut issuer);
    Bench {
        scene: scene_with_issuers(&[issuer]).await,
        keys,
        _jwks: jwks,
    }
}

impl Bench {
    async fn passes(&self, case: &str, token: &str) {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let call = request("GET", "/api/v1/session", &headers, "");
        let response = send(&self.scene.gateway, call).await;
        let reason = {
            let entries = self.scene.record.entries.lock().unwrap();
            entries.last().map(|entry| entry.reason.clone())
        };
        assert_eq!(response.status(), 200, "{case}: {reason:?}");
        assert_eq!(json_of(response).await["authentication"], "token", "{case}");
    }

    /// 401 with the challenge, nothing of the token in answer or log, and this reason in the log alone.
    async fn refuses(&self, case: &str, token: &str, fault: TokenFault) {
        let told = format!("`{}`", fault.code());
        assert!(PAGE.contains(&told), "docs/authentication.md lacks {told}");
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let before = self.scene.record.entries.lock().unwrap().len();
        let call = request("GET", "/api/v1/session", &headers, "");
        let response = send(&self.scene.gateway, call).await;
        let entries = self.scene.record.entries.lock().unwrap().clone();
        assert_eq!(entries.len(), before + 1, "{case}");
        let entry = &entries[before];
        assert_eq!(entry.reason, fault.code(), "{case}");
        assert_eq!(entry.action, "refused_pre_auth", "{case}");
        assert_eq!(entry.kind, EntryKind::Decision, "{case}");
        assert_eq!(response.status(), 401, "{case}");
        let told = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(told("www-authenticate"), "Bearer error=\"invalid_token\"");
        assert_eq!(told("content-type"), "application/problem+json");
        let problem = json_of(response).await.to_string();
        assert!(!problem.contains(fault.code()), "{case}: {problem}");
        let entry = format!("{entry:?}");
        for part in token.split('.').filter(|part| part.len() > 8) {
            assert!(!problem.contains(part), "{case}: {problem}");
            assert!(!entry.contains(part), "{case}: {entry}");
        }
    }
}

#[tokio::test]
async fn algorithms_are_those_of_the_issuer_and_of_the_key() {
    let bench = bench_with(|issuer| issuer.algorithms.retain(|alg| alg != "PS256")).await;
    let keys = &bench.keys;
    for (alg, kid) in [
        ("ES256", "ec"),
        ("RS256", "rsa"),
        ("EdDSA", "ed"),
        ("Ed25519", "ed"),
        ("EdDSA", "ed-named-eddsa"),
    ] {
        bench.passes(alg, &keys.headed(&header(alg, kid))).await;
    }
    for alg in ["none", "None", "nOnE", "NONE"] {
        let token = keys.headed(&header(alg, "ec"));
        bench.refuses(alg, &token, TokenFault::AlgorithmNone).await;
        let token = resigned(&token, "");
        bench.refuses(alg, &token, TokenFault::AlgorithmNone).await;
    }
    let forged = ["HS256", "hs256"].map(|alg| keys.forged_by_hmac(alg));
    for (case, token) in forged.iter().flatten() {
        bench
            .refuses(case, token, TokenFault::AlgorithmSymmetric)
            .await;
    }
    for (alg, kid) in [
        ("RS1", "rsa"),
        ("RS512", "rsa"),
        // Outside of this issuer's list alone.
        ("PS256", "rsa"),
        ("ES384", "ec"),
        ("ES256K", "ec"),
        ("es256", "ec"),
        ("", "ec"),
    ] {
        let token = keys.headed(&header(alg, kid));
        bench.refuses(alg, &token, TokenFault::Algorithm).await;
    }
    let missing = keys.headed(&without(header("ES256", "ec"), "alg"));
    bench
        .refuses("no alg", &missing, TokenFault::Algorithm)
        .await;
    let number = keys.headed(&json!({"alg": 7, "typ": "at+jwt", "kid": "ec"}));
    bench.refuses("alg 7", &number, TokenFault::Algorithm).await;
    for (alg, kid) in [
        ("RS256", "ec"),
        ("ES256", "rsa"),
        ("EdDSA", "ec"),
        ("ES256", "ed"),
        ("Ed25519", "ed-named-eddsa"),
        ("ES256", "ec-named-rs256"),
        ("RS256", "ec-named-rs256"),
        ("RS256", "rsa-named-ps256"),
    ] {
        let (case, token) = (format!("{alg} {kid}"), keys.headed(&header(alg, kid)));
        bench
            .refuses(&case, &token, TokenFault::AlgorithmOfKey)
            .await;
    }
}

#[tokio::test]
async fn paddings_of_rsa_are_not_taken_for_each_other() {
    let bench = bench().await;
    for (alg, other) in [("RS256", "PS256"), ("PS256", "RS256")] {
        let head = header(alg, "rsa");
        bench.passes(alg, &bench.keys.headed(&head)).await;
        let token = bench
            .keys
            .raw(other, &head.to_string(), &claims().to_string());
        let case = format!("{other} signature said to be {alg}");
        bench.refuses(&case, &token, TokenFault::Signature).await;
    }
}

#[tokio::test]
async fn weak_keys_prove_nothing() {
    let bench = bench().await;
    let components = RsaPublicKeyComponents {
        n: B64.decode(SMALL_MODULUS).unwrap(),
        e: vec![1, 0, 1],
    };
    let signature = B64.decode(SMALL_SIGNATURE).unwrap();
    let legacy = &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY;
    let verified = components.verify(legacy, SMALL_SIGNED.as_bytes(), &signature);
    verified.expect("the short key did sign this token");
    let small = resigned(&format!("{SMALL_SIGNED}."), signature);
    bench
        .refuses("1024 bits", &small, TokenFault::KeyWeak)
        .await;
    // With an exponent of 1 anyone can make the signature, which is the padded digest.
    let text = signed(&header("RS256", "one").to_string(), &claims().to_string());
    let forged = resigned(&format!("{text}."), padded_digest(&text));
    bench.refuses("e = 1", &forged, TokenFault::KeyWeak).await;
    let keys = &bench.keys;
    let three = keys.headed(&header("RS256", "three"));
    bench.refuses("e = 3", &three, TokenFault::KeyWeak).await;
    let told = keys.headed(&header("ES256", "told"));
    bench
        .refuses("private part in the set", &told, TokenFault::KeyWeak)
        .await;
    let other = keys.headed(&header("ES256", "for-encryption"));
    bench
        .refuses("key for encryption", &other, TokenFault::KeyUnknown)
        .await;
    bench
        .passes("a sound key", &keys.headed(&header("RS256", "rsa")))
        .await;
}

#[tokio::test]
async fn signatures_hold_over_exactly_this_text() {
    let bench = bench().await;
    let keys = &bench.keys;
    let token = keys.claiming(&claims());
    bench.passes("control", &token).await;
    let (text, good) = token.rsplit_once('.').unwrap();
    let good = B64.decode(good).unwrap();
    let der = keys
        .ec_asn1
        .sign(&aws_lc_rs::rand::SystemRandom::new(), text.as_bytes());
    let der = der.unwrap();
    let half = |range: std::ops::Range<usize>| {
        let mut zeroed = good.clone();
        zeroed[range].fill(0);
        zeroed
    };
    let mut flipped = good.clone();
    flipped[63] ^= 1;
    for (case, bad) in [
        ("r = s = 0", vec![0; 64]),
        ("r = 0", half(0..32)),
        ("s = 0", half(32..64)),
        ("high bits, above the order", vec![0xff; 64]),
        ("DER", der.as_ref().to_vec()),
        ("empty", Vec::new()),
        ("63 bytes", good[..63].to_vec()),
        ("65 bytes", [good.as_slice(), &[0]].concat()),
        ("one bit", flipped),
    ] {
        let token = resigned(&token, bad);
        bench.refuses(case, &token, TokenFault::Signature).await;
    }
    let eddsa = keys.headed(&header("EdDSA", "ed"));
    bench.passes("control", &eddsa).await;
    bench
        .refuses("s + L", &with_order_added(&eddsa), TokenFault::Signature)
        .await;
    // Another's claims under this signature, and a key of the same id that is not the issuer's.
    let (head, _) = text.split_once('.').unwrap();
    let other = with(claims(), "sub", json!("root")).to_string();
    let forged = resigned(&format!("{head}.{}.", B64.encode(other)), &good);
    bench
        .refuses("other claims", &forged, TokenFault::Signature)
        .await;
    let stranger = Keys::generate();
    for (alg, kid) in [("ES256", "ec"), ("RS256", "rsa"), ("EdDSA", "ed")] {
        let token = stranger.headed(&header(alg, kid));
        bench.refuses(alg, &token, TokenFault::Signature).await;
    }
}

/// The same signature of Ed25519 with the order of the group added to its second half, which lax
/// verifiers take as well.
fn with_order_added(token: &str) -> String {
    let order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let (_, signature) = token.rsplit_once('.').unwrap();
    let mut signature = B64.decode(signature).unwrap();
    let mut carry = 0_u16;
    for (byte, add) in signature[32..].iter_mut().zip(hex::decode(order).unwrap()) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = carry as u8;
        carry >>= 8;
    }
    assert_eq!(carry, 0);
    resigned(token, signature)
}

#[tokio::test]
async fn headers_bring_no_keys_and_ask_for_nothing() {
    let bench = bench().await;
    let keys = &bench.keys;
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let url = format!("http://{}/keys", elsewhere.local_addr().unwrap());
    let own = Keys::generate();
    for (name, value, fault) in [
        ("jku", json!(url), TokenFault::KeyInHeader),
        ("x5u", json!(url), TokenFault::KeyInHeader),
        ("x5c", json!(["MII"]), TokenFault::KeyInHeader),
        ("x5t", json!("abc"), TokenFault::KeyInHeader),
        ("jwk", own.ec_jwk("ec"), TokenFault::KeyInHeader),
        ("crit", json!(["exp"]), TokenFault::Critical),
        ("crit", json!(["colour"]), TokenFault::Critical),
        ("crit", json!([]), TokenFault::Critical),
        ("b64", json!(false), TokenFault::Unencoded),
        ("zip", json!("DEF"), TokenFault::Compressed),
        ("cty", json!("JWT"), TokenFault::Nested),
        ("enc", json!("A256GCM"), TokenFault::Encrypted),
        ("p2c", json!(2_000_000_000), TokenFault::Encrypted),
        ("colour", json!("red"), TokenFault::Header),
    ] {
        // Signed by the key that the header brings: right, if the header were believed.
        let token = own.headed(&with(header("ES256", "ec"), name, value.clone()));
        bench.refuses(name, &token, fault).await;
        let token = keys.headed(&with(header("ES256", "ec"), name, value));
        bench.refuses(name, &token, fault).await;
    }
    let asked = elsewhere.accept().map_err(|error| error.kind());
    assert_eq!(asked.unwrap_err(), std::io::ErrorKind::WouldBlock);
    bench
        .passes("control", &keys.headed(&header("ES256", "ec")))
        .await;
}

#[tokio::test]
async fn key_ids_are_names_of_the_set() {
    let bench = bench().await;
    let keys = &bench.keys;
    let long = "k".repeat(4096);
    for kid in [
        json!("../../etc/passwd"),
        json!("ec/../ec"),
        json!("' OR 1=1 --"),
        json!("https://evil.example/k"),
        json!("a\u{0}b"),
        json!(""),
        json!(long),
        json!(7),
        json!(null),
        json!(["ec"]),
    ] {
        let token = keys.headed(&with(header("ES256", "ec"), "kid", kid.clone()));
        let case = format!("{kid:.80}");
        bench.refuses(&case, &token, TokenFault::KidMalformed).await;
    }
    let missing = keys.headed(&without(header("ES256", "ec"), "kid"));
    bench
        .refuses("no kid", &missing, TokenFault::KidMissing)
        .await;
    let unknown = keys.headed(&header("ES256", "nobody"));
    bench
        .refuses("unknown", &unknown, TokenFault::KeyUnknown)
        .await;
    bench
        .passes("control", &keys.headed(&header("ES256", "ec")))
        .await;
}

#[tokio::test]
async fn types_other_than_access_tokens_are_refused() {
    let strict = bench().await;
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt"] {
        let head = with(header("ES256", "ec"), "typ", json!(typ));
        strict.passes(typ, &strict.keys.headed(&head)).await;
    }
    for typ in [
        "JWT",
        "id+jwt",
        "logout+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "",
        "at+jwt ",
    ] {
        let head = with(header("ES256", "ec"), "typ", json!(typ));
        strict
            .refuses(typ, &strict.keys.headed(&head), TokenFault::Type)
            .await;
    }
    for head in [
        without(header("ES256", "ec"), "typ"),
        with(header("ES256", "ec"), "typ", json!(7)),
    ] {
        strict
            .refuses("no typ", &strict.keys.headed(&head), TokenFault::Type)
            .await;
    }
    // Of an issuer that calls all of its tokens JWT, what is in them tells them apart.
    let lax = bench_with(|issuer| issuer.types = vec!["jwt".to_owned()]).await;
    let head = with(header("ES256", "ec"), "typ", json!("JWT"));
    let token = |claims: &Value| lax.keys.token(&head, claims);
    lax.passes("control", &token(&claims())).await;
    lax.passes(
        "typ Bearer",
        &token(&with(claims(), "typ", json!("Bearer"))),
    )
    .await;
    for (name, value) in [
        ("nonce", json!("n")),
        ("at_hash", json!("h")),
        ("c_hash", json!("h")),
        ("s_hash", json!("h")),
        ("typ", json!("ID")),
        ("typ", json!("Refresh")),
        ("typ", json!("Logout")),
        (
            "events",
            json!({"http://schemas.openid.net/event/backchannel-logout": {}}),
        ),
    ] {
        let token = token(&with(claims(), name, value));
        lax.refuses(name, &token, TokenFault::IdToken).await;
    }
}

#[tokio::test]
async fn forms_other_than_canonical_compact_are_refused() {
    let bench = bench().await;
    let good = bench.keys.claiming(&claims());
    bench.passes("control", &good).await;
    let parts: Vec<&str> = good.split('.').collect();
    let (head, body, tail) = (parts[0], parts[1], parts[2]);
    let flat = json!({"protected": head, "payload": body, "signature": tail}).to_string();
    let general = json!({"payload": body, "signatures": [{"protected": head, "signature": tail}]});
    let cases = [
        ("one part", "abcdef".to_owned(), TokenFault::Malformed),
        ("two parts", format!("{head}.{body}"), TokenFault::Malformed),
        (
            "four parts",
            format!("{good}.{tail}"),
            TokenFault::Malformed,
        ),
        ("six parts", format!("{good}.{good}"), TokenFault::Malformed),
        ("flattened JSON", flat, TokenFault::JsonForm),
        ("general JSON", general.to_string(), TokenFault::JsonForm),
        ("padded", format!("{good}=="), TokenFault::Encoding),
        (
            "padded head",
            format!("{head}=.{body}.{tail}"),
            TokenFault::Encoding,
        ),
        (
            "a space",
            format!("{head}. {body}.{tail}"),
            TokenFault::Encoding,
        ),
        (
            "plain base64",
            format!("{head}.{body}.+/AA"),
            TokenFault::Encoding,
        ),
        ("no payload", format!("{head}..{tail}"), TokenFault::Claims),
        (
            "no header",
            format!(".{body}.{tail}"),
            TokenFault::HeaderMalformed,
        ),
        (
            "not UTF-8",
            format!("_w.{body}.{tail}"),
            TokenFault::HeaderMalformed,
        ),
    ];
    for (case, bad, fault) in cases {
        bench.refuses(case, &bad, fault).await;
    }
}

#[tokio::test]
async fn headers_and_claims_are_one_strict_object_each() {
    let bench = bench().await;
    let keys = &bench.keys;
    let good = keys.claiming(&claims());
    bench.passes("control", &good).await;
    let (head, body) = (header("ES256", "ec").to_string(), claims().to_string());
    let twice = |text: &str, more: &str| text.replacen('{', &format!("{{{more},"), 1);
    let headed = |head: &str| keys.raw("ES256", head, &body);
    for (case, bad) in [
        ("a list", "[]".to_owned()),
        ("alg twice", twice(&head, r#""alg":"none""#)),
        ("alg twice, escaped", twice(&head, r#""al\u0067":"none""#)),
        ("more behind", format!("{head}{{}}")),
    ] {
        bench
            .refuses(case, &headed(&bad), TokenFault::HeaderMalformed)
            .await;
    }
    let claiming = |body: &str| keys.raw("ES256", &head, body);
    for (case, bad) in [
        ("a list", "[]".to_owned()),
        ("a text", "\"alice\"".to_owned()),
        ("cut off", body.trim_end_matches('}').to_owned()),
        ("more behind", format!("{body}{{}}")),
        ("sub twice", twice(&body, r#""sub":"root""#)),
        ("sub twice, escaped", twice(&body, r#""s\u0075b":"root""#)),
    ] {
        bench
            .refuses(case, &claiming(&bad), TokenFault::Claims)
            .await;
    }
    bench
        .refuses("nested", &claiming(&good), TokenFault::Nested)
        .await;
}

#[tokio::test]
async fn every_token_has_one_spelling_and_a_bounded_length() {
    let bench = bench().await;
    // Claims whose lengths leave no, two and four unused bits in the last character.
    for pad in ["", "x", "xx"] {
        let good = bench.keys.claiming(&with(claims(), "pad", json!(pad)));
        bench.passes(pad, &good).await;
        let parts: Vec<&str> = good.split('.').collect();
        for at in 0..3 {
            let unused = match parts[at].len() % 4 {
                2 => 4,
                3 => 2,
                _ => continue,
            };
            let mut twin: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
            twin[at] = with_stray_bits(parts[at], unused);
            let case = format!("stray bits in part {at} of {pad:?}");
            bench
                .refuses(&case, &twin.join("."), TokenFault::Encoding)
                .await;
        }
    }
    let sized = |bytes| {
        bench
            .keys
            .claiming(&with(claims(), "pad", json!("x".repeat(bytes))))
    };
    let most = (5_000..).find(|bytes| sized(*bytes + 1).len() > TOKEN_BYTES_MAX);
    let most = most.unwrap();
    bench.passes("8 kB", &sized(most)).await;
    bench
        .refuses("above 8 kB", &sized(most + 1), TokenFault::TooLarge)
        .await;
}

fn with_stray_bits(part: &str, unused: u32) -> String {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let position = alphabet.find(part.chars().last().unwrap()).unwrap();
    assert_eq!(position % (1 << unused), 0, "{part} is canonical");
    let last = alphabet.chars().nth(position + 1).unwrap();
    let mut twin: String = part.to_owned();
    twin.pop();
    twin.push(last);
    twin
}

#[tokio::test]
async fn encrypted_tokens_are_refused_before_any_work() {
    let bench = bench().await;
    let bomb = "A".repeat(6_000);
    let encrypted = |header: Value, text: &str| {
        let header = B64.encode(header.to_string());
        format!("{header}.a2V5.aXY.{text}.dGFn")
    };
    let passwords = json!({"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2s": "c2FsdA",
        "p2c": 2_000_000_000_i64});
    let zipped = json!({"alg": "dir", "enc": "A128GCM", "zip": "DEF", "kid": "ec"});
    let started = std::time::Instant::now();
    for (case, token) in [
        (
            "JWE",
            encrypted(json!({"alg": "RSA-OAEP-256", "enc": "A256GCM"}), "dGV4dA"),
        ),
        ("zip bomb", encrypted(zipped, &bomb)),
        (
            "2 000 000 000 rounds",
            encrypted(passwords.clone(), "dGV4dA"),
        ),
        (
            "as JWS",
            bench.keys.headed(&with(passwords, "typ", json!("at+jwt"))),
        ),
    ] {
        bench.refuses(case, &token, TokenFault::Encrypted).await;
    }
    assert!(started.elapsed() < Duration::from_secs(60), "work was done");
    bench
        .passes("control", &bench.keys.claiming(&claims()))
        .await;
}

#[tokio::test]
async fn a_token_is_carried_by_one_header_and_nothing_else() {
    let bench = bench().await;
    let token = bench.keys.claiming(&claims());
    let bearer = format!("Bearer {token}");
    let one = ("authorization", bearer.as_str());
    let json = ("content-type", "application/json");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let in_query = format!("/api/v1/session?access_token={token}");
    let in_form = format!("access_token={token}");
    let in_json = json!({"name": "ci", "access_token": token}).to_string();
    for (case, method, path, headers, body, status, reason) in [
        (
            "two headers",
            "GET",
            "/api/v1/session",
            &[one, one][..],
            "",
            400,
            "header_repeated",
        ),
        ("query", "GET", &in_query, &[], "", 400, "parameter_unknown"),
        (
            "form",
            "POST",
            "/api/v1/apikeys",
            &[form],
            &in_form,
            400,
            "content_type",
        ),
        (
            "JSON",
            "POST",
            "/api/v1/apikeys",
            &[json],
            &in_json,
            401,
            "no_permit",
        ),
    ] {
        let response = send(&bench.scene.gateway, request(method, path, headers, body)).await;
        assert_eq!(response.status(), status, "{case}");
        let problem = json_of(response).await;
        assert_eq!(problem["reason"], reason, "{case}: {problem}");
        let entry = bench.scene.record.entries.lock().unwrap().pop().unwrap();
        assert!(!entry.principal.contains("alice"), "{case}: {entry:?}");
    }
    bench.passes("control", &token).await;
}

/// What no header can carry, but a body in which somebody asks about a token.
#[test]
fn line_breaks_and_other_scripts_are_no_token() {
    for (bad, fault) in [
        ("", TokenFault::Malformed),
        ("a\n.b.c", TokenFault::Encoding),
        ("é.é.é", TokenFault::Encoding),
        ("\u{0}..", TokenFault::Encoding),
        (" {\"payload\": \"\"}", TokenFault::JsonForm),
    ] {
        assert_eq!(Unverified::parse(bad).unwrap_err(), fault, "{bad:?}");
    }
}

#[test]
fn weak_and_foreign_keys_are_not_taken_up() {
    let good = Keys::generate().rsa_jwk("rsa");
    let changed = |name: &str, value: Value| with(good.clone(), name, value);
    for (jwk, is_weak) in [
        (changed("n", json!(SMALL_MODULUS)), true),
        (changed("n", json!(B64.encode([0xff; 2048]))), true),
        (changed("e", json!("AQ")), true),
        (changed("e", json!("Aw")), true),
        (changed("e", json!(B64.encode([1, 0, 0]))), true),
        (changed("e", json!(B64.encode([0xff; 9]))), true),
        (changed("d", json!("AAAA")), true),
        (changed("use", json!("enc")), false),
        (changed("kty", json!("oct")), false),
        (changed("kid", json!(7)), false),
        (changed("alg", json!(7)), false),
        (
            json!({"kty": "EC", "crv": "P-256", "kid": "rsa", "x": "AA", "y": "AA"}),
            false,
        ),
        (
            json!({"kty": "EC", "crv": "P-521", "kid": "rsa", "x": "AA", "y": "AA"}),
            false,
        ),
        (
            json!({"kty": "EC", "crv": "P-256", "kid": "rsa", "x": B64.encode([1; 32]),
                "y": B64.encode([1; 32])}),
            false,
        ),
        (json!({"kty": "oct", "kid": "rsa", "k": "AAAA"}), false),
        (json!("text"), false),
    ] {
        let set = KeySet::parse(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
        assert_eq!((set.len(), set.is_weak("rsa")), (0, is_weak), "{jwk:.120}");
    }
    let twice = json!({"keys": [good, good]}).to_string();
    let weak_twin = json!({"keys": [good, changed("e", json!("AQ"))]}).to_string();
    for document in [
        "",
        "[]",
        "{}",
        r#"{"keys":[],"keys":[]}"#,
        r#"{"keys":7}"#,
        &twice,
        &weak_twin,
    ] {
        assert!(
            KeySet::parse(document.as_bytes()).is_err(),
            "{document:.60}"
        );
    }
    let many: Vec<Value> = (0..65).map(|_| json!({})).collect();
    assert!(KeySet::parse(json!({"keys": many}).to_string().as_bytes()).is_err());
}
