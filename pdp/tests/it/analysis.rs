//! Policies as code: findings, tests of a folder, matrix, difference.

use std::{fs, path::Path};

use dataos_pdp::{
    analysis::{
        MATRIX_FILE, Texts, check as check_texts, compare, format, matrix, test as test_texts,
    },
    shipped_policies,
};

const CUSTOMERS: &str = "\
datasets:
  - address: shop.crm.customers
    tags: [sales]
    columns:
      - {name: id, type: bigint, required: true}
      - {name: region, type: text}
      - {name: age, type: integer}
      - {name: spent, type: 'decimal(10,2)'}
      - {name: born, type: date}
      - {name: email, type: text, tags: [PII.email]}
    rows:
      - {id: 1, region: EMEA, age: 30, spent: 12.5, born: 1990-01-02, email: a@x.org}
      - {id: 2, region: AMER, age: 17, spent: '99.99', born: 2008-01-01}
      - {id: 3}
";

/// The shipped schema, one policy file and one test file.
fn texts(policies: &str, tests: &str) -> Texts {
    let schema = shipped_policies()
        .find(|(path, _)| *path == "schema.cedarschema")
        .unwrap();
    let mut texts = Texts {
        schema: schema.1.to_owned(),
        ..Texts::default()
    };
    let file = format("own.cedar", policies).unwrap_or_else(|_| policies.to_owned());
    texts.files.insert("own.cedar".to_owned(), file);
    if !tests.is_empty() {
        texts
            .tests
            .insert("tests/own.yaml".to_owned(), tests.to_owned());
    }
    texts
}

fn folder() -> Texts {
    Texts::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies")).unwrap()
}

/// Rules and policies of what is found, `rule policy` each.
fn found(policies: &str, tests: &str) -> Vec<String> {
    let report = check_texts(&texts(policies, tests), &[]);
    let lines = report.findings.iter().map(|finding| {
        let policy = finding.policy.as_deref().unwrap_or("-");
        format!("{} {policy}", finding.rule.name())
    });
    lines.collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of cases")]
fn lints_find_what_they_are_for_and_nothing_else() {
    let cases_of = "cases: []\n";
    let with_data = format!("{CUSTOMERS}{cases_of}");
    for (policies, tests, expected) in [
        (
            r#"@id("a") permit (principal in DataOS::Role::"x", action == DataOS::Action::"query", resource);"#,
            "",
            &[] as &[&str],
        ),
        (
            r#"@id("a") permit (principal, action == DataOS::Action::"query", resource);"#,
            "",
            &["always_matches a"],
        ),
        (
            r#"@id("a") forbid (principal, action == DataOS::Action::"query", resource) when { 1 == 1 };"#,
            "",
            &["always_matches a"],
        ),
        (
            r#"@id("a") permit (principal is DataOS::Service, action == DataOS::Action::"query", resource) when { principal is DataOS::User };"#,
            "",
            &["never_matches a"],
        ),
        (
            r#"@id("a") permit (principal in DataOS::Role::"x", action == DataOS::Action::"query", resource);
               @id("b") permit (principal in DataOS::Role::"x", action == DataOS::Action::"query", resource) when { context has purpose };"#,
            "",
            &["shadowed b"],
        ),
        (
            r#"@id("a") permit (principal in DataOS::Role::"x", action == DataOS::Action::"query", resource);
               @id("b") permit (principal in DataOS::Role::"x", action == DataOS::Action::"query", resource);"#,
            "",
            &["shadowed b"],
        ),
        (
            r#"@id("a") permit (principal in DataOS::Role::"x", action == DataOS::Action::"query", resource) when { context has purpose };
               @id("b") forbid (principal, action in DataOS::Action::"read", resource is DataOS::Workspace) when { context has purpose };
               @id("c") permit (principal in DataOS::Role::"x", action == DataOS::Action::"query", resource is DataOS::Workspace) when { context has network && context has purpose };"#,
            "",
            &["shadowed c"],
        ),
        (
            // A masking forbid takes nothing away but the plain value.
            r#"@id("a") permit (principal in DataOS::Role::"x", action == DataOS::Action::"read_cell", resource);
               @id("b") @mask("hash()") forbid (principal, action == DataOS::Action::"read_cell", resource in DataOS::Tag::"PII");"#,
            "",
            &[],
        ),
        (
            r#"@id("a") forbid (principal, action == DataOS::Action::"read_row", resource in DataOS::Dataset::"shop:crm/customers") when { resource has age && resource.age + 1 > 18 };"#,
            with_data.as_str(),
            &["forbid_can_fail a"],
        ),
        (
            r#"@id("a") permit (principal in DataOS::Role::"x", action == DataOS::Action::"read_row", resource in DataOS::Dataset::"shop:crm/customers") when { resource has age && resource.age + 1 > 18 };"#,
            with_data.as_str(),
            &[],
        ),
        (
            r#"@id("a") forbid (principal, action == DataOS::Action::"read_row", resource in DataOS::Tag::"sales") when { resource.age > 18 };"#,
            with_data.as_str(),
            &["not_typed a"],
        ),
        (
            r#"@id("a") forbid (principal, action == DataOS::Action::"read_row", resource in DataOS::Tag::"salse") when { resource has age && resource.age > 18 };"#,
            with_data.as_str(),
            &["no_dataset a"],
        ),
        (
            r#"@id("a") forbid (principal, action == DataOS::Action::"query", resource) unless { context has purpose && context.purpose like "а*udit" };"#,
            "",
            &["confusable a"],
        ),
        (
            r#"@id("a") permit (principal, action == DataOS::Action::"qery", resource);
               @id("b") @msk("hash()") permit (principal, action == DataOS::Action::"query", resource);
               @id("c") forbid (principal, action == DataOS::Action::"query", resource) when { resource.nothing };"#,
            "",
            &["invalid -", "invalid -", "invalid -"],
        ),
        (
            r#"@id("a") permit (principal in DataOS::Role::"x", action == DataOS::Action::"query", resource);"#,
            "cases:\n  - {name: x, principle: y}\n",
            &["test_invalid -"],
        ),
    ] {
        assert_eq!(found(policies, tests), expected, "{policies}");
    }
}

#[test]
fn a_finding_says_where_and_what_to_do() {
    let mut texts = texts("", "");
    let text = "// why\n@id(\"a\")\npermit (principal, action, resource);\n\n\
                @id(\"b\")\npermit (principal, action == DataOS::Action::\"query\", resource)\n\
                when { resource.nothing };\n";
    texts.files.insert("own.cedar".to_owned(), text.to_owned());
    let shown: Vec<String> = check_texts(&texts, &[])
        .findings
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(
        shown[0].starts_with("own.cedar:2:1: warning[always_matches]: policy `a`"),
        "{shown:#?}"
    );
    assert!(
        shown
            .iter()
            .any(|line| line.starts_with("own.cedar:7:") && line.contains("error[invalid]")),
        "{shown:#?}"
    );
    assert!(
        shown
            .iter()
            .any(|line| line.contains("warning[unformatted]") && line.contains("policy format")),
        "{shown:#?}"
    );
}

#[test]
fn the_shipped_folder_is_clean_tested_and_its_matrix_reviewed() {
    let folder = folder();
    let report = check_texts(&folder, &[]);
    assert_eq!(report.findings, [], "{:#?}", report.findings);
    let made = matrix(&folder).unwrap().to_string();
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../policies")
        .join(MATRIX_FILE);
    let committed = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        made, committed,
        "run `dataos-ctl policy matrix --write` and review the change"
    );
}

