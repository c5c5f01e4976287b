//! Damaged input to each parser of the room: refused or taken, never a panic, an abort or a hang.
//!
//! `DATAOS_FUZZ=N` multiplies the number of inputs; each run starts from the same seed.

use std::{collections::BTreeMap, env, time::Duration, time::Instant};

use dataos_model::{
    action::Action,
    decision::Request,
    entity::{EntityChange, EntityType},
    policy::PolicyText,
    seams::{EntitySink, Policies},
    value::Value,
    vocabulary::Vocabulary,
};
use dataos_pdp::{
    SCHEMA_FILE,
    analysis::{self, Texts},
    authzen::{Evaluation, Evaluations, SearchRequest, Sought},
    shipped_policies,
};

use crate::{
    fixture::{World, block_on, customers, open_with_schema, user},
    own::{RECORDS, SHOP},
    spread::Spread,
};

/// Longest time for one input, in an unoptimised build on a busy machine.
const TIME_MAX: Duration = Duration::from_secs(20);

const WORDS: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "\\",
    "//",
    ";",
    "@id(\"x\")",
    "permit",
    "forbid",
    "when",
    "unless",
    "principal",
    "action",
    "resource",
    "context",
    " == ",
    " in ",
    " is ",
    " has ",
    " like ",
    "&&",
    "||",
    "!",
    "-",
    "9223372036854775807",
    "if true then 1 else 2",
    "decimal(\"1.0\")",
    "ip(\"::1\")",
    ".contains(",
    "?principal",
    "DataOS::",
    "entity",
    "namespace",
    "Set<",
    "__cedar",
    "null",
    "true",
    "1e400",
    "\u{0}",
    "\u{202e}",
    "é",
    "{\"a\":{\"a\":1}}",
    ",",
    ":",
];

fn inputs(base: usize) -> usize {
    let times = env::var("DATAOS_FUZZ")
        .ok()
        .and_then(|n| n.parse::<usize>().ok());
    base * times.unwrap_or(1)
}

/// A text with one to eight changes at random places.
fn damaged(spread: &mut Spread, text: &str) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for _ in 0..1 + spread.below(8) {
        let at = spread.below(letters.len() + 1);
        match spread.below(4) {
            0 => {
                let end = (at + spread.below(20)).min(letters.len());
                letters.drain(at..end);
            }
            1 => {
                let word = spread.one_of(WORDS).chars();
                letters.splice(at..at, word);
            }
            2 => {
                let end = (at + spread.below(60)).min(letters.len());
                let part = letters[at..end].to_vec();
                let to = spread.below(letters.len() + 1);
                letters.splice(to..to, part);
            }
            _ => {
                let word = spread.one_of(WORDS).repeat(1 + spread.below(200));
                letters.splice(at..at, word.chars());
            }
        }
    }
    letters.into_iter().collect()
}

fn run(name: &str, count: usize, seeds: &[String], mut target: impl FnMut(&str) -> bool) {
    let mut spread = Spread::new(2026);
    let (mut taken, mut refused) = (0, 0);
    for number in 0..inputs(count) {
        let seed = spread.one_of(seeds).clone();
        let input = if number.is_multiple_of(10) {
            seed
        } else {
            damaged(&mut spread, &seed)
        };
        let started = Instant::now();
        if target(&input) {
            taken += 1;
        } else {
            refused += 1;
        }
        let took = started.elapsed();
        assert!(took < TIME_MAX, "{name} took {took:?} for {input:?}");
    }
    // The test says something only if both come.
    assert!(
        taken > 0 && refused > 0,
        "{name}: {taken} taken, {refused} refused"
    );
}

