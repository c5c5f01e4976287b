use std::collections::BTreeMap;

use dataos_model::{
    fault::{Fault, FaultKind},
    vocabulary::Vocabulary,
};
use prost::Message;
use serde_json::json;

use super::{MESSAGE_BYTES_MAX, questions, wire};
use crate::authzen::{DEPTH_MAX, EVALUATIONS_MAX, Evaluation, PROPERTIES_MAX, Semantic};
use wire::value::Kind;

fn value(kind: Kind) -> wire::Value {
    wire::Value { kind: Some(kind) }
}

fn read_one(bytes: &[u8]) -> Result<Evaluation, Fault> {
    super::read_one(bytes, &Vocabulary::default())
}

fn read_all(bytes: &[u8]) -> Result<(Vec<Evaluation>, Semantic), Fault> {
    super::read_all(bytes, &Vocabulary::default())
}

fn entity(kind: &str, id: &str) -> Option<wire::Entity> {
    Some(wire::Entity {
        r#type: kind.to_owned(),
        id: id.to_owned(),
        properties: BTreeMap::new(),
    })
}

fn request() -> wire::DecideRequest {
    wire::DecideRequest {
        subject: entity("user", "ann"),
        action: Some(wire::Action {
            name: "select".to_owned(),
            properties: BTreeMap::new(),
        }),
        resource: entity("dataset", "crm:main/people"),
        context: BTreeMap::new(),
        supported_obligations: None,
    }
}

fn with_context(name: &str, kind: Kind) -> wire::DecideRequest {
    let context = BTreeMap::from([(name.to_owned(), value(kind))]);
    wire::DecideRequest {
        context,
        ..request()
    }
}

/// Kind and field of the refusal of a request.
fn refused(request: &wire::DecideRequest) -> (FaultKind, String) {
    let fault = read_one(&request.encode_to_vec()).unwrap_err();
    let field = fault.location.and_then(|place| place.field);
    (fault.kind, field.unwrap_or_default())
}

#[test]
fn a_message_becomes_the_evaluation_that_authzen_would_make_of_it() {
    let set = wire::Set {
        values: vec![value(Kind::Text("a".to_owned()))],
    };
    let mut sent = with_context("purpose", Kind::Text("audit".to_owned()));
    let more = [
        ("n", Kind::Integer(i64::MIN)),
        ("d", Kind::Decimal("1.5".to_owned())),
        ("ip", Kind::Ip("10.0.0.0/8".to_owned())),
        ("s", Kind::Set(set)),
        ("b", Kind::Boolean(true)),
    ];
    for (name, kind) in more {
        sent.context.insert(name.to_owned(), value(kind));
    }
    sent.supported_obligations = Some(wire::Obligations {
        types: vec!["step-up".to_owned()],
    });
    let read = read_one(&sent.encode_to_vec()).unwrap();
    let same = json!({
        "subject": {"type": "user", "id": "ann"},
        "action": {"name": "select"},
        "resource": {"type": "dataset", "id": "crm:main/people"},
        "context": {
            "purpose": "audit", "n": i64::MIN, "b": true, "s": ["a"],
            "d": {"__extn": {"fn": "decimal", "arg": "1.5"}},
            "ip": {"__extn": {"fn": "ip", "arg": "10.0.0.0/8"}},
            "supported_obligations": ["step-up"],
        },
    });
    let expected = Evaluation::read(same.to_string().as_bytes(), &Vocabulary::default()).unwrap();
    assert_eq!(read, expected);
    assert_eq!(read.properties_digest(), expected.properties_digest());
}

#[test]
fn what_is_missing_or_does_not_fit_is_named() {
    let whole = request();
    let none = entity("", "ann");
    for (sent, field) in [
        (
            wire::DecideRequest {
                subject: None,
                ..whole.clone()
            },
            "subject",
        ),
        (
            wire::DecideRequest {
                subject: none,
                ..whole.clone()
            },
            "subject.type",
        ),
        (
            wire::DecideRequest {
                resource: entity("dataset", ""),
                ..whole.clone()
            },
            "resource.id",
        ),
        (
            wire::DecideRequest {
                action: None,
                ..whole.clone()
            },
            "action",
        ),
        (
            wire::DecideRequest {
                action: Some(wire::Action::default()),
                ..whole
            },
            "action.name",
        ),
    ] {
        assert_eq!(refused(&sent), (FaultKind::Invalid, field.to_owned()));
    }
}

