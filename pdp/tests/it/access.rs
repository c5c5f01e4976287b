//! Rows and columns of a dataset.

use dataos_model::{
    access::{CellOutcome, ColumnAccess, DatasetAccess},
    dataset::{ColumnType, DatasetSchema},
    decision::Reason,
    entity::{Entity, EntityChange, EntityType},
    policy::PolicyText,
    predicate::Predicate,
    principal::Principal,
    seams::{EntitySink, Policies},
};

use crate::fixture::{World, block_on, column, customers, user};

const OPEN: &str = r#"
@id("open")
permit (principal, action in DataOS::Action::"read_data", resource in DataOS::Dataset::"shop:crm/customers");
"#;

fn access(policies: &str, principal: &Principal) -> DatasetAccess {
    World::with(&format!("{OPEN}{policies}")).access(principal)
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
    format!(
        "@id(\"f\") {annotations} forbid (principal, action == DataOS::Action::\"{action}\", resource) {rest};\n"
    )
}

#[test]
fn rows_are_narrowed_by_forbids() {
    for (condition, expected) in [
        (
            r#"unless { resource has region && resource.region == "EMEA" }"#,
            "region IS NOT NULL AND region = 'EMEA'",
        ),
        (
            r#"unless { principal.hasTag("region") && resource has region && resource.region == principal.getTag("region") }"#,
            "region IS NOT NULL AND region = 'AMER'",
        ),
        ("when { resource.id > 5 }", "id <= 5"),
        (
            "when { resource has age && resource.age >= 18 }",
            "NOT (age IS NOT NULL) OR age < 18",
        ),
        ("when { resource.id * 2 > 5 }", "NOT (5 < id * 2)"),
        (
            r#"when { resource has region && ["A", "B"].contains(resource.region) }"#,
            "NOT (region IS NOT NULL) OR NOT (region IN ('A', 'B'))",
        ),
        (
            "when { resource.id == 1 || resource.id == 2 }",
            "id <> 1 AND id <> 2",
        ),
        (
            "when { resource has nothing && resource.nothing == 5 }",
            "TRUE",
        ),
        (r#"when { principal == DataOS::User::"bob" }"#, "TRUE"),
    ] {
        let mut principal = user("ann", &[]);
        principal
            .attributes
            .insert("region".to_owned(), "AMER".to_owned());
        let answer = access(&forbid("read_row", "", condition), &principal);
        assert_eq!(
            answer.decision.reason,
            Reason::Permitted,
            "{}",
            answer.decision.detail
        );
        assert_eq!(answer.rows.to_string(), expected, "{condition}");
    }
}

#[test]
fn a_column_is_plain_masked_or_absent() {
    let tagged = r#"when { resource in DataOS::Tag::"PII" }"#;
    let sometimes = r#"when { resource in DataOS::Tag::"PII" && resource.id > 5 }"#;
    for (annotations, condition, expected) in [
        (r#"@mask("hash()")"#, tagged, "hash() when TRUE"),
        (
            r#"@mask("hash()")"#,
            sometimes,
            "hash() when 5 < id; plain when TRUE",
        ),
        ("", sometimes, "absent when 5 < id; plain when TRUE"),
        ("", tagged, "absent when TRUE"),
        (r#"@mask("pass_through()")"#, tagged, "plain when TRUE"),
        // A mask for numbers on a text hides it.
        (
            r#"@mask("bucket_number(buckets = [1])")"#,
            tagged,
            "absent when TRUE",
        ),
    ] {
        let answer = access(
            &forbid("read_cell", annotations, condition),
            &user("ann", &[]),
        );
        for column in &answer.columns {
            let expected = if column.name == "email" {
                expected
            } else {
                "plain when TRUE"
            };
            assert_eq!(
                outcomes(column),
                expected,
                "{} {annotations} {condition}",
                column.name
            );
        }
    }
}

#[test]
fn a_policy_on_one_column_says_nothing_of_those_beside_it() {
    // All columns but `email` are in the same; only two of them are named, in the scope and behind it.
    let named = r#"resource in DataOS::Column::"shop:crm/customers/region""#;
    let policies = forbid("read_cell", "@mask(\"hash()\")", "")
        .replace("resource)", &format!("{named})"))
        + r#"@id("b") forbid (principal, action == DataOS::Action::"read_cell", resource)
             when { resource in [DataOS::Column::"shop:crm/customers/age", DataOS::Column::"none"] };"#;
    let answer = access(&policies, &user("ann", &[]));
    for column in &answer.columns {
        let expected = match column.name.as_str() {
            "region" => "hash() when TRUE",
            "age" => "absent when TRUE",
            _ => "plain when TRUE",
        };
        assert_eq!(outcomes(column), expected, "{}", column.name);
    }
}

#[test]
fn the_best_priority_masks_and_a_forbid_without_mask_hides() {
    let masked = |id: &str, priority: &str, mask: &str| {
        forbid(
            "read_cell",
            &format!("{priority} @mask(\"{mask}\")"),
            r#"when { resource in DataOS::Tag::"PII" }"#,
        )
        .replace("\"f\"", &format!("\"{id}\""))
    };
    let email = |policies: String| {
        let answer = access(&policies, &user("ann", &[]));
        let column = answer
            .columns
            .into_iter()
            .find(|column| column.name == "email")
            .unwrap();
        (outcomes(&column), column.rules[0].policy.clone().unwrap())
    };
    let late = masked("late", "", "hash()");
    let low = masked("low", "@priority(\"20\")", "null()");
    let best = masked("best", "@priority(\"-1\")", "redact()");
    let shown = email(format!("{late}{low}{best}"));
    assert_eq!(
        shown,
        (
            "redact(replacement = '[redacted]') when TRUE".to_owned(),
            "best".to_owned()
        )
    );
    let tie = masked("a-tie", "@priority(\"20\")", "hash()");
    assert_eq!(email(format!("{low}{tie}")).1, "a-tie");
    let hidden = forbid(
        "read_cell",
        "",
        r#"when { resource in DataOS::Tag::"PII.email" }"#,
    );
    assert_eq!(
        email(format!("{best}{hidden}")),
        ("absent when TRUE".to_owned(), "f".to_owned())
    );
}

#[test]
fn a_mask_never_grants() {
    let policies = format!(
        "@id(\"s\") permit (principal, action in [DataOS::Action::\"select\", DataOS::Action::\"read_row\"], resource);{}",
        forbid("read_cell", "@mask(\"hash()\")", "")
    );
    let answer = World::with(&policies).access(&user("ann", &[]));
    assert!(answer.decision.is_allowed() && answer.columns.iter().all(ColumnAccess::is_absent));
}

#[test]
fn rows_that_nobody_can_see_are_a_deny_that_says_why() {
    let select = r#"@id("s") permit (principal, action == DataOS::Action::"select", resource);"#;
    let answer = World::with(select).access(&user("ann", &[]));
    assert_eq!(answer.decision.reason, Reason::NoPermit);
    assert!(
        answer.decision.detail.contains("to read any row"),
        "{}",
        answer.decision.detail
    );
    let all = forbid("read_row", "@description(\"closed for audit\")", "");
    let answer = access(&all, &user("ann", &[]));
    assert_eq!(answer.decision.reason, Reason::Forbidden);
    assert_eq!(answer.decision.detail, "forbidden: closed for audit");
    assert_eq!(answer.decision.policies[0].id, "f");
    assert!(answer.columns.is_empty() && answer.rows == Predicate::NEVER);
}

#[test]
fn an_ill_typed_or_inexact_policy_refuses_the_dataset_permit_or_forbid() {
    for (condition, expected, words) in [
        (
            "when { resource.region == \"x\" }",
            Reason::PolicyNotTyped,
            "optional attribute `region`",
        ),
        (
            "when { resource.score > 1 }",
            Reason::PolicyNotTyped,
            "score",
        ),
        (
            "when { resource.id == \"x\" }",
            Reason::PolicyNotTyped,
            "not compatible",
        ),
        (
            "when { (if resource.id > 5 then principal else DataOS::User::\"bob\") == DataOS::User::\"ann\" }",
            Reason::Permitted,
            "",
        ),
        (
            "when { (if resource.id > 5 then DataOS::Group::\"a\" else DataOS::Group::\"b\") in DataOS::Group::\"c\" }",
            Reason::NotExact,
            "policy `f`",
        ),
    ] {
        for effect in ["forbid", "permit"] {
            let policy = forbid("read_row", "", condition).replace("forbid", effect);
            let answer = access(&policy, &user("ann", &[]));
            assert_eq!(
                answer.decision.reason, expected,
                "{}",
                answer.decision.detail
            );
            assert!(
                answer.decision.detail.contains(words),
                "{}",
                answer.decision.detail
            );
            assert_eq!(answer.decision.is_allowed(), expected == Reason::Permitted);
        }
    }
}

#[test]
fn a_policy_about_another_dataset_does_not_disturb_this_one() {
    // The same column name with another type; scope open, dataset in the condition.
    let other = forbid(
        "read_row",
        "",
        r#"when { resource in DataOS::Dataset::"shop:crm/orders" } unless { resource has region && resource.region == 7 }"#,
    );
    let answer = access(&other, &user("ann", &[]));
    assert_eq!(
        answer.decision.reason,
        Reason::Permitted,
        "{}",
        answer.decision.detail
    );
    assert_eq!(answer.rows, Predicate::ALWAYS);
}

#[test]
fn a_change_of_columns_or_tags_counts_at_once() {
    let policies = format!(
        "{OPEN}{}{}",
        forbid("read_row", "", "when { resource.id > 5 }"),
        forbid(
            "read_cell",
            "",
            r#"when { resource in DataOS::Tag::"secret" }"#
        )
        .replace("\"f\"", "\"g\"")
    );
    let world = World::with(&policies);
    let ann = user("ann", &[]);
    let before = world.access(&ann);
    assert!(before.columns.iter().all(ColumnAccess::is_plain));
    let id = customers();
    let tagged =
        Entity::new(id.column_uid("age")).with_parents([id.uid(), EntityType::TAG.id("secret")]);
    world.pdp.apply(vec![EntityChange::Upsert(tagged)]).unwrap();
    let after = world.access(&ann);
    let absent: Vec<&str> = after
        .columns
        .iter()
        .filter(|c| c.is_absent())
        .map(|c| c.name.as_str())
        .collect();
    assert_eq!(absent, ["age"]);
    assert_ne!(before.decision.entities, after.decision.entities);
    let mut dataset = Entity::new(id.uid()).with_parents([id.collection_uid()]);
    let columns = vec![
        column("id", ColumnType::Text, false),
        column("new", ColumnType::Text, true),
    ];
    dataset.schema = Some(DatasetSchema { columns });
    let hash = dataset.schema.as_ref().unwrap().hash();
    world
        .pdp
        .apply(vec![EntityChange::Upsert(dataset)])
        .unwrap();
    let retyped = world.access(&ann);
    assert_eq!(retyped.decision.reason, Reason::PolicyNotTyped);
    block_on(world.pdp.put(PolicyText {
        source: "x".to_owned(),
        cedar: String::new(),
    }))
    .unwrap();
    std::fs::write(world.folder.path().join("own.cedar"), OPEN).unwrap();
    world.pdp.reload().unwrap();
    let answer = world.access(&ann);
    assert_eq!(answer.schema_hash, hash);
    // A column whose entity is not known has unknown tags: hidden.
    let shown: Vec<bool> = answer.columns.iter().map(ColumnAccess::is_absent).collect();
    assert_eq!(shown, [false, true]);
}

#[test]
fn obligations_of_all_policies_that_can_apply_bind() {
    let with = |annotation: &str, condition: &str| {
        forbid(
            "read_row",
            &format!("@obligation(\"{annotation}\")"),
            condition,
        )
    };
    let answer = access(
        &with("min_group(size = 5)", "when { resource.id > 5 }"),
        &user("ann", &[]),
    );
    let shown: Vec<String> = answer
        .decision
        .obligations
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(shown, ["min_group(size = 5)"]);
    let none = with(
        "min_group(size = 5)",
        r#"when { principal == DataOS::User::"bob" }"#,
    );
    assert!(
        access(&none, &user("ann", &[]))
            .decision
            .obligations
            .is_empty()
    );
}

#[test]
fn a_policy_that_always_fails_is_skipped_and_named() {
    let failing = forbid(
        "read_row",
        "",
        "when { 9223372036854775807 + 1 > resource.id }",
    );
    let answer = access(&failing, &user("ann", &[]));
    assert!(answer.decision.is_allowed());
    assert_eq!(answer.decision.errors[0].0, "f");
    assert_eq!(answer.rows, Predicate::ALWAYS);
}

#[test]
fn policies_as_they_are_compiled_from_yaml() {
    let compiled = r#"
@id("policy:access:1")
@description("analysts of the EU")
permit (principal, action in [DataOS::Action::"select", DataOS::Action::"read_row", DataOS::Action::"read_cell", DataOS::Action::"view_asset"], resource)
when { (principal in DataOS::Role::"analyst" && principal in DataOS::Tag::"users:dataos:eu") || principal == DataOS::User::"alice" }
when { resource in DataOS::Collection::"shop:crm" || resource in DataOS::Dataset::"shop:hr/people" };

@id("policy:mask:1")
@mask("regex_replace(pattern = '^[^@]+', replacement = '***')")
@priority("20")
forbid (principal, action == DataOS::Action::"read_cell", resource)
when { principal in DataOS::Role::"analyst" }
when { resource in DataOS::Tag::"PII.email" || resource in DataOS::Tag::"PII.phone" }
when { resource in DataOS::Depot::"shop" };

@id("policy:filter:1")
@priority("100")
forbid (principal, action == DataOS::Action::"read_row", resource)
when { principal in DataOS::Role::"analyst" }
when { resource in DataOS::Dataset::"shop:crm/customers" }
unless { (resource has region && resource.region == "EMEA") && (principal.hasTag("level") && resource has age && resource.age != 7) };

@id("policy:workspace:1")
permit (principal, action in [DataOS::Action::"apply_resource", DataOS::Action::"delete_resource"], resource)
when { principal in DataOS::Role::"dev" }
when { resource in DataOS::Workspace::"sandbox" };

@id("policy:write:1")
permit (principal, action in [DataOS::Action::"insert", DataOS::Action::"create_dataset"], resource)
when { principal is DataOS::User && principal != DataOS::User::"anonymous" }
when { resource in DataOS::Dataset::"shop:crm/customers" };
"#;
    let world = World::shipped();
    let text = PolicyText {
        source: "policy:v1:p".to_owned(),
        cedar: compiled.to_owned(),
    };
    block_on(world.pdp.check(std::slice::from_ref(&text))).unwrap();
    block_on(world.pdp.put(text)).unwrap();
    let mut analyst = user("ann", &["analyst"]);
    assert_eq!(world.access(&analyst).decision.reason, Reason::NoPermit);
    analyst.tags.push("users:dataos:eu".to_owned());
    assert_eq!(
        world.access(&analyst).decision.reason,
        Reason::Forbidden,
        "no level: no row"
    );
    analyst
        .attributes
        .insert("level".to_owned(), "3".to_owned());
    let answer = world.access(&analyst);
    assert_eq!(
        answer.rows.to_string(),
        "region IS NOT NULL AND region = 'EMEA' AND age IS NOT NULL AND age <> 7"
    );
    assert!(outcomes(&answer.columns[2]).starts_with("regex_replace("));
    assert!(
        answer
            .columns
            .iter()
            .enumerate()
            .all(|(n, column)| n == 2 || column.is_plain())
    );
    let alice = world.access(&user("alice", &[]));
    assert_eq!(alice.rows, Predicate::ALWAYS);
    assert!(alice.columns.iter().all(ColumnAccess::is_plain));
    let admin = world.access(&user("root", &["admin"]));
    assert!(admin.columns.iter().all(ColumnAccess::is_plain) && admin.rows == Predicate::ALWAYS);
}
