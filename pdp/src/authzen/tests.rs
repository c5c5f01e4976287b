//! Table-driven: bodies in, domain or faults out, decisions in, answers out.

use std::collections::{BTreeMap, BTreeSet};

use dataos_model::{
    action::Action,
    annotation::Call,
    decision::{Decision, Effect, PolicyRef, Reason, SharedPolicyRef},
    entity::{Entity, EntityType},
    fault::{Fault, FaultKind},
    hash::Hash,
    own_action::OwnAction,
    principal::{Authentication, Principal},
    value::Value,
    vocabulary::Vocabulary,
};
use serde_json::{Map, Value as Json, json};

use super::{
    Evaluation, Evaluations, Mode, SearchRequest, Semantic, Sought, Supplied, answer, enforceable,
    entity_asked, entity_type, item_error, principal_asked, principal_named, resource_named,
    type_name,
};

fn bytes(json: &Json) -> Vec<u8> {
    json.to_string().into_bytes()
}

fn field(fault: &Fault) -> &str {
    let location = fault.location.as_ref();
    location
        .and_then(|place| place.field.as_deref())
        .unwrap_or("")
}

fn asked() -> Json {
    json!({
        "subject": {"type": "user", "id": "alice"},
        "action": {"name": "select"},
        "resource": {"type": "dataset", "id": "crm:main/people"},
    })
}

/// The request with one field replaced or, by null in `value`, taken out.
fn with(path: &[&str], value: Json) -> Json {
    fn set(target: &mut Json, path: &[&str], value: Json) {
        match path {
            [name] => match value {
                Json::Null => drop(target.as_object_mut().unwrap().remove(*name)),
                value => target[*name] = value,
            },
            [name, rest @ ..] => set(&mut target[*name], rest, value),
            [] => {}
        }
    }
    let mut body = asked();
    set(&mut body, path, value);
    body
}

fn ours() -> Vocabulary {
    Vocabulary::default()
}

#[test]
fn a_complete_evaluation_is_read_and_unknown_fields_are_ignored() {
    let mut body = asked();
    body["foo"] = json!("bar");
    body["futureField"] = json!({"nested": true});
    body["subject"]["foo"] = json!(1);
    body["subject"]["properties"] = Json::Null;
    body["context"] = json!({"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"});
    let read = Evaluation::read(&bytes(&body), &ours()).unwrap();
    assert_eq!(read.subject, EntityType::USER.id("alice"));
    assert_eq!(read.resource, EntityType::DATASET.id("crm:main/people"));
    assert_eq!(read.action().unwrap().name(), "select");
    assert!(read.context(&["purpose".to_owned()]).unwrap().is_empty());
}

#[test]
fn what_is_missing_or_of_another_type_is_named() {
    for (path, value, expected) in [
        (vec!["subject"], Json::Null, "subject"),
        (vec!["action"], Json::Null, "action"),
        (vec!["resource"], Json::Null, "resource"),
        (vec!["subject", "type"], Json::Null, "subject.type"),
        (vec!["subject", "id"], Json::Null, "subject.id"),
        (vec!["action", "name"], Json::Null, "action.name"),
        (vec!["resource", "type"], Json::Null, "resource.type"),
        (vec!["resource", "id"], Json::Null, "resource.id"),
        (vec!["subject"], json!("alice"), "subject"),
        (vec!["subject"], json!([]), "subject"),
        (vec!["subject", "id"], json!(7), "subject.id"),
        (vec!["action", "name"], json!(123), "action.name"),
        (vec!["resource", "type"], json!(true), "resource.type"),
        (
            vec!["subject", "properties"],
            json!([]),
            "subject.properties",
        ),
        (vec!["context"], json!("now"), "context"),
        (
            vec!["resource", "id"],
            json!("x".repeat(3000)),
            "resource.id",
        ),
    ] {
        let body = with(&path, value);
        let fault = Evaluation::read(&bytes(&body), &ours()).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Invalid, "{body}");
        assert_eq!(field(&fault), expected, "{body}");
    }
    for text in [
        "",
        "{",
        "[]",
        "null",
        "{\"a\":NaN}",
        "{\"subject\":{},\"subject\":{}}",
    ] {
        assert!(
            Evaluation::read(text.as_bytes(), &ours()).is_err(),
            "{text}"
        );
    }
}

