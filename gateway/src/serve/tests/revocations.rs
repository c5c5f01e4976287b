//! Revocations over REST.

use std::time::Duration;

use serde_json::json;

use super::{fakes::scene_with_issuers, json_of};
use crate::config::{ClaimNames, IssuerConfig, KeySource};

#[tokio::test]
async fn revocations_name_a_known_issuer_and_one_thing_and_are_recorded() {
    let jwks = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(jwks.path(), r#"{"keys": []}"#).unwrap();
    let issuer = IssuerConfig {
        issuer: "https://idp.example".to_owned(),
        audience: "dataos".to_owned(),
        algorithms: vec!["ES256".to_owned()],
        types: vec!["at+jwt".to_owned()],
        keys: KeySource::File(jwks.path().to_owned()),
        ca_file: None,
        key_hosts: Vec::new(),
        clients: Vec::new(),
        skew: Duration::ZERO,
        user_prefix: String::new(),
        claims: ClaimNames {
            user: "sub".to_owned(),
            groups: None,
            roles: None,
            attributes: Vec::new(),
        },
        login: None,
    };
    let scene = scene_with_issuers(&[issuer]).await;
    let idp = "https://idp.example";
    for (body, status) in [
        (json!({"issuer": "https://other", "jti": "a"}), 400),
        (json!({"issuer": idp}), 400),
        (json!({"issuer": idp, "jti": "a", "subject": "b"}), 400),
        (json!({"issuer": idp, "jti": ""}), 400),
        (
            json!({"issuer": idp, "jti": "a", "expires_in_seconds": 0}),
            400,
        ),
        (json!({"issuer": idp, "jti": "a", "token": "b"}), 400),
        (json!({"issuer": idp, "jti": "a"}), 201),
        (
            json!({"issuer": idp, "subject": "ana", "expires_in_seconds": 60}),
            201,
        ),
        (
            json!({"issuer": idp, "subject": "ana", "expires_in_seconds": 90}),
            201,
        ),
    ] {
        let response = scene
            .call("POST", "/api/v1/revocations", &body.to_string())
            .await;
        assert_eq!(response.status(), status, "{body}");
    }
    let changes: Vec<(String, String)> = scene
        .entries()
        .into_iter()
        .filter(|entry| entry.kind == dataos_model::record::EntryKind::IdentityChange)
        .map(|entry| (entry.action, entry.resource))
        .collect();
    let change = |action: &str, subject: &str| (action.to_owned(), format!("{idp} {subject}"));
    assert_eq!(
        changes,
        [
            change("token_revoked", "a"),
            change("subject_revoked", "ana"),
            change("subject_revoked", "ana")
        ]
    );
    let listed = json_of(scene.get("/api/v1/revocations").await).await;
    let listed = listed["revocations"].as_array().unwrap();
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert_eq!(listed[1]["subject"], "ana");
    assert_eq!(listed[1]["expires_at"], "2027-01-15T08:01:30Z");
}
