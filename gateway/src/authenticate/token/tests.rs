//! Key refresh, cache and claims, with a key server that counts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use dataos_model::{clock::Timestamp, secret::Secret};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Mutex,
};

use super::{AuthenticationFault, Tokens};
use crate::{
    accounts::{Accounts, User, fake_sink::FakeSink},
    authenticate::api_key::Pepper,
    config::{ClaimNames, IssuerConfig, KeySource},
    store::Store,
};

const START: Timestamp = Timestamp(1_800_000_000_000);

fn after(seconds: i64) -> Timestamp {
    Timestamp(START.0 + seconds * 1000)
}

struct Scene {
    tokens: Tokens,
    accounts: Arc<Accounts>,
    fetches: Arc<AtomicUsize>,
    /// What the key server answers.
    jwks: Arc<Mutex<String>>,
    _folder: tempfile::TempDir,
}

async fn scene(jwks: String) -> Scene {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    let fetches = Arc::new(AtomicUsize::new(0));
    let jwks = Arc::new(Mutex::new(jwks));
    tokio::spawn(serve(listener, Arc::clone(&fetches), Arc::clone(&jwks)));
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(
        &dataos_store::Metadata::Embedded,
        &folder.path().join("accounts.db"),
    )
    .await
    .unwrap();
    let pepper = Pepper::new(&Secret::new([7; 32]));
    let sink = Arc::new(FakeSink::default());
    let accounts = Accounts::open(store, sink, pepper, START).await.unwrap();
    let accounts = Arc::new(accounts);
    let issuer = IssuerConfig {
        issuer: "https://idp.example".to_owned(),
        audience: "dataos".to_owned(),
        algorithms: vec!["EdDSA".to_owned()],
        types: vec!["at+jwt".to_owned()],
        keys: KeySource::Url(url),
        ca_file: None,
        skew: Duration::from_secs(0),
        user_prefix: "idp-".to_owned(),
        claims: ClaimNames {
            user: "sub".to_owned(),
            groups: Some("groups".to_owned()),
            roles: Some("scope".to_owned()),
            attributes: vec!["region".to_owned(), "level".to_owned()],
        },
    };
    let tokens = Tokens::open(&[issuer], Arc::clone(&accounts), START).unwrap();
    Scene {
        tokens,
        accounts,
        fetches,
        jwks,
        _folder: folder,
    }
}

/// A key server of as few lines as may be; an empty document is an answer of 500.
async fn serve(listener: TcpListener, fetches: Arc<AtomicUsize>, jwks: Arc<Mutex<String>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        fetches.fetch_add(1, Ordering::SeqCst);
        let mut request = [0; 2048];
        let _ = stream.read(&mut request).await;
        let body = jwks.lock().await.clone();
        let status = if body.is_empty() {
            "500 Broken"
        } else {
            "200 OK"
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

fn jwks(keys: &[(&str, &Ed25519KeyPair)]) -> String {
    let keys: Vec<Value> = keys
        .iter()
        .map(|(kid, key)| {
            json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": B64.encode(key.public_key())})
        })
        .collect();
    json!({"keys": keys}).to_string()
}

fn token(key: &Ed25519KeyPair, kid: &str, change: impl FnOnce(&mut Value)) -> String {
    let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid});
    let mut claims = json!({"iss": "https://idp.example", "aud": "dataos", "sub": "carol",
        "exp": START.0 / 1000 + 36_000});
    change(&mut claims);
    let signed = format!(
        "{}.{}",
        B64.encode(header.to_string()),
        B64.encode(claims.to_string())
    );
    format!("{signed}.{}", B64.encode(key.sign(signed.as_bytes())))
}

fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::generate().unwrap()
}

#[tokio::test]
async fn claims_become_the_principal() {
    let key = key();
    let scene = scene(jwks(&[("a", &key)])).await;
    let token = token(&key, "a", |claims| {
        claims["groups"] = json!(["emea", "sales"]);
        claims["scope"] = json!("analyst reader");
        claims["region"] = json!("north");
        claims["level"] = json!(3);
        claims["jti"] = json!("token-1");
        claims["unnamed"] = json!("left out");
    });
    let principal = scene.tokens.principal(&token, START).await.unwrap();
    assert_eq!(principal.uid.id, "idp-carol");
    assert_eq!(principal.groups, ["emea", "sales"]);
    assert_eq!(principal.roles, ["analyst", "reader"]);
    assert_eq!(principal.attributes["region"], "north");
    assert_eq!(principal.attributes["level"], "3");
    assert_eq!(principal.attributes.len(), 2);
    assert_eq!(principal.issuer, "https://idp.example");
    assert_eq!(principal.credential_id.as_deref(), Some("token-1"));
    for bad in [json!({"a": 1}), json!([1]), json!(7)] {
        let token = self::token(&key, "a", |claims| claims["groups"] = bad);
        let fault = scene.tokens.principal(&token, START).await.unwrap_err();
        assert_eq!(
            fault,
            AuthenticationFault::Invalid("token_claims_malformed")
        );
    }
}

