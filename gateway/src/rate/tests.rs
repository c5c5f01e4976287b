use std::time::Duration;

use dataos_model::{
    entity::EntityType,
    principal::{Authentication, Principal},
};
use http::StatusCode;

use super::{Quota, RateConfig, Rates};
use crate::respond::Answer;

fn quota(count: u64) -> Option<Quota> {
    Quota::new(count, Duration::from_secs(3600))
}

fn principal(name: &str, issuer: &str) -> Principal {
    let mut principal = Principal::new(EntityType::USER.id(name), Authentication::ApiKey);
    principal.issuer = issuer.to_owned();
    principal
}

#[tokio::test]
async fn each_quota_has_its_own_callers_and_its_own_reason() {
    let rates = Rates::new(RateConfig {
        address: quota(2),
        principal: quota(4),
        workspace: quota(6),
        route: quota(3),
        redis: None,
    });
    for address in ["10.0.0.1", "10.0.0.2", "2001:db8::1"] {
        let address = address.parse().unwrap();
        assert!(rates.take_address(address).await.is_ok());
        assert!(rates.take_address(address).await.is_ok());
        let reason = rates
            .take_address(address)
            .await
            .unwrap_err()
            .refusal()
            .reason;
        assert_eq!(reason, "rate_address");
    }
    // Another address of the same network is the same peer.
    let neighbour = "2001:db8::2".parse().unwrap();
    assert!(rates.take_address(neighbour).await.is_err());
    let (alice, other) = (
        principal("alice", "local"),
        principal("alice", "https://idp"),
    );
    let call = async |who: &Principal, workspace: &str, route| {
        let taken = rates.take_call(who, Some(workspace), route).await;
        taken.map(|_| ()).map_err(|left| left.refusal().reason)
    };
    for _ in 0..3 {
        assert_eq!(call(&alice, "a", "/one").await, Ok(()));
    }
    assert_eq!(call(&alice, "a", "/one").await, Err("rate_route"));
    assert_eq!(call(&alice, "a", "/two").await, Err("rate_principal"));
    assert_eq!(call(&other, "a", "/one").await, Ok(()));
    assert_eq!(call(&other, "a", "/one").await, Ok(()));
    assert_eq!(call(&other, "a", "/one").await, Err("rate_workspace"));
    assert_eq!(call(&other, "b", "/one").await, Ok(()));
}

#[tokio::test]
async fn nothing_said_is_no_limit() {
    let rates = Rates::new(RateConfig::default());
    let alice = principal("alice", "local");
    for _ in 0..1000 {
        assert_eq!(
            rates.take_address("10.0.0.1".parse().unwrap()).await,
            Ok(None)
        );
        assert_eq!(rates.take_call(&alice, None, "/one").await, Ok(None));
    }
}

#[tokio::test]
async fn fields_tell_what_is_left_and_how_long_to_wait() {
    let rates = Rates::new(RateConfig {
        principal: Quota::new(2, Duration::from_secs(100)),
        ..RateConfig::default()
    });
    let alice = principal("alice", "local");
    let field = |answer: &Answer, name: &str| {
        let found = answer.headers.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.to_str().unwrap().to_owned())
    };
    let left = rates
        .take_call(&alice, None, "/one")
        .await
        .unwrap()
        .unwrap();
    let answer = left.on(Answer::no_content());
    assert_eq!(
        field(&answer, "ratelimit").unwrap(),
        "\"principal\";r=1;t=50"
    );
    let policy = field(&answer, "ratelimit-policy").unwrap();
    assert_eq!(policy, "\"principal\";q=2;w=100");
    rates.take_call(&alice, None, "/one").await.unwrap();
    let left = rates.take_call(&alice, None, "/one").await.unwrap_err();
    assert_eq!(left.refusal().status, StatusCode::TOO_MANY_REQUESTS);
    let answer = left.on_refusal(Answer::no_content());
    let wait: u64 = field(&answer, "retry-after").unwrap().parse().unwrap();
    assert!((40..=50).contains(&wait), "{wait}");
    assert_eq!(
        field(&answer, "ratelimit").unwrap(),
        format!("\"principal\";r=0;t={wait}")
    );
}
