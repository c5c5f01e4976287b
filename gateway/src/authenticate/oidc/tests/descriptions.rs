//! Providers that describe themselves wrongly, lead elsewhere, or are away.

use serde_json::{Value, json};

use super::{Answer, Bench, METADATA, PAGE, bench, bench_with, description};
use crate::serve::tests::json_of;

impl Bench {
    /// Nobody is sent anywhere.
    async fn sends_nobody(&self, case: &str, path: &str, expected: (u16, &str)) {
        let told = format!("`{}`", expected.1);
        assert!(PAGE.contains(&told), "docs/authentication.md lacks {told}");
        let response = self.get(path, None).await;
        let status = response.status().as_u16();
        assert!(!response.headers().contains_key("set-cookie"), "{case}");
        assert!(!response.headers().contains_key("location"), "{case}");
        let problem = json_of(response).await;
        let entry = self.entries().pop().unwrap();
        let found = (status, problem["reason"].as_str().unwrap_or_default());
        assert_eq!(found, expected, "{case}: {problem}");
        assert_eq!(
            (entry.action.as_str(), entry.reason.as_str()),
            ("log_in", expected.1),
            "{case}"
        );
    }
}

type Change = fn(&mut Value);

/// Descriptions that lead nobody anywhere.
const DESCRIPTIONS: &[(&str, Change, &str)] = &[
    (
        "another issuer",
        |d| d["issuer"] = json!("https://evil.example"),
        "login_description_refused",
    ),
    (
        "no issuer",
        |d| d["issuer"] = Value::Null,
        "login_description_refused",
    ),
    (
        "no authorization",
        |d| {
            drop(
                d.as_object_mut()
                    .unwrap()
                    .shift_remove("authorization_endpoint"),
            )
        },
        "login_description_refused",
    ),
    (
        "no tokens",
        |d| drop(d.as_object_mut().unwrap().shift_remove("token_endpoint")),
        "login_description_refused",
    ),
    (
        "tokens in the clear",
        |d| d["token_endpoint"] = json!("http://tokens.example/"),
        "login_description_refused",
    ),
    (
        "tokens at a private address",
        |d| d["token_endpoint"] = json!("https://169.254.169.254/latest"),
        "login_description_refused",
    ),
    (
        "tokens at home",
        |d| d["token_endpoint"] = json!("https://[::1]/token"),
        "login_description_refused",
    ),
    (
        "tokens in a file",
        |d| d["token_endpoint"] = json!("file:///etc/passwd"),
        "login_description_refused",
    ),
    (
        "a user in the address",
        |d| d["token_endpoint"] = json!("https://a@tokens.example/"),
        "login_description_refused",
    ),
    (
        "browser to a script",
        |d| d["authorization_endpoint"] = json!("javascript:alert(1)"),
        "login_description_refused",
    ),
    (
        "browser in the clear",
        |d| d["authorization_endpoint"] = json!("http://evil.example/"),
        "login_description_refused",
    ),
    (
        "userinfo at a private address",
        |d| d["userinfo_endpoint"] = json!("https://10.0.0.1/"),
        "login_description_refused",
    ),
    (
        "an address that is a list",
        |d| d["token_endpoint"] = json!(["https://a"]),
        "login_description_refused",
    ),
    (
        "plain PKCE alone",
        |d| d["code_challenge_methods_supported"] = json!(["plain"]),
        "login_pkce_missing",
    ),
    (
        "no PKCE",
        |d| d["code_challenge_methods_supported"] = json!([]),
        "login_pkce_missing",
    ),
    (
        "no word of PKCE",
        |d| {
            drop(
                d.as_object_mut()
                    .unwrap()
                    .shift_remove("code_challenge_methods_supported"),
            )
        },
        "login_pkce_missing",
    ),
    (
        "PKCE in a text",
        |d| d["code_challenge_methods_supported"] = json!("S256"),
        "login_pkce_missing",
    ),
];

#[tokio::test]
async fn descriptions_that_cannot_be_believed_send_nobody_anywhere() {
    for (case, change, reason) in DESCRIPTIONS {
        let bench = bench().await;
        let mut document = description(&bench.site.url);
        change(&mut document);
        bench
            .site
            .set(METADATA, Answer::Document(document.to_string()));
        bench.sends_nobody(case, "/login/corp", (400, reason)).await;
        assert_eq!(
            bench.site.asked(),
            1,
            "{case}: only the description was fetched"
        );
    }
}

#[tokio::test]
async fn a_provider_that_is_known_to_take_pkce_need_not_say_so() {
    let bench = bench_with(|_, login| login.assume_pkce = true).await;
    let mut document = description(&bench.site.url);
    document
        .as_object_mut()
        .unwrap()
        .shift_remove("code_challenge_methods_supported");
    bench
        .site
        .set(METADATA, Answer::Document(document.to_string()));
    let turn = bench.begin().await;
    bench.logs_in("silent about PKCE", &turn).await;
}

#[tokio::test]
async fn providers_that_are_away_or_unknown_are_told_apart() {
    let bench = bench().await;
    let broken = Answer::Raw("HTTP/1.1 500 Broken", String::new());
    bench.site.set(METADATA, broken);
    let away = (503, "login_provider_away");
    bench.sends_nobody("away", "/login/corp", away).await;
    bench.sends_nobody("still", "/login/corp", away).await;
    assert_eq!(bench.site.asked(), 1, "it is not asked for each of them");
    let unknown = (404, "login_provider_unknown");
    bench.sends_nobody("unknown", "/login/other", unknown).await;
}

#[tokio::test]
async fn nobody_is_sent_back_to_another_site() {
    let bench = bench().await;
    for place in [
        "https://evil.example/",
        "//evil.example",
        "/%5Cevil.example",
        "/%09/evil.example",
        "/%0d%0aSet-Cookie:%20a=b",
        "javascript:alert(1)",
        "console",
    ] {
        let path = format!("/login/corp?return={place}");
        let refused = (400, "login_return_refused");
        bench.sends_nobody(place, &path, refused).await;
    }
    assert_eq!(bench.site.asked(), 0);
}

#[tokio::test]
async fn a_provider_that_fails_on_the_way_back_lets_nobody_in() {
    let bench = bench().await;
    let mut turn = bench.begin().await;
    for (head, reason) in [
        ("HTTP/1.1 500 Broken", "login_provider_away"),
        (
            "HTTP/1.1 302 Found\r\nLocation: https://evil.example/",
            "login_provider_away",
        ),
    ] {
        turn.granted_head = head;
        let response = bench.come_back(&turn).await;
        assert_eq!(response.status(), 503, "{head}");
        assert!(super::cookies(&response).is_empty(), "{head}");
        assert_eq!(json_of(response).await["reason"], reason);
        turn = bench.begin().await;
    }
    bench.logs_in("control", &turn).await;
}
