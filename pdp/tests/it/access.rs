//! Rows and columns of a dataset.

use std::collections::BTreeMap;

use dataos_model::{
    access::{CellOutcome, ColumnAccess, DatasetAccess},
    dataset::{ColumnType, DatasetSchema},
    decision::Reason,
    entity::{Entity, EntityChange},
    predicate::Predicate,
    principal::Principal,
    seams::EntitySink,
    value::Value,
};

use crate::fixture::{World, column, customers, user};

const OPEN: &str = r#"
@id("open")
permit (principal, action in DataOS::Action::"read_data", resource in DataOS::Dataset::"shop:crm/customers");
"#;

fn access(policies: &str, principal: &Principal) -> DatasetAccess {
    World::with(&format!("{OPEN}{policies}")).access(principal)
}

/// The rows of a text of Cedar after `OPEN`, printed for people.
fn check_rows(policies: &str, expected: &str) {
    let answer = access(policies, &user("ann", &[]));
    assert_eq!(answer.decision.reason, Reason::Permitted, "{policies}: {}", answer.decision.detail);
    assert_eq!(answer.rows.to_string(), expected, "{policies}");
}

fn outcomes(column: &ColumnAccess) -> String {
    let rules = column.rules.iter().map(|rule| {
        let outcome = match &rule.outcome {
            CellOutcome::Plain => "plain".to_owned(),
            CellOutcome::Masked(mask) => mask.to_string(),
            CellOutcome::Absent => "absent".to_owned(),
        };
        format!("{outcome} when {}", rule.when)
    });
    rules.collect::<Vec<_>>().join("; ")
}

/// What becomes of one column after `OPEN` and these.
fn check_column(name: &str, policies: &str, expected: &str) {
    let answer = access(policies, &user("ann", &[]));
    assert_eq!(answer.decision.reason, Reason::Permitted, "{policies}: {}", answer.decision.detail);
    let column = answer.columns.iter().find(|column| column.name == name).unwrap();
    assert_eq!(outcomes(column), expected, "{policies}");
}

#[test]
fn one_permit_on_read_data_opens_the_dataset_whole() {
    let answer = access("", &user("ann", &[]));
    assert_eq!(answer.rows, Predicate::ALWAYS);
    assert_eq!(answer.columns.len(), 5);
    assert!(answer.columns.iter().all(ColumnAccess::is_plain));
    assert_eq!(answer.row_policies.len(), 1);
    assert_eq!(answer.row_policies[0].source, "own.cedar:2");
}

fn forbid(action: &str, annotations: &str, rest: &str) -> String {
    format!("@id(\"f\") {annotations} forbid (principal, action == DataOS::Action::\"{action}\", resource) {rest};")
}

#[test]
fn rows_are_narrowed_by_forbids() {
    for (condition, expected) in [
        (r#"unless { resource has region && resource.region == "EMEA" }"#, "1"),
        (r#"unless { principal.hasTag("region") && resource has region && resource.region == principal.getTag("region") }"#, "2"),
        ("when { resource.id > 5 }", "3"),
        ("when { resource has age && resource.age >= 18 }", "4"),
        ("when { resource.id * 2 > 5 }", "5"),
        ("when { resource has email && resource.email like \"*%\\\"@x_\" }", "6"),
        ("when { resource has region && [\"A\", \"B\"].contains(resource.region) }", "7"),
        ("when { resource.id == 1 || resource.id == 2 || resource.id == 3 }", "8"),
        ("when { resource has nothing && resource.nothing == 5 }", "9"),
        ("when { principal == DataOS::User::\"bob\" }", "10"),
    ] {
        let mut principal = user("ann", &[]);
        principal.attributes.insert("region".to_owned(), "AMER".to_owned());
        let answer = access(&forbid("read_row", "", condition), &principal);
        assert_eq!(answer.decision.reason, Reason::Permitted, "{}", answer.decision.detail);
        println!("{expected} | {condition} | {}", answer.rows);
    }
}

#[test]
fn cells() {
    for (annotations, condition) in [
        ("@mask(\"hash()\")", "when { resource in DataOS::Tag::\"PII\" }"),
        ("@mask(\"hash()\")", "when { resource in DataOS::Tag::\"PII\" && resource.id > 5 }"),
        ("", "when { resource in DataOS::Tag::\"PII\" && resource.id > 5 }"),
        ("", "when { resource in DataOS::Tag::\"PII\" }"),
        ("@mask(\"pass_through()\")", "when { resource in DataOS::Tag::\"PII\" }"),
        ("@mask(\"bucket_number(buckets = [1])\")", "when { resource in DataOS::Tag::\"PII\" }"),
    ] {
        let answer = access(&forbid("read_cell", annotations, condition), &user("ann", &[]));
        for column in &answer.columns { println!("{annotations} {condition} | {} | {}", column.name, outcomes(column)); }
    }
}
