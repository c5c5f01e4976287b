//! What a browser or a provider may bring back that must not be taken.

use serde_json::{Value, json};

use super::{Bench, NOW_S, Turn, bench, bench_with, half};

type Twist = fn(&mut Turn);
type Case = (&'static str, Twist, &'static str);

impl Bench {
    /// Each case is refused; a log-in beside it succeeds before and after.
    async fn refuses_all(&self, cases: &[Case]) {
        let control = self.begin().await;
        self.logs_in("control before", &control).await;
        for (case, twist, reason) in cases {
            let mut turn = self.begin().await;
            twist(&mut turn);
            self.refuses(case, &turn, reason).await;
        }
        let control = self.begin().await;
        self.logs_in("control after", &control).await;
    }
}

fn lose(turn: &mut Turn, name: &str) {
    turn.query.retain(|(key, _)| *key != name);
}

fn drop_claim(turn: &mut Turn, name: &str) {
    turn.claims.as_object_mut().unwrap().shift_remove(name);
}

#[tokio::test]
async fn answers_that_belong_to_no_log_in_of_this_browser() {
    let bench = bench().await;
    bench
        .refuses_all(&[
            ("no state", |t| lose(t, "state"), "login_state_missing"),
            ("empty state", |t| t.set("state", ""), "login_state_missing"),
            (
                "other state",
                |t| t.set("state", "guess"),
                "login_state_wrong",
            ),
            ("no cookie", |t| t.cookie = None, "login_cookie_missing"),
            (
                "empty cookie",
                |t| t.cookie = Some("__Host-dataos-login=".to_owned()),
                "login_cookie_missing",
            ),
            (
                "cookie without the prefix, as another host can set",
                |t| t.cookie = t.cookie.take().map(|c| c.replace("__Host-", "")),
                "login_cookie_missing",
            ),
            (
                "changed cookie",
                |t| {
                    t.cookie = t.cookie.take().map(|cookie| {
                        let (start, end) = cookie.split_at(60);
                        let (old, end) = end.split_at(1);
                        let other = if old == "A" { "B" } else { "A" };
                        format!("{start}{other}{end}")
                    });
                },
                "login_cookie_invalid",
            ),
            (
                "made-up cookie",
                |t| t.cookie = Some("__Host-dataos-login=e30".to_owned()),
                "login_cookie_invalid",
            ),
            ("no issuer", |t| lose(t, "iss"), "login_issuer_missing"),
            (
                "other issuer",
                |t| t.set("iss", "https://evil.example"),
                "login_issuer_wrong",
            ),
            (
                "issuer with a slash",
                |t| {
                    let own = t.claims["iss"].as_str().unwrap().to_owned();
                    t.set("iss", &format!("{own}/"));
                },
                "login_issuer_wrong",
            ),
            (
                "error",
                |t| t.set("error", "access_denied"),
                "login_provider_error",
            ),
            (
                "error of nobody",
                |t| {
                    lose(t, "iss");
                    t.set("error", "access_denied");
                },
                "login_issuer_missing",
            ),
            ("no code", |t| lose(t, "code"), "login_code_missing"),
        ])
        .await;
}

#[tokio::test]
async fn an_answer_is_taken_once_and_by_the_browser_that_asked() {
    let bench = bench().await;
    let turn = bench.begin().await;
    bench.logs_in("first", &turn).await;
    bench.refuses("again", &turn, "login_state_reused").await;
    let (ours, theirs) = (bench.begin().await, bench.begin().await);
    let mut mixed = bench.begin().await;
    mixed.cookie = theirs.cookie;
    mixed.set("state", &ours.sent("state"));
    bench
        .refuses("a state of another browser", &mixed, "login_state_wrong")
        .await;
    // A refused answer has used its state up too.
    let mut turn = bench.begin().await;
    turn.set("iss", "https://evil.example");
    bench.refuses("first", &turn, "login_issuer_wrong").await;
    let own = turn.claims["iss"].as_str().unwrap().to_owned();
    turn.set("iss", &own);
    bench.refuses("second", &turn, "login_state_reused").await;
}

#[tokio::test]
async fn a_provider_that_never_names_itself_may_stay_silent_but_not_name_another() {
    let bench = bench().await;
    let mut metadata = super::description(&bench.site.url);
    metadata["authorization_response_iss_parameter_supported"] = json!(false);
    let metadata = metadata.to_string();
    let document = super::Answer::Document(metadata);
    bench.site.set(super::METADATA, document);
    let mut silent = bench.begin().await;
    lose(&mut silent, "iss");
    bench.logs_in("silent", &silent).await;
    let mut other = bench.begin().await;
    other.set("iss", "https://evil.example");
    bench.refuses("other", &other, "login_issuer_wrong").await;
    let mut more = bench.begin().await;
    more.set("session_state", "of-the-provider");
    bench.logs_in("parameters of its own", &more).await;
}

