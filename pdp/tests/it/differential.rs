//! Indexed decisions against Cedar itself: whole policy set, all entities, its own closure.

use std::{collections::HashSet, str::FromStr};

use cedar_policy::{
    Authorizer, Context, Entities, Entity as CedarEntity, EntityUid as CedarUid, PolicySet,
    Request as CedarRequest, RestrictedExpression, Schema,
};
use dataos_model::{
    action::Action,
    decision::Request,
    entity::{Entity, EntityChange, EntityType, EntityUid},
    principal::{Authentication, Principal},
    seams::EntitySink,
    value::Value,
};

use crate::{fixture::World, spread::Spread};

const WORLDS: usize = 40;
const TRIPLES: usize = 500;
const POLICIES: usize = 50;

fn uid(uid: &EntityUid) -> CedarUid {
    CedarUid::from_str(&uid.to_string()).unwrap()
}

/// A hierarchy with several paths: groups in groups, tags in tags, datasets with tags.
fn entities(spread: &mut Spread) -> Vec<Entity> {
    let mut found = Vec::new();
    for n in 0..12 {
        let parents = (0..n)
            .filter(|_| spread.is(20))
            .map(|p| EntityType::GROUP.id(format!("g{p}")));
        found.push(Entity::new(EntityType::GROUP.id(format!("g{n}"))).with_parents(parents));
        let parents = (0..n)
            .filter(|_| spread.is(20))
            .map(|p| EntityType::TAG.id(format!("t{p}")));
        found.push(Entity::new(EntityType::TAG.id(format!("t{n}"))).with_parents(parents));
    }
    for n in 0..4 {
        let depot = EntityType::DEPOT.id(format!("d{n}"));
        let collection = EntityType::COLLECTION.id(format!("d{n}:c"));
        found.push(Entity::new(depot.clone()).with_parents([EntityType::TAG.id("t3")]));
        found.push(Entity::new(collection.clone()).with_parents([depot]));
        for m in 0..3 {
            let tags = (0..12)
                .filter(|_| spread.is(15))
                .map(|t| EntityType::TAG.id(format!("t{t}")));
            let dataset = EntityType::DATASET.id(format!("d{n}:c/{m}"));
            let parents: Vec<_> = std::iter::once(collection.clone()).chain(tags).collect();
            found.push(Entity::new(dataset).with_parents(parents));
        }
    }
    for n in 0..8 {
        let mut resource = Entity::new(EntityType::RESOURCE.id(format!("r{n}")))
            .with_parents([EntityType::WORKSPACE.id(format!("w{}", n % 2))]);
        let owner = EntityType::USER.id(format!("u{}", spread.below(6)));
        resource
            .attributes
            .insert("owner".to_owned(), Value::Entity(owner));
        resource
            .attributes
            .insert("type".to_owned(), Value::from(*spread.one_of(&["a", "b"])));
        found.push(resource);
    }
    // Some owners are known with groups and tags of their own.
    for n in 0..3 {
        let mut user = Entity::new(EntityType::USER.id(format!("u{n}")))
            .with_parents([EntityType::GROUP.id(format!("g{n}"))]);
        user.tags.insert("level".to_owned(), Value::from("high"));
        found.push(user);
    }
    found
}

fn principal(spread: &mut Spread) -> Principal {
    let name = format!("u{}", spread.below(6));
    let mut principal = Principal::new(EntityType::USER.id(name), Authentication::ApiKey);
    principal.groups = (0..12)
        .filter(|_| spread.is(12))
        .map(|n| format!("g{n}"))
        .collect();
    principal.roles = (0..3)
        .filter(|_| spread.is(30))
        .map(|n| format!("r{n}"))
        .collect();
    if spread.is(50) {
        principal
            .attributes
            .insert("region".to_owned(), "EMEA".to_owned());
    }
    principal
}