#[test]
fn bounds_are_named() {
    let many: Map<String, Json> = (0..257).map(|n| (n.to_string(), json!(n))).collect();
    let mut deep = json!(1);
    for _ in 0..20 {
        deep = json!([deep]);
    }
    for body in [
        with(&["subject", "properties"], Json::Object(many)),
        with(&["context"], json!({"deep": deep})),
        json!({"subject": {"type": "user", "id": "a"}, "evaluations": vec![json!({}); 1001]}),
    ] {
        let fault = Evaluations::read(&bytes(&body), &ours()).unwrap_err();
        assert_eq!(fault.kind, FaultKind::TooLarge, "{fault}");
    }
    let most =
        json!({"subject": {"type": "user", "id": "a"}, "evaluations": vec![json!({}); 1000]});
    assert!(Evaluations::read(&bytes(&most), &ours()).is_ok());
}

#[test]
fn context_takes_known_names_from_context_and_action() {
    let known = ["purpose".to_owned(), "soft".to_owned(), "level".to_owned()];
    let read = |context: Json, properties: Json| {
        let mut body = asked();
        body["context"] = context;
        body["action"]["properties"] = properties;
        Evaluation::read(&bytes(&body), &ours())
            .unwrap()
            .context(&known)
    };
    let found = read(
        json!({"purpose": "audit", "other": 1.5}),
        json!({"soft": true}),
    )
    .unwrap();
    let expected = BTreeMap::from([
        ("purpose".to_owned(), Value::from("audit")),
        ("soft".to_owned(), Value::from(true)),
    ]);
    assert_eq!(found, expected);
    assert!(read(json!({"soft": true}), json!({"soft": true})).is_ok());
    let fault = read(json!({"soft": true}), json!({"soft": false})).unwrap_err();
    assert_eq!(field(&fault), "context.soft");
    for (number, is_taken) in [
        (json!(1), true),
        (json!(-9_223_372_036_854_775_808_i64), true),
        (json!(9_223_372_036_854_775_808_u64), false),
        (json!(1.0), false),
        (json!(1e3), false),
        (json!([null]), false),
        (json!({"__extn": {"fn": "decimal", "arg": "-1.25"}}), true),
        (
            json!({"__extn": {"fn": "decimal", "arg": "1.23456"}}),
            false,
        ),
        (json!({"__extn": {"fn": "ip", "arg": "10.0.0.0/8"}}), true),
        (json!({"__extn": {"fn": "ip", "arg": "10.0.0.0/33"}}), false),
        (json!({"__entity": {"type": "user", "id": "bob"}}), true),
        (json!({"__entity": {"type": "user"}}), false),
    ] {
        let taken = read(json!({"level": number}), json!({}));
        assert_eq!(taken.is_ok(), is_taken, "{number}: {taken:?}");
        if let Err(fault) = taken {
            assert!(field(&fault).starts_with("context.level"), "{fault}");
        }
    }
}

#[test]
fn values_keep_their_types() {
    let known = ["v".to_owned()];
    for (sent, expected) in [
        (json!(7), Value::Long(7)),
        (
            json!({"__extn": {"fn": "decimal", "arg": "-1.25"}}),
            Value::Decimal(-12_500),
        ),
        (
            json!({"__extn": {"fn": "decimal", "arg": "-0.5"}}),
            Value::Decimal(-5_000),
        ),
        (
            json!(["b", "a", "b"]),
            Value::Set(["a".into(), "b".into()].into()),
        ),
        (
            json!({"a": 1, "b": null}),
            Value::Record(BTreeMap::from([("a".to_owned(), Value::Long(1))])),
        ),
        (
            json!({"__entity": {"type": "DataOS::User", "id": "bob"}}),
            Value::Entity(EntityType::USER.id("bob")),
        ),
    ] {
        let body = with(&["context"], json!({"v": sent}));
        let read = Evaluation::read(&bytes(&body), &ours()).unwrap();
        assert_eq!(read.context(&known).unwrap()["v"], expected, "{body}");
    }
}