#[tokio::test]
async fn tokens_that_are_not_given_or_not_as_such() {
    let bench = bench().await;
    bench
        .refuses_all(&[
            (
                "code replayed at the provider, or another verifier",
                |t| {
                    t.granted_head = "HTTP/1.1 400 Bad Request";
                    t.granted = json!({"error": "invalid_grant", "id_token": ""});
                },
                "login_code_refused",
            ),
            (
                "client refused",
                |t| {
                    t.granted_head = "HTTP/1.1 401 Unauthorized";
                    t.granted = json!({"error": "invalid_client", "id_token": ""});
                },
                "login_exchange_refused",
            ),
            (
                "no ID token",
                |t| drop(t.granted.as_object_mut().unwrap().shift_remove("id_token")),
                "login_id_token_missing",
            ),
            (
                "an empty ID token",
                |t| t.granted["id_token"] = json!(""),
                "token_malformed",
            ),
            (
                "no access token",
                |t| {
                    t.granted = json!({"token_type": "Bearer", "id_token": null});
                },
                "login_answer_malformed",
            ),
            (
                "a token of another kind",
                |t| t.granted["token_type"] = json!("DPoP"),
                "login_answer_malformed",
            ),
            (
                "no kind",
                |t| t.granted["token_type"] = Value::Null,
                "login_answer_malformed",
            ),
            (
                "an ID token that is a list",
                |t| t.granted["id_token"] = json!(["a"]),
                "login_answer_malformed",
            ),
        ])
        .await;
}

/// ID tokens.
const ID_TOKENS: &[Case] = &[
    ("no nonce", |t| drop_claim(t, "nonce"), "login_nonce_wrong"),
    (
        "other nonce",
        |t| t.claims["nonce"] = json!("n"),
        "login_nonce_wrong",
    ),
    (
        "at_hash",
        |t| t.claims["at_hash"] = json!(half("other")),
        "login_at_hash_wrong",
    ),
    (
        "at_hash of a kind",
        |t| t.claims["at_hash"] = json!(7),
        "login_at_hash_wrong",
    ),
    (
        "c_hash",
        |t| t.claims["c_hash"] = json!(half("code-2")),
        "login_c_hash_wrong",
    ),
    (
        "no issuer",
        |t| drop_claim(t, "iss"),
        "token_issuer_missing",
    ),
    (
        "other issuer",
        |t| t.claims["iss"] = json!("https://evil.example"),
        "token_issuer_unknown",
    ),
    (
        "no audience",
        |t| drop_claim(t, "aud"),
        "token_audience_missing",
    ),
    (
        "audience of tokens",
        |t| t.claims["aud"] = json!("dataos"),
        "token_audience_wrong",
    ),
    (
        "shared without a party",
        |t| t.claims["aud"] = json!(["console", "other"]),
        "token_party_wrong",
    ),
    (
        "for another party",
        |t| t.claims["azp"] = json!("other"),
        "token_party_wrong",
    ),
    (
        "no subject",
        |t| drop_claim(t, "sub"),
        "token_subject_missing",
    ),
    (
        "empty subject",
        |t| t.claims["sub"] = json!(""),
        "token_subject_missing",
    ),
    ("no end", |t| drop_claim(t, "exp"), "token_expiry_missing"),
    (
        "ended",
        |t| t.claims["exp"] = json!(NOW_S - 31),
        "token_expired",
    ),
    (
        "to come",
        |t| t.claims["nbf"] = json!(NOW_S + 31),
        "token_not_yet_valid",
    ),
    (
        "no time of issue",
        |t| drop_claim(t, "iat"),
        "token_time_malformed",
    ),
    (
        "issued ahead",
        |t| t.claims["iat"] = json!(NOW_S + 31),
        "token_issued_in_future",
    ),
    (
        "a logout token",
        |t| t.claims["events"] = json!({}),
        "token_type_refused",
    ),
    (
        "an access token",
        |t| t.header["typ"] = json!("at+jwt"),
        "token_type_refused",
    ),
    (
        "typ of a kind",
        |t| t.header["typ"] = json!(7),
        "token_type_refused",
    ),
    (
        "unsigned",
        |t| t.header["alg"] = json!("none"),
        "token_algorithm_none",
    ),
    (
        "symmetric",
        |t| t.header["alg"] = json!("HS256"),
        "token_algorithm_symmetric",
    ),
    (
        "algorithm",
        |t| t.header["alg"] = json!("RS256"),
        "token_algorithm_refused",
    ),
    ("key", |t| t.header["kid"] = json!("b"), "token_key_unknown"),
    (
        "key inside",
        |t| t.header["jwk"] = json!({}),
        "token_key_in_header",
    ),
    (
        "signature",
        |t| t.granted["id_token"] = json!("eyJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.e30.AAAA"),
        "token_signature_wrong",
    ),
    (
        "groups",
        |t| t.claims["groups"] = json!(7),
        "token_claims_malformed",
    ),
];

