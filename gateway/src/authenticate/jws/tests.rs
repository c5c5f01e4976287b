//! The negatives of RFC 8725 and 9068, each made with real keys.

use aws_lc_rs::{
    hmac, rand,
    rsa::KeySize,
    signature::{
        self, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use serde_json::{Value, json};
use std::time::Duration;

use super::{TokenFault, Unverified};
use crate::{
    authenticate::jwks::KeySet,
    config::{ClaimNames, IssuerConfig, KeySource},
};

const NOW_S: i64 = 1_800_000_000;
const ISSUER: &str = "https://idp.example";

struct Keys {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ec_asn1: EcdsaKeyPair,
    ed: Ed25519KeyPair,
    set: KeySet,
    jwks: Value,
}

fn keys() -> Keys {
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let ec_pkcs8 =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rand::SystemRandom::new())
            .unwrap();
    let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec_pkcs8.as_ref()).unwrap();
    let ec_asn1 =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, ec_pkcs8.as_ref()).unwrap();
    let ed = Ed25519KeyPair::generate().unwrap();
    let jwks = json!({"keys": [
        rsa_jwk("rsa", &rsa),
        ec_jwk("ec", &ec),
        {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": B64.encode(ed.public_key())},
        {"kty": "EC", "crv": "P-256", "kid": "named", "alg": "RS256", "x": ec_x(&ec), "y": ec_y(&ec)},
    ]});
    let set = KeySet::parse(jwks.to_string().as_bytes()).unwrap();
    Keys {
        rsa,
        ec,
        ec_asn1,
        ed,
        set,
        jwks,
    }
}

fn rsa_jwk(kid: &str, key: &RsaKeyPair) -> Value {
    let public = key.public_key();
    let n = B64.encode(public.modulus().big_endian_without_leading_zero());
    let e = B64.encode(public.exponent().big_endian_without_leading_zero());
    json!({"kty": "RSA", "kid": kid, "n": n, "e": e})
}

fn ec_x(key: &EcdsaKeyPair) -> String {
    B64.encode(&key.public_key().as_ref()[1..33])
}

fn ec_y(key: &EcdsaKeyPair) -> String {
    B64.encode(&key.public_key().as_ref()[33..65])
}

fn ec_jwk(kid: &str, key: &EcdsaKeyPair) -> Value {
    json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": ec_x(key), "y": ec_y(key)})
}

fn issuer() -> IssuerConfig {
    IssuerConfig {
        issuer: ISSUER.to_owned(),
        audience: "dataos".to_owned(),
        algorithms: ["ES256", "RS256", "PS256", "EdDSA"]
            .map(str::to_owned)
            .to_vec(),
        types: vec!["at+jwt".to_owned()],
        keys: KeySource::File("unused".into()),
        ca_file: None,
        skew: Duration::from_secs(30),
        user_prefix: String::new(),
        claims: ClaimNames {
            user: "sub".to_owned(),
            groups: None,
            roles: None,
            attributes: Vec::new(),
        },
    }
}

fn header(alg: &str, kid: &str) -> Value {
    json!({"alg": alg, "typ": "at+jwt", "kid": kid})
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": "dataos", "sub": "alice", "exp": NOW_S + 300, "iat": NOW_S,
           "nbf": NOW_S})
}

impl Keys {
    fn rsa_signature(&self, encoding: &'static dyn RsaEncoding, text: &str) -> Vec<u8> {
        let mut signature = vec![0; self.rsa.public_modulus_len()];
        let random = rand::SystemRandom::new();
        self.rsa
            .sign(encoding, &random, text.as_bytes(), &mut signature)
            .unwrap();
        signature
    }

    fn ec_signature(&self, text: &str) -> Vec<u8> {
        self.ec
            .sign(&rand::SystemRandom::new(), text.as_bytes())
            .unwrap()
            .as_ref()
            .to_vec()
    }

