//! What a wrong policy is told: file, line, column, what, and what to do.

use dataos_model::{fault::FaultKind, policy::PolicyText, seams::Policies};

use crate::fixture::{World, block_on, open_with};

const ON: &str = "(principal, action == DataOS::Action::\"select\", resource)";

/// The message for one file `sales/own.cedar`.
fn check(text: &str, expected: &str) {
    let shown = match open_with("sales/own.cedar", text) {
        Ok(_) => "accepted".to_owned(),
        Err(fault) => {
            assert_eq!(fault.kind, FaultKind::Invalid);
            fault.to_string()
        }
    };
    assert!(
        shown.contains(expected),
        "{text}\n  said: {shown}\n  not: {expected}"
    );
}

#[test]
fn annotations_are_told_with_their_place() {
    let cell = "(principal, action == DataOS::Action::\"read_cell\", resource)";
    for (text, expected) in [
        (
            format!("\n\n  permit {ON};"),
            "sales/own.cedar:3:3: a policy without @id",
        ),
        (
            format!("@id(\"a\")\npermit {ON};\n@id(\"a\")\npermit {ON};"),
            "sales/own.cedar:3:1: @id(\"a\") is used twice",
        ),
        (
            format!("@id(\"\") permit {ON};"),
            "@id must have 1 to 256 bytes (ID_BYTES_MAX)",
        ),
        (
            format!("@id(\"a\") @masc(\"hash()\")\npermit {ON};"),
            "sales/own.cedar:1:1: unknown annotation `@masc`; known: id, description, mask",
        ),
        (
            format!("// x\n@id(\"a\") @mask(\"rot13()\") forbid {cell};"),
            "sales/own.cedar:2:1: unknown mask `rot13`",
        ),
        (
            format!("@id(\"a\") @mask(\"hash()\") permit {cell};"),
            "a mask never grants",
        ),
        (
            format!("@id(\"a\") @mask(\"hash()\") forbid {ON};"),
            "not for `read_cell` alone",
        ),
        (
            format!("@id(\"a\") @priority(\"high\") forbid {ON};"),
            "`@priority(\"high\")` is no integer",
        ),
        (
            format!("@id(\"a\") @obligation(\"f(\") forbid {ON};"),
            "sales/own.cedar:1:1: annotation `f(`",
        ),
    ] {
        check(&text, expected);
    }
}

#[test]
fn what_cedar_refuses_is_told_with_its_place() {
    let row = "action == DataOS::Action::\"read_row\"";
    for (text, expected) in [
        (
            format!("@id(\"a\") permit {ON} when {{ context.purpose == \"x\" }};"),
            "sales/own.cedar:1:82: for policy `a`, unable to guarantee safety of access to \
             optional attribute `purpose`",
        ),
        (
            format!("@id(\"a\")\npermit {ON}\nwhen {{ resource.region == \"x\" }};"),
            "sales/own.cedar:3:8: for policy `a`, attribute `region` on entity type \
             `DataOS::Dataset` not found",
        ),
        (
            format!("@id(\"a\")\npermit {ON}\nwhen {{ 1 + }};"),
            "sales/own.cedar:3:12: unexpected token",
        ),
        (ON_NOTHING.to_owned(), "names no action that exists"),
        (
            ON_NOTHING.replace("selekt", "read_data"),
            "a group of actions is matched with `action in`",
        ),
        (
            format!("@id(\"a\") permit (principal == DataOS::Usr::\"x\", {row}, resource);"),
            "DataOS::Usr",
        ),
        (
            format!("@id(\"a\") permit (principal, {row}, resource == DataOS::Row::\"this\");"),
            "rows and cells cannot be named",
        ),
        (
            "@id(\"a\") permit (principal, action, resource) when { principal == ?principal };"
                .to_owned(),
            "sales/own.cedar:1:",
        ),
        (format!("@id(\"a\") permit {ON}"), "sales/own.cedar:1:"),
        (
            format!("@id(\"a\") permit {ON}; nonsense"),
            "sales/own.cedar:1:",
        ),
    ] {
        check(&text, expected);
    }
}

