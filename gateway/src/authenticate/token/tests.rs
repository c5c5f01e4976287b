//! Key refresh, cache, binding and claims, with an issuer's site that counts.

mod hostile;
pub(in crate::authenticate) mod site;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use dataos_model::{clock::Timestamp, hash::Hash, principal::Principal, secret::Secret};
use serde_json::{Value, json};

use super::{AuthenticationFault, CACHE_ENTRIES_MAX, CACHE_LIFE_S, Remembered, Tokens};
use crate::{
    accounts::{Accounts, Revoked, User, fake_sink::FakeSink},
    authenticate::api_key::Pepper,
    config::{ClaimNames, IssuerConfig, KeySource},
    store::Store,
};
use site::{Answer, Site};

const START: Timestamp = Timestamp(1_800_000_000_000);
const ISSUER: &str = "https://idp.example";

fn after(seconds: i64) -> Timestamp {
    Timestamp(START.0 + seconds * 1000)
}

struct Scene {
    tokens: Tokens,
    accounts: Arc<Accounts>,
    site: Site,
    _folder: tempfile::TempDir,
}

/// An issuer whose keys are at a configured address.
async fn scene(keys: String) -> Scene {
    let scene = scene_of(|site| issuer(KeySource::Url(format!("{}/jwks", site.url)))).await;
    scene.publishes(keys);
    scene
}

async fn scene_of(config: impl FnOnce(&Site) -> IssuerConfig) -> Scene {
    let site = Site::start().await;
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
    let tokens = Tokens::open(&[config(&site)], Arc::clone(&accounts), START).unwrap();
    Scene {
        tokens,
        accounts,
        site,
        _folder: folder,
    }
}

fn issuer(keys: KeySource) -> IssuerConfig {
    IssuerConfig {
        issuer: ISSUER.to_owned(),
        audience: "dataos".to_owned(),
        algorithms: vec!["EdDSA".to_owned()],
        types: vec!["at+jwt".to_owned()],
        keys,
        ca_file: None,
        key_hosts: Vec::new(),
        clients: Vec::new(),
        skew: Duration::from_secs(0),
        user_prefix: "idp-".to_owned(),
        claims: ClaimNames {
            user: "sub".to_owned(),
            groups: Some("groups".to_owned()),
            roles: Some("scope".to_owned()),
            attributes: vec!["region".to_owned(), "level".to_owned()],
        },
        login: None,
    }
}

impl Scene {
    fn publishes(&self, keys: String) {
        self.site.set("/jwks", Answer::Document(keys));
    }

    fn breaks(&self) {
        let head = "HTTP/1.1 500 Broken";
        self.site.set("/jwks", Answer::Raw(head, String::new()));
    }

