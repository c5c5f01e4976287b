//! What may leave when, with fakes behind every seam.

mod asking;
pub(crate) mod fakes;
mod follow;
mod revocations;
mod scopes;
mod sessions;
mod streams;

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use dataos_model::decision::Effect;
use dataos_model::record::{Entry, EntryKind};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use super::Gateway;
use crate::{
    config::{Quota, RateConfig},
    limits::Peer,
    load::{Load, Priority},
    rate::Rates,
    respond::AnswerBody,
};
use fakes::{RecordMode, Scene, scene};

pub(crate) fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Request<Full<Bytes>> {
    let mut builder = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost");
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap()
}

pub(crate) async fn send(
    gateway: &Arc<Gateway>,
    request: Request<Full<Bytes>>,
) -> Response<AnswerBody> {
    let peer = Peer::new("127.0.0.1:5000".parse().unwrap());
    Arc::clone(gateway).answer(request, peer).await
}

pub(crate) async fn json_of(response: Response<AnswerBody>) -> Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap()
}

impl Scene {
    async fn get(&self, path: &str) -> Response<AnswerBody> {
        self.call("GET", path, "").await
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> Response<AnswerBody> {
        let mut headers = vec![("authorization", self.bearer.as_str())];
        if !body.is_empty() {
            headers.push(("content-type", "application/json"));
        }
        send(&self.gateway, request(method, path, &headers, body)).await
    }

    fn entries(&self) -> Vec<Entry> {
        self.record.entries.lock().unwrap().clone()
    }

    /// Starts a call and gives it time to go as far as it can.
    fn start(
        &self,
        method: &'static str,
        path: &'static str,
        body: &'static str,
    ) -> tokio::task::JoinHandle<Response<AnswerBody>> {
        let (gateway, bearer) = (Arc::clone(&self.gateway), self.bearer.clone());
        tokio::spawn(async move {
            let mut headers = vec![("authorization", bearer.as_str())];
            if !body.is_empty() {
                headers.push(("content-type", "application/json"));
            }
            send(&gateway, request(method, path, &headers, body)).await
        })
    }
}

const QUERY: &str = r#"{"sql":"select 1"}"#;

#[tokio::test]
async fn a_read_runs_at_once_and_its_answer_is_held_until_durable() {
    let scene = scene().await;
    scene.record.set(RecordMode::Stalled);
    let mut call = scene.start("GET", "/api/v1/policies", "");
    // The handler ran: the fake of the policies saw it.
    scene.policies.listed.notified().await;
    assert!(
        tokio::time::timeout(Duration::from_millis(50), &mut call)
            .await
            .is_err(),
        "answered before its record was durable"
    );
    scene.record.set(RecordMode::Durable);
    let response = call.await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["dataos-receipt"], "receipt-0");
}

