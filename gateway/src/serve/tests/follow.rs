//! The log as a stream of events: where it begins, what is recorded of it, and what ends it.

use http::HeaderMap;
use hyper::body::Body as _;

use super::*;
use crate::load::streams::STREAMS_PER_PRINCIPAL_MAX;

const STREAM: &str = "/api/v1/audit/stream";
/// For what comes by itself; the machine may be busy.
const WAIT: Duration = Duration::from_secs(60);

/// A stream as its client reads it.
struct Follower {
    headers: HeaderMap,
    body: AnswerBody,
    text: String,
}

impl Scene {
    async fn follow(&self, query: &str, last_id: Option<&str>) -> Follower {
        let mut headers = vec![("authorization", self.bearer.as_str())];
        headers.extend(last_id.map(|id| ("last-event-id", id)));
        let path = format!("{STREAM}{query}");
        let response = send(&self.gateway, request("GET", &path, &headers, "")).await;
        assert_eq!(response.status(), 200, "{query} {last_id:?}");
        let (parts, body) = response.into_parts();
        Follower {
            headers: parts.headers,
            body,
            text: String::new(),
        }
    }

    /// An entry of somebody else's call.
    async fn somebody_calls(&self, request_id: &str) {
        let entry = Entry::new(EntryKind::Outcome, request_id);
        self.gateway.seams.record.append(entry).await.unwrap();
    }

    async fn refused(&self, query: &str, last_id: &str) -> Value {
        let headers = [
            ("authorization", self.bearer.as_str()),
            ("last-event-id", last_id),
        ];
        let path = format!("{STREAM}{query}");
        let response = send(&self.gateway, request("GET", &path, &headers, "")).await;
        assert_ne!(response.status(), 200, "{query} {last_id}");
        json_of(response).await
    }
}

impl Follower {
    /// Reads on; false at the end.
    async fn more(&mut self) -> bool {
        let frame = tokio::time::timeout(WAIT, self.body.frame()).await.unwrap();
        let Some(frame) = frame else { return false };
        let data = frame.unwrap().into_data().unwrap();
        self.text.push_str(std::str::from_utf8(&data).unwrap());
        true
    }

    async fn until(&mut self, text: &str) {
        while !self.text.contains(text) {
            assert!(self.more().await, "no {text} in {}", self.text);
        }
    }

    /// The rest of a stream that ends by itself: why.
    async fn ended(&mut self) -> String {
        while self.more().await {}
        assert!(self.body.is_end_stream());
        let (_, end) = self.text.split_once("event: end\ndata: ").unwrap();
        let end: Value = serde_json::from_str(end.trim_end()).unwrap();
        end["reason"].as_str().unwrap().to_owned()
    }

    /// Ids of the entries that were shown.
    fn ids(&self) -> Vec<u64> {
        let blocks = self.text.split("\n\n");
        let shown = blocks.filter(|block| block.contains("event: entry\n"));
        shown
            .map(|block| {
                let id = block.lines().find_map(|line| line.strip_prefix("id: "));
                id.unwrap().parse().unwrap()
            })
            .collect()
    }
}

#[tokio::test]
async fn a_stream_begins_behind_the_newest_entry_and_goes_on_where_it_was() {
    let scene = scene().await;
    scene.somebody_calls("before").await;
    let mut first = scene.follow("", None).await;
    assert_eq!(first.headers["content-type"], "text/event-stream");
    assert_eq!(first.headers["cache-control"], "no-store");
    assert_eq!(first.headers["x-accel-buffering"], "no");
    assert_eq!(first.headers["dataos-receipt"], "receipt-1");
    assert_eq!(first.body.size_hint().exact(), None);
    scene.somebody_calls("while").await;
    first.until("\"request_id\":\"while\"").await;
    assert!(
        first.text.starts_with("retry: 1000\n\n:\nid: "),
        "{}",
        first.text
    );
    assert!(!first.text.contains("\"before\""), "{}", first.text);
    drop(first);
    scene.somebody_calls("between").await;
    let mut second = scene.follow("", Some("2")).await;
    second.until("\"request_id\":\"between\"").await;
    let ids = second.ids();
    assert_eq!(ids, (3..3 + ids.len() as u64).collect::<Vec<_>>());
    // A link that says the same, for who cannot set the header; which counts more where both are.
    let mut third = scene.follow("?after=1&newest=3", None).await;
    third.until("\"request_id\":\"between\"").await;
    assert_eq!(third.ids()[..2], [2, 3]);
    let mut fourth = scene.follow("?after=1&newest=3", Some("3")).await;
    fourth.until("\"request_id\":\"between\"").await;
    assert_eq!(fourth.ids()[0], 4);
    let mut newest = scene.follow("?newest=2&kind=outcome", None).await;
    newest.until("\"request_id\":\"between\"").await;
    assert_eq!(newest.ids().len(), 2, "{}", newest.text);
}

#[tokio::test]
async fn where_nobody_was_is_no_place_to_go_on() {
    let scene = scene().await;
    for (query, id) in [
        ("", "x"),
        ("", "-1"),
        ("", "999"),
        ("?after=999", "x"),
        ("?before=3", "0"),
        ("?limit=3", "0"),
    ] {
        let problem = scene.refused(query, id).await;
        assert_eq!(problem["status"], 400, "{query} {id}: {problem}");
    }
}

