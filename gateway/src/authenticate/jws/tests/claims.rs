//! What the claims say: when, for whom, from whom, about whom, and whether that still counts.

use dataos_model::clock::Timestamp;
use serde_json::{Value, json};

use super::{
    ISSUER, NOW_S, TokenFault, bench, bench_with,
    keys::{claims, with, without},
};
use crate::accounts::Revoked;

#[tokio::test]
async fn times_are_whole_seconds_within_the_skew() {
    let bench = bench().await;
    let keys = &bench.keys;
    for (name, value) in [
        ("exp", json!(NOW_S - 29)),
        ("exp", json!(i64::MAX)),
        ("nbf", json!(NOW_S + 30)),
        ("iat", json!(NOW_S + 30)),
        ("iat", json!(0)),
    ] {
        let token = keys.claiming(&with(claims(), name, value.clone()));
        bench.passes(&format!("{name} {value}"), &token).await;
    }
    for name in ["nbf", "iat"] {
        bench
            .passes(name, &keys.claiming(&without(claims(), name)))
            .await;
    }
    let endless = keys.claiming(&without(claims(), "exp"));
    bench
        .refuses("no exp", &endless, TokenFault::ExpiryMissing)
        .await;
    for (name, value, fault) in [
        ("exp", json!(NOW_S - 30), TokenFault::Expired),
        ("exp", json!(0), TokenFault::Expired),
        ("exp", json!(-1), TokenFault::Time),
        ("exp", json!((NOW_S + 300).to_string()), TokenFault::Time),
        ("exp", json!(1_800_000_300.5), TokenFault::Time),
        ("exp", json!(1_800_000_300.0), TokenFault::Time),
        ("exp", json!(1e300), TokenFault::Time),
        (
            "exp",
            json!(9_223_372_036_854_775_808_u64),
            TokenFault::Time,
        ),
        ("exp", json!(null), TokenFault::Time),
        ("exp", json!([NOW_S + 300]), TokenFault::Time),
        ("exp", json!(true), TokenFault::Time),
        ("nbf", json!(NOW_S + 31), TokenFault::NotYetValid),
        ("nbf", json!("now"), TokenFault::Time),
        ("nbf", json!(-5), TokenFault::Time),
        ("iat", json!(NOW_S + 31), TokenFault::IssuedAhead),
        ("iat", json!("now"), TokenFault::Time),
        ("iat", json!(0.5), TokenFault::Time),
    ] {
        let token = keys.claiming(&with(claims(), name, value.clone()));
        bench
            .refuses(&format!("{name} {value}"), &token, fault)
            .await;
    }
}

#[tokio::test]
async fn tokens_are_for_us_from_whom_we_trust_about_someone() {
    let bench = bench().await;
    let keys = &bench.keys;
    let several = with(claims(), "aud", json!(["other", "dataos"]));
    bench
        .passes("one of several", &keys.claiming(&several))
        .await;
    for (name, value, fault) in [
        ("aud", json!("other"), TokenFault::Audience),
        ("aud", json!(["other"]), TokenFault::Audience),
        ("aud", json!([]), TokenFault::Audience),
        ("aud", json!(["dataos", 7]), TokenFault::Audience),
        ("aud", json!("dataos "), TokenFault::Audience),
        ("aud", json!("DATAOS"), TokenFault::Audience),
        ("aud", json!("dataos other"), TokenFault::Audience),
        ("aud", json!(null), TokenFault::Audience),
        ("aud", json!({"dataos": 1}), TokenFault::Audience),
        ("iss", json!("https://idp.example/"), TokenFault::Issuer),
        ("iss", json!("https://IDP.example"), TokenFault::Issuer),
        ("iss", json!("https://idp.example:443"), TokenFault::Issuer),
        ("iss", json!("http://idp.example"), TokenFault::Issuer),
        ("iss", json!(""), TokenFault::Issuer),
        ("iss", json!([ISSUER]), TokenFault::Claims),
        ("sub", json!(""), TokenFault::Subject),
        ("sub", json!(7), TokenFault::Subject),
        ("sub", json!(null), TokenFault::Subject),
        ("sub", json!(["alice"]), TokenFault::Subject),
        // Bound to a key that nobody proved to hold.
        ("cnf", json!({"jkt": "abc"}), TokenFault::BindingUnknown),
        ("cnf", json!({}), TokenFault::BindingUnknown),
        ("cnf", json!("x"), TokenFault::BindingUnknown),
        (
            "cnf",
            json!({"x5t#S256": "abc"}),
            TokenFault::BindingUnknown,
        ),
    ] {
        let token = keys.claiming(&with(claims(), name, value.clone()));
        bench
            .refuses(&format!("{name} {value}"), &token, fault)
            .await;
    }
    for (name, fault) in [
        ("aud", TokenFault::AudienceMissing),
        ("iss", TokenFault::IssuerMissing),
        ("sub", TokenFault::Subject),
    ] {
        bench
            .refuses(name, &keys.claiming(&without(claims(), name)), fault)
            .await;
    }
}