#[test]
fn cases_pass_or_say_what_came_out() {
    let policies = r#"
        @id("readers") permit (principal in DataOS::Role::"reader", action in DataOS::Action::"read_data", resource);
        @id("adults") forbid (principal, action == DataOS::Action::"read_row", resource in DataOS::Dataset::"shop:crm/customers")
            unless { resource has age && resource.age > 18 };
        @id("mask") @mask("redact(replacement = 'x')") forbid (principal, action == DataOS::Action::"read_cell", resource in DataOS::Tag::"PII");
        @id("idle") permit (principal in DataOS::Role::"nobody", action == DataOS::Action::"query", resource);
    "#;
    let case = |expect: &str| {
        format!(
            "{CUSTOMERS}cases:\n  - name: x\n    principal: {{user: bob, roles: [reader]}}\n    \
             action: select\n    resource: Dataset::\"shop:crm/customers\"\n    expect: {expect}\n"
        )
    };
    let right = "{decision: allow, reason: permitted, policies: [readers, adults, mask], rows: [1], \
                 masks: {email: \"redact(replacement = 'x')\", age: plain, none: absent}}";
    let report = test_texts(&texts(policies, &case(right)), &[], None);
    assert!(report.has_passed(), "{report:#?}");
    assert_eq!(report.uncovered.len(), 1);
    assert_eq!(report.uncovered[0].0, "idle");
    for (expect, part) in [
        ("{decision: deny}", "decision: expected deny, got allow"),
        (
            "{decision: allow, reason: forbidden}",
            "reason: expected forbidden, got permitted",
        ),
        (
            "{decision: allow, policies: [readers]}",
            "policies: expected",
        ),
        (
            "{decision: allow, rows: [1, 2]}",
            "rows: expected [1, 2], got [1]",
        ),
        (
            "{decision: allow, rows: all}",
            "rows: expected the condition all",
        ),
        (
            "{decision: allow, masks: {email: plain}}",
            "masks: column `email`: expected plain, got redact",
        ),
    ] {
        let report = test_texts(&texts(policies, &case(expect)), &[], None);
        let failures = report.cases[0].failures.join("\n");
        assert!(failures.contains(part), "{failures}");
        assert_eq!(
            report.cases[0].location.file.as_deref(),
            Some("tests/own.yaml")
        );
    }
}

