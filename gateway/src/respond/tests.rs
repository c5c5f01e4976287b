use bytes::Bytes;
use dataos_model::{
    fault::{Fault, FaultKind, Location},
    record::Receipt,
};
use http_body_util::BodyExt;

use super::{Answer, AnswerBody, problem, response};

async fn text(answer: Answer) -> String {
    let bytes = answer.body.collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_table_of_problems_is_that_of_the_api_document() {
    let kinds = [
        FaultKind::Invalid,
        FaultKind::Unauthenticated,
        FaultKind::Denied,
        FaultKind::NotFound,
        FaultKind::NotAcceptable,
        FaultKind::Conflict,
        FaultKind::PreconditionFailed,
        FaultKind::PreconditionRequired,
        FaultKind::TooLarge,
        FaultKind::Unsupported,
        FaultKind::Unavailable,
        FaultKind::Timeout,
        FaultKind::Damaged,
        FaultKind::Internal,
    ];
    let row = |first: &str, cell: &dyn Fn(FaultKind) -> String| {
        let cells: Vec<String> = kinds.iter().map(|kind| cell(*kind)).collect();
        format!("| {first} | {} |", cells.join(" | "))
    };
    let document = include_str!("../../../docs/api.md");
    let names = row("kind", &|kind| super::problem_kind(kind).0.to_owned());
    let statuses = row("status", &|kind| {
        super::problem_kind(kind).2.as_u16().to_string()
    });
    assert!(document.contains(&names), "{names}");
    assert!(document.contains(&statuses), "{statuses}");
}

#[tokio::test]
async fn a_problem_says_what_where_and_what_next() {
    let mut fault = Fault::denied("no_permit", "you may not query this")
        .with_hint("ask the owner")
        .at(Location {
            line: Some(2),
            column: Some(5),
            ..Location::default()
        });
    fault.policies = vec!["closed".to_owned()];
    let receipt = Receipt {
        index: 7,
        text: "r1:abc".to_owned(),
    };
    let answer = problem(&fault, "id-1", Some(&receipt));
    insta::assert_snapshot!(text(answer).await, @r#"{"type":"urn:dataos:problem:denied","title":"Denied by policy","status":403,"instance":"id-1","detail":"you may not query this","reason":"no_permit","policies":["closed"],"hint":"ask the owner","location":{"line":2,"column":5},"receipt":"r1:abc"}"#);
}

#[tokio::test]
async fn what_failed_inside_is_not_shown() {
    let answer = problem(&Fault::internal("/secret/path is broken"), "id-2", None);
    assert_eq!(answer.status, 500);
    let text = text(answer).await;
    assert!(!text.contains("secret"), "{text}");
    assert!(text.contains("id-2"));
}

#[test]
fn every_answer_carries_its_id_and_is_not_stored() {
    let receipt = Receipt {
        index: 7,
        text: "r1:abc".to_owned(),
    };
    let answer = Answer::no_content();
    let response = response(answer, "id-3", Some(&receipt));
    for (name, value) in [
        ("dataos-request-id", "id-3"),
        ("dataos-receipt", "r1:abc"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(response.headers()[name], value);
    }
}

#[tokio::test]
async fn bodies_know_their_length() {
    let body = AnswerBody::new([Bytes::from("ab"), Bytes::new(), Bytes::from("cde")]);
    assert_eq!(body.len_bytes(), 5);
    assert_eq!(body.collect().await.unwrap().to_bytes(), "abcde");
}
