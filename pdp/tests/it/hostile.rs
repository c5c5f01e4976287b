//! Texts that would break a parser: refused with a position, in bounded time and stack.

use std::collections::BTreeMap;

use dataos_model::{access::AccessRequest, action::Action, decision::Reason, value::Value};
use dataos_pdp::{NESTING_MAX, OPERATORS_PER_POLICY_MAX};

use crate::fixture::{World, block_on, customers, open_with, user};

fn with_condition(condition: &str) -> String {
    format!(
        "@id(\"a\") permit (principal, action == DataOS::Action::\"select\", resource) when {{ {condition} }};"
    )
}

#[test]
fn nesting_of_any_kind_is_refused_before_it_is_parsed() {
    for depth in [1_000, 100_000] {
        for condition in [
            format!("{}true{}", "(".repeat(depth), ")".repeat(depth)),
            format!("{}true", "(".repeat(depth)),
            format!("{}1{} == []", "[".repeat(depth), "]".repeat(depth)),
            format!("{}1{} == 1", "{a: ".repeat(depth), "}".repeat(depth)),
            format!("{}true", "!".repeat(depth.max(5_000))),
            format!("{}1 == 1", "-".repeat(depth.max(5_000))),
            format!("{}true", "if true then true else ".repeat(depth.max(3_000))),
            vec!["true"; depth.max(3_000)].join(" && "),
            vec!["1"; depth.max(3_000)].join(" + ") + " == 1",
            format!("context{} == 1", ".a".repeat(depth.max(3_000))),
        ] {
            let shown = open_with("a.cedar", &with_condition(&condition))
                .unwrap_err()
                .to_string();
            let is_bound = [
                "NESTING_MAX",
                "OPERATORS_PER_POLICY_MAX",
                "POLICY_BYTES_MAX",
            ]
            .iter()
            .any(|bound| shown.contains(bound));
            let start: String = condition.chars().take(30).collect();
            assert!(
                shown.starts_with("a.cedar:1:") && is_bound,
                "{start}: {shown}"
            );
        }
    }
}

#[test]
fn what_the_bounds_allow_is_decided() {
    // Just inside each bound; conditions that must be evaluated to their end.
    let brackets = NESTING_MAX - 2;
    for condition in [
        format!(
            "{}context has purpose{}",
            "(".repeat(brackets),
            ")".repeat(brackets)
        ),
        vec!["context has purpose"; OPERATORS_PER_POLICY_MAX / 2 - 1].join(" && "),
        vec!["context has method"; OPERATORS_PER_POLICY_MAX / 2 - 2].join(" || ")
            + " || context has purpose",
        format!(
            "{}context has purpose",
            "if context has method then false else ".repeat(OPERATORS_PER_POLICY_MAX - 2)
        ),
        format!(
            "0{} == {} && context has purpose",
            " + 1".repeat(OPERATORS_PER_POLICY_MAX - 100),
            OPERATORS_PER_POLICY_MAX - 100
        ),
    ] {
        let t = std::time::Instant::now();
        let world = World::with(&with_condition(&condition));
        eprintln!("TIME load {:?} {}", t.elapsed(), condition.len());
        let mut request = dataos_model::decision::Request::new(
            &user("ann", &[]),
            Action::Select,
            customers().uid(),
        );
        let start: String = condition.chars().take(60).collect();
        assert_eq!(
            world.pdp.decide_now(&request).reason,
            Reason::NoPermit,
            "{start}"
        );
        request.context.insert("purpose".to_owned(), "x".into());
        let decision = world.pdp.decide_now(&request);
        assert_eq!(
            decision.reason,
            Reason::Permitted,
            "{start}: {:?}",
            decision.errors
        );
    }
}

#[test]
fn a_long_row_condition_is_exact_or_refused() {
    let rows = |condition: &str| {
        let policies = format!(
            "@id(\"o\") permit (principal, action in DataOS::Action::\"read_data\", resource);
             @id(\"f\") forbid (principal, action == DataOS::Action::\"read_row\", resource) when {{ {condition} }};"
        );
        let world = World::with(&policies);
        let request = AccessRequest {
            principal: user("ann", &[]),
            action: Action::Select,
            datasets: vec![customers()],
            context: BTreeMap::new(),
        };
        block_on(dataos_model::seams::Decide::access(&*world.pdp, &request))
            .pop()
            .unwrap()
    };
    let chain: Vec<String> = (0..190).map(|n| format!("resource.id == {n}")).collect();
    let answer = rows(&chain.join(" || "));
    assert_eq!(
        answer.decision.reason,
        Reason::Permitted,
        "{}",
        answer.decision.detail
    );
    let row = |id: i64| BTreeMap::from([("id".to_owned(), Value::Long(id))]);
    assert!(!answer.rows.holds(&row(189)) && answer.rows.holds(&row(190)));
    // Sums do not reorder: i64 overflow depends on the order.
    let answer = rows(&format!("resource.id{} > 5", " + 1".repeat(500)));
    assert_eq!(answer.decision.reason, Reason::NotExact);
    assert!(
        answer.decision.detail.contains("policy `f`"),
        "{}",
        answer.decision.detail
    );
    assert!(answer.columns.is_empty() && !answer.rows.holds(&row(1)));
}

#[test]
fn braces_in_texts_and_comments_are_no_nesting() {
    let text = format!(
        "// {}\n@id(\"a\") @description(\"{}\") permit (principal, action == DataOS::Action::\"select\", resource) // ;\n;",
        "(".repeat(500),
        "{;\\\"".repeat(200)
    );
    assert!(open_with("a.cedar", &text).is_ok());
}

#[test]
fn conditions_that_are_not_deep_fit_a_small_stack() {
    // Without a big stack of their own up to this depth (`DEPTH_INLINE_MAX`).
    let depth = 21;
    let nested = "if resource.id == 7 then false else ".repeat(depth) + "resource.id == 1";
    let policies = format!(
        "@id(\"o\") permit (principal, action in DataOS::Action::\"read_data\", resource);
         @id(\"f\") forbid (principal, action in [DataOS::Action::\"read_row\", DataOS::Action::\"read_cell\"], resource) when {{ {nested} }};"
    );
    let world = World::with(&policies);
    let answer = std::thread::scope(|scope| {
        let small = std::thread::Builder::new().stack_size(1024 * 1024);
        small
            .spawn_scoped(scope, || world.access(&user("ann", &[])))
            .unwrap()
            .join()
            .unwrap()
    });
    assert_eq!(
        answer.decision.reason,
        Reason::Permitted,
        "{}",
        answer.decision.detail
    );
    assert!(answer.decision.errors.is_empty());
    let row = |id: i64| BTreeMap::from([("id".to_owned(), Value::Long(id))]);
    assert!(answer.rows.holds(&row(7)) && !answer.rows.holds(&row(1)));
}
