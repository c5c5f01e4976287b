//! Rows that are made while they are sent: when they may begin, and what is recorded of their end.

use hyper::body::Body;

use super::*;

const CSV: &[(&str, &str)] = &[("accept", "text/csv")];

impl Scene {
    async fn rows(&self, sql: &str) -> Response<AnswerBody> {
        let bearer = ("authorization", self.bearer.as_str());
        let json = ("content-type", "application/json");
        let headers = [CSV, &[bearer, json]].concat();
        let body = json!({"sql": sql}).to_string();
        send(
            &self.gateway,
            request("POST", "/api/v1/query", &headers, &body),
        )
        .await
    }

    fn outcome(&self) -> dataos_model::record::Entry {
        let entries = self.entries();
        assert_eq!(entries.len(), 2, "{entries:#?}");
        assert_eq!(entries[1].completes, Some(0));
        entries[1].clone()
    }
}

#[tokio::test]
async fn the_outcome_of_rows_is_recorded_when_they_end() {
    let scene = scene().await;
    let response = scene.rows("SELECT 1").await;
    assert_eq!(response.status(), 200);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(
        header("content-type"),
        "text/csv; charset=utf-8; header=present"
    );
    assert_eq!(header("dataos-certificate-index"), "99");
    assert_eq!(header("trailer"), "dataos-row-count, dataos-truncated");
    assert!(!response.headers().contains_key("dataos-row-count"));
    assert_eq!(response.body().size_hint().exact(), None);
    assert_eq!(scene.entries().len(), 1, "no end yet");
    let collected = response.into_body().collect().await.unwrap();
    let trailers = collected.trailers().unwrap().clone();
    assert_eq!(trailers["dataos-row-count"], "2");
    assert_eq!(trailers["dataos-truncated"], "false");
    assert_eq!(collected.to_bytes(), "canary\r\ncanary\r\n");
    let outcome = scene.outcome();
    let fact = |name: &str| outcome.facts[name].as_str();
    assert_eq!(
        (
            fact("complete"),
            fact("rows"),
            fact("bytes"),
            fact("status")
        ),
        ("true", "2", "16", "200")
    );
    assert!(!format!("{:?}", scene.entries()).contains("canary"));
}

#[tokio::test]
async fn rows_that_fail_are_cut_off_and_recorded_as_partial() {
    let scene = scene().await;
    let response = scene.rows("fails").await;
    assert_eq!(response.status(), 200);
    let failed = response.into_body().collect().await.unwrap_err();
    assert_eq!(failed.to_string(), "the answer was cut off");
    let outcome = scene.outcome();
    let fact = |name: &str| outcome.facts[name].as_str();
    assert_eq!(
        (fact("complete"), fact("reason"), fact("bytes")),
        ("false", "division_by_zero", "16")
    );
}

#[tokio::test]
async fn rows_that_nobody_takes_to_their_end_are_recorded_as_cancelled() {
    let scene = scene().await;
    let mut body = scene.rows("SELECT 1").await.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    let outcome = scene.outcome();
    let fact = |name: &str| outcome.facts[name].as_str();
    assert_eq!(
        (fact("complete"), fact("problem"), fact("bytes")),
        ("false", "cancelled", "8")
    );
}

#[tokio::test]
async fn a_statement_stops_when_its_client_goes_away() {
    let scene = scene().await;
    scene.query.hold();
    let call = scene.start("POST", "/api/v1/query", QUERY);
    scene.query.started.notified().await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    let outcome = scene.outcome();
    assert_eq!(outcome.facts["status"], "499");
    assert_eq!(outcome.facts["problem"], "cancelled");
    let text = scene.gateway.figures.prometheus();
    let counted = "dataos_answers_total{route=\"/api/v1/query\",status=\"499\"} 1";
    assert!(text.lines().any(|line| line == counted), "{text}");
}

#[tokio::test]
async fn what_no_form_is_taken_of_is_refused_before_it_runs() {
    let scene = scene().await;
    let headers = [
        ("authorization", scene.bearer.as_str()),
        ("content-type", "application/json"),
        ("accept", "text/html, text/csv;q=0"),
    ];
    let refused = request("POST", "/api/v1/query", &headers, QUERY);
    let response = send(&scene.gateway, refused).await;
    assert_eq!(response.status(), 406);
    let problem = json_of(response).await;
    assert_eq!(problem["type"], "urn:dataos:problem:not_acceptable");
    assert_eq!(problem["reason"], "accept");
    assert_eq!(scene.query.runs.load(Ordering::SeqCst), 0);
}