#[test]
fn batches_take_defaults_and_keep_errors_with_their_item() {
    let body = json!({
        "subject": {"type": "user", "id": "alice", "properties": {"a": 1}},
        "action": {"name": "select"},
        "resource": {"type": "dataset"},
        "context": {"time": 1},
        "evaluations": [
            {"resource": {"id": "crm:main/people", "properties": {"status": "active"}}},
            {"resource": {"type": "depot", "id": "crm"}, "context": {"source": "x"}},
            {"subject": {"type": "user", "id": "bob"}, "resource": {"id": "a.b.c"}},
            {},
            {"action": {"name": 1}},
            7,
        ],
    });
    let Evaluations::Several(items, Semantic::ExecuteAll) =
        Evaluations::read(&bytes(&body), &ours()).unwrap()
    else {
        panic!()
    };
    let first = items[0].as_ref().unwrap();
    assert_eq!(first.resource, EntityType::DATASET.id("crm:main/people"));
    assert_eq!(first.resource_properties["status"], "active");
    assert_eq!(first.subject_properties["a"], 1);
    assert_eq!(first.context["time"], 1);
    let second = items[1].as_ref().unwrap();
    assert_eq!(second.resource, EntityType::DEPOT.id("crm"));
    assert_eq!(Json::Object(second.context.clone()), json!({"source": "x"}));
    let third = items[2].as_ref().unwrap();
    assert!(third.subject_properties.is_empty(), "objects replace whole");
    assert_eq!(third.resource.id, "a:b/c");
    let fields: Vec<&str> = items[3..]
        .iter()
        .map(|item| field(item.as_ref().unwrap_err()))
        .collect();
    let expected = [
        "evaluations[3].resource.id",
        "evaluations[4].action.name",
        "evaluations[5]",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn a_batch_without_items_is_a_single_evaluation() {
    for list in [json!([]), Json::Null] {
        let body = with(&["evaluations"], list);
        assert!(matches!(
            Evaluations::read(&bytes(&body), &ours()),
            Ok(Evaluations::Single(_))
        ));
    }
    let fault = Evaluations::read(&bytes(&json!({"evaluations": []})), &ours()).unwrap_err();
    assert_eq!(field(&fault), "subject");
    let fault = Evaluations::read(&bytes(&with(&["evaluations"], json!({}))), &ours()).unwrap_err();
    assert_eq!(field(&fault), "evaluations");
}

#[test]
fn semantics_stop_where_they_say() {
    for (name, denied, permitted) in [
        ("execute_all", false, false),
        ("deny_on_first_deny", true, false),
        ("permit_on_first_permit", false, true),
    ] {
        let body = json!({"options": {"evaluations_semantic": name}, "evaluations": [asked()]});
        let Ok(Evaluations::Several(_, semantic)) = Evaluations::read(&bytes(&body), &ours())
        else {
            panic!("{name}")
        };
        assert_eq!(semantic.stops_at(false), denied, "{name}");
        assert_eq!(semantic.stops_at(true), permitted, "{name}");
    }
    for wrong in [json!("all"), json!(1)] {
        let body = json!({"options": {"evaluations_semantic": wrong}, "evaluations": [asked()]});
        let fault = Evaluations::read(&bytes(&body), &ours()).unwrap_err();
        assert_eq!(field(&fault), "options.evaluations_semantic");
    }
}

#[test]
fn searches_demand_what_they_do_not_search() {
    let check = |sought: Sought, body: &Json| SearchRequest::read(sought, &bytes(body), &ours());
    let read = check(Sought::Subject, &asked()).unwrap();
    assert_eq!(read.entity_type(), EntityType::USER);
    assert_eq!(read.subject, None, "the id is ignored");
    let read = check(Sought::Resource, &with(&["resource", "id"], Json::Null)).unwrap();
    assert_eq!(read.entity_type(), EntityType::DATASET);
    let read = check(Sought::Action, &with(&["action"], Json::Null)).unwrap();
    assert_eq!(
        read.resource,
        Some(EntityType::DATASET.id("crm:main/people"))
    );
    for (sought, path, expected) in [
        (Sought::Subject, vec!["action"], "action"),
        (Sought::Subject, vec!["resource", "id"], "resource.id"),
        (Sought::Subject, vec!["subject", "type"], "subject.type"),
        (Sought::Subject, vec!["subject"], "subject"),
        (Sought::Resource, vec!["subject"], "subject"),
        (Sought::Resource, vec!["subject", "id"], "subject.id"),
        (Sought::Resource, vec!["resource"], "resource"),
        (Sought::Resource, vec!["action", "name"], "action.name"),
        (Sought::Action, vec!["resource"], "resource"),
        (Sought::Action, vec!["resource", "id"], "resource.id"),
        (Sought::Action, vec!["subject", "id"], "subject.id"),
    ] {
        let fault = check(sought, &with(&path, Json::Null)).unwrap_err();
        assert_eq!(field(&fault), expected, "{sought:?}");
    }
}

#[test]
fn pages_are_bounded_and_bound_to_the_question() {
    let read = |page: Json| {
        let body = with(&["page"], page);
        SearchRequest::read(Sought::Subject, &bytes(&body), &ours())
    };
    let plain = read(Json::Null).unwrap();
    assert_eq!(plain.page.limit(None).unwrap(), 100);
    assert_eq!(
        read(json!({"limit": 5000}))
            .unwrap()
            .page
            .limit(None)
            .unwrap(),
        1000
    );
    assert_eq!(
        read(json!({"limit": 0})).unwrap().page.limit(None).unwrap(),
        0
    );
    for wrong in [json!(-1), json!(1.5), json!("1")] {
        let fault = read(json!({"limit": wrong})).unwrap_err();
        assert_eq!(field(&fault), "page.limit");
    }
    assert_eq!(field(&read(json!({"token": 1})).unwrap_err()), "page.token");
    assert_eq!(read(json!({"token": ""})).unwrap().page.token, None);
    let next = read(json!({"token": "t"})).unwrap();
    assert_eq!(
        next.digest, plain.digest,
        "the page is no part of the question"
    );
    assert_eq!(next.page.limit(Some(7)).unwrap(), 7);
    assert!(
        read(json!({"token": "t", "limit": 8}))
            .unwrap()
            .page
            .limit(Some(7))
            .is_err()
    );
    let other = with(&["context"], json!({"a": 1}));
    let other = SearchRequest::read(Sought::Subject, &bytes(&other), &ours()).unwrap();
    assert_ne!(other.digest, plain.digest);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table for each kind of name")]
fn types_and_references_are_written_in_several_ways() {
    for (name, expected) in [
        ("user", EntityType::USER),
        ("User", EntityType::USER),
        ("DataOS::User", EntityType::USER),
        ("api_path", EntityType::API_PATH),
        ("api-path", EntityType::API_PATH),
        ("record", EntityType::named("Record")),
        ("Shop::Record", EntityType::within("Shop", "Record")),
        ("shop::my_record", EntityType::within("shop", "my_record")),
        ("", EntityType::named("")),
    ] {
        assert_eq!(entity_type(name), expected, "{name}");
    }
    assert_eq!(type_name(&EntityType::API_PATH), "api_path");
    for (text, expected) in [
        ("alice", EntityType::USER.id("alice")),
        ("user:alice", EntityType::USER.id("alice")),
        ("idp|ann", EntityType::USER.id("idp|ann")),
        ("service:dataos", EntityType::SERVICE.id("dataos")),
        (r#"DataOS::User::"a\"b""#, EntityType::USER.id("a\"b")),
    ] {
        assert_eq!(principal_named(text).unwrap(), expected, "{text}");
    }
    for (text, expected) in [
        (
            "dataos://crm:main/people",
            EntityType::DATASET.id("crm:main/people"),
        ),
        ("crm.main.people", EntityType::DATASET.id("crm:main/people")),
        ("crm:main/people", EntityType::DATASET.id("crm:main/people")),
        (
            "dataset:crm:main/people",
            EntityType::DATASET.id("crm:main/people"),
        ),
        ("depot:v1:crm", EntityType::RESOURCE.id("depot:v1:crm")),
        (
            "resource:depot:v1:crm",
            EntityType::RESOURCE.id("depot:v1:crm"),
        ),
        ("depot:crm", EntityType::DEPOT.id("crm")),
        ("/api/v1/users", EntityType::API_PATH.id("/api/v1/users")),
        ("workspace:public", EntityType::WORKSPACE.id("public")),
        (
            r#"DataOS::Record::"record-1""#,
            EntityType::named("Record").id("record-1"),
        ),
        (
            r#"Shop::Inner::Record::"a::\"b""#,
            EntityType::within("Shop::Inner", "Record").id("a::\"b"),
        ),
        (
            r#"DataOS::Tag::"\u{1f600}\n""#,
            EntityType::TAG.id("\u{1f600}\n"),
        ),
    ] {
        assert_eq!(resource_named(text, &ours()).unwrap(), expected, "{text}");
        assert_eq!(
            resource_named(&expected.to_string(), &ours()).unwrap(),
            expected,
            "round trip"
        );
    }
    for wrong in [
        "",
        "x",
        "DataOS::Tag::\"a\"b\"",
        "DataOS::Tag::x",
        "DataOS::Tag::\"a:b/c\", DataOS::Tag::\"d:e/f\"",
    ] {
        assert!(
            resource_named(wrong, &ours()).unwrap_err().hint.is_some(),
            "{wrong}"
        );
    }
    assert!(principal_named("").is_err());
}

fn stored() -> Entity {
    let mut principal = Principal::new(EntityType::USER.id("bob"), Authentication::Internal);
    principal.roles = vec!["analyst".to_owned()];
    principal
        .attributes
        .insert("region".to_owned(), "EMEA".to_owned());
    principal.entity()
}

#[test]
fn properties_of_a_subject_count_as_configured() {
    let stored = stored();
    let sent =
        json!({"role": "admin", "roles": ["admin"], "region": "AMER", "level": 3, "x": null});
    let sent = sent.as_object().unwrap();
    let uid = EntityType::USER.id("bob");
    let ask = |stored: Option<&Entity>, mode: Mode| {
        principal_asked(&uid, Supplied { stored, sent, mode }).unwrap()
    };
    let shown = |principal: Option<Principal>| {
        principal.map(|p| {
            let attributes: Vec<String> = p
                .attributes
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            format!("{} {}", p.roles.join(","), attributes.join(" "))
        })
    };
    for (known, mode, expected) in [
        (Some(&stored), Mode::Ignore, Some("analyst region=EMEA")),
        (
            Some(&stored),
            Mode::Fill,
            Some("analyst level=3 region=EMEA role=admin"),
        ),
        (
            Some(&stored),
            Mode::Override,
            Some("admin level=3 region=AMER role=admin"),
        ),
        (None, Mode::Ignore, None),
        (
            None,
            Mode::Fill,
            Some("admin level=3 region=AMER role=admin"),
        ),
        (
            None,
            Mode::Override,
            Some("admin level=3 region=AMER role=admin"),
        ),
    ] {
        assert_eq!(shown(ask(known, mode)).as_deref(), expected, "{mode:?}");
    }
    for wrong in [
        json!({"a": 1.5}),
        json!({"a": {}}),
        json!({"roles": "admin"}),
        json!({"groups": [1]}),
    ] {
        let sent = wrong.as_object().unwrap();
        let refused = |mode| {
            principal_asked(
                &uid,
                Supplied {
                    stored: None,
                    sent,
                    mode,
                },
            )
        };
        assert!(field(&refused(Mode::Fill).unwrap_err()).starts_with("subject.properties."));
        assert!(
            refused(Mode::Ignore).is_ok(),
            "what is ignored is not looked at"
        );
    }
}

#[test]
fn properties_of_a_resource_count_as_configured() {
    let uid = EntityType::named("Record").id("record-1");
    let mut stored = Entity::new(uid.clone());
    stored
        .attributes
        .insert("status".to_owned(), "active".into());
    let sent = json!({"status": "archived", "size": 3, "parents": [{"type": "tag", "id": "PII"}]});
    let sent = sent.as_object().unwrap();
    let ask = |stored: Option<&Entity>, mode: Mode| {
        entity_asked(&uid, Supplied { stored, sent, mode }).unwrap()
    };
    assert_eq!(ask(Some(&stored), Mode::Ignore), None);
    assert_eq!(ask(None, Mode::Ignore), None);
    let filled = ask(Some(&stored), Mode::Fill).unwrap();
    assert_eq!(filled.attributes["status"], "active".into());
    assert_eq!(filled.attributes["size"], 3.into());
    assert!(
        filled.parents.is_empty(),
        "membership is not filled into what is known"
    );
    let replaced = ask(Some(&stored), Mode::Override).unwrap();
    assert_eq!(replaced.attributes["status"], "archived".into());
    assert_eq!(replaced.parents, [EntityType::TAG.id("PII")]);
    let supplied = ask(None, Mode::Fill).unwrap();
    assert_eq!(supplied.attributes["status"], "archived".into());
    for wrong in [
        json!({"size": 1.5}),
        json!({"parents": {}}),
        json!({"parents": [{"type": "tag"}]}),
        json!({"parents": [{"type": "user", "id": "bob"}]}),
    ] {
        let sent = wrong.as_object().unwrap();
        let supplied = Supplied {
            stored: None,
            sent,
            mode: Mode::Override,
        };
        assert!(entity_asked(&uid, supplied).is_err(), "{wrong}");
    }
}

fn decision(effect: Effect, obligations: &[&str]) -> Decision {
    Decision {
        effect,
        reason: if effect == Effect::Allow {
            Reason::Permitted
        } else {
            Reason::NoPermit
        },
        policies: vec![SharedPolicyRef::from(PolicyRef {
            id: "p".to_owned(),
            effect_is_permit: true,
            source: "a.cedar:1".to_owned(),
            description: None,
        })],
        errors: Vec::new(),
        obligations: obligations
            .iter()
            .map(|text| Call::parse(text).unwrap())
            .collect(),
        policy_set: Hash::of("set"),
        entities: Hash::of("entities"),
        detail: String::new(),
    }
}

#[test]
fn answers_carry_decision_reason_and_obligations() {
    let shown = answer(&decision(
        Effect::Allow,
        &[
            "step_up(acr_value = 'urn:loa:3', amr_values = ['mfa', 'hwk'])",
            "notification(to = 'a@example.com', body = 'x')",
            "session_termination(subject = 'bob')",
            "step_up(level = 3)",
            "min_group(size = 5)",
        ],
    ));
    assert_eq!(shown["decision"], true);
    assert_eq!(shown["context"]["reason"], "permitted");
    assert_eq!(shown["context"]["policies"], json!(["p"]));
    assert_eq!(
        shown["context"]["obligations"],
        json!([
            {"id": "obl-1", "type": "step-up",
             "properties": {"acr_value": "urn:loa:3", "amr_values": ["mfa", "hwk"]}},
            {"id": "obl-2", "type": "notification", "properties": {"body": "x", "to": "a@example.com"}},
            {"id": "obl-3", "type": "session_termination", "properties": {"subject": "bob"}},
            {"id": "obl-4", "type": "custom", "properties": {"operator": "step_up", "level": 3}},
            {"id": "obl-5", "type": "custom", "properties": {"operator": "min_group", "size": 5}},
        ])
    );
    let shown = answer(&decision(Effect::Deny, &[]));
    assert_eq!(shown["decision"], false);
    assert!(shown["context"].get("obligations").is_none());
}

#[test]
fn a_permit_that_the_caller_cannot_honour_is_a_deny() {
    let notify = decision(Effect::Allow, &["notification(to = 'a', body = 'x')"]);
    let plain = decision(Effect::Allow, &[]);
    let supports =
        |types: &[&str]| -> Vec<String> { types.iter().map(|t| (*t).to_owned()).collect() };
    for (decision, supported, expected) in [
        (&notify, None, true),
        (&notify, Some(supports(&["notification"])), true),
        (&notify, Some(supports(&["step-up", "custom"])), false),
        (&notify, Some(supports(&[])), false),
        (&plain, Some(supports(&[])), true),
    ] {
        let given = enforceable(decision.clone(), supported.as_deref());
        assert_eq!(given.is_allowed(), expected, "{supported:?}");
        if !expected {
            assert_eq!(given.reason, Reason::ObligationUnknown);
        }
    }
    let denied = decision(Effect::Deny, &["notification(to = 'a', body = 'x')"]);
    let given = enforceable(denied, Some(&[]));
    assert_eq!(given.reason, Reason::NoPermit, "a deny stays what it was");
    let mut body = asked();
    for (list, is_taken) in [
        (json!(["x"]), true),
        (json!("x"), false),
        (json!([1]), false),
    ] {
        body["context"] = json!({"supported_obligations": list});
        let read = Evaluation::read(&bytes(&body), &ours()).unwrap();
        assert_eq!(read.supported_obligations().is_ok(), is_taken, "{list}");
    }
}

#[test]
fn item_errors_are_closed_and_hide_what_failed_inside() {
    let shown = item_error(&Fault::invalid("`subject.id` is missing"));
    assert_eq!(shown["decision"], false);
    assert_eq!(shown["context"]["error"]["status"], 400);
    let shown = item_error(&Fault::internal("secret detail"));
    assert_eq!(shown["context"]["error"]["status"], 500);
    assert!(!shown.to_string().contains("secret"));
}

/// Types `Shop::Record`, `lib::case_file`, `Shop::Note`, `Lib::Note` and `Shop::User`; each of the
/// first three has `Shop::read`, notes `Lib::read` too, and records `Shop::delete`.
fn own() -> Vocabulary {
    let of = EntityType::within;
    let record = of("Shop", "Record");
    let file = of("lib", "case_file");
    let notes = [of("Shop", "Note"), of("Lib", "Note")];
    let action = |name: &str| Action::Own(OwnAction::declare(name).unwrap());
    let mut types: BTreeSet<EntityType> = [&record, &file, &of("Shop", "User")]
        .into_iter()
        .cloned()
        .collect();
    types.extend(notes.clone());
    let readable = [record.clone(), file, notes[0].clone()];
    Vocabulary::new(
        types,
        BTreeMap::from([
            (action("Shop::read"), readable.to_vec()),
            (action("Lib::read"), notes.to_vec()),
            (action("Shop::delete"), vec![record]),
            (action("Shop::select"), vec![EntityType::DATASET]),
        ]),
    )
}

#[test]
fn short_names_mean_one_own_type_or_action_or_are_refused() {
    let ask = |kind: &str, name: &str| {
        let mut body = with(&["resource"], json!({"type": kind, "id": "r"}));
        body["action"] = json!({"name": name});
        let read = Evaluation::read(&bytes(&body), &own());
        read.map(|read| format!("{} {}", read.action, read.resource))
    };
    for (kind, name, expected) in [
        ("record", "read", "Shop::read Shop::Record::\"r\""),
        ("Record", "Shop::read", "Shop::read Shop::Record::\"r\""),
        ("Shop::Record", "delete", "Shop::delete Shop::Record::\"r\""),
        ("case_file", "read", "Shop::read lib::case_file::\"r\""),
        ("lib::case_file", "read", "Shop::read lib::case_file::\"r\""),
        ("Lib::Note", "read", "Lib::read Lib::Note::\"r\""),
        ("Shop::Note", "Shop::read", "Shop::read Shop::Note::\"r\""),
        // Ours comes first, and stays what it is.
        ("dataset", "delete", "delete DataOS::Dataset::\"r\""),
        ("dataset", "select", "select DataOS::Dataset::\"r\""),
        (
            "dataset",
            "Shop::select",
            "Shop::select DataOS::Dataset::\"r\"",
        ),
        ("user", "read", "read DataOS::User::\"r\""),
        // What is declared in no schema is nobody's.
        ("DataOS::Record", "read", "read DataOS::Record::\"r\""),
        ("Other::Record", "read", "read Other::Record::\"r\""),
        ("record", "Other::read", "Other::read Shop::Record::\"r\""),
    ] {
        assert_eq!(ask(kind, name).unwrap(), expected, "{kind} {name}");
    }
    for (kind, name, place, message) in [
        ("note", "read", "resource.type", "Lib::Note or Shop::Note"),
        (
            "Shop::Note",
            "read",
            "action.name",
            "Lib::read or Shop::read",
        ),
    ] {
        let fault = ask(kind, name).unwrap_err();
        assert_eq!((field(&fault), fault.kind), (place, FaultKind::Invalid));
        assert!(fault.message.contains(message), "{fault}");
        assert_eq!(fault.reason, "name_ambiguous");
    }
    let record = EntityType::within("Shop", "Record");
    let note = EntityType::within("Shop", "Note");
    let read: Action = "Shop::read".parse().unwrap();
    assert_eq!(super::action_name(read, &record, &own()), "read");
    assert_eq!(super::action_name(read, &note, &own()), "Shop::read");
    assert_eq!(type_name(&record), "Shop::Record");
    let short = resource_named("record:r:1", &own()).unwrap();
    assert_eq!(short, record.id("r:1"));
}

#[test]
fn a_name_that_no_schema_declares_gets_no_handle() {
    let body = with(&["action"], json!({"name": "Nobody::declares"}));
    let read = Evaluation::read(&bytes(&body), &own()).unwrap();
    assert_eq!(read.action().unwrap_err().reason, "action_unknown");
    assert!(OwnAction::find("Nobody::declares").is_none());
}