#[tokio::test]
async fn id_tokens_of_other_log_ins_clients_times_and_kinds() {
    bench().await.refuses_all(ID_TOKENS).await;
}

#[tokio::test]
async fn id_tokens_that_need_not_say_more_are_taken() {
    let bench = bench().await;
    let controls: &[(&str, Twist)] = &[
        ("the one key, unnamed", |t| {
            t.header = json!({"alg": "EdDSA"})
        }),
        ("no hashes", |t| {
            drop_claim(t, "at_hash");
            drop_claim(t, "c_hash");
        }),
        ("typ", |t| t.header["typ"] = json!("JWT")),
        ("shared with our party", |t| {
            t.claims["aud"] = json!(["other", "console"]);
            t.claims["azp"] = json!("console");
        }),
        ("a list of us", |t| t.claims["aud"] = json!(["console"])),
        ("no session id and no token id", |t| {
            drop_claim(t, "sid");
            drop_claim(t, "jti");
        }),
        ("within skew", |t| t.claims["exp"] = json!(NOW_S - 29)),
        ("kind in other letters", |t| {
            t.granted["token_type"] = json!("bearer")
        }),
    ];
    for (case, twist) in controls {
        let mut turn = bench.begin().await;
        twist(&mut turn);
        bench.logs_in(case, &turn).await;
    }
}

#[tokio::test]
async fn who_was_asked_too_long_ago_or_too_little_is_not_let_in() {
    let bench = bench_with(|_, login| {
        login.max_age = Some(std::time::Duration::from_secs(600));
        login.acr_values = vec!["gold".to_owned(), "silver".to_owned()];
    })
    .await;
    let good = |t: &mut Turn| {
        t.claims["auth_time"] = json!(NOW_S - 630);
        t.claims["acr"] = json!("silver");
    };
    let mut turn = bench.begin().await;
    assert_eq!(turn.sent("max_age"), "600");
    assert_eq!(turn.sent("acr_values"), "gold silver");
    good(&mut turn);
    bench.logs_in("control", &turn).await;
    let cases: &[Case] = &[
        (
            "no time",
            |t| drop_claim(t, "auth_time"),
            "login_auth_time_missing",
        ),
        (
            "too old",
            |t| t.claims["auth_time"] = json!(NOW_S - 631),
            "login_auth_too_old",
        ),
        (
            "no time but text",
            |t| t.claims["auth_time"] = json!("now"),
            "token_time_malformed",
        ),
        ("no class", |t| drop_claim(t, "acr"), "login_acr_wrong"),
        (
            "other class",
            |t| t.claims["acr"] = json!("bronze"),
            "login_acr_wrong",
        ),
        (
            "classes",
            |t| t.claims["acr"] = json!(["gold"]),
            "login_acr_wrong",
        ),
    ];
    for (case, twist, reason) in cases {
        let mut turn = bench.begin().await;
        good(&mut turn);
        twist(&mut turn);
        bench.refuses(case, &turn, reason).await;
    }
}

#[tokio::test]
async fn userinfo_adds_what_the_id_token_lacks_and_only_about_its_subject() {
    let bench = bench_with(|issuer, login| {
        login.userinfo = true;
        issuer.claims.attributes = vec!["region".to_owned()];
    })
    .await;
    let mut turn = bench.begin().await;
    turn.userinfo = json!({"sub": "carol", "groups": ["admins"], "region": "north"});
    let cookie = bench.logs_in("control", &turn).await;
    let (_, who) = bench.who(&cookie).await;
    assert_eq!(who["groups"], json!(["emea"]), "the ID token's own counts");
    assert_eq!(who["attributes"], json!({"region": "north"}));
    assert!(bench.site.last("/userinfo").contains("Bearer access-1"));
    bench
        .refuses_all(&[
            (
                "another",
                |t| t.userinfo["sub"] = json!("dave"),
                "login_userinfo_subject",
            ),
            (
                "nobody",
                |t| t.userinfo = json!({"groups": []}),
                "login_userinfo_subject",
            ),
            (
                "no object",
                |t| t.userinfo = json!(["carol"]),
                "login_userinfo_refused",
            ),
        ])
        .await;
}