#[tokio::test]
async fn tokens_of_other_clients_are_refused() {
    let any = bench().await;
    for party in [
        json!({"azp": "shop"}),
        json!({"client_id": "shop"}),
        json!({"azp": "shop", "client_id": "shop"}),
    ] {
        let token = any.keys.claiming(&merged(&party));
        any.passes(&party.to_string(), &token).await;
    }
    let split = json!({"azp": "shop", "client_id": "pay"});
    for party in [
        split.clone(),
        json!({"azp": 7}),
        json!({"client_id": ["shop"]}),
    ] {
        let token = any.keys.claiming(&merged(&party));
        any.refuses(&party.to_string(), &token, TokenFault::Party)
            .await;
    }
    let listed = bench_with(|issuer| issuer.clients = vec!["shop".to_owned()]).await;
    let good = listed.keys.claiming(&merged(&json!({"azp": "shop"})));
    listed.passes("listed", &good).await;
    for party in [
        json!({"azp": "pay"}),
        json!({"azp": "Shop"}),
        json!({}),
        split,
    ] {
        let token = listed.keys.claiming(&merged(&party));
        listed
            .refuses(&party.to_string(), &token, TokenFault::Party)
            .await;
    }
}

fn merged(more: &Value) -> Value {
    let mut all = claims();
    for (name, value) in more.as_object().unwrap() {
        all[name] = value.clone();
    }
    all
}

#[tokio::test]
async fn revoked_tokens_and_subjects_are_refused_at_once() {
    let bench = bench().await;
    let token = |id: &str, sub: &str, iat: i64| {
        let claims = merged(&json!({"jti": id, "sub": sub, "iat": iat}));
        bench.keys.claiming(&claims)
    };
    let (one, other) = (token("one", "ana", NOW_S), token("other", "ana", NOW_S));
    bench.passes("control", &one).await;
    bench.passes("control", &other).await;
    let accounts = &bench.scene.gateway.accounts;
    let revoke = async |revoked| {
        let now = Timestamp(NOW_S * 1000);
        accounts.revoke(ISSUER, revoked, 1000, now).await.unwrap();
    };
    revoke(Revoked::Token("one".to_owned())).await;
    bench.refuses("its jti", &one, TokenFault::Revoked).await;
    bench.passes("another jti", &other).await;
    revoke(Revoked::Subject("ana".to_owned())).await;
    bench
        .refuses("its sub", &other, TokenFault::SubjectRevoked)
        .await;
    let undated = bench
        .keys
        .claiming(&without(with(claims(), "sub", json!("ana")), "iat"));
    bench
        .refuses("no iat", &undated, TokenFault::SubjectRevoked)
        .await;
    bench
        .passes("issued since", &token("new", "ana", NOW_S + 1))
        .await;
    bench
        .passes("another sub", &token("one-more", "bob", NOW_S))
        .await;
    // The jti of one issuer says nothing about a token of another.
    let elsewhere = accounts.with_revocations(|all| all.has_token("https://other", "one"));
    assert!(!elsewhere);
}