fn policy(spread: &mut Spread, number: usize) -> String {
    let on_resource = spread.is(40);
    let literal = |spread: &mut Spread, kind: &str, prefix: &str, limit: usize| {
        format!("DataOS::{kind}::\"{prefix}{}\"", spread.below(limit))
    };
    let who = match spread.below(7) {
        0 => format!("principal == {}", literal(spread, "User", "u", 6)),
        1 | 2 => format!("principal in {}", literal(spread, "Group", "g", 12)),
        3 => format!("principal in {}", literal(spread, "Role", "r", 3)),
        4 => "principal is DataOS::User".to_owned(),
        5 => format!(
            "principal is DataOS::User in {}",
            literal(spread, "Group", "g", 12)
        ),
        _ => "principal".to_owned(),
    };
    let (action, what) = if on_resource {
        let action = *spread.one_of(&[
            "action in [DataOS::Action::\"get_resource\", DataOS::Action::\"view_log\"]",
            "action == DataOS::Action::\"delete_resource\"",
            "action in DataOS::Action::\"operate\"",
        ]);
        let what = match spread.below(3) {
            0 => format!("resource == {}", literal(spread, "Resource", "r", 8)),
            1 => format!("resource in {}", literal(spread, "Workspace", "w", 2)),
            _ => "resource is DataOS::Resource".to_owned(),
        };
        (action, what)
    } else {
        let action = *spread.one_of(&[
            "action == DataOS::Action::\"select\"",
            "action in [DataOS::Action::\"insert\", DataOS::Action::\"select\"]",
            "action in DataOS::Action::\"write_data\"",
        ]);
        let what = match spread.below(5) {
            0 => format!("resource in DataOS::Depot::\"d{}\"", spread.below(4)),
            1 => format!(
                "resource == DataOS::Dataset::\"d{}:c/{}\"",
                spread.below(4),
                spread.below(3)
            ),
            2 | 3 => format!("resource in {}", literal(spread, "Tag", "t", 12)),
            _ => "resource is DataOS::Dataset".to_owned(),
        };
        (action, what)
    };
    let mut conditions = vec![
        "context has purpose && context.purpose == \"audit\"".to_owned(),
        "principal.hasTag(\"region\") && principal.getTag(\"region\") == \"EMEA\"".to_owned(),
        format!("principal in {}", literal(spread, "Group", "g", 12)),
        format!(
            "!(principal in {}) || context has purpose",
            literal(spread, "Group", "g", 12)
        ),
        format!(
            "{} in {}",
            literal(spread, "Group", "g", 12),
            literal(spread, "Group", "g", 12)
        ),
        format!(
            "{} in {}",
            literal(spread, "Tag", "t", 12),
            literal(spread, "Tag", "t", 12)
        ),
        "action in DataOS::Action::\"write\"".to_owned(),
        // Fails for every caller without the tag's guard being true: overflow.
        "context has method && 9223372036854775807 + 1 > 0".to_owned(),
    ];
    if on_resource {
        conditions.push("resource[\"type\"] == \"a\"".to_owned());
        conditions.push(format!(
            "resource.owner in {}",
            literal(spread, "Group", "g", 3)
        ));
        conditions.push(
            "resource.owner.hasTag(\"level\") && resource.owner.getTag(\"level\") == \"high\""
                .to_owned(),
        );
        conditions.push(format!(
            "{}.owner in DataOS::Group::\"g1\"",
            literal(spread, "Resource", "r", 12)
        ));
    }
    let effect = if spread.is(70) { "permit" } else { "forbid" };
    let mut text = format!("@id(\"p{number}\") {effect} ({who}, {action}, {what})");
    for clause in ["when", "unless"] {
        if spread.is(35) {
            text = format!("{text} {clause} {{ {} }}", spread.one_of(&conditions));
        }
    }
    text + ";\n"
}

struct Oracle {
    policies: PolicySet,
    schema: Schema,
    stored: Vec<Entity>,
    entities: Entities,
}

impl Oracle {
    fn answer(&self, request: &Request) -> (bool, Vec<String>, Vec<String>) {
        // The snapshot's own entity of the caller adds parents; its tags are those that were verified.
        let mut caller = request.principal.entity();
        for stored in self.stored.iter().filter(|stored| stored.uid == caller.uid) {
            caller.parents.extend(stored.parents.iter().cloned());
        }
        let entities = self
            .entities
            .clone()
            .upsert_entities([cedar_entity(&caller)], None)
            .unwrap();
        let context = request.context.iter().map(|(name, value)| match value {
            Value::String(text) => (name.clone(), RestrictedExpression::new_string(text.clone())),
            other => panic!("{other:?}"),
        });
        let question = CedarRequest::new(
            uid(&request.principal.uid),
            CedarUid::from_str(&format!("DataOS::Action::\"{}\"", request.action)).unwrap(),
            uid(&request.resource),
            Context::from_pairs(context).unwrap(),
            Some(&self.schema),
        )
        .unwrap();
        let response = Authorizer::new().is_authorized(&question, &self.policies, &entities);
        let name = |id| self.policies.annotation(id, "id").unwrap().to_owned();
        let mut determining: Vec<String> = response.diagnostics().reason().map(name).collect();
        determining.sort();
        let mut errors: Vec<String> = response
            .diagnostics()
            .errors()
            .map(
                |cedar_policy::AuthorizationError::PolicyEvaluationError(error)| {
                    name(error.policy_id())
                },
            )
            .collect();
        errors.sort();
        (
            response.decision() == cedar_policy::Decision::Allow,
            determining,
            errors,
        )
    }
}

