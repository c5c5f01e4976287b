//! Questions about oneself and others, obligations, pages, and the names of requests.

use std::{sync::Arc, time::Duration};

use dataos_model::{
    decision::Effect,
    entity::{Entity, EntityChange, EntityType},
    principal::{Authentication, Principal},
    record::{Entry, EntryKind},
    seams::EntitySink,
};
use serde_json::{Value, json};

use super::{
    fakes::{RecordMode, Scene, scene},
    json_of, request, send,
};

/// Alice, bob and two depots beside the caller, who is `admin`.
async fn peopled() -> Scene {
    let scene = scene().await;
    let user =
        |id: &str| Principal::new(EntityType::USER.id(id), Authentication::Internal).entity();
    let entities = [
        user("alice"),
        user("bob"),
        Entity::new(EntityType::DEPOT.id("crm")),
        Entity::new(EntityType::DEPOT.id("hr")),
    ];
    let changes = entities.into_iter().map(EntityChange::Upsert).collect();
    scene.sink.apply(changes).unwrap();
    scene
}

fn asked(subject: &str, action: &str, depot: &str) -> Value {
    json!({
        "subject": {"type": "user", "id": subject},
        "action": {"name": action},
        "resource": {"type": "depot", "id": depot},
    })
}

impl Scene {
    async fn ask(&self, path: &str, body: &Value) -> (u16, Value) {
        let response = self.call("POST", path, &body.to_string()).await;
        (response.status().as_u16(), json_of(response).await)
    }

    fn decisions(&self) -> Vec<Entry> {
        let mut entries = self.entries();
        entries.retain(|entry| entry.kind == EntryKind::Decision);
        entries
    }
}

#[tokio::test]
async fn everyone_asks_about_themselves_and_others_need_a_right() {
    let scene = peopled().await;
    let (status, answer) = scene
        .ask(
            "/access/v1/evaluation",
            &asked("admin", "view_asset", "crm"),
        )
        .await;
    assert_eq!(
        (status, &answer["decision"]),
        (200, &json!(true)),
        "{answer}"
    );
    let own: Vec<String> = scene.decisions().iter().map(|e| e.action.clone()).collect();
    assert_eq!(own, ["call", "view_asset"], "no right was asked for");

    let scene = peopled().await;
    let (status, answer) = scene
        .ask(
            "/access/v1/evaluation",
            &asked("alice", "view_asset", "crm"),
        )
        .await;
    assert_eq!(
        (status, &answer["decision"]),
        (200, &json!(true)),
        "{answer}"
    );
    let entries = scene.decisions();
    let actions: Vec<&str> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["call", "ask_decision", "view_asset"]);
    assert_eq!(entries[2].principal, "DataOS::User::\"alice\"");
    assert_eq!(entries[2].facts["asked_by"], "DataOS::User::\"admin\"");

    scene.decide.deny(&["ask_decision"]);
    for path in [
        "/access/v1/evaluation",
        "/access/v1/evaluations",
        "/access/v1/search/subject",
        "/access/v1/search/resource",
        "/access/v1/search/action",
    ] {
        let (status, answer) = scene.ask(path, &asked("alice", "view_asset", "crm")).await;
        assert_eq!(status, 403, "{path}: {answer}");
        assert!(
            answer["hint"].as_str().unwrap().contains("ask_decision"),
            "{path}"
        );
    }
    let (status, _) = scene
        .ask(
            "/access/v1/search/resource",
            &asked("admin", "view_asset", "crm"),
        )
        .await;
    assert_eq!(status, 200, "a search about oneself");
    let refused = scene.decisions().into_iter();
    let refused = refused.filter(|e| e.action == "ask_decision" && e.effect == Some(Effect::Deny));
    assert_eq!(refused.count(), 5, "each refusal is recorded");
}

