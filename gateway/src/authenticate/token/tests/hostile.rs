//! Issuers that mean harm, or are broken: each bounded, refused by its own message, and no harm to
//! tokens of others.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    AuthenticationFault, START, Scene, after, issuer, jwks, key, scene_of, site::Answer, token,
};
use crate::config::KeySource;

const METADATA: &str = "/.well-known/openid-configuration";
const DOWN: AuthenticationFault = AuthenticationFault::Unavailable("issuer_keys_unavailable");

/// A scene whose issuer is discovered, with a token of it that its key set proves.
async fn discovered(key_hosts: &[&str]) -> (Scene, String) {
    let key = key();
    let scene = scene_of(|site| {
        let mut config = issuer(KeySource::Discovery);
        config.issuer.clone_from(&site.url);
        config.key_hosts = key_hosts.iter().map(|host| (*host).to_owned()).collect();
        config
    })
    .await;
    scene
        .site
        .set("/keys", Answer::Document(jwks(&[("a", &key)])));
    let url = scene.site.url.clone();
    (scene, token(&key, "a", |claims| claims["iss"] = json!(url)))
}

impl Scene {
    fn describes(&self, issuer: &str, jwks_uri: &str) {
        let metadata = json!({"issuer": issuer, "jwks_uri": jwks_uri}).to_string();
        self.site.set(METADATA, Answer::Document(metadata));
    }

