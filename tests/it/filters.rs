//! Row filters and masks of different priority, from YAML to the rows that the PDP lets through,
//! against the rule as it is written down.

mod rest;
mod rule;
mod world;

use std::{collections::BTreeMap, fmt::Write, mem};

use dataos_model::{
    dataset::DatasetId,
    entity::EntityType,
    principal::{Authentication, Principal},
    value::Value,
};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, TestRunner},
};

use self::{
    rule::{Comparison, DataPolicy, Effect, Operand, Row, is_row_visible, mask},
    world::{Gallery, Seen, World, mask_of},
};

/// Histories of a policy folder; each starts empty.
const HISTORIES: u32 = 24;
/// Most changes of one history.
const CHANGES_MAX: usize = 9;

/// Names in the order of their policies' ids.
const NAMES: &[&str] = &["p1", "p2", "p3", "p4", "p5"];

#[derive(Clone, Debug)]
enum Change {
    Apply(Vec<DataPolicy>),
    Delete(Index),
    Restart,
}

fn comparison() -> impl Strategy<Value = Comparison> {
    let regions = select(vec!["EMEA", "AMER"]);
    prop_oneof![
        (regions, any::<bool>()).prop_map(|(region, is_equal)| Comparison {
            column: "region",
            is_equal,
            to: Operand::Text(region),
        }),
        (1..=2i64, any::<bool>()).prop_map(|(level, is_equal)| Comparison {
            column: "level",
            is_equal,
            to: Operand::Number(level),
        }),
        any::<bool>().prop_map(|is_equal| Comparison {
            column: "region",
            is_equal,
            to: Operand::Attribute("region"),
        }),
    ]
}

fn policy() -> impl Strategy<Value = DataPolicy> {
    let tags = select(vec![
        "users:id:*",
        "users:id:ann",
        "users:id:bob",
        "roles:id:analyst",
        "groups:id:eu",
        "users:dataos:steward",
    ]);
    let places = select(vec![
        vec![],
        vec!["lake"],
        vec!["lake", "sales"],
        vec!["lake", "sales", "orders"],
        vec!["lake", "sales", "refunds"],
        vec!["shop"],
    ]);
    let effect = prop_oneof![
        4 => vec(comparison(), 1..3).prop_map(Effect::Filter),
        1 => select(vec!["hash", "redact", "pass_through"]).prop_map(Effect::Mask),
    ];
    (
        select(NAMES),
        option::weighted(0.9, 1..=3i64),
        places,
        any::<bool>(),
        vec(tags, 1..3),
        effect,
    )
        .prop_map(
            |(name, priority, place, is_match_all, tags, effect)| DataPolicy {
                name,
                priority,
                place,
                is_match_all,
                tags,
                effect,
            },
        )
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => policy().prop_map(|policy| Change::Apply(vec![policy])),
        2 => vec(policy(), 2..4).prop_map(|mut policies| {
            policies.sort_by_key(|policy| policy.name);
            policies.dedup_by_key(|policy| policy.name);
            Change::Apply(policies)
        }),
        2 => any::<Index>().prop_map(Change::Delete),
        1 => Just(Change::Restart),
    ]
}

/// The policy as a manifest.
fn manifest(policy: &DataPolicy) -> String {
    let mut text = format!(
        "name: {}\nversion: v1\ntype: policy\npolicy:\n  data:\n",
        policy.name
    );
    if let Some(priority) = policy.priority {
        let _ = writeln!(text, "    priority: {priority}");
    }
    for (key, name) in ["depot", "collection", "dataset"].iter().zip(&policy.place) {
        let _ = writeln!(text, "    {key}: {name}");
    }
    let word = if policy.is_match_all { "all" } else { "any" };
    let user = format!("user: {{match: {word}, tags: {:?}}}", policy.tags);
    let _ = match &policy.effect {
        Effect::Filter(comparisons) => {
            let entries: Vec<String> = comparisons.iter().map(entry).collect();
            writeln!(
                text,
                "    type: filter\n    selector: {{{user}}}\n    filters: [{}]",
                entries.join(", ")
            )
        }
        Effect::Mask(operator) => writeln!(
            text,
            "    type: mask\n    selector: {{{user}, column: {{tags: [PII]}}}}\n    mask: {{operator: {operator}}}"
        ),
    };
    text
}

fn entry(comparison: &Comparison) -> String {
    let operator = if comparison.is_equal {
        "equals"
    } else {
        "not_equals"
    };
    let operand = match comparison.to {
        Operand::Text(text) => format!("value: {text}"),
        Operand::Number(number) => format!("value: {number}"),
        Operand::Attribute(name) => format!("valueFrom: {{userAttribute: {name}}}"),
    };
    format!(
        "{{column: {}, operator: {operator}, {operand}}}",
        comparison.column
    )
}

fn caller(name: &str, roles: &[&str], groups: &[&str], tags: &[&str]) -> Principal {
    let texts = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    let mut caller = Principal::new(EntityType::USER.id(name), Authentication::Password);
    caller.roles = texts(roles);
    caller.groups = texts(groups);
    caller.tags = texts(tags);
    caller
}