#[tokio::test]
async fn no_decision_leaves_before_its_record() {
    let scene = Arc::new(peopled().await);
    scene.record.set(RecordMode::Stalled);
    let asking = Arc::clone(&scene);
    let mut call = tokio::spawn(async move {
        let body = asked("admin", "view_asset", "crm");
        asking.ask("/access/v1/evaluation", &body).await
    });
    scene.record.wait_for(2).await;
    let early = tokio::time::timeout(Duration::from_millis(50), &mut call).await;
    assert!(early.is_err(), "answered before its record was durable");
    scene.record.set(RecordMode::Durable);
    assert_eq!(call.await.unwrap().0, 200);
    scene.record.set(RecordMode::Failing);
    let (status, _) = scene
        .ask(
            "/access/v1/evaluation",
            &asked("admin", "view_asset", "crm"),
        )
        .await;
    assert_eq!(status, 503);
}

#[tokio::test]
async fn what_is_not_known_is_denied_and_recorded() {
    let scene = peopled().await;
    for (body, reason) in [
        (asked("nobody", "view_asset", "crm"), "entity_missing"),
        (asked("alice", "fly", "crm"), "action_unknown"),
    ] {
        let (status, answer) = scene.ask("/access/v1/evaluation", &body).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["decision"], false, "{answer}");
        assert_eq!(answer["context"]["reason"], reason, "{answer}");
        let entries = scene.decisions();
        let last = entries.last().unwrap();
        assert_eq!(
            (last.effect, last.reason.as_str()),
            (Some(Effect::Deny), reason)
        );
    }
}

#[tokio::test]
async fn a_batch_keeps_order_errors_and_semantics() {
    let scene = peopled().await;
    scene.decide.deny_on(&["view_asset"], "hr");
    let items = json!([
        {"resource": {"type": "depot", "id": "crm"}},
        {"resource": {"type": "depot", "id": "hr"}},
        {},
        {"resource": {"type": "depot", "id": "crm"}},
    ]);
    for (semantic, expected) in [
        ("execute_all", json!([true, false, false, true])),
        ("deny_on_first_deny", json!([true, false])),
        ("permit_on_first_permit", json!([true])),
    ] {
        let before = scene.decisions().len();
        let body = json!({
            "subject": {"type": "user", "id": "alice"},
            "action": {"name": "view_asset"},
            "evaluations": items,
            "options": {"evaluations_semantic": semantic},
        });
        let (status, answer) = scene.ask("/access/v1/evaluations", &body).await;
        assert_eq!(status, 200, "{answer}");
        let answers = answer["evaluations"].as_array().unwrap();
        let decisions: Vec<&Value> = answers.iter().map(|item| &item["decision"]).collect();
        assert_eq!(json!(decisions), expected, "{semantic}");
        if semantic == "execute_all" {
            assert_eq!(answers[2]["context"]["error"]["status"], 400);
        }
        let asked = scene.decisions().len() - before - 2;
        let answered = decisions.len() - usize::from(semantic == "execute_all");
        assert_eq!(
            asked, answered,
            "{semantic}: one record for each decision told"
        );
    }
}

#[tokio::test]
async fn pages_follow_each_other_and_tokens_cannot_be_carried_away() {
    let scene = peopled().await;
    let body = |page: Value| {
        let mut body = asked("ignored", "view_asset", "crm");
        body["page"] = page;
        body
    };
    let mut found = Vec::new();
    let mut tokens = Vec::new();
    let mut page = json!({"limit": 1});
    loop {
        let (status, answer) = scene.ask("/access/v1/search/subject", &body(page)).await;
        assert_eq!(status, 200, "{answer}");
        assert!(answer["results"].as_array().unwrap().len() <= 1, "{answer}");
        for result in answer["results"].as_array().unwrap() {
            assert_eq!(result["type"], "user");
            found.push(result["id"].as_str().unwrap().to_owned());
        }
        let token = answer["page"]["next_token"].as_str().unwrap().to_owned();
        if token.is_empty() {
            assert_eq!(answer["page"]["total"], 3, "{answer}");
            break;
        }
        page = json!({"token": token});
        tokens.push(token);
    }
    assert_eq!(found, ["admin", "alice", "bob"]);

    let token = &tokens[0];
    let mut other = body(json!({"token": token}));
    other["resource"]["id"] = json!("hr");
    let mut forged = token.clone();
    let first = if forged.starts_with('A') { "B" } else { "A" };
    forged.replace_range(0..1, first);
    for (what, sent) in [
        ("another question", other),
        ("another limit", body(json!({"token": token, "limit": 2}))),
        ("a changed token", body(json!({"token": forged}))),
        ("no token", body(json!({"token": "x"}))),
    ] {
        let (status, answer) = scene.ask("/access/v1/search/subject", &sent).await;
        assert_eq!(status, 400, "{what}: {answer}");
        assert!(
            answer["location"]["field"]
                .as_str()
                .unwrap()
                .starts_with("page."),
            "{what}"
        );
    }
    let (status, _) = scene
        .ask("/access/v1/search/resource", &body(json!({"token": token})))
        .await;
    assert_eq!(status, 400, "another search");
    let empty = body(json!({"limit": 0}));
    let (_, answer) = scene.ask("/access/v1/search/subject", &empty).await;
    assert_eq!(answer["results"], json!([]));
    assert_ne!(answer["page"]["next_token"], "", "there is more than none");
}