fn cedar_entity(entity: &Entity) -> CedarEntity {
    let value = |value: &Value| match value {
        Value::String(text) => RestrictedExpression::new_string(text.clone()),
        Value::Entity(entity) => RestrictedExpression::new_entity_uid(uid(entity)),
        other => panic!("{other:?}"),
    };
    CedarEntity::new_with_tags(
        uid(&entity.uid),
        entity
            .attributes
            .iter()
            .map(|(name, v)| (name.clone(), value(v))),
        entity.parents.iter().map(uid).collect::<HashSet<_>>(),
        entity.tags.iter().map(|(name, v)| (name.clone(), value(v))),
    )
    .unwrap()
}

#[test]
fn indexed_decisions_are_those_of_cedar() {
    let mut spread = Spread::new(3);
    let schema_text = dataos_pdp::shipped_policies().next().unwrap().1;
    let schema = Schema::from_cedarschema_str(schema_text).unwrap().0;
    let (mut triples, mut allowed, mut with_errors, mut forbidden) = (0, 0, 0, 0);
    for _ in 0..WORLDS {
        let text: String = (0..POLICIES)
            .map(|number| policy(&mut spread, number))
            .collect();
        let world = World::with(&text);
        let stored = entities(&mut spread);
        world
            .pdp
            .apply(stored.iter().cloned().map(EntityChange::Upsert).collect())
            .unwrap();
        let listed = stored.iter().map(cedar_entity);
        let oracle = Oracle {
            policies: PolicySet::from_str(&text).unwrap(),
            entities: Entities::from_entities(listed, Some(&schema)).unwrap(),
            schema: schema.clone(),
            stored,
        };
        for number in 0..TRIPLES {
            let request = triple(&mut spread);
            let decision = world.pdp.decide_now(&request);
            let (is_allowed, determining, errors) = oracle.answer(&request);
            let ids: Vec<&str> = decision
                .policies
                .iter()
                .map(|policy| policy.id.as_str())
                .collect();
            let failed: Vec<&str> = decision.errors.iter().map(|(id, _)| id.as_str()).collect();
            assert_eq!(
                (decision.is_allowed(), &ids, &failed),
                (
                    is_allowed,
                    &determining.iter().map(String::as_str).collect(),
                    &errors.iter().map(String::as_str).collect()
                ),
                "{request:?}\n{text}"
            );
            if number % 20 == 0 {
                assert_eq!(
                    decision,
                    world.pdp.decide_stock(&request),
                    "{request:?}\n{text}"
                );
            }
            triples += 1;
            allowed += usize::from(is_allowed);
            with_errors += usize::from(!errors.is_empty());
            forbidden += usize::from(!is_allowed && !determining.is_empty());
        }
    }
    assert!(triples >= 20_000);
    for (what, count) in [
        ("allowed", allowed),
        ("failing", with_errors),
        ("forbidden", forbidden),
    ] {
        assert!(count > triples / 50, "only {count} {what} of {triples}");
    }
}

fn triple(spread: &mut Spread) -> Request {
    let principal = principal(spread);
    let (action, resource) = if spread.is(40) {
        let action =
            *spread.one_of(&[Action::GetResource, Action::DeleteResource, Action::RunStep]);
        (
            action,
            EntityType::RESOURCE.id(format!("r{}", spread.below(8))),
        )
    } else {
        let action = *spread.one_of(&[Action::Select, Action::Insert, Action::Delete]);
        let dataset = format!("d{}:c/{}", spread.below(4), spread.below(3));
        (action, EntityType::DATASET.id(dataset))
    };
    let mut request = Request::new(&principal, action, resource);
    for name in ["purpose", "method"] {
        if spread.is(40) {
            request
                .context
                .insert(name.to_owned(), Value::from("audit"));
        }
    }
    request
}