    async fn principal(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Arc<Principal>, AuthenticationFault> {
        self.tokens.principal(token, None, now).await
    }

    async fn refusal(&self, token: &str, now: Timestamp) -> &'static str {
        self.principal(token, now).await.unwrap_err().code()
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
    let mut claims = json!({"iss": ISSUER, "aud": "dataos", "sub": "carol",
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
    let principal = scene.principal(&token, START).await.unwrap();
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
        let fault = scene.principal(&token, START).await.unwrap_err();
        assert_eq!(
            fault,
            AuthenticationFault::Invalid("token_claims_malformed")
        );
    }
}

#[tokio::test]
async fn a_new_key_works_on_first_use_and_tokens_of_a_removed_one_die_with_the_refresh() {
    let (old, new) = (key(), key());
    let scene = scene(jwks(&[("old", &old)])).await;
    let by_old = token(&old, "old", |_| {});
    let by_new = token(&new, "new", |_| {});
    scene.principal(&by_old, START).await.unwrap();
    assert_eq!(scene.site.asked(), 1);
    scene.publishes(jwks(&[("new", &new)]));
    // The old token is believed until the set is looked at again, and from then on not once more.
    scene.principal(&by_old, after(20)).await.unwrap();
    scene.principal(&by_new, after(20)).await.unwrap();
    assert_eq!(scene.site.asked(), 2);
    assert_eq!(scene.refusal(&by_old, after(20)).await, "token_key_unknown");
}

#[tokio::test]
async fn a_removed_key_is_noticed_by_age_alone() {
    let (old, new) = (key(), key());
    let scene = scene(jwks(&[("old", &old)])).await;
    let by_old = token(&old, "old", |_| {});
    scene.principal(&by_old, START).await.unwrap();
    scene.publishes(jwks(&[("new", &new)]));
    let before = scene.tokens.versions();
    // Remembered anew, under keys of an age that is fetched behind: with the fetch it ends at once.
    scene.principal(&by_old, after(301)).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while scene.tokens.versions() == before {
        assert!(Instant::now() < deadline, "no fetch behind");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(
        scene.refusal(&by_old, after(302)).await,
        "token_key_unknown"
    );
}

#[tokio::test]
async fn unknown_keys_do_not_make_us_hammer_the_issuer() {
    let (ours, theirs) = (key(), key());
    let scene = scene(jwks(&[("a", &ours)])).await;
    for n in 0..50 {
        let bad = token(&theirs, &format!("k{n}"), |_| {});
        assert_eq!(
            scene.refusal(&bad, after(n / 10)).await,
            "token_key_unknown"
        );
    }
    assert_eq!(scene.site.asked(), 1);
    // One more fetch after the pause, and no more however many ask.
    let bad = token(&theirs, "k", |_| {});
    for _ in 0..5 {
        assert_eq!(scene.refusal(&bad, after(10)).await, "token_key_unknown");
    }
    assert_eq!(scene.site.asked(), 2);
    // A clock that was set back by an hour does not stop fetches for an hour.
    assert_eq!(scene.refusal(&bad, after(-3600)).await, "token_key_unknown");
    assert_eq!(scene.site.asked(), 3);
}

#[tokio::test]
async fn all_who_wait_for_a_new_key_share_one_fetch() {
    let key = key();
    let scene = Arc::new(scene(String::new()).await);
    let late = Answer::Late(Duration::from_millis(300), jwks(&[("a", &key)]));
    scene.site.set("/jwks", late);
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..40 {
        let good = token(&key, "a", |claims| claims["jti"] = json!(n.to_string()));
        let scene = Arc::clone(&scene);
        waiting.spawn(async move { scene.principal(&good, START).await.is_ok() });
    }
    assert!(waiting.join_all().await.into_iter().all(|is_ok| is_ok));
    assert_eq!(scene.site.asked(), 1);
}

#[tokio::test]
async fn an_issuer_that_is_down_is_borne_for_a_while() {
    let key = key();
    let scene = scene(String::new()).await;
    scene.breaks();
    let good = token(&key, "a", |_| {});
    let down = AuthenticationFault::Unavailable("issuer_keys_unavailable");
    assert_eq!(scene.principal(&good, START).await.unwrap_err(), down);
    scene.publishes(jwks(&[("a", &key)]));
    scene.principal(&good, after(11)).await.unwrap();
    scene.breaks();
    scene.principal(&good, after(1800)).await.unwrap();
    // The last moment at which the keys are believed, and the first at which they are not.
    scene.principal(&good, after(11 + 3600)).await.unwrap();
    let stale = scene.principal(&good, after(12 + 3660)).await;
    assert_eq!(stale.unwrap_err(), down);
    let unknown = token(&self::key(), "b", |_| {});
    let stale = scene.principal(&unknown, after(12 + 3680)).await;
    assert_eq!(stale.unwrap_err(), down);
}

#[tokio::test]
async fn the_cache_forgets_with_the_token_and_after_a_minute() {
    let key = key();
    let scene = scene(jwks(&[("a", &key)])).await;
    let short = token(&key, "a", |claims| {
        claims["exp"] = json!(START.0 / 1000 + 10)
    });
    scene.principal(&short, START).await.unwrap();
    scene.principal(&short, after(9)).await.unwrap();
    assert_eq!(scene.refusal(&short, after(10)).await, "token_expired");
    let long = token(&key, "a", |_| {});
    scene.principal(&long, START).await.unwrap();
    let cached = |seconds: i64| {
        let now_s = START.0 / 1000 + seconds;
        scene.tokens.cached(&Hash::of(&long), now_s).is_some()
    };
    assert!(cached(CACHE_LIFE_S - 1));
    assert!(!cached(CACHE_LIFE_S));
}

#[tokio::test]
async fn the_cache_is_empty_after_a_new_key_set() {
    let (ours, theirs) = (key(), key());
    let scene = scene(jwks(&[("a", &ours)])).await;
    let good = token(&ours, "a", |_| {});
    scene.principal(&good, START).await.unwrap();
    assert_eq!(scene.held(), 1);
    let unknown = token(&theirs, "b", |_| {});
    assert_eq!(
        scene.refusal(&unknown, after(10)).await,
        "token_key_unknown"
    );
    assert!(
        scene
            .tokens
            .cached(&Hash::of(&good), START.0 / 1000)
            .is_none()
    );
    assert_eq!(scene.held(), 0);
}

#[tokio::test]
async fn the_cache_is_empty_after_a_revocation() {
    let key = key();
    let scene = scene(jwks(&[("a", &key)])).await;
    let good = token(&key, "a", |claims| claims["jti"] = json!("one"));
    scene.principal(&good, START).await.unwrap();
    let revoked = Revoked::Token("one".to_owned());
    scene
        .accounts
        .revoke(ISSUER, revoked, 1000, START)
        .await
        .unwrap();
    assert!(
        scene
            .tokens
            .cached(&Hash::of(&good), START.0 / 1000)
            .is_none()
    );
    assert_eq!(scene.held(), 0);
    assert_eq!(scene.refusal(&good, START).await, "token_revoked");
    assert_eq!(scene.held(), 0, "a refused token is not remembered");
}

#[tokio::test]
async fn the_cache_stays_bounded() {
    let scene = scene(String::new()).await;
    for n in 0..CACHE_ENTRIES_MAX + 10 {
        let known = Remembered {
            principal: Arc::new(Principal::anonymous()),
            bound_to: None,
            until_s: START.0 / 1000 + 60,
        };
        let versions = scene.tokens.versions();
        let digest = Hash::of(n.to_string());
        scene
            .tokens
            .remember(digest, known, START.0 / 1000, versions);
    }
    assert!(scene.held() <= CACHE_ENTRIES_MAX, "{}", scene.held());
}

impl Scene {
    /// Tokens that are remembered.
    fn held(&self) -> usize {
        self.tokens.cache.lock().unwrap().entries.len()
    }
}

#[tokio::test]
async fn a_bound_token_is_worth_nothing_without_its_certificate() {
    let key = key();
    let scene = scene(jwks(&[("a", &key)])).await;
    let (ours, theirs) = (Hash::of("our certificate"), Hash::of("theirs"));
    let bound = token(&key, "a", |claims| {
        claims["cnf"] = json!({"x5t#S256": B64.encode(ours.0)});
    });
    let plain = token(&key, "a", |_| {});
    // Twice: verified, and then remembered.
    for _ in 0..2 {
        for (certificate, expected) in [
            (Some(theirs), Some("token_bound_to_other_certificate")),
            (None, Some("token_bound_no_certificate")),
            (Some(ours), None),
        ] {
            let asked = scene.tokens.principal(&bound, certificate, START).await;
            assert_eq!(asked.err().map(AuthenticationFault::code), expected);
            scene
                .tokens
                .principal(&plain, certificate, START)
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn an_issuer_cannot_name_a_local_user() {
    let key = key();
    let scene = scene(jwks(&[("a", &key)])).await;
    let token = token(&key, "a", |_| {});
    scene.principal(&token, START).await.unwrap();
    let user = User {
        user: "idp-carol".to_owned(),
        ..User::default()
    };
    scene.accounts.create(user, "correct horse").await.unwrap();
    // Cached before, and still refused.
    let fault = scene.principal(&token, START).await.unwrap_err();
    assert_eq!(
        fault,
        AuthenticationFault::Invalid("token_names_local_user")
    );
}