    /// A token with these raw parts, signed as `alg` says.
    fn raw(&self, alg: &str, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", B64.encode(header), B64.encode(claims));
        let signature = match alg {
            "RS256" => self.rsa_signature(&signature::RSA_PKCS1_SHA256, &signed),
            "RS512" => self.rsa_signature(&signature::RSA_PKCS1_SHA512, &signed),
            "PS256" => self.rsa_signature(&signature::RSA_PSS_SHA256, &signed),
            "EdDSA" => self.ed.sign(signed.as_bytes()).as_ref().to_vec(),
            "none" => Vec::new(),
            _ => self.ec_signature(&signed),
        };
        format!("{signed}.{}", B64.encode(signature))
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let alg = header["alg"].as_str().unwrap_or("");
        self.raw(alg, &header.to_string(), &claims.to_string())
    }

    fn check(&self, token: &str) -> Result<i64, TokenFault> {
        self.check_as(&issuer(), token)
    }

    fn check_as(&self, issuer: &IssuerConfig, token: &str) -> Result<i64, TokenFault> {
        let unverified = Unverified::parse(token)?;
        let claimed = unverified.claimed_issuer()?;
        if claimed != issuer.issuer {
            return Err(TokenFault::Issuer);
        }
        unverified.verify(issuer, &self.set)?.check(issuer, NOW_S)
    }

    fn with_claim(&self, name: &str, value: Value) -> Result<i64, TokenFault> {
        let mut all = claims();
        all[name] = value;
        self.check(&self.token(&header("ES256", "ec"), &all))
    }

    fn without_claim(&self, name: &str) -> Result<i64, TokenFault> {
        let mut all = claims();
        all.as_object_mut().unwrap().remove(name);
        self.check(&self.token(&header("ES256", "ec"), &all))
    }

    fn with_header(&self, name: &str, value: Value) -> Result<i64, TokenFault> {
        let mut all = header("ES256", "ec");
        all[name] = value;
        self.check(&self.token(&all, &claims()))
    }
}

#[test]
fn good_tokens_pass_with_each_algorithm() {
    let keys = keys();
    for (alg, kid) in [
        ("ES256", "ec"),
        ("RS256", "rsa"),
        ("PS256", "rsa"),
        ("EdDSA", "ed"),
    ] {
        let token = keys.token(&header(alg, kid), &claims());
        assert_eq!(keys.check(&token), Ok(NOW_S + 300), "{alg}");
    }
    assert_eq!(
        keys.with_claim("aud", json!(["other", "dataos"])),
        Ok(NOW_S + 300)
    );
    assert_eq!(keys.with_header("typ", json!("AT+JWT")), Ok(NOW_S + 300));
    assert_eq!(
        keys.with_header("typ", json!("application/at+jwt")),
        Ok(NOW_S + 300)
    );
    assert_eq!(keys.with_claim("exp", json!(NOW_S - 29)), Ok(NOW_S - 29));
    assert_eq!(keys.without_claim("nbf"), Ok(NOW_S + 300));
}

