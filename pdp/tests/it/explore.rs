//! Why a request is denied, and searches over decisions.

use std::collections::BTreeMap;

use dataos_model::{
    action::Action,
    decision::Request,
    entity::{EntityChange, EntityType},
    explain::{PAGE_MAX, Search, SearchPage, Sought},
    fault::Fault,
    policy::PolicyText,
    principal::Principal,
    seams::{EntitySink, Explore, Policies},
    value::Value,
};

use crate::{
    fixture::{World, block_on, customers, user},
    spread::Spread,
};

fn nearest(policies: &str, request: &Request) -> Vec<(String, String, Option<bool>)> {
    let world = World::with(policies);
    let explanation = block_on(world.pdp.explain(request));
    assert_eq!(explanation.decision, world.pdp.decide_stock(request));
    let misses = explanation.nearest.into_iter();
    misses
        .map(|miss| (miss.policy.id.clone(), miss.failed, miss.suffices))
        .collect()
}

#[test]
fn a_denial_names_the_nearest_permits_and_whether_the_missing_facts_would_do() {
    let policies = r#"
        @id("role") permit (principal in DataOS::Role::"steward", action == DataOS::Action::"select", resource);
        @id("far") permit (principal in DataOS::Role::"x", action == DataOS::Action::"select", resource)
            when { context has purpose && context.purpose == "audit" && principal.hasTag("region") && principal.getTag("region") == "EMEA" };
        @id("other-dataset") permit (principal, action == DataOS::Action::"select", resource == DataOS::Dataset::"shop:crm/orders");
        @id("never-with-this") forbid (principal, action == DataOS::Action::"select", resource) when { context has network };
        @id("not-about-it") permit (principal, action == DataOS::Action::"insert", resource);"#;
    let request = Request::new(&user("ann", &[]), Action::Select, customers().uid());
    assert_eq!(
        nearest(policies, &request),
        [
            (
                "role".to_owned(),
                "principal in DataOS::Role::\"steward\"".to_owned(),
                Some(true)
            ),
            (
                "far".to_owned(),
                "principal in DataOS::Role::\"x\"".to_owned(),
                Some(true)
            ),
        ]
    );
    let near = nearest(
        r#"@id("only") permit (principal, action == DataOS::Action::"select", resource) unless { principal == DataOS::User::"ann" };
           @id("stop") forbid (principal in DataOS::Role::"steward", action, resource);
           @id("no-use") permit (principal in DataOS::Role::"steward", action == DataOS::Action::"select", resource);"#,
        &request,
    );
    assert_eq!(
        near,
        [
            (
                "no-use".to_owned(),
                "principal in DataOS::Role::\"steward\"".to_owned(),
                Some(false)
            ),
            (
                "only".to_owned(),
                "!(principal == DataOS::User::\"ann\")".to_owned(),
                None
            ),
        ]
    );
}

#[test]
fn permits_that_are_filed_by_a_value_are_near_too() {
    let mut request = Request::new(&user("ann", &[]), Action::Select, customers().uid());
    let policy = r#"@id("purpose") permit (principal, action == DataOS::Action::"select", resource)
        when { context has purpose && context.purpose == "audit" };"#;
    let failed = |text: &str| vec![("purpose".to_owned(), text.to_owned(), Some(true))];
    assert_eq!(nearest(policy, &request), failed("context has purpose"));
    request
        .context
        .insert("purpose".to_owned(), Value::from("fun"));
    assert_eq!(
        nearest(policy, &request),
        failed("context.purpose == \"audit\"")
    );
}

#[test]
fn a_forbidden_request_and_an_allowed_one_have_no_near_permits() {
    let policies = r#"
        @id("all") permit (principal, action, resource);
        @id("stop") forbid (principal in DataOS::Role::"guest", action, resource);"#;
    for roles in [&[][..], &["guest"][..]] {
        let request = Request::new(&user("ann", roles), Action::Select, customers().uid());
        assert_eq!(nearest(policies, &request), []);
    }
}

fn search(
    world: &World,
    sought: Sought,
    limit: usize,
    after: Option<&str>,
) -> Result<SearchPage, Fault> {
    block_on(world.pdp.search(&Search {
        sought,
        context: BTreeMap::new(),
        limit,
        after: after.map(str::to_owned),
    }))
}

/// All pages of two results; stops at the first refusal, which no test expects.
fn all(world: &World, sought: &Sought) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    loop {
        let after = found.last().map(String::as_str);
        let Ok(page) = search(world, sought.clone(), 2, after) else {
            return found;
        };
        found.extend(page.found);
        if !page.has_more {
            return found;
        }
    }
}

