//! Out here and at the provider, in both directions.

use http::Response;
use reqwest::Url;
use serde_json::{Value, json};

use super::{Answer, Bench, METADATA, NOW_S, PAGE, bench, cookies, description};
use crate::{
    respond::AnswerBody,
    serve::tests::{json_of, request, send},
};

const BACK_CHANNEL: &str = "/login/corp/backchannel-logout";

impl Bench {
    async fn log_out(&self, cookie: &str) -> Response<AnswerBody> {
        let headers = [("cookie", cookie), ("x-dataos-csrf", "1")];
        let call = request("DELETE", "/api/v1/session", &headers, "");
        send(&self.scene.gateway, call).await
    }

    /// A session of carol, as the provider calls it `sid`.
    async fn session(&self, sid: &str, subject: &str) -> String {
        let mut turn = self.begin().await;
        turn.claims["sid"] = json!(sid);
        turn.claims["sub"] = json!(subject);
        self.logs_in(sid, &turn).await
    }

    async fn post(&self, form: &str) -> Response<AnswerBody> {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let call = request("POST", BACK_CHANNEL, &headers, form);
        send(&self.scene.gateway, call).await
    }

    async fn tells(&self, header: &Value, claims: &Value) -> Response<AnswerBody> {
        let token = self.signed(header, claims);
        self.post(&format!("logout_token={token}")).await
    }

    fn logout_claims(&self, id: &str) -> Value {
        json!({
            "iss": self.site.url, "aud": "console", "iat": NOW_S, "exp": NOW_S + 120, "jti": id,
            "sid": "s1", "sub": "carol",
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        })
    }

    async fn refused_with(&self, case: &str, response: Response<AnswerBody>, reason: &str) {
        let told = format!("`{reason}`");
        assert!(PAGE.contains(&told), "docs/authentication.md lacks {told}");
        let status = response.status();
        let problem = json_of(response).await;
        assert_eq!(problem["reason"], reason, "{case}");
        assert_eq!(status, 400, "{case}");
        let entry = self.entries().pop().unwrap();
        assert_eq!(
            (entry.action.as_str(), entry.reason.as_str()),
            ("log_out", reason),
            "{case}"
        );
    }
}

fn header() -> Value {
    json!({"alg": "EdDSA", "kid": "a", "typ": "logout+jwt"})
}