#[test]
fn algorithms_are_those_allowed_for_the_key() {
    let keys = keys();
    for alg in [
        "none", "None", "nOnE", "", "HS256", "RS1", "RS512", "ES384", "es256",
    ] {
        let header = json!({"alg": alg, "typ": "at+jwt", "kid": "ec"});
        let token = keys.token(&header, &claims());
        assert_eq!(keys.check(&token), Err(TokenFault::Algorithm), "{alg}");
    }
    // HMAC under what an attacker knows: the public key in the forms that libraries load.
    let public = keys.jwks["keys"][0].to_string();
    for secret in [
        public.as_bytes(),
        keys.rsa.public_key().as_ref(),
        keys.ec.public_key().as_ref(),
    ] {
        let signed = format!(
            "{}.{}",
            B64.encode(header("HS256", "rsa").to_string()),
            B64.encode(claims().to_string())
        );
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, secret),
            signed.as_bytes(),
        );
        let token = format!("{signed}.{}", B64.encode(tag));
        assert_eq!(keys.check(&token), Err(TokenFault::Algorithm));
    }
    // A header that names an allowed algorithm that is not the key's.
    for (alg, kid, fault) in [
        ("RS256", "ec", TokenFault::Algorithm),
        ("ES256", "rsa", TokenFault::Algorithm),
        ("EdDSA", "ec", TokenFault::Algorithm),
        ("ES256", "named", TokenFault::Algorithm),
        ("RS256", "named", TokenFault::Algorithm),
    ] {
        assert_eq!(
            keys.check(&keys.token(&header(alg, kid), &claims())),
            Err(fault),
            "{alg} {kid}"
        );
    }
    let mut narrow = issuer();
    narrow.algorithms = vec!["RS256".to_owned()];
    let token = keys.token(&header("ES256", "ec"), &claims());
    assert_eq!(keys.check_as(&narrow, &token), Err(TokenFault::Algorithm));
}

#[test]
fn signatures_hold_over_exactly_this_text() {
    let keys = keys();
    // PS signature under an RS header and the reverse.
    for (claimed, signed_as) in [("RS256", "PS256"), ("PS256", "RS256")] {
        let header = header(claimed, "rsa").to_string();
        let token = keys.raw(signed_as, &header, &claims().to_string());
        assert_eq!(keys.check(&token), Err(TokenFault::Signature), "{claimed}");
    }
    let token = keys.token(&header("ES256", "ec"), &claims());
    let (signed, _) = token.rsplit_once('.').unwrap();
    let der = keys
        .ec_asn1
        .sign(&rand::SystemRandom::new(), signed.as_bytes())
        .unwrap();
    for bad in [
        vec![0; 64],
        vec![],
        vec![1; 63],
        vec![0xff; 64],
        der.as_ref().to_vec(),
    ] {
        let token = format!("{signed}.{}", B64.encode(&bad));
        assert_eq!(
            keys.check(&token),
            Err(TokenFault::Signature),
            "{} bytes",
            bad.len()
        );
    }
    // Another's claims under this signature, and a key of the same id that is not ours.
    let mut other = claims();
    other["sub"] = json!("root");
    let (_, signature) = token.rsplit_once('.').unwrap();
    let (head, _) = signed.split_once('.').unwrap();
    let forged = format!("{head}.{}.{signature}", B64.encode(other.to_string()));
    assert_eq!(keys.check(&forged), Err(TokenFault::Signature));
    let stranger = self::keys().token(&header("ES256", "ec"), &claims());
    assert_eq!(keys.check(&stranger), Err(TokenFault::Signature));
}

#[test]
fn headers_choose_nothing() {
    let keys = keys();
    let jwk = keys.jwks["keys"][1].clone();
    for (name, value) in [
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/cert")),
        ("x5c", json!(["MII"])),
        ("x5t", json!("abc")),
        ("jwk", jwk),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
        ("enc", json!("A256GCM")),
        ("p2c", json!(2_000_000_000)),
    ] {
        assert_eq!(
            keys.with_header(name, value),
            Err(TokenFault::Header),
            "{name}"
        );
    }
    let long = "k".repeat(4096);
    for kid in [
        "../../etc/passwd",
        "' OR 1=1 --",
        "https://evil.example/k",
        "",
        "a\u{0}b",
        "nobody",
        long.as_str(),
    ] {
        assert_eq!(
            keys.with_header("kid", json!(kid)),
            Err(TokenFault::KeyUnknown),
            "{kid}"
        );
    }
    assert_eq!(
        keys.with_header("kid", json!(7)),
        Err(TokenFault::KeyUnknown)
    );
    for typ in ["JWT", "id+jwt", "logout+jwt", "dpop+jwt", ""] {
        assert_eq!(
            keys.with_header("typ", json!(typ)),
            Err(TokenFault::Type),
            "{typ}"
        );
    }
    let token = keys.token(&json!({"alg": "ES256", "kid": "ec"}), &claims());
    assert_eq!(keys.check(&token), Err(TokenFault::Type));
}