#[test]
fn searches_find_what_decisions_allow_page_by_page() {
    let world = World::with(
        r#"@id("a") permit (principal in DataOS::Group::"g", action in [DataOS::Action::"select", DataOS::Action::"insert"], resource);
           @id("b") permit (principal, action == DataOS::Action::"view_asset", resource in DataOS::Depot::"shop");
           @id("c") forbid (principal == DataOS::User::"u3", action, resource);"#,
    );
    let users: Vec<Principal> = (0..9)
        .map(|n| {
            let mut principal = user(&format!("u{n}"), &[]);
            principal.groups = (n % 2 == 1).then(|| "g".to_owned()).into_iter().collect();
            principal
        })
        .collect();
    let changes = users.iter().map(|user| EntityChange::Upsert(user.entity()));
    world.pdp.apply(changes.collect()).unwrap();
    let dataset = customers().uid();
    let who = Sought::Principals {
        of: EntityType::USER,
        action: Action::Select,
        resource: dataset.clone(),
        resource_entity: None,
    };
    assert_eq!(all(&world, &who), ["u1", "u5", "u7"]);
    let where_ = |of: EntityType, user: &Principal| Sought::Resources {
        of,
        principal: user.clone(),
        action: Action::ViewAsset,
    };
    let columns = all(&world, &where_(EntityType::COLUMN, &users[1]));
    assert_eq!(columns.len(), 5);
    assert!(columns.is_sorted());
    assert_eq!(
        all(&world, &where_(EntityType::COLUMN, &users[3])),
        [] as [&str; 0]
    );
    assert_eq!(
        all(&world, &where_(EntityType::named("Nothing"), &users[1])),
        [] as [&str; 0]
    );
    let what = |user: &Principal| Sought::Actions {
        principal: user.clone(),
        resource: dataset.clone(),
        resource_entity: None,
    };
    assert_eq!(
        all(&world, &what(&users[1])),
        ["insert", "select", "view_asset"]
    );
    assert_eq!(all(&world, &what(&users[2])), ["view_asset"]);
    for limit in [0, PAGE_MAX + 1] {
        let refused = search(&world, who.clone(), limit, None).unwrap_err();
        assert!(refused.to_string().contains("PAGE_MAX"), "{refused}");
    }
}

/// A set that came about by many changes decides like one that was read at once.
#[test]
fn after_many_changes_the_set_is_that_of_a_fresh_start() {
    let mut spread = Spread::new(11);
    let world = World::with("");
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for round in 0..300 {
        let source = format!("policy:v1:{}", spread.below(12));
        if spread.is(25) {
            block_on(world.pdp.remove(&source)).unwrap();
            texts.remove(&source);
        } else {
            let cedar = text(&mut spread, &source);
            let put = PolicyText {
                source: source.clone(),
                cedar: cedar.clone(),
            };
            block_on(world.pdp.put(put)).unwrap();
            texts.insert(source, cedar);
        }
        if round % 10 == 0 {
            let fresh = World::with(&texts.values().cloned().collect::<String>());
            assert_eq!(world.pdp.info().hash, fresh.pdp.info().hash);
            for _ in 0..30 {
                let request = request(&mut spread);
                let (ours, theirs) = (
                    world.pdp.decide_now(&request),
                    fresh.pdp.decide_stock(&request),
                );
                let ids = |decision: &dataos_model::decision::Decision| {
                    let ids = decision.policies.iter().map(|policy| policy.id.clone());
                    ids.collect::<Vec<_>>()
                };
                assert_eq!((ours.effect, ids(&ours)), (theirs.effect, ids(&theirs)));
            }
        }
    }
}

/// A few policies, some with more places than are filed.
fn text(spread: &mut Spread, source: &str) -> String {
    let policy = |spread: &mut Spread, n: usize| {
        let (place, value) = (spread.below(60), spread.below(3));
        let condition = *spread.one_of(&[
            "principal.hasTag(\"tP\") && principal.getTag(\"tP\") == \"vV\"",
            "context has purpose && context.purpose == \"vV\"",
            "context has network && [\"vV\", \"v9\"].contains(context.network)",
            "principal in DataOS::Role::\"rV\"",
        ]);
        let condition = condition
            .replace('P', &place.to_string())
            .replace('V', &value.to_string());
        let effect = if spread.is(80) { "permit" } else { "forbid" };
        format!(
            "@id(\"{source}.{n}\") {effect} (principal, action in [DataOS::Action::\"select\", DataOS::Action::\"insert\"], resource) when {{ {condition} }};\n"
        )
    };
    (0..1 + spread.below(8))
        .map(|n| policy(spread, n))
        .collect()
}

fn request(spread: &mut Spread) -> Request {
    let mut principal = user("ann", &[]);
    for _ in 0..3 {
        let (name, value) = (spread.below(60), spread.below(3));
        principal
            .attributes
            .insert(format!("t{name}"), format!("v{value}"));
    }
    if spread.is(30) {
        principal.roles.push(format!("r{}", spread.below(3)));
    }
    let mut request = Request::new(&principal, Action::Select, customers().uid());
    for name in ["purpose", "network"] {
        if spread.is(50) {
            let value = format!("v{}", spread.below(3));
            request.context.insert(name.to_owned(), Value::from(value));
        }
    }
    request
}