#[tokio::test]
async fn searches_for_the_unknown_find_nothing() {
    let scene = peopled().await;
    for (path, body) in [
        (
            "subject",
            json!({"subject": {"type": "spaceship"}, "action": {"name": "view_asset"}, "resource": {"type": "depot", "id": "crm"}}),
        ),
        (
            "subject",
            json!({"subject": {"type": "user"}, "action": {"name": "fly"}, "resource": {"type": "depot", "id": "crm"}}),
        ),
        (
            "resource",
            json!({"subject": {"type": "user", "id": "nobody"}, "action": {"name": "view_asset"}, "resource": {"type": "depot"}}),
        ),
        (
            "resource",
            json!({"subject": {"type": "user", "id": "alice"}, "action": {"name": "view_asset"}, "resource": {"type": "spaceship"}}),
        ),
        (
            "action",
            json!({"subject": {"type": "user", "id": "nobody"}, "resource": {"type": "depot", "id": "crm"}}),
        ),
    ] {
        let (status, answer) = scene.ask(&format!("/access/v1/search/{path}"), &body).await;
        assert_eq!(status, 200, "{body}: {answer}");
        assert_eq!(answer["results"], json!([]), "{body}");
        assert_eq!(answer["page"]["next_token"], "", "{body}");
    }
}

#[tokio::test]
async fn the_gateway_refuses_obligations_that_it_does_not_know() {
    let scene = peopled().await;
    scene
        .decide
        .oblige(&["view_policy"], "watermark(text = 'x')");
    let response = scene.get("/api/v1/policies").await;
    assert_eq!(response.status(), 403);
    let problem = json_of(response).await;
    assert_eq!(problem["reason"], "obligation_unknown", "{problem}");
    assert!(
        problem["detail"].as_str().unwrap().contains("watermark"),
        "{problem}"
    );
    let entries = scene.decisions();
    let last = entries.last().unwrap();
    assert_eq!(last.effect, Some(Effect::Deny));
    assert_eq!(last.reason, "obligation_unknown");
    assert_eq!(last.obligations, ["watermark(text = 'x')"]);

    // What only narrows a list is refused in the same way: it is not listed.
    scene
        .decide
        .oblige(&["view_asset", "select"], "watermark(text = 'x')");
    let listed = json_of(scene.get("/api/v1/catalog/datasets").await).await;
    assert_eq!(listed["datasets"], json!([]));
}

#[tokio::test]
async fn policies_say_how_much_of_a_call_is_recorded() {
    let scene = scene().await;
    let set = |level: &str| {
        let actions = ["query", "view_policy", "manage_identity"];
        let obligation = format!("record(level = '{level}')");
        scene.decide.oblige(&actions, &obligation);
    };
    let recorded = |from: usize| scene.entries().split_off(from);
    set("response");
    let body = r#"{"sql":"select 1"}"#;
    assert_eq!(
        scene.call("POST", "/api/v1/query", body).await.status(),
        200
    );
    let entries = recorded(0);
    assert_eq!(entries[0].facts["request_body"], body);
    let answer = &entries.last().unwrap().facts["response_body"];
    assert!(answer.contains("not recorded"), "rows of data: {answer}");

    let before = scene.entries().len();
    assert_eq!(scene.get("/api/v1/policies").await.status(), 200);
    let entries = recorded(before);
    assert_eq!(entries.len(), 1);
    assert!(!entries[0].facts.contains_key("request_body"));
    assert!(entries[0].facts["response_body"].contains("policies"));

    let before = scene.entries().len();
    let user = r#"{"id":"eve","password":"correct horse battery"}"#;
    scene.call("POST", "/api/v1/users", user).await;
    assert_eq!(
        recorded(before)[0].facts["request_body"],
        "(47 bytes, not recorded)"
    );
    assert!(!format!("{:?}", recorded(before)).contains("correct horse"));

    set("none");
    let before = scene.entries().len();
    assert_eq!(scene.get("/api/v1/policies").await.status(), 200);
    let entries = recorded(before);
    assert_eq!((entries.len(), entries[0].facts.len()), (1, 0));

    set("everything");
    let answer = scene.get("/api/v1/policies").await;
    assert_eq!(json_of(answer).await["reason"], "obligation_unknown");
}