#[test]
fn forms_other_than_canonical_compact_are_refused() {
    let keys = keys();
    let good = keys.token(&header("ES256", "ec"), &claims());
    let parts: Vec<&str> = good.split('.').collect();
    let long = format!("{good}{}", "A".repeat(8192));
    let big = claims().to_string();
    let repeated_header = r#"{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"ec"}"#;
    for (bad, fault) in [
        (String::new(), TokenFault::Malformed),
        ("a.b".to_owned(), TokenFault::Malformed),
        (format!("{good}.extra"), TokenFault::Malformed),
        (format!("{good}="), TokenFault::Malformed),
        (format!("{}.{}", parts[0], parts[1]), TokenFault::Malformed),
        (
            format!("{}=.{}.{}", parts[0], parts[1], parts[2]),
            TokenFault::Malformed,
        ),
        (format!(" {good}"), TokenFault::Malformed),
        (format!("{}..{}", parts[0], parts[2]), TokenFault::Claims),
        (good.replace('.', "\n."), TokenFault::Malformed),
        (long, TokenFault::TooLarge),
        (
            json!({"payload": parts[1], "signatures": []}).to_string(),
            TokenFault::Malformed,
        ),
        (
            keys.raw("ES256", repeated_header, &big),
            TokenFault::Malformed,
        ),
        (keys.raw("ES256", "[]", &big), TokenFault::Malformed),
        (keys.raw("ES256", "", &big), TokenFault::Malformed),
        // A JWE has five parts, a nested token a payload that is no object.
        (
            format!("{good}.{}.{}", parts[0], parts[1]),
            TokenFault::Malformed,
        ),
        (
            keys.raw("ES256", &header("ES256", "ec").to_string(), &good),
            TokenFault::Claims,
        ),
    ] {
        assert_eq!(keys.check(&bad), Err(fault), "{bad:.80}");
    }
    // Stray bits in the last character: lax decoders read the same bytes.
    let mut twin = parts[2].to_owned();
    let last = twin.pop().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let position = alphabet.find(last).unwrap();
    assert_eq!(position % 16, 0, "64 bytes leave four unused bits");
    twin.push(alphabet.chars().nth(position + 1).unwrap());
    let changed = format!("{}.{}.{twin}", parts[0], parts[1]);
    assert_eq!(keys.check(&changed), Err(TokenFault::Malformed));
}

#[test]
fn times_are_whole_seconds_within_the_skew() {
    let keys = keys();
    for (value, fault) in [
        (json!(NOW_S - 30), TokenFault::Expired),
        (json!(0), TokenFault::Expired),
        (json!(-1), TokenFault::Claims),
        (json!((NOW_S + 300).to_string()), TokenFault::Claims),
        (json!(1_800_000_300.5), TokenFault::Claims),
        (json!(1e300), TokenFault::Claims),
        (json!(9_223_372_036_854_775_808_u64), TokenFault::Claims),
        (json!(null), TokenFault::Claims),
        (json!([NOW_S + 300]), TokenFault::Claims),
    ] {
        assert_eq!(
            keys.with_claim("exp", value.clone()),
            Err(fault),
            "exp {value}"
        );
    }
    assert_eq!(keys.without_claim("exp"), Err(TokenFault::Claims));
    for name in ["nbf", "iat"] {
        assert_eq!(
            keys.with_claim(name, json!(NOW_S + 31)),
            Err(TokenFault::NotYetValid)
        );
        assert_eq!(keys.with_claim(name, json!(NOW_S + 30)), Ok(NOW_S + 300));
        assert_eq!(keys.with_claim(name, json!("now")), Err(TokenFault::Claims));
        assert_eq!(keys.with_claim(name, json!(-5)), Err(TokenFault::Claims));
    }
    assert_eq!(keys.with_claim("exp", json!(i64::MAX)), Ok(i64::MAX));
}