const ON_NOTHING: &str =
    "@id(\"a\") permit (principal, action == DataOS::Action::\"selekt\", resource);";

#[test]
fn an_id_used_in_two_files_names_both() {
    let world = World::shipped();
    let text = format!("\n@id(\"audit.auditor\") permit {ON};");
    std::fs::write(world.folder.path().join("zz.cedar"), text).unwrap();
    let shown = world.pdp.reload().unwrap_err().to_string();
    assert_eq!(
        shown,
        "zz.cedar:2:1: @id(\"audit.auditor\") is already used in audit/audit.cedar:3"
    );
}

#[test]
fn a_folder_without_schema_or_with_a_wrong_one_is_named() {
    let shown = open_with(
        "schema.cedarschema",
        "namespace DataOS {\n  entity User in [Nothing];\n}",
    )
    .unwrap_err()
    .to_string();
    assert!(shown.starts_with("schema.cedarschema:"), "{shown}");
    let shown = open_with("schema.cedarschema", "entity User;")
        .unwrap_err()
        .to_string();
    assert!(
        shown.contains("schema.cedarschema: a type or action outside of a namespace"),
        "{shown}"
    );
}

#[test]
fn applied_texts_are_named_by_their_source() {
    let world = World::shipped();
    let put = |source: &str, cedar: &str| {
        let text = PolicyText {
            source: source.to_owned(),
            cedar: cedar.to_owned(),
        };
        block_on(world.pdp.put(text))
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    let before = world.pdp.info();
    let shown = put(
        "policy:v1:x",
        &format!("@id(\"x\")\n\npermit {ON} when {{ 1 }};"),
    );
    assert!(shown.starts_with("policy:v1:x:3:"), "{shown}");
    let shown = put(
        "policy:v1:x",
        &format!("@id(\"audit.auditor\") permit {ON};"),
    );
    assert!(
        shown.starts_with("policy:v1:x: @id(\"audit.auditor\") is already used in audit/"),
        "{shown}"
    );
    let shown = put("audit/audit.cedar", "");
    assert!(
        shown.contains("is a file of the policies folder"),
        "{shown}"
    );
    assert_eq!(world.pdp.info(), before, "a refused text changes nothing");
}

#[test]
fn check_finds_a_wrong_column_on_the_datasets_it_reaches() {
    let world = World::shipped();
    let before = world.pdp.info();
    let check = |cedar: &str| {
        let text = PolicyText {
            source: "policy:v1:x".to_owned(),
            cedar: cedar.to_owned(),
        };
        block_on(world.pdp.check(&[text])).map_err(|fault| fault.to_string())
    };
    let row = |scope: &str, condition: &str| {
        format!(
            "@id(\"x\") forbid (principal, action == DataOS::Action::\"read_row\", {scope}) when {{ {condition} }};"
        )
    };
    assert_eq!(
        check(&row(
            "resource",
            "resource has region && resource.region == \"x\""
        )),
        Ok(())
    );
    let shown = check(&row("resource", "resource.regoin == \"x\"")).unwrap_err();
    assert!(
        shown.contains("policy `x` on dataset shop:crm/customers") && shown.contains("regoin"),
        "{shown}"
    );
    let shown = check(&row("resource", "resource.region == \"x\"")).unwrap_err();
    assert!(shown.contains("optional attribute `region`"), "{shown}");
    // A type without an attribute: the column is not there for policies.
    let shown = check(&row("resource", "resource.score == 1")).unwrap_err();
    assert!(shown.contains("score"), "{shown}");
    let elsewhere = "resource in DataOS::Dataset::\"shop:crm/orders\"";
    assert_eq!(check(&row(elsewhere, "resource.regoin == \"x\"")), Ok(()));
    let lifted = format!("{elsewhere} && resource.regoin == \"x\"");
    assert_eq!(check(&row("resource", &lifted)), Ok(()));
    assert_eq!(world.pdp.info(), before, "checking has no effect");
}