fn gallery() -> Gallery {
    let mut ann = caller("ann", &["analyst"], &["eu"], &[]);
    ann.attributes
        .insert("region".to_owned(), "EMEA".to_owned());
    let mut bob = caller("bob", &["analyst"], &[], &["users:dataos:steward"]);
    bob.attributes
        .insert("region".to_owned(), "AMER".to_owned());
    let mut rows = Vec::new();
    for region in [None, Some("EMEA"), Some("AMER"), Some("APAC")] {
        for level in [None, Some(1), Some(2)] {
            let mut row = Row::new();
            row.extend(region.map(|region| ("region".to_owned(), Value::from(region))));
            row.extend(level.map(|level| ("level".to_owned(), Value::Long(level))));
            rows.push(row);
        }
    }
    let without_level: Vec<Row> = rows
        .iter()
        .filter(|row| !row.contains_key("level"))
        .cloned()
        .collect();
    let both = vec!["region", "level"];
    Gallery {
        callers: vec![
            ann,
            bob,
            caller("cy", &[], &["eu"], &["users:dataos:steward"]),
            caller("dee", &["analyst"], &[], &[]),
        ],
        datasets: vec![
            (
                DatasetId::new("lake", "sales", "orders"),
                both.clone(),
                rows.clone(),
            ),
            (
                DatasetId::new("lake", "sales", "refunds"),
                both.clone(),
                rows.clone(),
            ),
            (
                DatasetId::new("lake", "hr", "people"),
                vec!["region"],
                without_level,
            ),
            (DatasetId::new("shop", "crm", "customers"), both, rows),
        ],
    }
}

/// What the rule says everyone sees.
fn expected(world: &World, policies: &[DataPolicy]) -> Seen {
    let mut seen = Seen::new();
    for (who, caller) in world.watched.callers().iter().enumerate() {
        for (which, (dataset, _, rows)) in world.watched.datasets().iter().enumerate() {
            let rows = rows.iter().enumerate();
            let visible = rows.filter(|(_, row)| is_row_visible(policies, caller, dataset, row));
            seen.extend(visible.map(|(row, _)| (who, which, row)));
        }
    }
    seen
}

async fn check_masks(world: &World, policies: &[DataPolicy]) {
    for caller in world.watched.callers() {
        let answers = world.watched.access(caller).await;
        let answers = answers.iter().zip(world.watched.datasets());
        for (access, (dataset, ..)) in answers.filter(|(access, _)| access.decision.is_allowed()) {
            // What passes is shown as it is.
            let wanted = mask(policies, caller, dataset).filter(|mask| *mask != "pass_through");
            let found = mask_of(access, "region");
            let operator = found.as_deref().and_then(|mask| mask.split('(').next());
            assert_eq!(operator, wanted, "{caller:?} {dataset:?}\n{policies:#?}");
        }
    }
}

/// What one change did to what can be seen.
struct Step<'a> {
    change: &'a Change,
    before: Seen,
    after: Seen,
    moments: Vec<Seen>,
}

impl Step<'_> {
    /// Nobody is ever between the two, unless a policy becomes one of another kind within a stream.
    fn check_moments(&self, is_turning: bool) {
        let is_one = match self.change {
            Change::Apply(policies) => policies.len() == 1,
            Change::Delete(_) => true,
            Change::Restart => return,
        };
        for moment in &self.moments {
            let is_settled = *moment == self.before || *moment == self.after;
            assert!(is_settled || (is_turning && !is_one), "{:#?}", self.change);
        }
    }
}

/// Plays one history.
async fn play(changes: Vec<Change>) {
    let mut world = World::open(gallery()).await;
    let mut policies: BTreeMap<&str, DataPolicy> = BTreeMap::new();
    for change in &changes {
        let before = world.watched.seen().await;
        let mut is_turning = false;
        match change {
            Change::Apply(applied) => {
                is_turning = applied.iter().any(|new| {
                    let kind = |policy: &DataPolicy| mem::discriminant(&policy.effect);
                    let old = policies.get(new.name);
                    old.is_some_and(|old| kind(old) != kind(new))
                });
                let manifests: Vec<String> = applied.iter().map(manifest).collect();
                world.apply(&manifests.join("---\n")).await;
                policies.extend(applied.iter().map(|policy| (policy.name, policy.clone())));
            }
            Change::Delete(_) if policies.is_empty() => continue,
            Change::Delete(index) => {
                let name = *index.get(&policies.keys().copied().collect::<Vec<_>>());
                world.delete(name).await;
                policies.remove(name);
            }
            Change::Restart => world = world.restart().await,
        }
        let now: Vec<DataPolicy> = policies.values().cloned().collect();
        let after = world.watched.seen().await;
        assert_eq!(after, expected(&world, &now), "{change:#?}\n{now:#?}");
        check_masks(&world, &now).await;
        let moments = mem::take(&mut *world.watched.moments.lock().unwrap());
        let step = Step {
            change,
            before,
            after,
            moments,
        };
        step.check_moments(is_turning);
    }
    world.close().await;
}

#[test]
fn among_filters_on_one_dataset_the_best_priority_applies() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = Config {
        cases: HISTORIES,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let played = runner.run(&vec(change(), 1..=CHANGES_MAX), |changes| {
        runtime.block_on(play(changes));
        Ok(())
    });
    played.unwrap();
}