    /// Gives each document in turn where the issuer would have another, and looks for its own problem.
    async fn refuses_all(
        &self,
        token: &str,
        path: &str,
        cases: impl IntoIterator<Item = (String, &'static str)>,
    ) {
        for (at, (document, expected)) in (0..).zip(cases) {
            self.site.set(path, Answer::Document(document.clone()));
            let asked = self.tokens.principal(token, None, after(at * 11)).await;
            assert_eq!(asked.unwrap_err(), DOWN, "{document:.100}");
            let problem = self.problem();
            assert!(problem.contains(expected), "{document:.100}: {problem}");
        }
    }

    /// Why the last fetch failed, as the health page tells it.
    fn problem(&self) -> String {
        let (_, is_well, told) = self.tokens.health(START).remove(0);
        assert!(!is_well, "{told}");
        told
    }
}

#[tokio::test]
async fn a_discovered_issuer_is_believed_where_it_describes_itself() {
    let (scene, token) = discovered(&[]).await;
    let url = scene.site.url.clone();
    scene.describes(&url, &format!("{url}/keys"));
    scene.tokens.principal(&token, None, START).await.unwrap();
    assert_eq!(scene.site.asked(), 2);
    let (_, is_well, told) = scene.tokens.health(START).remove(0);
    assert!(is_well && told.starts_with("1 keys"), "{told}");
}

#[tokio::test]
async fn descriptions_of_others_or_of_nothing_are_refused() {
    let (scene, token) = discovered(&[]).await;
    let url = scene.site.url.clone();
    let keys = format!("{url}/keys");
    let by = |issuer: &str| json!({"issuer": issuer, "jwks_uri": keys}).to_string();
    let many = "x".repeat(65 << 10);
    let large = json!({"issuer": url, "jwks_uri": keys, "more": many});
    scene
        .refuses_all(
            &token,
            METADATA,
            [
                (
                    by("https://evil.example"),
                    "`https://evil.example`, another issuer",
                ),
                (by(&format!("{url}/")), "another issuer"),
                (
                    json!({"jwks_uri": keys}).to_string(),
                    "`nobody`, another issuer",
                ),
                (json!({"issuer": url}).to_string(), "no text `jwks_uri`"),
                (
                    json!({"issuer": url, "jwks_uri": [keys]}).to_string(),
                    "no text `jwks_uri`",
                ),
                (large.to_string(), "more than 65536 bytes"),
                ("<html>".to_owned(), "answers a page, not JSON"),
                ("{".to_owned(), "not strict JSON"),
            ],
        )
        .await;
}

#[tokio::test]
async fn keys_in_private_or_unsafe_places_are_not_fetched() {
    let (scene, token) = discovered(&[]).await;
    let url = scene.site.url.clone();
    let port = url.rsplit_once(':').unwrap().1.to_owned();
    let cases = [
        ("/keys".to_owned(), "is no URL"),
        ("file:///etc/passwd".to_owned(), "is not https"),
        ("http://127.0.0.1:1/keys".to_owned(), "is not https"),
        (format!("http://localhost:{port}/keys"), "is not https"),
        (format!("http://a@127.0.0.1:{port}/keys"), "has a user"),
        (
            format!("http://127.0.0.1:{port}/keys#a"),
            "has a user or a fragment",
        ),
        (
            format!("https://127.0.0.1:{port}/keys"),
            "is a private address",
        ),
        (
            "https://169.254.169.254/keys".to_owned(),
            "is a private address",
        ),
        ("https://[::1]/keys".to_owned(), "is a private address"),
        (
            "https://[::ffff:10.0.0.1]/keys".to_owned(),
            "is a private address",
        ),
        ("https://2130706433/keys".to_owned(), "is a private address"),
        ("https://0x7f.1/keys".to_owned(), "is a private address"),
        (
            format!("https://localhost:{port}/keys"),
            "`localhost` is the private address",
        ),
    ];
    let told = cases.map(|(place, expected)| {
        (
            json!({"issuer": url, "jwks_uri": place}).to_string(),
            expected,
        )
    });
    let count = told.len();
    scene.refuses_all(&token, METADATA, told).await;
    assert_eq!(scene.site.asked(), count, "only descriptions were fetched");
}

#[tokio::test]
async fn a_private_place_of_keys_that_is_listed_is_gone_to() {
    let (scene, token) = discovered(&["localhost"]).await;
    let port = scene.site.url.rsplit_once(':').unwrap().1;
    scene.describes(&scene.site.url, &format!("https://localhost:{port}/keys"));
    // It speaks no TLS, but it was connected to: the refusal is another one.
    let asked = scene.tokens.principal(&token, None, START).await;
    assert_eq!(asked.unwrap_err(), DOWN);
    assert_eq!(scene.site.asked(), 2);
    assert!(!scene.problem().contains("private"), "{}", scene.problem());
}

#[tokio::test]
async fn documents_that_are_no_key_set_are_refused_by_name() {
    let (scene, token) = discovered(&[]).await;
    let url = scene.site.url.clone();
    scene.describes(&url, &format!("{url}/keys"));
    let (one, two) = (key(), key());
    let moved = "HTTP/1.1 302 Found\r\nLocation: /other";
    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html";
    let html = "\n<!DOCTYPE html><html>log in first</html>".to_owned();
    let huge = json!({"keys": [], "more": "x".repeat(300 << 10)}).to_string();
    scene
        .site
        .set("/other", Answer::Document(jwks(&[("a", &one)])));
    let cases = [
        (
            "redirect",
            Answer::Raw(moved, String::new()),
            "redirects (302 Found)",
        ),
        (
            "error",
            Answer::Raw("HTTP/1.1 500 Broken", String::new()),
            "answers 500",
        ),
        (
            "no content",
            Answer::Raw("HTTP/1.1 204 None", String::new()),
            "answers 204",
        ),
        ("HTML", Answer::Raw(page, html), "answers a page, not JSON"),
        ("huge", Answer::Document(huge), "more than 262144 bytes"),
        (
            "duplicate kids",
            Answer::Document(jwks(&[("a", &one), ("a", &two)])),
            "two keys `a`",
        ),
        (
            "cut off",
            Answer::Document("{\"keys\": [".to_owned()),
            "not strict JSON",
        ),
        (
            "keys twice",
            Answer::Document(r#"{"keys":[],"keys":[]}"#.to_owned()),
            "not strict JSON",
        ),
        (
            "no list",
            Answer::Document("{}".to_owned()),
            "no list `keys`",
        ),
        ("empty", Answer::Document(String::new()), "not strict JSON"),
        (
            "no HTTP",
            Answer::Raw("SSH-2.0-OpenSSH", String::new()),
            "HTTP",
        ),
    ];
    for (at, (case, answer, expected)) in (0..).zip(cases) {
        scene.site.set("/keys", answer);
        let asked = scene.tokens.principal(&token, None, after(at * 11)).await;
        assert_eq!(asked.unwrap_err(), DOWN, "{case}");
        let problem = scene.problem();
        assert!(problem.contains(expected), "{case}: {problem}");
    }
}

#[tokio::test]
async fn endless_and_slow_answers_are_cut_off() {
    let (scene, token) = discovered(&[]).await;
    let url = scene.site.url.clone();
    scene.describes(&url, &format!("{url}/keys"));
    scene.site.set("/keys", Answer::Endless);
    let asked = scene.tokens.principal(&token, None, START).await;
    assert_eq!(asked.unwrap_err(), DOWN);
    assert!(scene.problem().contains("more than 262144 bytes"));
    // What the kernel holds of it on both sides comes on top.
    let taken = scene.site.sent_bytes();
    assert!(taken < 16 << 20, "{taken} bytes were taken");
    scene.site.set("/keys", Answer::Dripping);
    let started = Instant::now();
    let asked = scene.tokens.principal(&token, None, after(11)).await;
    assert_eq!(asked.unwrap_err(), DOWN);
    let took = started.elapsed();
    assert!((4..60).contains(&took.as_secs()), "{took:?}");
    assert!(scene.problem().contains("did not answer within 5 s"));
}

#[tokio::test]
async fn an_issuer_that_turns_bad_keeps_its_last_good_keys_and_says_so() {
    let (scene, token) = discovered(&[]).await;
    let url = scene.site.url.clone();
    scene.describes(&url, &format!("{url}/keys"));
    scene.tokens.principal(&token, None, START).await.unwrap();
    scene.describes("https://evil.example", &format!("{url}/keys"));
    // Above the age of a fetch: believed, and fetched behind.
    scene
        .tokens
        .principal(&token, None, after(400))
        .await
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !scene.tokens.health(after(400))[0]
        .2
        .contains("another issuer")
    {
        assert!(
            Instant::now() < deadline,
            "{:?}",
            scene.tokens.health(after(400))
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    scene
        .tokens
        .principal(&token, None, after(3500))
        .await
        .unwrap();
    let stale = scene.tokens.principal(&token, None, after(3700)).await;
    assert_eq!(stale.unwrap_err(), DOWN);
}
