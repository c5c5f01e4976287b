//! Sessions that are confirmed by a refresh token: one refresh at a time, each token used once, and ended
//! by whatever the provider does not confirm.

use std::{sync::Arc, time::Duration};

use dataos_model::clock::Timestamp;
use serde_json::{Value, json};

use super::{Answer, Bench, NOW_S, Turn, bench, bench_with};
use crate::authenticate::AuthenticationFault;

const ENDED: AuthenticationFault = AuthenticationFault::Invalid("session_ended_by_provider");

fn after(seconds: i64) -> Timestamp {
    Timestamp((NOW_S + seconds) * 1000)
}

impl Bench {
    /// A session with the refresh token `refresh-1`, to be renewed in 60 seconds: its cookie's value, and
    /// the turn with which the provider answers next.
    async fn renewable(&self) -> (String, Turn) {
        let mut turn = self.begin().await;
        turn.granted["refresh_token"] = json!("refresh-1");
        turn.granted["expires_in"] = json!(60);
        let cookie = self.logs_in("renewable", &turn).await;
        turn.granted["refresh_token"] = json!("refresh-2");
        turn.granted["access_token"] = json!("access-2");
        turn.claims.as_object_mut().unwrap().shift_remove("at_hash");
        turn.claims.as_object_mut().unwrap().shift_remove("c_hash");
        self.answers(&turn);
        (cookie.split_once('=').unwrap().1.to_owned(), turn)
    }

    fn principal(&self, cookie: &str, at: Timestamp) -> Result<Value, &'static str> {
        let accounts = &self.scene.gateway.accounts;
        let principal = accounts.principal_of_session(cookie, at)?;
        Ok(json!([principal.uid.id, principal.groups]))
    }

    async fn renews(&self, cookie: &str, at: Timestamp) -> Result<(), AuthenticationFault> {
        let due = self
            .scene
            .gateway
            .accounts
            .due_renewal(cookie, at)
            .expect("it is due");
        self.scene.gateway.providers.renew(due, at).await
    }

    fn is_due(&self, cookie: &str, at: Timestamp) -> bool {
        self.scene
            .gateway
            .accounts
            .due_renewal(cookie, at)
            .is_some()
    }
}

#[tokio::test]
async fn a_session_is_renewed_when_due_with_each_token_once_and_as_whom_it_is_now() {
    let bench = bench().await;
    let (cookie, mut turn) = bench.renewable().await;
    assert!(!bench.is_due(&cookie, after(59)));
    turn.claims["groups"] = json!(["apac"]);
    bench.answers(&turn);
    bench.renews(&cookie, after(60)).await.unwrap();
    let form = bench.site.last("/token");
    assert!(
        form.contains("grant_type=refresh_token&refresh_token=refresh-1"),
        "{form}"
    );
    let now = bench.principal(&cookie, after(60));
    assert_eq!(now, Ok(json!(["idp-carol", ["apac"]])));
    assert!(!bench.is_due(&cookie, after(119)));
    turn.granted = json!({"token_type": "Bearer", "access_token": "access-3", "expires_in": 1});
    bench.answers(&turn);
    bench.renews(&cookie, after(120)).await.unwrap();
    assert!(
        bench
            .site
            .last("/token")
            .contains("refresh_token=refresh-2"),
        "it was replaced"
    );
    assert_eq!(
        bench.principal(&cookie, after(120)),
        now,
        "no ID token, no change"
    );
    assert!(
        !bench.is_due(&cookie, after(129)),
        "not more often than every 10 seconds"
    );
    bench.renews(&cookie, after(130)).await.unwrap();
    assert!(
        bench
            .site
            .last("/token")
            .contains("refresh_token=refresh-2"),
        "none new was given"
    );
}

#[tokio::test]
async fn all_who_use_a_due_session_share_one_refresh() {
    let bench = bench().await;
    let (cookie, turn) = bench.renewable().await;
    let granted =
        json!({"token_type": "Bearer", "access_token": "a", "refresh_token": "refresh-2"});
    let late = Answer::Late(Duration::from_secs(3), granted.to_string());
    bench.site.set("/token", late);
    let before = bench.site.asked();
    let bench = Arc::new(bench);
    let tasks: Vec<_> = (0..20)
        .map(|at| {
            let (bench, cookie) = (Arc::clone(&bench), cookie.clone());
            let task = tokio::spawn(async move { bench.renews(&cookie, after(60)).await });
            // Some go away while they wait; the refresh goes on.
            if at % 2 == 1 {
                let handle = task.abort_handle();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    handle.abort();
                });
            }
            task
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        if let Ok(renewed) = task.await {
            renewed.unwrap();
            done += 1;
        }
    }
    assert_eq!(done, 10);
    assert_eq!(bench.site.asked(), before + 1);
    drop(turn);
}