#[tokio::test]
async fn who_asks_carries_out_obligations_or_is_denied() {
    let scene = peopled().await;
    scene.decide.oblige(
        &["view_asset"],
        "notification(to = 'a@example.com', body = 'seen')",
    );
    let mut body = asked("alice", "view_asset", "crm");
    let (_, answer) = scene.ask("/access/v1/evaluation", &body).await;
    assert_eq!(answer["decision"], true);
    assert_eq!(answer["context"]["obligations"][0]["type"], "notification");
    let (_, found) = scene.ask("/access/v1/search/subject", &body).await;
    assert_eq!(
        found["results"][0]["obligations"][0]["type"],
        "notification"
    );
    body["context"] = json!({"supported_obligations": ["step-up"]});
    let (_, answer) = scene.ask("/access/v1/evaluation", &body).await;
    assert_eq!(answer["decision"], false);
    assert_eq!(answer["context"]["reason"], "obligation_unknown");
}

#[tokio::test]
async fn names_of_requests_come_back_as_they_came() {
    let scene = peopled().await;
    for (name, value, is_id) in [
        ("x-request-id", "bfe9eb29-ab87", true),
        ("dataos-correlation-id", "corr.1", true),
        ("x-request-id", "any text, with spaces", false),
    ] {
        for (method, path) in [
            ("GET", "/healthz"),
            ("GET", "/api/v1/session"),
            ("GET", "/nowhere"),
        ] {
            let headers = [("authorization", scene.bearer.as_str()), (name, value)];
            let response = send(&scene.gateway, request(method, path, &headers, "")).await;
            assert_eq!(response.headers()[name], value, "{path}");
            let own = response.headers()["dataos-request-id"].to_str().unwrap() == value;
            assert_eq!(own, is_id, "{path} {value}");
        }
    }
    let response = scene.get("/api/v1/session").await;
    assert!(response.headers().get("x-request-id").is_none());
}

#[tokio::test]
async fn access_is_explained_as_far_as_the_caller_may_know() {
    let scene = peopled().await;
    let can = "/api/v1/access/can?principal=alice&action=view_asset&resource=depot:hr";
    scene.decide.deny_on(&["view_asset"], "hr");
    let shown = json_of(scene.get(can).await).await;
    assert_eq!(shown["decision"], false, "{shown}");
    assert_eq!(shown["policies"][0]["id"], "test.forbid");
    assert_eq!(shown["policies"][0]["source"], "test");
    assert_eq!(shown["redacted"], false);
    scene.decide.deny(&["view_asset", "view_policy"]);
    let shown = json_of(scene.get(can).await).await;
    assert_eq!(shown["redacted"], true, "{shown}");
    assert!(shown["policies"][0].get("source").is_none(), "{shown}");
    scene.decide.deny(&["ask_decision"]);
    assert_eq!(scene.get(can).await.status(), 403);
    let own = "/api/v1/access/can?action=view_asset&resource=depot:hr";
    assert_eq!(json_of(scene.get(own).await).await["decision"], true);
    for (query, field) in [
        ("action=view_asset", "resource"),
        ("resource=depot:hr", "action"),
        ("action=fly&resource=depot:hr", "action"),
        ("action=view_asset&resource=x", "resource"),
    ] {
        let response = scene.get(&format!("/api/v1/access/can?{query}")).await;
        assert_eq!(response.status(), 400, "{query}");
        let problem = json_of(response).await;
        assert_eq!(problem["location"]["field"], field, "{query}: {problem}");
        assert!(problem["hint"].is_string(), "{query}: {problem}");
    }
}