#[tokio::test]
async fn the_end_of_a_stream_is_its_outcome() {
    let scene = scene().await;
    let mut follower = scene.follow("", None).await;
    scene.somebody_calls("one").await;
    follower.until("\"one\"").await;
    follower.body.wind_up();
    assert_eq!(follower.ended().await, "stopping");
    let entries = scene.entries();
    let outcome = entries.last().unwrap();
    assert_eq!(
        (outcome.kind, outcome.completes),
        (EntryKind::Outcome, Some(0))
    );
    let fact = |name: &str| outcome.facts[name].as_str();
    assert_eq!(
        (fact("ended"), fact("complete"), fact("status")),
        ("stopping", "true", "200")
    );
    assert_eq!(fact("bytes"), follower.text.len().to_string());
    assert_eq!(fact("events"), (follower.ids().len() + 1).to_string());

    let mut left = scene.follow("", None).await;
    left.more().await;
    assert_eq!(scene.gateway.streams.open(), 1);
    drop(left);
    let outcome = scene.entries().pop().unwrap();
    assert_eq!(outcome.facts["problem"], "cancelled");
    assert_eq!(outcome.facts["complete"], "false");
    assert_eq!(scene.gateway.streams.open(), 0);
}

#[tokio::test]
async fn a_denial_ends_a_stream_once_it_is_recorded() {
    let scene = scene().await;
    let mut follower = scene.follow("", None).await;
    follower.more().await;
    scene.record.set(RecordMode::Stalled);
    scene.decide.deny(&["search_audit"]);
    // Its writer waits for ever; the entry is there.
    drop(
        scene
            .gateway
            .seams
            .record
            .append(Entry::new(EntryKind::Outcome, "unseen")),
    );
    // The entry is in the log; nothing of it leaves, nor the denial before its record.
    let stalled = tokio::time::timeout(Duration::from_millis(600), follower.more()).await;
    assert!(stalled.is_err(), "{}", follower.text);
    scene.record.set(RecordMode::Durable);
    assert_eq!(follower.ended().await, "denied");
    assert!(!follower.text.contains("unseen"), "{}", follower.text);
    let entries = scene.entries();
    let denial = entries
        .iter()
        .rev()
        .find(|entry| entry.kind == EntryKind::Decision);
    let denial = denial.unwrap();
    assert_eq!(denial.effect, Some(Effect::Deny));
    assert_eq!(denial.request_id, entries[0].request_id);
    assert_eq!(entries.last().unwrap().facts["ended"], "denied");
}

#[tokio::test]
async fn what_ends_a_credential_ends_its_streams() {
    let scene = scene().await;
    let listed = json_of(scene.get("/api/v1/apikeys").await).await;
    let key = listed["keys"][0]["id"].as_str().unwrap().to_owned();
    let mut follower = scene.follow("", None).await;
    follower.more().await;
    let path = format!("/api/v1/apikeys/{key}");
    assert_eq!(scene.call("DELETE", &path, "").await.status(), 204);
    follower.text.clear();
    scene.somebody_calls("unseen").await;
    assert_eq!(follower.ended().await, "credential");
    assert!(!follower.text.contains("unseen"), "{}", follower.text);
}

#[tokio::test]
async fn a_stream_is_no_use_of_a_session() {
    let scene = scene().await;
    let pair = r#"{"user":"admin","password":"correct horse"}"#;
    let json = [("content-type", "application/json")];
    let response = send(
        &scene.gateway,
        request("POST", "/api/v1/session", &json, pair),
    )
    .await;
    let cookie = response.headers()["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let (_, value) = cookie.split_once('=').unwrap();
    let (accounts, now) = (&scene.gateway.accounts, scene.gateway.seams.clock.now());
    let later = |seconds: i64| dataos_model::clock::Timestamp(now.0 + seconds * 1000);
    // The idle time of these tests is 600 s.
    for seconds in [200, 400, 599] {
        accounts
            .principal_of_watched_session(value, later(seconds))
            .unwrap();
    }
    let idle = accounts.principal_of_watched_session(value, later(600));
    assert_eq!(idle.unwrap_err(), "session_idle");
    accounts.principal_of_session(value, later(599)).unwrap();
    accounts
        .principal_of_watched_session(value, later(900))
        .unwrap();
}

#[tokio::test]
async fn one_principal_has_so_many_streams() {
    let scene = scene().await;
    let mut open = Vec::new();
    for _ in 0..STREAMS_PER_PRINCIPAL_MAX {
        open.push(scene.follow("", None).await);
    }
    let response = scene.get(STREAM).await;
    assert_eq!(response.status(), 429);
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(json_of(response).await["reason"], "streams_per_principal");
    open.pop();
    let _again = scene.follow("", None).await;
    let text = scene.gateway.figures.prometheus();
    assert!(
        text.contains("dataos_refused_total{reason=\"streams_per_principal\"} 1"),
        "{text}"
    );
}

#[tokio::test]
async fn a_long_way_is_told_and_gone_in_steps_without_a_gap() {
    let scene = scene().await;
    {
        let mut entries = scene.record.entries.lock().unwrap();
        entries.extend((0..12_000).map(|number: u64| {
            let mut entry = Entry::new(EntryKind::Outcome, format!("call-{number}"));
            entry.action = (if number.is_multiple_of(40) {
                "rare"
            } else {
                "common"
            })
            .to_owned();
            entry
        }));
    }
    let mut all = scene.follow("", Some("0")).await;
    all.until("\"call-11999\"").await;
    let ids = all.ids();
    assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>());
    assert_eq!(all.text.matches("event: lagged\n").count(), 1);
    let mut rare = scene.follow("?action=rare", Some("0")).await;
    rare.until("\"call-11960\"").await;
    assert_eq!(rare.ids().len(), 299, "all but the one that was seen");
    // Steps grow where little matches, and shrink where there would be too much for one.
    assert!(scene.record.searches() < 200, "{}", scene.record.searches());
}