#[tokio::test]
async fn a_change_is_not_forwarded_before_its_intent_is_durable() {
    let scene = scene().await;
    scene.record.set(RecordMode::Stalled);
    let mut call = scene.start("POST", "/api/v1/query", QUERY);
    assert!(
        tokio::time::timeout(Duration::from_millis(50), &mut call)
            .await
            .is_err()
    );
    assert_eq!(scene.entries().len(), 1, "the intent is queued");
    assert_eq!(
        scene.query.runs.load(Ordering::SeqCst),
        0,
        "forwarded before its record"
    );
    scene.record.set(RecordMode::Durable);
    assert_eq!(call.await.unwrap().status(), 200);
    assert_eq!(scene.query.runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn without_a_record_nothing_governed_leaves() {
    let scene = scene().await;
    scene.record.set(RecordMode::Failing);
    for (method, path, body) in [
        ("GET", "/api/v1/policies", ""),
        ("GET", "/api/v1/session", ""),
        ("POST", "/api/v1/query", QUERY),
        ("POST", "/api/v1/apikeys", r#"{"name":"ci"}"#),
        ("DELETE", "/api/v1/users/bob", ""),
    ] {
        let response = scene.call(method, path, body).await;
        assert_eq!(response.status(), 503, "{method} {path}");
        assert_eq!(response.headers()["retry-after"], "1");
        assert!(!response.headers().contains_key("dataos-receipt"));
        let problem = json_of(response).await;
        assert_eq!(problem["reason"], "not_recorded");
        assert!(!problem.to_string().contains("canary"), "{problem}");
    }
    assert_eq!(scene.query.runs.load(Ordering::SeqCst), 0);
    assert!(
        scene.gateway.accounts.keys("admin").len() == 1,
        "a key was made without a record"
    );
    // What is not governed goes on, and says why the rest does not.
    assert_eq!(scene.get("/healthz").await.status(), 200);
    assert_eq!(scene.get("/readyz").await.status(), 503);
    scene.record.set(RecordMode::Durable);
    assert_eq!(scene.get("/api/v1/policies").await.status(), 200);
    assert_eq!(scene.get("/readyz").await.status(), 200);
}

#[tokio::test]
async fn a_denial_is_recorded_whole_and_held_too() {
    let scene = scene().await;
    scene.decide.deny(&["query", "view_asset"]);
    scene.record.set(RecordMode::Stalled);
    let mut call = scene.start("POST", "/api/v1/query", QUERY);
    assert!(
        tokio::time::timeout(Duration::from_millis(50), &mut call)
            .await
            .is_err()
    );
    scene.record.set(RecordMode::Durable);
    let response = call.await.unwrap();
    assert_eq!(response.status(), 403);
    let problem = json_of(response).await;
    assert_eq!(problem["reason"], "forbidden");
    assert_eq!(problem["policies"], json!(["test.forbid"]));
    assert_eq!(problem["receipt"], "receipt-0");
    let entry = scene.entries().remove(0);
    assert_eq!(entry.kind, EntryKind::Decision);
    assert_eq!(entry.effect, Some(Effect::Deny));
    assert_eq!(entry.action, "query");
    assert_eq!(entry.principal, "DataOS::User::\"admin\"");
    assert_eq!(entry.policies, ["test.forbid"]);
    assert_eq!(entry.facts["authentication"], "api_key");
    assert_ne!(entry.request_digest, dataos_model::hash::Hash::default());
    assert_eq!(scene.query.runs.load(Ordering::SeqCst), 0);
    // A hidden dataset is absent to a caller who may not see it.
    let response = scene.get("/api/v1/catalog/datasets/crm/main/people").await;
    assert_eq!(response.status(), 404);
    let hidden = json_of(response).await;
    let entries = scene.entries();
    assert_eq!(entries.last().unwrap().effect, Some(Effect::Deny));
    scene.decide.deny(&[]);
    let absent = json_of(scene.get("/api/v1/catalog/datasets/crm/main/nothing").await).await;
    assert_eq!(hidden["detail"], absent["detail"]);
}

#[tokio::test]
async fn an_allowed_call_leaves_a_decision_and_an_outcome() {
    let scene = scene().await;
    let response = scene.call("POST", "/api/v1/query", QUERY).await;
    let receipt = response.headers()["dataos-receipt"].clone();
    let id = response.headers()["dataos-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let answer = json_of(response).await;
    assert_eq!(answer["rows"], json!([["canary"]]));
    assert_eq!(answer["row_count"], 1);
    assert_eq!(receipt, "receipt-0");
    let entries = scene.entries();
    assert_eq!(entries.len(), 2);
    assert_eq!(
        (entries[1].kind, entries[1].completes),
        (EntryKind::Outcome, Some(0))
    );
    assert_eq!(entries[1].facts["status"], "200");
    assert_eq!(entries[1].facts["rows"], "1");
    assert!(entries.iter().all(|entry| entry.request_id == id));
    let text = format!("{entries:?}");
    assert!(
        !text.contains("canary"),
        "governed data in a record: {text}"
    );
    assert!(
        !text.contains(scene.bearer.split_once(' ').unwrap().1),
        "a credential in a record"
    );
}

#[tokio::test]
async fn a_read_that_answers_at_once_is_one_entry_with_its_outcome() {
    let scene = scene().await;
    let response = scene.get("/api/v1/policies").await;
    let bytes = response.body().len_bytes().to_string();
    let [entry] = scene.entries().try_into().unwrap();
    assert_eq!((entry.kind, entry.completes), (EntryKind::Decision, None));
    assert_eq!(
        (&entry.facts["status"], &entry.facts["bytes"]),
        (&"200".to_owned(), &bytes)
    );
    assert!(entry.facts.contains_key("latency_us"));
    // One that takes time, and one that fails: its answer names the entry of its decision.
    for (path, status) in [
        ("/api/v1/resources", "200"),
        ("/api/v1/audit/entries/7", "404"),
    ] {
        let before = scene.entries().len();
        assert_eq!(scene.get(path).await.status().as_str(), status);
        let entries = scene.entries();
        let [decision, outcome] = entries.get(before..).unwrap() else {
            panic!("{path}: {entries:#?}");
        };
        assert!(!decision.facts.contains_key("status"), "{path}");
        assert_eq!(
            (outcome.completes, outcome.facts["status"].as_str()),
            (Some(before as u64), status)
        );
    }
}

#[tokio::test]
async fn a_change_runs_to_its_end_though_the_client_goes_away() {
    let scene = scene().await;
    scene.query.hold();
    let call = scene.start("POST", "/api/v1/queries", QUERY);
    scene.query.started.notified().await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(scene.entries().len(), 1, "it runs on");
    scene.query.release();
    scene.record.wait_for(2).await;
    assert_eq!(scene.entries()[1].kind, EntryKind::Outcome);
}

#[tokio::test]
async fn who_is_not_logged_in_is_told_to() {
    let scene = scene().await;
    let anonymous = |path: &str| request("GET", path, &[], "");
    let response = send(&scene.gateway, anonymous("/api/v1/session")).await;
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    assert_eq!(
        scene.entries().last().unwrap().principal,
        "DataOS::User::\"anonymous\""
    );
    for bad in [
        "Bearer nothing",
        "Bearer dok_0_0",
        "Basic YTpi",
        "Bearer",
        "bearer a.b.c",
    ] {
        let headers = [("authorization", bad)];
        let response = send(
            &scene.gateway,
            request("GET", "/api/v1/session", &headers, ""),
        )
        .await;
        assert_eq!(response.status(), 401, "{bad}");
        let challenge = &response.headers()["www-authenticate"];
        assert_eq!(challenge, "Bearer error=\"invalid_token\"", "{bad}");
        let entry = scene.entries().pop().unwrap();
        assert_eq!(entry.action, "refused_pre_auth");
        assert_eq!(entry.effect, Some(Effect::Deny));
    }
    // Open routes do not look at credentials at all.
    let headers = [("authorization", "Bearer nothing")];
    let count = scene.entries().len();
    assert_eq!(
        send(&scene.gateway, request("GET", "/healthz", &headers, ""))
            .await
            .status(),
        200
    );
    assert_eq!(scene.entries().len(), count, "an open route was recorded");
}

#[tokio::test]
async fn sessions_need_the_right_pair_and_unsafe_calls_the_header() {
    let scene = scene().await;
    let log_in = |password: &str| {
        let body = json!({"user": "admin", "password": password}).to_string();
        request(
            "POST",
            "/api/v1/session",
            &[("content-type", "application/json")],
            &body,
        )
    };
    let response = send(&scene.gateway, log_in("wrong wrong")).await;
    assert_eq!(response.status(), 401);
    assert!(!response.headers().contains_key("set-cookie"));
    let entry = scene.entries().pop().unwrap();
    assert_eq!(
        (entry.action.as_str(), entry.reason.as_str()),
        ("log_in", "login_wrong")
    );
    let response = send(&scene.gateway, log_in("correct horse")).await;
    assert_eq!(response.status(), 200);
    assert!(response.headers().contains_key("dataos-receipt"));
    let set_cookie = response.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .to_owned();
    for attribute in [
        "__Host-dataos-session=",
        "; Path=/",
        "; Secure",
        "; HttpOnly",
        "; SameSite=Strict",
    ] {
        assert!(set_cookie.contains(attribute), "{set_cookie}");
    }
    assert!(!format!("{:?}", scene.entries()).contains("correct horse"));
    let cookie = set_cookie.split(';').next().unwrap();
    let call = |method: &str, headers: &[(&str, &str)]| {
        let mut all = vec![("cookie", cookie)];
        all.extend_from_slice(headers);
        request(method, "/api/v1/session", &all, "")
    };
    assert_eq!(send(&scene.gateway, call("GET", &[])).await.status(), 200);
    for wrong in [&[][..], &[("x-dataos-csrf", "0")], &[("x-dataos-csrf", "")]] {
        let response = send(&scene.gateway, call("DELETE", wrong)).await;
        assert_eq!(response.status(), 403);
        assert_eq!(json_of(response).await["reason"], "csrf_header_missing");
    }
    // A bad header credential is not rescued by a good cookie.
    let both = call("GET", &[("authorization", "Bearer nothing")]);
    assert_eq!(send(&scene.gateway, both).await.status(), 401);
    let response = send(&scene.gateway, call("DELETE", &[("x-dataos-csrf", "1")])).await;
    assert_eq!(response.status(), 204);
    assert!(
        response.headers()["set-cookie"]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    assert_eq!(send(&scene.gateway, call("GET", &[])).await.status(), 401);
}

#[tokio::test]
async fn shapes_that_no_route_takes_are_refused() {
    let scene = scene().await;
    let bearer = ("authorization", scene.bearer.as_str());
    let json = ("content-type", "application/json");
    for (method, path, headers, body, status) in [
        ("GET", "/api/v1/nothing", &[bearer][..], "", 404),
        ("PUT", "/api/v1/query", &[bearer], "", 405),
        ("GET", "/api/v1/policies?x=1", &[bearer], "", 400),
        ("GET", "/api/v1/policies", &[bearer], "body", 400),
        ("POST", "/api/v1/query", &[bearer], QUERY, 400),
        (
            "POST",
            "/api/v1/query",
            &[bearer, ("content-type", "text/plain")],
            QUERY,
            400,
        ),
        ("POST", "/api/v1/query", &[bearer, json], "{", 400),
        (
            "POST",
            "/api/v1/query",
            &[bearer, json],
            r#"{"sql":"a","colour":1}"#,
            400,
        ),
        (
            "POST",
            "/api/v1/query",
            &[bearer, json],
            r#"{"sql":"a","sql":"b"}"#,
            400,
        ),
        ("GET", "/api/v1/../metrics", &[bearer], "", 400),
        ("GET", "/api/v1/audit/entries/x", &[bearer], "", 400),
        (
            "GET",
            "/api/v1/audit/entries?limit=1001",
            &[bearer],
            "",
            400,
        ),
        (
            "GET",
            "/api/v1/audit/entries?from=yesterday",
            &[bearer],
            "",
            400,
        ),
        ("GET", "/api/v1/resources/nonsense", &[bearer], "", 400),
        (
            "GET",
            "/api/v1/catalog/datasets?limit=0",
            &[bearer],
            "",
            400,
        ),
    ] {
        let response = send(&scene.gateway, request(method, path, headers, body)).await;
        assert_eq!(response.status(), status, "{method} {path} {body}");
        let kind = &response.headers()["content-type"];
        assert_eq!(kind, "application/problem+json", "{method} {path}");
    }
    let big = format!(r#"{{"sql":"{}"}}"#, "a".repeat(2 << 20));
    let response = scene.call("POST", "/api/v1/query", &big).await;
    assert_eq!(response.status(), 413);
    assert_eq!(scene.query.runs.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn floods_of_refusals_are_counted_not_written() {
    let scene = scene().await;
    for _ in 0..500 {
        send(&scene.gateway, request("GET", "/a/../b", &[], "")).await;
    }
    let written = scene.entries().len();
    assert!(written < 200, "{written} entries");
    scene.gateway.refusals.write_gap();
    let gap = scene.entries().pop().unwrap();
    assert_eq!(gap.kind, EntryKind::Gap);
    assert_eq!(gap.facts["refused_pre_auth"], (500 - written).to_string());
}

#[tokio::test]
async fn lists_show_and_count_only_what_may_be_seen() {
    let scene = scene().await;
    let names = |value: &Value| -> Vec<String> {
        let list = value["datasets"].as_array().unwrap().iter();
        list.map(|item| item["name"].as_str().unwrap().to_owned())
            .collect()
    };
    scene.decide.deny_on(&["view_asset", "select"], "salaries");
    let found = json_of(scene.get("/api/v1/catalog/datasets").await).await;
    assert_eq!(names(&found), ["people"]);
    let depots = json_of(scene.get("/api/v1/catalog/depots").await).await;
    assert_eq!(depots["depots"][0]["dataset_count"], 1);
    // Who may read a dataset sees it, even without view_asset.
    scene.decide.deny_on(&["view_asset"], "salaries");
    let found = json_of(scene.get("/api/v1/catalog/datasets?limit=10").await).await;
    assert_eq!(names(&found), ["people", "salaries"]);
}

#[tokio::test]
async fn whoever_calls_too_often_waits_and_is_recorded() {
    let mut scene = scene().await;
    let quota = |count| Quota::new(count, Duration::from_secs(3600));
    Arc::get_mut(&mut scene.gateway).unwrap().rates = Rates::new(RateConfig {
        address: quota(4),
        principal: quota(2),
        ..RateConfig::default()
    });
    let header = |response: &Response<AnswerBody>, name| {
        let value = response.headers().get(name);
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    for left in [1, 0] {
        let response = scene.get("/api/v1/session").await;
        assert_eq!(response.status(), 200);
        let told = header(&response, "ratelimit").unwrap();
        assert!(
            told.starts_with(&format!("\"principal\";r={left};t=")),
            "{told}"
        );
    }
    let before = scene.record.entries.lock().unwrap().len();
    let response = scene.get("/api/v1/session").await;
    assert_eq!(response.status(), 429);
    assert!(header(&response, "connection").is_none());
    let wait: u64 = header(&response, "retry-after").unwrap().parse().unwrap();
    assert!((1..=1800).contains(&wait), "{wait}");
    let told = header(&response, "ratelimit-policy").unwrap();
    assert_eq!(told, "\"principal\";q=2;w=3600");
    let problem = json_of(response).await;
    assert_eq!(problem["type"], "urn:dataos:problem:rate_limited");
    assert_eq!(problem["reason"], "rate_principal");
    // No decision was made; the refusal is in the log.
    let reasons = |from: usize| -> Vec<String> {
        let entries = scene.record.entries.lock().unwrap();
        entries[from..]
            .iter()
            .map(|entry| entry.reason.clone())
            .collect()
    };
    assert_eq!(reasons(before), ["rate_principal"]);
    // The address is counted before anyone looks at a credential, good or bad.
    let bad = [("authorization", "Bearer nobody")];
    let bad = || request("GET", "/api/v1/session", &bad, "");
    assert_eq!(send(&scene.gateway, bad()).await.status(), 401);
    let response = send(&scene.gateway, bad()).await;
    assert_eq!(response.status(), 429);
    assert_eq!(json_of(response).await["reason"], "rate_address");
    // Whether we live can be asked for ever.
    for _ in 0..10 {
        assert_eq!(scene.get("/healthz").await.status(), 200);
    }
    let text = scene.gateway.figures.prometheus();
    assert!(
        text.contains("dataos_refused_total{reason=\"rate_principal\"} 1"),
        "{text}"
    );
}

#[tokio::test]
async fn under_load_what_can_wait_is_refused_and_the_log_is_still_read() {
    let mut scene = scene().await;
    Arc::get_mut(&mut scene.gateway).unwrap().load = Load::new(20);
    let load = &scene.gateway.load;
    let statement = || {
        let headers = [
            ("authorization", scene.bearer.as_str()),
            ("content-type", "application/json"),
        ];
        request("POST", "/api/v1/query", &headers, r#"{"sql": "SELECT 1"}"#)
    };
    let enter = |count: usize| (0..count).map(|_| load.enter(Priority::Vital).unwrap());
    let mut places: Vec<_> = enter(15).collect();
    let before = scene.record.entries.lock().unwrap().len();
    let response = send(&scene.gateway, statement()).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
    assert!(!response.headers().contains_key("connection"));
    let problem = json_of(response).await;
    assert_eq!(problem["reason"], "overloaded");
    assert_eq!(problem["type"], "urn:dataos:problem:unavailable");
    let recorded = scene.record.entries.lock().unwrap()[before].reason.clone();
    assert_eq!(recorded, "overloaded");
    assert_eq!(scene.get("/api/v1/policies").await.status(), 200);
    places.extend(enter(3));
    for usual in ["/api/v1/policies", "/api/v1/nowhere"] {
        assert_eq!(scene.get(usual).await.status(), 503, "{usual}");
    }
    let vital = [
        "/healthz",
        "/metrics",
        "/api/v1/session",
        "/api/v1/audit/entries",
    ];
    for vital in vital {
        assert_eq!(scene.get(vital).await.status(), 200, "{vital}");
    }
    drop(places);
    assert_eq!(scene.get("/api/v1/policies").await.status(), 200);
    assert_ne!(send(&scene.gateway, statement()).await.status(), 503);
    assert_eq!(load.taken(), 0);
}