#[test]
fn tokens_are_for_us_from_whom_we_trust_about_someone() {
    let keys = keys();
    for aud in [
        json!("other"),
        json!(["other"]),
        json!([]),
        json!(["dataos", 7]),
        json!(7),
        json!("dataos "),
        json!("DATAOS"),
        json!(null),
        json!({"dataos": 1}),
    ] {
        assert_eq!(
            keys.with_claim("aud", aud.clone()),
            Err(TokenFault::Audience),
            "{aud}"
        );
    }
    assert_eq!(keys.without_claim("aud"), Err(TokenFault::Audience));
    for iss in [
        "https://idp.example/",
        "https://IDP.example",
        "https://idp.example:443",
        "http://idp.example",
        "",
    ] {
        assert_eq!(
            keys.with_claim("iss", json!(iss)),
            Err(TokenFault::Issuer),
            "{iss}"
        );
    }
    assert_eq!(keys.without_claim("iss"), Err(TokenFault::Issuer));
    for sub in [json!(""), json!(7), json!(null), json!(["alice"])] {
        assert_eq!(
            keys.with_claim("sub", sub.clone()),
            Err(TokenFault::Subject),
            "{sub}"
        );
    }
    assert_eq!(keys.without_claim("sub"), Err(TokenFault::Subject));
    // Bound to a key that nobody proved to hold.
    assert_eq!(
        keys.with_claim("cnf", json!({"jkt": "abc"})),
        Err(TokenFault::Bound)
    );
    // Claims that two readers could read differently.
    let twice = claims().to_string().replacen('{', r#"{"sub":"root","#, 1);
    let token = keys.raw("ES256", &header("ES256", "ec").to_string(), &twice);
    assert_eq!(keys.check(&token), Err(TokenFault::Claims));
}

#[test]
fn weak_and_foreign_keys_are_not_taken_up() {
    let keys = keys();
    let good = keys.jwks["keys"][0].clone();
    let small = B64.encode([0xff; 128]);
    let changed = |name: &str, value: Value| {
        let mut jwk = good.clone();
        jwk[name] = value;
        json!({"keys": [jwk]}).to_string()
    };
    for document in [
        changed("n", json!(small)),
        changed("n", json!(B64.encode([0xff; 2048]))),
        changed("e", json!("AQ")),
        changed("e", json!("Aw")),
        changed("e", json!(B64.encode([1, 0, 0]))),
        changed("e", json!(B64.encode([0xff; 9]))),
        changed("use", json!("enc")),
        changed("kty", json!("oct")),
        changed("kid", json!(7)),
        changed("alg", json!(7)),
        json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k", "x": "AA", "y": "AA"}]})
            .to_string(),
        json!({"keys": [{"kty": "EC", "crv": "P-521", "kid": "k", "x": "AA", "y": "AA"}]})
            .to_string(),
        json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k", "x": B64.encode([1; 32]),
            "y": B64.encode([1; 32])}]})
        .to_string(),
        json!({"keys": [{"kty": "oct", "kid": "k", "k": "AAAA"}]}).to_string(),
        json!({"keys": ["text"]}).to_string(),
    ] {
        assert_eq!(
            KeySet::parse(document.as_bytes()).unwrap().len(),
            0,
            "{document:.120}"
        );
    }
    let repeated = json!({"keys": [good, good]}).to_string();
    for document in [
        "",
        "[]",
        "{}",
        r#"{"keys":[],"keys":[]}"#,
        r#"{"keys":7}"#,
        &repeated,
    ] {
        assert!(
            KeySet::parse(document.as_bytes()).is_err(),
            "{document:.60}"
        );
    }
    let many: Vec<Value> = (0..65).map(|_| json!({})).collect();
    assert!(KeySet::parse(json!({"keys": many}).to_string().as_bytes()).is_err());
}