#[tokio::test]
async fn what_the_provider_does_not_confirm_ends() {
    type Twist = fn(&mut Turn);
    let cases: &[(&str, Twist)] = &[
        ("refused, or used before", |t| {
            t.granted_head = "HTTP/1.1 400 Bad Request";
            t.granted = json!({"error": "invalid_grant"});
        }),
        ("client refused", |t| {
            t.granted_head = "HTTP/1.1 401 Unauthorized";
            t.granted = json!({"error": "invalid_client"});
        }),
        ("another subject", |t| t.claims["sub"] = json!("dave")),
        ("another nonce", |t| t.claims["nonce"] = json!("n")),
        ("another access token", |t| {
            t.claims["at_hash"] = json!("AAAA")
        }),
        ("another client", |t| t.claims["aud"] = json!("shop")),
        ("another issuer", |t| {
            t.claims["iss"] = json!("https://evil.example")
        }),
        ("a forged token", |t| t.header["alg"] = json!("none")),
        ("nothing of a kind", |t| t.granted = json!([])),
    ];
    let bench = bench().await;
    for (case, twist) in cases {
        let (cookie, mut turn) = bench.renewable().await;
        twist(&mut turn);
        bench.answers(&turn);
        assert_eq!(bench.renews(&cookie, after(60)).await, Err(ENDED), "{case}");
        let gone = bench.principal(&cookie, after(60));
        assert_eq!(gone, Err("session_unknown"), "{case}");
    }
    let (cookie, turn) = bench.renewable().await;
    bench.answers(&turn);
    bench.renews(&cookie, after(60)).await.unwrap();
    assert!(bench.principal(&cookie, after(60)).is_ok(), "the control");
}

#[tokio::test]
async fn a_provider_that_is_away_is_borne_for_an_hour() {
    let bench = bench().await;
    let (cookie, turn) = bench.renewable().await;
    let broken = Answer::Raw("HTTP/1.1 503 Away", String::new());
    bench.site.set("/token", broken.clone());
    bench.renews(&cookie, after(60)).await.unwrap();
    assert!(
        !bench.is_due(&cookie, after(69)),
        "not tried more often than each 10 seconds"
    );
    bench.renews(&cookie, after(70)).await.unwrap();
    assert!(bench.principal(&cookie, after(70)).is_ok());
    bench.answers(&turn);
    bench.renews(&cookie, after(80)).await.unwrap();
    bench.site.set("/token", broken);
    bench.renews(&cookie, after(140)).await.unwrap();
    bench.renews(&cookie, after(140 + 3599)).await.unwrap();
    let ended = bench.renews(&cookie, after(140 + 3609)).await;
    assert_eq!(ended, Err(ENDED));
}

#[tokio::test]
async fn a_session_that_ended_meanwhile_does_not_come_back() {
    let bench = bench().await;
    let (cookie, _) = bench.renewable().await;
    let granted =
        json!({"token_type": "Bearer", "access_token": "a", "refresh_token": "refresh-2"});
    let late = Answer::Late(Duration::from_millis(300), granted.to_string());
    bench.site.set("/token", late);
    let bench = Arc::new(bench);
    let renewing = {
        let (bench, cookie) = (Arc::clone(&bench), cookie.clone());
        tokio::spawn(async move { bench.renews(&cookie, after(60)).await })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    let accounts = &bench.scene.gateway.accounts;
    accounts.log_out(&cookie).await.unwrap();
    renewing.await.unwrap().unwrap();
    let gone = bench.principal(&cookie, after(60));
    assert_eq!(gone, Err("session_unknown"));
}

#[tokio::test]
async fn userinfo_is_asked_again_with_the_new_token() {
    let bench = bench_with(|issuer, login| {
        login.userinfo = true;
        issuer.claims.groups = Some("teams".to_owned());
    })
    .await;
    let (cookie, mut turn) = bench.renewable().await;
    turn.userinfo = json!({"sub": "carol", "teams": ["red"]});
    turn.granted
        .as_object_mut()
        .unwrap()
        .shift_remove("id_token");
    bench.answers(&turn);
    bench.renews(&cookie, after(60)).await.unwrap();
    assert!(bench.site.last("/userinfo").contains("Bearer access-2"));
    let now = bench.principal(&cookie, after(60));
    assert_eq!(now, Ok(json!(["idp-carol", ["red"]])));
    turn.userinfo["sub"] = json!("dave");
    bench.answers(&turn);
    assert_eq!(bench.renews(&cookie, after(120)).await, Err(ENDED));
}