#[tokio::test]
async fn who_logs_out_is_out_here_and_is_led_to_leave_the_provider() {
    let bench = bench().await;
    let session = bench.session("s1", "carol").await;
    let response = bench.log_out(&session).await;
    assert_eq!(response.status(), 200);
    let set = cookies(&response);
    assert_eq!(set[1], "__Host-dataos-session=");
    assert_eq!(bench.who(&session).await.0, 401, "out at once");
    let shown = json_of(response).await;
    assert_eq!(
        shown,
        json!({"continue": "/login/corp/logout"}),
        "no token in a page"
    );
    let left = bench.get("/login/corp/logout", Some(&set[0])).await;
    assert_eq!(left.status(), 303);
    let place: Url = left.headers()["location"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(
        place
            .as_str()
            .starts_with(&format!("{}/end?tenant=7&", bench.site.url))
    );
    let field = |name: &str| {
        let mut pairs = place.query_pairs();
        pairs.find(|(key, _)| key == name).unwrap().1.into_owned()
    };
    assert_eq!(field("client_id"), "console");
    assert_eq!(
        field("post_logout_redirect_uri"),
        "https://data.example/login/corp/ended"
    );
    assert_eq!(field("id_token_hint").split('.').count(), 3);
    let state = field("state");
    for (case, state, cookie, reason) in [
        ("no state", "", Some(&set[0]), "logout_state_wrong"),
        ("other state", "guess", Some(&set[0]), "logout_state_wrong"),
        ("no cookie", &state, None, "logout_cookie_missing"),
        (
            "other cookie",
            &state,
            Some(&"__Host-dataos-login=e30".to_owned()),
            "logout_cookie_invalid",
        ),
        (
            "cookie of a log-in",
            &state,
            bench.begin().await.cookie.as_ref(),
            "logout_cookie_invalid",
        ),
    ] {
        let path = format!("/login/corp/ended?state={state}");
        let response = bench.get(&path, cookie.map(String::as_str)).await;
        bench.refused_with(case, response, reason).await;
    }
    let path = format!("/login/corp/ended?state={state}");
    let back = bench.get(&path, Some(&set[0])).await;
    assert_eq!(
        (back.status().as_u16(), &back.headers()["location"]),
        (303, &"/console/".parse().unwrap())
    );
    assert_eq!(cookies(&back), ["__Host-dataos-login="]);
}

#[tokio::test]
async fn nobody_is_led_out_by_a_link_or_to_a_guessed_place() {
    let bench = bench().await;
    let response = bench.get("/login/corp/logout", None).await;
    bench
        .refused_with("a link", response, "logout_cookie_missing")
        .await;
    let mut metadata = description(&bench.site.url);
    metadata
        .as_object_mut()
        .unwrap()
        .shift_remove("end_session_endpoint");
    bench
        .site
        .set(METADATA, Answer::Document(metadata.to_string()));
    let session = bench.session("s1", "carol").await;
    let response = bench.log_out(&session).await;
    assert_eq!(response.status(), 204, "the provider names no such place");
    assert_eq!(cookies(&response), ["__Host-dataos-session="]);
    assert_eq!(bench.who(&session).await.0, 401);
}

#[tokio::test]
async fn a_large_id_token_is_left_out_of_the_cookie() {
    let bench = bench().await;
    let mut turn = bench.begin().await;
    turn.claims["picture"] = json!("x".repeat(4000));
    let session = bench.logs_in("large", &turn).await;
    let set = cookies(&bench.log_out(&session).await);
    assert!(set[0].len() < 4000, "{}", set[0].len());
    let left = bench.get("/login/corp/logout", Some(&set[0])).await;
    let place = left.headers()["location"].to_str().unwrap();
    assert!(
        place.contains("client_id=console") && !place.contains("id_token_hint"),
        "{place}"
    );
}

#[tokio::test]
async fn who_leaves_the_provider_is_out_of_the_sessions_that_it_names() {
    let bench = bench().await;
    let mut sessions = Vec::new();
    for (sid, subject) in [
        ("s1", "carol"),
        ("s2", "carol"),
        ("s3", "carol"),
        ("s4", "dave"),
    ] {
        sessions.push(bench.session(sid, subject).await);
    }
    let alive = || async {
        let mut alive = Vec::new();
        for session in &sessions {
            alive.push(bench.who(session).await.0 == 200);
        }
        alive
    };
    let mut other = bench.logout_claims("j0");
    other["sub"] = json!("dave");
    assert_eq!(
        bench.tells(&header(), &other).await.status(),
        200,
        "nobody's: nothing to end"
    );
    assert_eq!(alive().await, [true; 4]);
    let response = bench.tells(&header(), &bench.logout_claims("j1")).await;
    assert_eq!(
        (
            response.status().as_u16(),
            &response.headers()["cache-control"]
        ),
        (200, &"no-store".parse().unwrap())
    );
    let entry = bench.entries().pop().unwrap();
    assert_eq!(
        (entry.action.as_str(), entry.reason.as_str()),
        ("log_out", "provider")
    );
    assert_eq!(entry.principal, "DataOS::User::\"idp-carol\"");
    assert_eq!(entry.facts["sessions"], "1");
    assert_eq!(alive().await, [false, true, true, true]);
    let mut session_alone = bench.logout_claims("j2");
    session_alone["sid"] = json!("s2");
    session_alone.as_object_mut().unwrap().shift_remove("sub");
    let plain = json!({"alg": "EdDSA", "kid": "a"});
    assert_eq!(bench.tells(&plain, &session_alone).await.status(), 200);
    assert_eq!(alive().await, [false, false, true, true]);
    let mut subject_alone = bench.logout_claims("j3");
    subject_alone.as_object_mut().unwrap().shift_remove("sid");
    assert_eq!(bench.tells(&header(), &subject_alone).await.status(), 200);
    assert_eq!(alive().await, [false, false, false, true]);
}

type Twist = fn(&mut Value, &mut Value);

/// Changes to header and claims of a logout token.
const LOGOUT_TOKENS: &[(&str, Twist, &str)] = &[
    (
        "no events",
        |_, c| c["events"] = Value::Null,
        "logout_event_missing",
    ),
    (
        "other event",
        |_, c| c["events"] = json!({"http://other": {}}),
        "logout_event_missing",
    ),
    (
        "event of a kind",
        |_, c| {
            c["events"] = json!({"http://schemas.openid.net/event/backchannel-logout": true});
        },
        "logout_event_missing",
    ),
    (
        "a nonce",
        |_, c| c["nonce"] = json!("n"),
        "logout_nonce_present",
    ),
    ("no id", |_, c| c["jti"] = Value::Null, "logout_id_missing"),
    (
        "neither sid nor sub",
        |_, c| {
            c["sid"] = Value::Null;
            c["sub"] = Value::Null;
        },
        "logout_subject_missing",
    ),
    (
        "old",
        |_, c| c["iat"] = json!(NOW_S - 630),
        "logout_token_old",
    ),
    (
        "ended",
        |_, c| c["exp"] = json!(NOW_S - 31),
        "token_expired",
    ),
    (
        "no end",
        |_, c| drop(c.as_object_mut().unwrap().shift_remove("exp")),
        "token_expiry_missing",
    ),
    (
        "no time of issue",
        |_, c| drop(c.as_object_mut().unwrap().shift_remove("iat")),
        "token_time_malformed",
    ),
    (
        "other issuer",
        |_, c| c["iss"] = json!("https://evil.example"),
        "token_issuer_unknown",
    ),
    (
        "other client",
        |_, c| c["aud"] = json!("shop"),
        "token_audience_wrong",
    ),
    (
        "audience of tokens",
        |_, c| c["aud"] = json!("dataos"),
        "token_audience_wrong",
    ),
    (
        "an access token",
        |h, _| h["typ"] = json!("at+jwt"),
        "token_type_refused",
    ),
    (
        "unsigned",
        |h, _| h["alg"] = json!("none"),
        "token_algorithm_none",
    ),
    (
        "other key",
        |h, _| h["kid"] = json!("b"),
        "token_key_unknown",
    ),
];

#[tokio::test]
async fn logout_tokens_that_end_nothing() {
    let bench = bench().await;
    let session = bench.session("s1", "carol").await;
    for (case, twist, reason) in LOGOUT_TOKENS {
        let (mut header, mut claims) = (header(), bench.logout_claims(case));
        twist(&mut header, &mut claims);
        let response = bench.tells(&header, &claims).await;
        bench.refused_with(case, response, reason).await;
    }
    for (case, form) in [
        ("no form", "logout"),
        ("empty", ""),
        ("no token", "logout_token="),
        ("two", "logout_token=a&logout_token=b"),
        ("not text", "logout_token=%ff"),
    ] {
        let response = bench.post(form).await;
        bench
            .refused_with(case, response, "logout_token_missing")
            .await;
    }
    assert_eq!(bench.who(&session).await.0, 200, "nothing ended it");
    let claims = bench.logout_claims("once");
    assert_eq!(
        bench.tells(&header(), &claims).await.status(),
        200,
        "the control"
    );
    assert_eq!(bench.who(&session).await.0, 401);
    let response = bench.tells(&header(), &claims).await;
    bench
        .refused_with("replayed", response, "logout_token_reused")
        .await;
    let json = [("content-type", "application/json")];
    let call = request("POST", BACK_CHANNEL, &json, "{}");
    let response = send(&bench.scene.gateway, call).await;
    assert_eq!(json_of(response).await["reason"], "content_type");
}

#[tokio::test]
async fn a_log_in_on_its_way_does_not_outlive_a_log_out_at_the_provider() {
    let bench = bench().await;
    let mut turn = bench.begin().await;
    turn.claims["sid"] = json!("s1");
    let claims = bench.logout_claims("j1");
    assert_eq!(bench.tells(&header(), &claims).await.status(), 200);
    bench
        .refuses("the session that ended", &turn, "login_ended_meanwhile")
        .await;
    bench.session("s2", "carol").await;
    let mut claims = bench.logout_claims("j2");
    claims.as_object_mut().unwrap().shift_remove("sid");
    assert_eq!(bench.tells(&header(), &claims).await.status(), 200);
    let mut turn = bench.begin().await;
    bench
        .refuses("all until then", &turn, "login_ended_meanwhile")
        .await;
    turn = bench.begin().await;
    turn.claims["iat"] = json!(NOW_S + 1);
    bench.logs_in("later", &turn).await;
    bench.session("s1", "dave").await;
}