#[tokio::test]
async fn lists_for_people_name_types_and_actions() {
    let scene = peopled().await;
    let who = "/api/v1/access/who-can?action=view_asset&resource=depot:crm";
    let shown = json_of(scene.get(who).await).await;
    assert_eq!(
        shown["groups"][0]["results"],
        json!(["admin", "alice", "bob"]),
        "{shown}"
    );
    let what = "/api/v1/access/what-can?principal=alice&action=view_asset&type=depot";
    let shown = json_of(scene.get(what).await).await;
    assert_eq!(
        shown["groups"][0]["results"],
        json!(["crm", "hr"]),
        "{shown}"
    );
    let shown = json_of(scene.get("/api/v1/access/what-can").await).await;
    let groups = shown["groups"].as_array().unwrap();
    let policies = groups
        .iter()
        .find(|group| group["action"] == "view_policy")
        .unwrap();
    assert_eq!(policies["results"], json!(["active"]));
    let response = scene.get("/api/v1/access/what-can?token=x").await;
    assert_eq!(response.status(), 400);
}

#[tokio::test]
async fn the_original_form_is_answered_by_the_same_decisions() {
    let scene = peopled().await;
    let token = scene.bearer.trim_start_matches("Bearer ").to_owned();
    let body = |token: &str, predicate: &str, path: &str| {
        json!({
            "token": token,
            "context": {"predicate": predicate, "object": {"paths": [path]}, "metadata": {"a": 1}},
            "pepContext": {"userAgent": "test", "atomId": "x"},
        })
    };
    scene.decide.deny_on(&["select"], "salaries");
    for (sent, allow, valid) in [
        (body(&token, "read", "dataos://crm:main/people"), true, true),
        (
            body(&token, "read", "dataos://crm:main/salaries"),
            false,
            true,
        ),
        (body(&token, "read", "dataos://crm:**"), false, true),
        (
            body("dok_wrong", "read", "dataos://crm:main/people"),
            false,
            false,
        ),
    ] {
        let (status, answer) = scene.ask("/heimdall/api/v1/authorize", &sent).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(
            (&answer["allow"], &answer["valid"]),
            (&json!(allow), &json!(valid)),
            "{answer}"
        );
        assert_eq!(answer["error"].is_null(), allow, "{answer}");
        assert!(!answer.to_string().contains(&token));
        if valid {
            assert_eq!(answer["result"]["id"], "admin");
            assert_eq!(answer["result"]["tags"][0], "users:id:admin");
        }
    }
    let entries = scene.decisions();
    let asked: Vec<&Entry> = entries
        .iter()
        .filter(|entry| entry.action == "select")
        .collect();
    assert_eq!(asked.len(), 2);
    assert!(asked[0].facts.contains_key("properties_digest"));
    scene.decide.oblige(&["select"], "watermark()");
    let sent = body(&token, "read", "dataos://crm:main/people");
    let (_, answer) = scene.ask("/heimdall/api/v1/authorize", &sent).await;
    assert_eq!(
        answer["allow"], false,
        "no place for an obligation: {answer}"
    );
    for wrong in [
        json!({}),
        json!({"token": 1}),
        json!({"token": token, "context": {"predicate": "read"}}),
    ] {
        let (status, _) = scene.ask("/heimdall/api/v1/authorize", &wrong).await;
        assert_eq!(status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn the_metadata_names_every_endpoint_and_is_signed() {
    let scene = peopled().await;
    let path = "/.well-known/authzen-configuration";
    let response = send(&scene.gateway, request("GET", path, &[], "")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    let shown = json_of(response).await;
    assert_eq!(shown["policy_decision_point"], "https://localhost");
    for (name, value) in shown.as_object().unwrap() {
        if name.ends_with("_endpoint") {
            assert!(
                value
                    .as_str()
                    .unwrap()
                    .starts_with("https://localhost/access/v1/")
            );
        }
    }
    assert_eq!(shown["supported_obligations"][0], "step-up");
    assert_eq!(
        shown["signed_metadata"]
            .as_str()
            .unwrap()
            .split('.')
            .count(),
        3
    );
}