#[tokio::test]
async fn a_new_key_works_on_first_use_and_a_removed_one_stops() {
    let (old, new) = (key(), key());
    let scene = scene(jwks(&[("old", &old)])).await;
    let by_old = token(&old, "old", |_| {});
    let by_new = token(&new, "new", |_| {});
    scene.tokens.principal(&by_old, START).await.unwrap();
    assert_eq!(scene.fetches.load(Ordering::SeqCst), 1);
    *scene.jwks.lock().await = jwks(&[("new", &new)]);
    // The old token is believed until the set is looked at again.
    scene.tokens.principal(&by_old, after(20)).await.unwrap();
    scene.tokens.principal(&by_new, after(20)).await.unwrap();
    assert_eq!(scene.fetches.load(Ordering::SeqCst), 2);
    let fault = scene
        .tokens
        .principal(&by_old, after(21))
        .await
        .unwrap_err();
    assert_eq!(fault, AuthenticationFault::Invalid("token_key_unknown"));
}

#[tokio::test]
async fn unknown_keys_do_not_make_us_hammer_the_issuer() {
    let (ours, theirs) = (key(), key());
    let scene = scene(jwks(&[("a", &ours)])).await;
    for n in 0..50 {
        let bad = token(&theirs, &format!("k{n}"), |_| {});
        scene
            .tokens
            .principal(&bad, after(n / 10))
            .await
            .unwrap_err();
    }
    assert_eq!(scene.fetches.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_issuer_that_is_down_is_borne_for_a_while() {
    let key = key();
    let scene = scene(String::new()).await;
    let good = token(&key, "a", |_| {});
    let down = AuthenticationFault::Unavailable("issuer_keys_unavailable");
    assert_eq!(
        scene.tokens.principal(&good, START).await.unwrap_err(),
        down
    );
    *scene.jwks.lock().await = jwks(&[("a", &key)]);
    scene.tokens.principal(&good, after(11)).await.unwrap();
    *scene.jwks.lock().await = String::new();
    scene.tokens.principal(&good, after(1800)).await.unwrap();
    assert_eq!(
        scene
            .tokens
            .principal(&good, after(3700))
            .await
            .unwrap_err(),
        down
    );
}

#[tokio::test]
async fn the_cache_forgets_in_time_and_stays_bounded() {
    let key = key();
    let scene = scene(jwks(&[("a", &key)])).await;
    let short = token(&key, "a", |claims| {
        claims["exp"] = json!(START.0 / 1000 + 10)
    });
    scene.tokens.principal(&short, START).await.unwrap();
    scene.tokens.principal(&short, after(9)).await.unwrap();
    let fault = scene.tokens.principal(&short, after(10)).await.unwrap_err();
    assert_eq!(fault, AuthenticationFault::Invalid("token_expired"));
    for n in 0..super::CACHE_ENTRIES_MAX + 10 {
        let principal = dataos_model::principal::Principal::anonymous();
        let digest = dataos_model::hash::Hash::of(n.to_string());
        let versions = scene.tokens.versions();
        let now_s = START.0 / 1000;
        scene
            .tokens
            .remember(digest, &Arc::new(principal), now_s + 60, now_s, versions);
    }
    let held = scene.tokens.cache.lock().unwrap().entries.len();
    assert!(held <= super::CACHE_ENTRIES_MAX, "{held}");
}

#[tokio::test]
async fn an_issuer_cannot_name_a_local_user() {
    let key = key();
    let scene = scene(jwks(&[("a", &key)])).await;
    let token = token(&key, "a", |_| {});
    scene.tokens.principal(&token, START).await.unwrap();
    let user = User {
        user: "idp-carol".to_owned(),
        ..User::default()
    };
    scene.accounts.create(user, "correct horse").await.unwrap();
    // Cached before, and still refused.
    let fault = scene.tokens.principal(&token, START).await.unwrap_err();
    assert_eq!(
        fault,
        AuthenticationFault::Invalid("token_names_local_user")
    );
}
