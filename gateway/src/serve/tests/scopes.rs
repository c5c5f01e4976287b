//! What a key with scopes reaches.

use dataos_model::{decision::Effect, record::EntryKind};
use http::Response;
use serde_json::json;

use super::{
    QUERY,
    fakes::{RecordMode, Scene, scene},
    json_of, request, send,
};
use crate::respond::AnswerBody;

impl Scene {
    /// A key of `admin` with these scopes, made over REST.
    async fn scoped(&self, scopes: &[&str]) -> String {
        let body = json!({"name": "ci", "scopes": scopes}).to_string();
        let response = self.call("POST", "/api/v1/apikeys", &body).await;
        assert_eq!(response.status(), 201);
        let made = json_of(response).await;
        assert_eq!(made["scopes"], json!(scopes));
        format!("Bearer {}", made["key"].as_str().unwrap())
    }

    async fn by(&self, key: &str, method: &str, path: &str, body: &str) -> Response<AnswerBody> {
        let mut headers = vec![("authorization", key)];
        if !body.is_empty() {
            let is_json = body.starts_with('{');
            let kind = if is_json {
                "application/json"
            } else {
                "application/yaml"
            };
            headers.push(("content-type", kind));
        }
        send(&self.gateway, request(method, path, &headers, body)).await
    }
}

#[tokio::test]
async fn out_of_scope_is_denied_with_its_own_reason_and_recorded_whole() {
    let scene = scene().await;
    let key = scene.scoped(&["action:query"]).await;
    assert_eq!(
        scene
            .by(&key, "POST", "/api/v1/query", QUERY)
            .await
            .status(),
        200
    );
    let response = scene.by(&key, "GET", "/api/v1/policies", "").await;
    assert_eq!(response.status(), 403);
    assert!(response.headers().contains_key("dataos-receipt"));
    let problem = json_of(response).await;
    assert_eq!(problem["reason"], "out_of_scope");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("`action:view_policy`"), "{detail}");
    let entry = scene.entries().pop().unwrap();
    assert_eq!(
        (entry.kind, entry.effect),
        (EntryKind::Decision, Some(Effect::Deny))
    );
    assert_eq!(
        (entry.reason.as_str(), entry.action.as_str()),
        ("out_of_scope", "view_policy")
    );
    assert_eq!(entry.principal, "DataOS::User::\"admin\"");
    assert_eq!(entry.facts["authentication"], "api_key");
    assert!(entry.facts.contains_key("credential"));
    // A denial leaves as little as any other answer before its record.
    scene.record.set(RecordMode::Failing);
    let response = scene.by(&key, "GET", "/api/v1/policies", "").await;
    assert_eq!(response.status(), 503);
}

#[tokio::test]
async fn scopes_name_actions_routes_or_all_below_a_path() {
    let scene = scene().await;
    for (scope, method, path, body, status) in [
        ("action:call", "GET", "/api/v1/session", "", 200),
        ("action:call", "POST", "/api/v1/query", QUERY, 403),
        (
            "route:GET /api/v1/policies",
            "GET",
            "/api/v1/policies",
            "",
            200,
        ),
        (
            "route:GET /api/v1/policies",
            "GET",
            "/api/v1/policies/texts",
            "",
            403,
        ),
        (
            "route:GET /api/v1/policies/...",
            "GET",
            "/api/v1/policies/texts",
            "",
            200,
        ),
        (
            "route:GET /api/v1/users/...",
            "DELETE",
            "/api/v1/users/nobody",
            "",
            403,
        ),
        (
            "route:* /api/v1/users/...",
            "DELETE",
            "/api/v1/users/nobody",
            "",
            404,
        ),
        // Where a handler does more than its route is decided on, the more is what counts.
        ("action:list_resources", "GET", "/api/v1/resources", "", 200),
        (
            "action:list_resources",
            "POST",
            "/api/v1/resources",
            "name: x\n",
            403,
        ),
    ] {
        let key = scene.scoped(&[scope]).await;
        let response = scene.by(&key, method, path, body).await;
        assert_eq!(response.status(), status, "{scope}: {method} {path}");
    }
    // A policy still decides what the scopes leave.
    scene.decide.deny(&["query"]);
    let key = scene.scoped(&["action:query"]).await;
    let response = scene.by(&key, "POST", "/api/v1/query", QUERY).await;
    assert_eq!(json_of(response).await["reason"], "forbidden");
}

#[tokio::test]
async fn a_key_with_scopes_makes_no_key_that_can_do_more() {
    let scene = scene().await;
    let key = scene.scoped(&["action:call", "action:query"]).await;
    for (body, status) in [
        (json!({"name": "more"}), 403),
        (
            json!({"name": "more", "scopes": ["action:query", "action:view_policy"]}),
            403,
        ),
        (json!({"name": "more", "scopes": ["route:* /..."]}), 403),
        (json!({"name": "less", "scopes": ["action:query"]}), 201),
    ] {
        let response = scene
            .by(&key, "POST", "/api/v1/apikeys", &body.to_string())
            .await;
        assert_eq!(response.status(), status, "{body}");
    }
    let mut keys = scene.gateway.accounts.keys("admin").into_iter();
    let wide = keys.find(|key| key.scopes.is_none()).unwrap();
    let path = format!("/api/v1/apikeys/{}/rotation", wide.id);
    let response = scene.by(&key, "POST", &path, "{}").await;
    assert_eq!(json_of(response).await["reason"], "out_of_scope");
    for bad in [json!([]), json!(["fly"]), json!("action:query")] {
        let body = json!({"name": "bad", "scopes": bad}).to_string();
        let response = scene.call("POST", "/api/v1/apikeys", &body).await;
        assert_eq!(response.status(), 400, "{body}");
    }
}

#[tokio::test]
async fn whoever_asks_about_a_key_learns_what_its_scopes_allow() {
    let scene = scene().await;
    for (scopes, expected) in [
        (&["action:select"][..], true),
        (&["action:query"], false),
        (&["route:* /..."], false),
    ] {
        let key = scene.scoped(scopes).await;
        let token = key.trim_start_matches("Bearer ");
        let body = json!({"token": token, "context": {"predicate": "read",
            "object": {"paths": ["dataos://crm:main/people"]}}});
        let path = "/heimdall/api/v1/authorize";
        let answer = json_of(scene.call("POST", path, &body.to_string()).await).await;
        assert_eq!(answer["allow"], expected, "{scopes:?}: {answer}");
        assert_eq!(answer["valid"], true);
    }
}