#[test]
fn values_that_do_not_fit_are_named() {
    for (sent, field) in [
        (
            with_context("d", Kind::Decimal("1,5".to_owned())),
            "context.d",
        ),
        (
            with_context("d", Kind::Decimal("NaN".to_owned())),
            "context.d",
        ),
        (
            with_context("ip", Kind::Ip("10.0.0.0/33".to_owned())),
            "context.ip",
        ),
        (
            with_context("e", Kind::Entity(wire::Reference::default())),
            "context.e",
        ),
        (
            with_context("__extn", Kind::Boolean(true)),
            "context.__extn",
        ),
        (
            with_context("supported_obligations", Kind::Boolean(true)),
            "context.supported_obligations",
        ),
    ] {
        assert_eq!(refused(&sent), (FaultKind::Invalid, field.to_owned()));
    }
    let mut sent = request();
    sent.context
        .insert("x".to_owned(), wire::Value { kind: None });
    assert_eq!(refused(&sent), (FaultKind::Invalid, "context.x".to_owned()));
    for bytes in [
        &b"\xff"[..],
        b"\x0a\x05",
        b"\x08\x01",
        b"\x0a\x02\x0a\x00\x0b",
    ] {
        assert_eq!(read_one(bytes).unwrap_err().kind, FaultKind::Invalid);
    }
}

#[test]
fn each_bound_is_named() {
    let nested = |depth: usize| {
        (1..depth).fold(Kind::Boolean(true), |inner, _| {
            Kind::Set(wire::Set {
                values: vec![value(inner)],
            })
        })
    };
    assert!(read_one(&with_context("x", nested(DEPTH_MAX)).encode_to_vec()).is_ok());
    for depth in [DEPTH_MAX + 1, 40, 200] {
        let sent = with_context("x", nested(depth)).encode_to_vec();
        let fault = read_one(&sent).unwrap_err();
        assert!(fault.message.contains(&DEPTH_MAX.to_string()), "{fault}");
    }
    let mut sent = request();
    for number in 0..=PROPERTIES_MAX {
        sent.context
            .insert(number.to_string(), value(Kind::Boolean(true)));
    }
    assert_eq!(refused(&sent), (FaultKind::TooLarge, "context".to_owned()));
    let long = vec![0; MESSAGE_BYTES_MAX + 1];
    for fault in [read_one(&long).unwrap_err(), read_all(&long).unwrap_err()] {
        assert_eq!(fault.kind, FaultKind::TooLarge);
        assert!(fault.message.contains(&MESSAGE_BYTES_MAX.to_string()));
    }
}

#[test]
fn a_batch_is_whole_or_refused() {
    let batch = |requests: Vec<wire::DecideRequest>, semantic: i32| {
        wire::DecideAllRequest { requests, semantic }.encode_to_vec()
    };
    let (read, semantic) = read_all(&batch(vec![request(); 3], 2)).unwrap();
    assert_eq!((read.len(), semantic), (3, Semantic::DenyOnFirstDeny));
    assert_eq!(
        read_all(&batch(vec![request()], 0)).unwrap().1,
        Semantic::ExecuteAll
    );
    let broken = wire::DecideRequest {
        subject: None,
        ..request()
    };
    let most = vec![wire::DecideRequest::default(); EVALUATIONS_MAX + 1];
    for (sent, kind, field) in [
        (batch(Vec::new(), 0), FaultKind::Invalid, "requests"),
        (batch(vec![request()], 4), FaultKind::Invalid, "semantic"),
        (
            batch(vec![request(), broken], 0),
            FaultKind::Invalid,
            "requests[1].subject",
        ),
        (batch(most, 0), FaultKind::TooLarge, "requests"),
    ] {
        let fault = read_all(&sent).unwrap_err();
        let named = fault.location.and_then(|place| place.field);
        assert_eq!((fault.kind, named.as_deref()), (kind, Some(field)));
    }
    assert_eq!(questions(&batch(vec![request(); 7], 1)), 7);
}
