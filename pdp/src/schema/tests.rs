use dataos_model::dataset::{Column, ColumnType};

use super::*;
use crate::{convert::model_uid, shipped::shipped_policies};

fn shipped() -> BaseSchema {
    let (_, text) = shipped_policies()
        .find(|(path, _)| *path == SCHEMA_FILE)
        .unwrap();
    BaseSchema::parse(text, &Arc::default()).unwrap()
}

fn changed(from: &str, to: &str) -> String {
    let (_, text) = shipped_policies()
        .find(|(path, _)| *path == SCHEMA_FILE)
        .unwrap();
    assert!(text.contains(from));
    BaseSchema::parse(&text.replace(from, to), &Arc::default())
        .unwrap_err()
        .to_string()
}

#[test]
fn the_schema_declares_the_actions_of_the_code_and_no_others() {
    // `parse` compares groups and resource types of each.
    let schema = shipped();
    let declared: BTreeSet<String> = schema
        .plain()
        .schema()
        .actions()
        .map(|uid| model_uid(uid).id)
        .collect();
    let groups: BTreeSet<String> = schema
        .plain()
        .schema()
        .action_groups()
        .map(|uid| model_uid(uid).id)
        .collect();
    let expected: BTreeSet<String> = Action::ALL
        .iter()
        .map(|action| action.name().to_owned())
        .collect();
    assert_eq!(&declared - &groups, expected);
    for group in Action::ALL.iter().flat_map(|action| action.groups()) {
        assert!(groups.contains(*group), "{group}");
    }
}

#[test]
fn a_schema_that_differs_from_the_code_is_refused() {
    for (from, to, expected) in [
        (
            "action read_audit in [audit]",
            "action read_audit in [read]",
            "action `read_audit` must be in",
        ),
        (
            "action read_audit in",
            "action read_audits in",
            "action `read_audit` is missing",
        ),
        (
            "resource: [AuditRecord]",
            "resource: [AuditLog]",
            "`read_audit` applies to other types",
        ),
        ("entity Role;", "entity Role", "schema.cedarschema:"),
        ("entity Role;", "entity Role in [Nobody];", "Nobody"),
    ] {
        let shown = changed(from, to);
        assert!(shown.contains(expected), "{to}: {shown}");
    }
    let deep = format!(
        "entity X = {{ a: {}Long{} }};",
        "Set<".repeat(500),
        ">".repeat(500)
    );
    let shown = BaseSchema::parse(&deep, &Arc::default())
        .unwrap_err()
        .to_string();
    assert!(shown.contains("NESTING_MAX"), "{shown}");
}

#[test]
fn layout_does_not_change_the_digest() {
    let (_, text) = shipped_policies()
        .find(|(path, _)| *path == SCHEMA_FILE)
        .unwrap();
    let spaced = BaseSchema::parse(
        &text.replace("    entity ", "// c\n entity "),
        &Arc::default(),
    )
    .unwrap();
    assert_eq!(spaced.hash, shipped().hash);
    assert_ne!(spaced.text_hash, shipped().text_hash);
    let wider = text.replace("method?: String,", "method?: String, time?: Long,");
    assert_ne!(
        BaseSchema::parse(&wider, &Arc::default()).unwrap().hash,
        shipped().hash
    );
}

#[test]
fn columns_without_an_exact_attribute_are_left_out() {
    let column = |column_type: ColumnType, is_nullable| Column {
        name: column_type.to_string(),
        column_type,
        is_nullable,
    };
    let list = |item| ColumnType::List(Box::new(item));
    let columns = DatasetSchema {
        columns: vec![
            column(ColumnType::Int(64), false),
            column(ColumnType::Text, true),
            column(ColumnType::Date, true),
            column(
                ColumnType::Decimal {
                    precision: 10,
                    scale: 2,
                },
                true,
            ),
            column(list(ColumnType::Text), true),
            column(ColumnType::Float(64), true),
            column(
                ColumnType::Decimal {
                    precision: 38,
                    scale: 10,
                },
                true,
            ),
            column(ColumnType::Json, true),
            column(list(ColumnType::Float(64)), true),
        ],
    };
    let shape = shape(&columns);
    let attributes = shape.get("attributes").and_then(Json::as_object).unwrap();
    let shown: Vec<String> = attributes
        .iter()
        .map(|(name, facts)| format!("{name} {}", facts.get("required").unwrap()))
        .collect();
    let expected = [
        "bigint true",
        "text false",
        "date false",
        "decimal(10,2) false",
        "text[] false",
    ];
    assert_eq!(shown, expected);
    assert!(shipped().specialised(&columns).is_ok());
}
