//! Log-ins through a provider that says what it is told to, as a browser meets them: each case of
//! RFC 9700 refused for its own reason, with log-ins beside it that must succeed.

mod cases;
mod descriptions;
mod logout;
mod renewal;

use std::time::Duration;

use aws_lc_rs::{
    digest,
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use dataos_model::{clock::Timestamp, decision::Effect, record::Entry, secret::Secret};
use http::Response;
use reqwest::Url;
use serde_json::{Value, json};

use crate::{
    accounts::Revoked,
    authenticate::token::tests::site::{Answer, Site},
    config::{ClaimNames, IssuerConfig, KeySource, LoginConfig},
    respond::AnswerBody,
    serve::tests::{
        fakes::{Scene, scene_with_issuers},
        json_of, request, send,
    },
};

const NOW_S: i64 = 1_800_000_000;
const METADATA: &str = "/.well-known/openid-configuration";
const CALLBACK: &str = "https://data.example/login/corp/callback";
/// Where operators look a reason up.
const PAGE: &str = include_str!("../../../../docs/authentication.md");

/// A gateway, and the provider that people log in through.
struct Bench {
    scene: Scene,
    site: Site,
    key: Ed25519KeyPair,
}

/// A browser on its way: what it was sent with, and what it will come back with.
struct Turn {
    /// `__Host-dataos-login=...`.
    cookie: Option<String>,
    /// Where it was sent.
    sent: Url,
    path: String,
    /// What it comes back with.
    query: Vec<(&'static str, String)>,
    header: Value,
    claims: Value,
    /// What the token endpoint says; `id_token` is made of the above if it is null.
    granted: Value,
    granted_head: &'static str,
    userinfo: Value,
}

fn issuer(url: &str) -> IssuerConfig {
    IssuerConfig {
        issuer: url.to_owned(),
        audience: "dataos".to_owned(),
        algorithms: vec!["EdDSA".to_owned()],
        types: vec!["at+jwt".to_owned()],
        keys: KeySource::Discovery,
        ca_file: None,
        key_hosts: Vec::new(),
        clients: Vec::new(),
        skew: Duration::from_secs(30),
        user_prefix: "idp-".to_owned(),
        claims: ClaimNames {
            user: "sub".to_owned(),
            groups: Some("groups".to_owned()),
            roles: None,
            attributes: Vec::new(),
        },
        login: Some(LoginConfig {
            name: "corp".to_owned(),
            title: "Corp".to_owned(),
            client_id: "console".to_owned(),
            client_secret: Some(Secret::new(*b"s:cret")),
            redirect_url: CALLBACK.to_owned(),
            scopes: vec!["openid".to_owned(), "email".to_owned()],
            max_age: None,
            acr_values: Vec::new(),
            userinfo: false,
            assume_pkce: false,
            command_line: None,
        }),
    }
}

fn description(url: &str) -> Value {
    json!({
        "issuer": url,
        "jwks_uri": format!("{url}/keys"),
        "authorization_endpoint": format!("{url}/authorize?tenant=7"),
        "token_endpoint": format!("{url}/token"),
        "userinfo_endpoint": format!("{url}/userinfo"),
        "end_session_endpoint": format!("{url}/end?tenant=7"),
        "authorization_response_iss_parameter_supported": true,
        "code_challenge_methods_supported": ["plain", "S256"],
    })
}

async fn bench() -> Bench {
    bench_with(|_, _| {}).await
}

async fn bench_with(change: impl FnOnce(&mut IssuerConfig, &mut LoginConfig)) -> Bench {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let site = Site::start().await;
    let mut config = issuer(&site.url);
    let mut login = config.login.take().unwrap();
    change(&mut config, &mut login);
    config.login = Some(login);
    let key = Ed25519KeyPair::generate().unwrap();
    let jwk =
        json!({"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": B64.encode(key.public_key())});
    let keys = json!({"keys": [jwk]}).to_string();
    site.set("/keys", Answer::Document(keys));
    site.set(
        METADATA,
        Answer::Document(description(&site.url).to_string()),
    );
    Bench {
        scene: scene_with_issuers(&[config]).await,
        site,
        key,
    }
}

fn half(text: &str) -> String {
    let digest = digest::digest(&digest::SHA512, text.as_bytes());
    B64.encode(&digest.as_ref()[..32])
}

impl Turn {
    fn sent(&self, name: &str) -> String {
        let mut pairs = self.sent.query_pairs();
        let found = pairs.find(|(key, _)| key == name);
        found
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.query.retain(|(key, _)| *key != name);
        self.query.push((name, value.to_owned()));
    }
}

impl Bench {
    fn entries(&self) -> Vec<Entry> {
        self.scene.record.entries.lock().unwrap().clone()
    }

    async fn get(&self, path: &str, cookie: Option<&str>) -> Response<AnswerBody> {
        let headers: Vec<(&str, &str)> = cookie
            .map(|cookie| ("cookie", cookie))
            .into_iter()
            .collect();
        send(&self.scene.gateway, request("GET", path, &headers, "")).await
    }

    /// Goes to the provider, with all at hand to come back rightly.
    async fn begin(&self) -> Turn {
        let response = self
            .get("/login/corp?return=/console/%23/query", None)
            .await;
        assert_eq!(response.status(), 303);
        let location = response.headers()["location"].to_str().unwrap();
        let url = self.site.url.clone();
        let mut turn = Turn {
            cookie: Some(cookies(&response).remove(0)),
            sent: location.parse().unwrap(),
            path: "/login/corp/callback".to_owned(),
            query: vec![("code", "code-1".to_owned()), ("iss", url.clone())],
            header: json!({"alg": "EdDSA", "kid": "a"}),
            claims: json!({
                "iss": url, "aud": "console", "sub": "carol", "exp": NOW_S + 300, "iat": NOW_S,
                "sid": "at-corp-1", "jti": "id-1", "groups": ["emea"],
                "at_hash": half("access-1"), "c_hash": half("code-1"),
            }),
            granted: json!({"token_type": "Bearer", "access_token": "access-1", "id_token": null}),
            granted_head: "HTTP/1.1 200 OK",
            userinfo: json!({"sub": "carol"}),
        };
        turn.claims["nonce"] = json!(turn.sent("nonce"));
        let state = turn.sent("state");
        turn.set("state", &state);
        turn
    }

    /// A token of the provider.
    fn signed(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| B64.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        format!("{signed}.{}", B64.encode(self.key.sign(signed.as_bytes())))
    }

    /// Has the provider's answers at hand.
    fn answers(&self, turn: &Turn) {
        let mut granted = turn.granted.clone();
        if granted.get("id_token") == Some(&Value::Null) {
            granted["id_token"] = json!(self.signed(&turn.header, &turn.claims));
        }
        let granted = Answer::Raw(turn.granted_head, granted.to_string());
        self.site.set("/token", granted);
        let userinfo = Answer::Document(turn.userinfo.to_string());
        self.site.set("/userinfo", userinfo);
    }

    async fn come_back(&self, turn: &Turn) -> Response<AnswerBody> {
        self.answers(turn);
        let mut path = Url::parse("https://data.example/").unwrap();
        path.set_path(&turn.path);
        path.query_pairs_mut().extend_pairs(&turn.query);
        let (_, path) = path.as_str().split_once("example").unwrap();
        self.get(path, turn.cookie.as_deref()).await
    }

    /// Comes back and is let in; gives the session cookie.
    async fn logs_in(&self, case: &str, turn: &Turn) -> String {
        let response = self.come_back(turn).await;
        let reason = self.entries().pop().map(|entry| entry.reason);
        assert_eq!(response.status(), 303, "{case}: {reason:?}");
        let cookie = cookies(&response).remove(0);
        assert!(
            cookie.starts_with("__Host-dataos-session="),
            "{case}: {cookie}"
        );
        cookie
    }

    /// 400 with the reason in answer and log, no session, and nothing secret in either.
    async fn refuses(&self, case: &str, turn: &Turn, reason: &str) {
        let told = format!("`{reason}`");
        assert!(PAGE.contains(&told), "docs/authentication.md lacks {told}");
        let before = self.entries().len();
        let response = self.come_back(turn).await;
        let entry = self.entries().pop().unwrap();
        assert_eq!(entry.reason, reason, "{case}");
        assert_eq!(self.entries().len(), before + 1, "{case}");
        assert_eq!(
            (entry.action.as_str(), entry.effect),
            ("log_in", Some(Effect::Deny)),
            "{case}"
        );
        assert_eq!(response.status(), 400, "{case}");
        assert!(cookies(&response).is_empty(), "{case}: a cookie was set");
        let kind = response.headers()["content-type"].to_str().unwrap();
        assert_eq!(kind, "application/problem+json", "{case}");
        let problem = json_of(response).await;
        assert_eq!(problem["reason"], reason, "{case}");
        let shown = format!("{problem} {entry:?}");
        for secret in ["code-1", "access-1", "s:cret", "carol", &turn.sent("state")] {
            assert!(!shown.contains(secret), "{case}: {shown}");
        }
    }

    async fn who(&self, cookie: &str) -> (u16, Value) {
        let response = self.get("/api/v1/session", Some(cookie)).await;
        (response.status().as_u16(), json_of(response).await)
    }
}

/// Cookies that an answer sets, without their attributes.
fn cookies(response: &Response<AnswerBody>) -> Vec<String> {
    let all = response.headers().get_all("set-cookie").iter();
    all.map(|value| {
        value
            .to_str()
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned()
    })
    .collect()
}

#[tokio::test]
async fn who_comes_back_from_a_provider_has_a_session_as_whom_it_says() {
    let bench = bench().await;
    let turn = bench.begin().await;
    for (name, expected) in [
        ("tenant", "7"),
        ("response_type", "code"),
        ("client_id", "console"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid email"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(turn.sent(name), expected, "{name}");
    }
    assert!(bench.entries().is_empty(), "nobody came in yet");
    let response = bench.come_back(&turn).await;
    assert_eq!(response.status(), 303);
    assert_eq!(response.headers()["location"], "/console/#/query");
    assert_eq!(response.headers()["referrer-policy"], "no-referrer");
    let set: Vec<&str> = response
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect();
    let attributes = "; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=";
    assert!(set[0].contains(&format!("{attributes}3600")), "{set:?}");
    assert_eq!(set[1], format!("__Host-dataos-login={attributes}0"));
    let cookie = cookies(&response).remove(0);
    let (status, who) = bench.who(&cookie).await;
    assert_eq!(status, 200);
    assert_eq!(
        (&who["user"], &who["groups"]),
        (&json!("idp-carol"), &json!(["emea"]))
    );
    assert_eq!(
        (&who["authentication"], &who["issuer"]),
        (&json!("session"), &json!(bench.site.url))
    );
    let entries = bench.entries();
    let log_in = &entries[0];
    assert_eq!(
        (
            log_in.action.as_str(),
            log_in.reason.as_str(),
            log_in.effect
        ),
        ("log_in", "provider", Some(Effect::Allow))
    );
    assert_eq!(log_in.principal, "DataOS::User::\"idp-carol\"");
    assert_eq!(log_in.facts["issuer"], bench.site.url);
    let text = format!("{entries:?}");
    let value = cookie.split_once('=').unwrap().1;
    for secret in ["code-1", "access-1", "s:cret", value, &turn.sent("state")] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn a_code_is_exchanged_with_its_verifier_and_our_secret() {
    let bench = bench().await;
    let turn = bench.begin().await;
    bench.logs_in("control", &turn).await;
    let asked = bench.site.last("/token");
    let (head, body) = asked.split_once("\r\n\r\n").unwrap();
    let form = Url::parse(&format!("https://form/?{body}")).unwrap();
    let field = |name: &str| {
        let mut pairs = form.query_pairs();
        pairs.find(|(key, _)| key == name).unwrap().1.into_owned()
    };
    assert_eq!(field("grant_type"), "authorization_code");
    assert_eq!(
        (field("code"), field("redirect_uri")),
        ("code-1".to_owned(), CALLBACK.to_owned())
    );
    let verifier = field("code_verifier");
    assert!(verifier.len() >= 43);
    let challenge = B64.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    assert_eq!(challenge, turn.sent("code_challenge"));
    // RFC 6749 2.3.1: each half is encoded as a form before both are joined.
    let basic = base64::engine::general_purpose::STANDARD.encode("console:s%3Acret");
    assert!(head.contains(&format!("Basic {basic}")), "{head}");
    assert!(!body.contains("cret"), "{body}");
}

#[tokio::test]
async fn each_log_in_is_its_own_session_whatever_cookie_came_with_it() {
    let bench = bench().await;
    let planted = format!("__Host-dataos-session={}", "ab".repeat(32));
    let mut turn = bench.begin().await;
    turn.cookie = Some(format!("{}; {planted}", turn.cookie.unwrap()));
    let first = bench.logs_in("planted", &turn).await;
    assert_ne!(first, planted);
    assert_eq!(bench.who(&planted).await.0, 401);
    let turn = bench.begin().await;
    let second = bench.logs_in("again", &turn).await;
    assert_ne!(first, second);
    assert_eq!(bench.who(&first).await.0, 200, "another browser's stays");
    let two = format!(
        "{}; __Host-dataos-login=b",
        bench.begin().await.cookie.unwrap()
    );
    let mut turn = bench.begin().await;
    turn.cookie = Some(two);
    let response = bench.come_back(&turn).await;
    assert_eq!(json_of(response).await["reason"], "cookie_repeated");
}

#[tokio::test]
async fn a_session_counts_only_where_a_page_of_ours_uses_it() {
    let bench = bench().await;
    let turn = bench.begin().await;
    let cookie = bench.logs_in("control", &turn).await;
    let call = |headers: &[(&str, &str)]| {
        let all = [&[("cookie", cookie.as_str())], headers].concat();
        request("DELETE", "/api/v1/session", &all, "")
    };
    let ours = ("x-dataos-csrf", "1");
    for (headers, reason) in [
        (&[][..], "csrf_header_missing"),
        (
            &[ours, ("origin", "https://evil.example")],
            "csrf_site_other",
        ),
        (&[ours, ("origin", "http://localhost")], "csrf_site_other"),
        (&[ours, ("origin", "null")], "csrf_site_other"),
        (&[ours, ("sec-fetch-site", "cross-site")], "csrf_site_other"),
        (&[ours, ("sec-fetch-site", "same-site")], "csrf_site_other"),
        (&[ours, ("sec-fetch-site", "none")], "csrf_site_other"),
    ] {
        let response = send(&bench.scene.gateway, call(headers)).await;
        assert_eq!(response.status(), 403, "{headers:?}");
        assert_eq!(json_of(response).await["reason"], reason, "{headers:?}");
        assert_eq!(bench.entries().pop().unwrap().reason, reason);
    }
    assert_eq!(bench.who(&cookie).await.0, 200, "still logged in");
    let own = [
        ours,
        ("origin", "https://localhost"),
        ("sec-fetch-site", "same-origin"),
    ];
    let response = send(&bench.scene.gateway, call(&own)).await;
    assert!(response.status().is_success(), "{}", response.status());
    assert_eq!(bench.who(&cookie).await.0, 401);
}

#[tokio::test]
async fn a_revoked_subject_or_token_is_out_at_once_and_in_again_with_a_newer_one() {
    let bench = bench().await;
    let accounts = &bench.scene.gateway.accounts;
    let now = Timestamp(NOW_S * 1000);
    for revoked in [
        Revoked::Token("id-1".to_owned()),
        Revoked::Subject("carol".to_owned()),
    ] {
        let mut turn = bench.begin().await;
        if matches!(revoked, Revoked::Subject(_)) {
            turn.claims["jti"] = json!("id-2");
        }
        let cookie = bench.logs_in("before", &turn).await;
        assert_eq!(bench.who(&cookie).await.0, 200);
        let revoke = accounts.revoke(&bench.site.url, revoked.clone(), 60_000, now);
        revoke.await.unwrap();
        assert_eq!(bench.who(&cookie).await.0, 401, "{revoked:?}");
    }
    let turn = bench.begin().await;
    bench.refuses("revoked token", &turn, "token_revoked").await;
    let mut turn = bench.begin().await;
    turn.claims["jti"] = json!("id-3");
    bench
        .refuses("issued before", &turn, "token_subject_revoked")
        .await;
    let mut turn = bench.begin().await;
    turn.claims["jti"] = json!("id-3");
    turn.claims["iat"] = json!(NOW_S + 1);
    bench.logs_in("issued after", &turn).await;
}

#[tokio::test]
async fn open_sessions_are_listed_and_ended_by_the_name_that_records_have() {
    let bench = bench().await;
    let mut cookies = Vec::new();
    for subject in ["carol", "dave"] {
        let mut turn = bench.begin().await;
        turn.claims["sub"] = json!(subject);
        cookies.push(bench.logs_in(subject, &turn).await);
    }
    let accounts = &bench.scene.gateway.accounts;
    let life = bench.scene.gateway.session_life;
    let local = accounts.log_in("admin", "correct horse", Timestamp(NOW_S * 1000), life);
    local.await.unwrap();
    let bearer = [("authorization", bench.scene.bearer.as_str())];
    let call = |method: &str, path: &str| request(method, path, &bearer, "");
    let listed = send(&bench.scene.gateway, call("GET", "/api/v1/sessions")).await;
    let listed = json_of(listed).await;
    let listed = listed["sessions"].as_array().unwrap();
    let mut users: Vec<&Value> = listed.iter().map(|session| &session["user"]).collect();
    users.sort_by_key(|user| user.to_string());
    assert_eq!(users, ["admin", "idp-carol", "idp-dave"]);
    assert_eq!(bench.who(&cookies[1]).await.0, 200);
    let credential = bench.entries().pop().unwrap().facts["credential"].clone();
    let path = format!("/api/v1/sessions/{credential}");
    for status in [204, 404] {
        let ended = send(&bench.scene.gateway, call("DELETE", &path)).await;
        assert_eq!(ended.status(), status);
    }
    let actions: Vec<String> = bench
        .entries()
        .into_iter()
        .map(|entry| entry.action)
        .collect();
    assert!(actions.contains(&"session_ended".to_owned()), "{actions:?}");
    assert_eq!(bench.who(&cookies[1]).await.0, 401);
    assert_eq!(bench.who(&cookies[0]).await.0, 200);
    let (_, value) = cookies[0].split_once('=').unwrap();
    let used = accounts.principal_of_session(value, Timestamp(NOW_S * 1000 + 1));
    used.unwrap();
    let short = send(
        &bench.scene.gateway,
        call("GET", "/api/v1/sessions?limit=1"),
    )
    .await;
    let short = json_of(short).await;
    assert_eq!(short["sessions"][0]["user"], "idp-carol", "used last");
    assert_eq!(short["sessions"].as_array().unwrap().len(), 1);
    let later = Timestamp((NOW_S + 3600) * 1000);
    assert!(accounts.sessions(later, 9).is_empty(), "all have ended");
}

#[tokio::test]
async fn nobody_becomes_a_local_user_also_not_later() {
    let bench = bench_with(|issuer, _| issuer.user_prefix = String::new()).await;
    let mut turn = bench.begin().await;
    turn.claims["sub"] = json!("admin");
    bench
        .refuses("an account", &turn, "token_names_local_user")
        .await;
    let mut turn = bench.begin().await;
    turn.claims["sub"] = json!("dataos");
    bench
        .refuses("the platform", &turn, "token_names_local_user")
        .await;
    let turn = bench.begin().await;
    let cookie = bench.logs_in("control", &turn).await;
    let user = crate::accounts::User {
        user: "carol".to_owned(),
        ..Default::default()
    };
    let accounts = &bench.scene.gateway.accounts;
    accounts.create(user, "another horse").await.unwrap();
    assert_eq!(bench.who(&cookie).await.0, 401);
}