#[test]
fn a_difference_ignores_layout_and_names_the_cells_that_flip() {
    let before = texts(
        r#"@id("a") permit (principal in DataOS::Role::"x", action == DataOS::Action::"query", resource);
           @id("gone") permit (principal in DataOS::Role::"y", action == DataOS::Action::"query", resource);"#,
        "",
    );
    let mut same = before.clone();
    let text = format!(
        "// A comment.\n{}",
        same.files["own.cedar"].replace('\n', " ")
    );
    same.files = [("other/name.cedar".to_owned(), text)].into();
    let difference = compare(&before, &same).unwrap();
    assert!(
        difference.changes.is_empty() && difference.flips.is_empty(),
        "{difference:#?}"
    );
    let after = texts(
        r#"@id("a") permit (principal in DataOS::Role::"x", action == DataOS::Action::"query", resource) when { context has purpose };
           @id("new") permit (principal in DataOS::Role::"x", action == DataOS::Action::"view_health", resource);"#,
        "",
    );
    let difference = compare(&before, &after).unwrap();
    let changes: Vec<String> = difference
        .changes
        .iter()
        .map(|c| format!("{} {}", c.kind(), c.id))
        .collect();
    assert_eq!(changes, ["changed a", "removed gone", "added new"]);
    let flips: Vec<String> = difference
        .flips
        .iter()
        .map(|flip| {
            format!(
                "{}: {} {} -> {}",
                flip.subject, flip.action, flip.before, flip.after
            )
        })
        .collect();
    assert_eq!(
        flips,
        [
            "role x: query allow -> if",
            "role x: view_health deny -> allow",
            "role y: query allow -> deny"
        ]
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of mistakes")]
fn a_test_file_that_is_wrong_says_where_and_what() {
    let case = |fields: &str| {
        format!(
            "{CUSTOMERS}cases:\n  - name: x\n    principal: {{user: bob}}\n{fields}    expect: {{decision: allow}}\n"
        )
    };
    let dataset = "    action: select\n    resource: Dataset::\"shop:crm/customers\"\n";
    let request = "    action: query\n    resource: Workspace::\"public\"\n";
    for (text, place, part) in [
        (case(""), "16:5", "`action` and `resource`, or `sql`"),
        (
            case(&format!("{request}    sql: SELECT 1\n")),
            "16:5",
            "or `sql`",
        ),
        (
            case(&dataset.replace("select", "selekt")),
            "16:5",
            "unknown action `selekt`",
        ),
        (
            case(&dataset.replace("select", "read_row")),
            "16:5",
            "ask for `select`",
        ),
        (
            case(&dataset.replace("Dataset::", "Dataset:")),
            "16:5",
            "write Type::",
        ),
        (
            case(dataset).replace("user: bob", "roles: [x]"),
            "16:5",
            "`user` or `service`",
        ),
        (
            case(dataset).replace("decision: allow", "decision: yes"),
            "16:5",
            "neither allow nor deny",
        ),
        (
            case(request).replace("{decision: allow}", "{decision: allow, rows: [1]}"),
            "16:5",
            "of datasets alone",
        ),
        (
            case(dataset).replace("integer", "int"),
            "2:5",
            "is not a column type",
        ),
        (
            case(dataset).replace("age: 17", "age: old"),
            "2:5",
            "row 2: \"old\" is no integer (`age`)",
        ),
        (
            case(dataset).replace("{id: 3}", "{id: 3, nope: 1}"),
            "2:5",
            "no column `nope`",
        ),
        (
            case(dataset).replace("{id: 3}", "{region: EMEA}"),
            "2:5",
            "row 3: `id` has no value",
        ),
        (
            case(dataset).replace("1990-01-02", "1990-13-02"),
            "2:5",
            "is no date (`born`)",
        ),
        (
            case(dataset).replace("'99.99'", "'99.99999'"),
            "2:5",
            "is no decimal(10,2)",
        ),
        (
            case(dataset).replace("shop.crm.customers", "customers"),
            "2:5",
            "is not a dataset address",
        ),
        (
            case(dataset).replace("name: x\n", "name: x\n    nam: y\n"),
            "17:5",
            "nam",
        ),
        (
            case(dataset).replace("name: x\n", "name: x\n    name: y\n"),
            "17:5",
            "name",
        ),
    ] {
        let report = test_texts(&texts("", &text), &[], None);
        let shown: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        let start = format!("tests/own.yaml:{place}:");
        assert!(
            shown.len() == 1 && shown[0].starts_with(&start) && shown[0].contains(part),
            "{part}: {shown:#?}"
        );
    }
}