#[test]
fn policies() {
    let world = World::shipped();
    let seeds: Vec<String> = shipped_policies()
        .filter(|(path, _)| *path != SCHEMA_FILE)
        .flat_map(|(_, text)| {
            text.split_inclusive(";\n")
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .map(|text| text.replacen("@id(\"", "@id(\"fuzz.", 1))
        .collect();
    let request = Request::new(
        &user("ann", &["steward"]),
        Action::Select,
        customers().uid(),
    );
    run("policies", 400, &seeds, |text| {
        let put = block_on(world.pdp.put(PolicyText {
            source: "policy:v1:fuzz".to_owned(),
            cedar: text.to_owned(),
        }));
        assert_eq!(
            world.pdp.decide_now(&request),
            world.pdp.decide_stock(&request),
            "{text}"
        );
        put.is_ok()
    });
}

#[test]
fn schemas() {
    let seeds: Vec<String> = shipped_policies()
        .filter(|(path, _)| *path == SCHEMA_FILE)
        .map(|(_, text)| text.to_owned())
        .collect();
    run("schemas", 60, &seeds, |text| open_with_schema(text).is_ok());
}

#[test]
fn entity_files() {
    let file = "entities/shop.json";
    let world = World::of_files(&[("shop.cedarschema", SHOP), (file, RECORDS)]).unwrap();
    run("entity files", 600, &[RECORDS.to_owned()], |text| {
        world.write(file, text);
        let before = world.pdp.file_entities_hash();
        let loaded = world.pdp.reload();
        if loaded.is_err() {
            assert_eq!(world.pdp.file_entities_hash(), before, "{text}");
        }
        loaded.is_ok()
    });
}

#[test]
fn policy_tests() {
    let seeds = [
        include_str!("../../../policies/tests/data.yaml").to_owned(),
        include_str!("../../../policies/tests/resources.yaml").to_owned(),
    ];
    let schema = shipped_policies().find(|(path, _)| *path == SCHEMA_FILE);
    let schema = schema.unwrap().1.to_owned();
    run("policy tests", 60, &seeds, |text| {
        let texts = Texts {
            schema: schema.clone(),
            tests: BTreeMap::from([("tests/fuzz.yaml".to_owned(), text.to_owned())]),
            ..Texts::default()
        };
        let report = analysis::test(&texts, &[], None);
        assert!(
            !report.cases.is_empty() || !report.findings.is_empty(),
            "{text}"
        );
        report.findings.is_empty()
    });
}

#[test]
fn authzen_bodies() {
    let evaluation = r#"{"subject":{"type":"user","id":"ann","properties":{"a":[1,"x",true]}},"action":{"name":"select"},"resource":{"type":"dataset","id":"shop:crm/customers"},"context":{"purpose":"audit"}}"#;
    let seeds = [
        evaluation.to_owned(),
        format!(r#"{{"evaluations":[{evaluation},{evaluation}],"options":{{"evaluations_semantic":"deny_on_first_deny"}}}}"#),
        r#"{"subject":{"type":"user"},"action":{"name":"select"},"resource":{"type":"dataset","id":"x"},"page":{"limit":2}}"#.to_owned(),
    ];
    let ours = Vocabulary::default();
    run("authzen", 20_000, &seeds, |text| {
        let bytes = text.as_bytes();
        let found = [
            Evaluation::read(bytes, &ours).is_ok(),
            Evaluations::read(bytes, &ours).is_ok(),
            SearchRequest::read(Sought::Subject, bytes, &ours).is_ok(),
        ];
        found.contains(&true)
    });
}

/// Bytes with one to eight changes at random places.
fn damaged_bytes(spread: &mut Spread, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + spread.below(8) {
        let at = spread.below(bytes.len() + 1);
        let end = (at + spread.below(20)).min(bytes.len());
        match spread.below(4) {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let noise = (0..spread.below(12)).map(|_| (spread.next() & 0xff) as u8);
                let noise: Vec<u8> = noise.collect();
                bytes.splice(at..at, noise);
            }
            2 => {
                let part = bytes[at..end].repeat(1 + spread.below(40));
                bytes.splice(at..at, part);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << spread.below(8);
                }
            }
        }
    }
    bytes
}

#[test]
fn decision_messages() {
    use dataos_pdp::decisions::{read_all, read_one, wire};
    use prost::Message;

    let value = |kind| wire::Value { kind: Some(kind) };
    let text = || value(wire::value::Kind::Text("x".to_owned()));
    let set = wire::Set {
        values: vec![text(), value(wire::value::Kind::Decimal("1.5".to_owned()))],
    };
    let entity = |kind: &str| wire::Entity {
        r#type: kind.to_owned(),
        id: "ann".to_owned(),
        properties: [("a".to_owned(), value(wire::value::Kind::Set(set.clone())))].into(),
    };
    let one = wire::DecideRequest {
        subject: Some(entity("user")),
        action: Some(wire::Action {
            name: "select".to_owned(),
            properties: [("b".to_owned(), text())].into(),
        }),
        resource: Some(entity("dataset")),
        context: [("purpose".to_owned(), text())].into(),
        supported_obligations: None,
    };
    let all = wire::DecideAllRequest {
        requests: vec![one.clone(); 3],
        semantic: 1,
    };
    let seeds = [one.encode_to_vec(), all.encode_to_vec()];
    let mut spread = Spread::new(2026);
    let (mut taken, mut refused) = (0, 0);
    let ours = dataos_model::vocabulary::Vocabulary::default();
    for _ in 0..inputs(20_000) {
        let seed = spread.one_of(&seeds).clone();
        let input = damaged_bytes(&mut spread, &seed);
        let started = Instant::now();
        let found = [
            read_one(&input, &ours).is_ok(),
            read_all(&input, &ours).is_ok(),
        ];
        *(if found.contains(&true) {
            &mut taken
        } else {
            &mut refused
        }) += 1;
        assert!(started.elapsed() < TIME_MAX, "{input:?}");
    }
    assert!(taken > 0 && refused > 0, "{taken} taken, {refused} refused");
}

#[test]
fn entities() {
    let world = World::with("");
    let mut spread = Spread::new(7);
    let values = [
        Value::Bool(true),
        Value::Long(i64::MIN),
        Value::from("x"),
        Value::Decimal(i64::MAX),
        Value::DateTime(i64::MIN),
        Value::Duration(-1),
        Value::Set([Value::Long(1), Value::from("x")].into()),
        Value::Record([("owner".to_owned(), Value::Long(1))].into()),
        Value::Entity(EntityType::USER.id("ann")),
        Value::Entity(EntityType::named("No Type").id("")),
    ];
    let types = [
        "User", "Resource", "Dataset", "Row", "Nothing", "a b", "", "Action",
    ];
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..inputs(2_000) {
        let of = *spread.one_of(&types);
        let uid = EntityType::named(of).id(*spread.one_of(WORDS));
        let mut entity = dataos_model::entity::Entity::new(uid.clone());
        for name in ["owner", "type", "", "x"] {
            if spread.is(40) {
                entity
                    .attributes
                    .insert(name.to_owned(), spread.one_of(&values).clone());
            }
        }
        if spread.is(20) {
            entity
                .tags
                .insert("region".to_owned(), spread.one_of(&values).clone());
        }
        if spread.is(30) {
            entity
                .parents
                .push(EntityType::named(*spread.one_of(&types)).id("p"));
        }
        let before = world.pdp.info();
        match world.pdp.apply(vec![EntityChange::Upsert(entity)]) {
            Ok(_) => taken += 1,
            Err(fault) => {
                refused += 1;
                assert!(!fault.to_string().is_empty());
            }
        }
        assert_eq!(world.pdp.info(), before);
        let request = Request::new(&user("ann", &[]), Action::GetResource, uid);
        assert!(!world.pdp.decide_now(&request).is_allowed());
    }
    assert!(
        taken > 20 && refused > 20,
        "{taken} taken, {refused} refused"
    );
}
