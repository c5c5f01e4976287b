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

use dataos_pdp::Engine;

use crate::{fixture::World, spread::Spread};

const WORLDS: usize = 100;
const CALLERS: usize = 20;
/// Per caller.
const TRIPLES: usize = 50;
const POLICIES: usize = 40;

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

fn literal(spread: &mut Spread, kind: &str, prefix: &str, limit: usize) -> String {
    format!("DataOS::{kind}::\"{prefix}{}\"", spread.below(limit))
}

fn policy(spread: &mut Spread, number: usize) -> String {
    let on_resource = spread.is(40);
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
    let what = if on_resource {
        resource_scope(spread)
    } else {
        dataset_scope(spread)
    };
    let conditions = conditions(spread, on_resource);
    let effect = if spread.is(70) { "permit" } else { "forbid" };
    let mut text = format!("@id(\"p{number}\") {effect} ({who}, {what})");
    for clause in ["when", "unless"] {
        if spread.is(35) {
            text = format!("{text} {clause} {{ {} }}", spread.one_of(&conditions));
        }
    }
    text + ";\n"
}

fn resource_scope(spread: &mut Spread) -> String {
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
    format!("{action}, {what}")
}

fn dataset_scope(spread: &mut Spread) -> String {
    let action = *spread.one_of(&[
        "action == DataOS::Action::\"select\"",
        "action in [DataOS::Action::\"insert\", DataOS::Action::\"select\"]",
        "action in DataOS::Action::\"write_data\"",
    ]);
    let what = match spread.below(5) {
        0 => format!("resource in {}", literal(spread, "Depot", "d", 4)),
        1 => {
            let (depot, dataset) = (spread.below(4), spread.below(3));
            format!("resource == DataOS::Dataset::\"d{depot}:c/{dataset}\"")
        }
        2 | 3 => format!("resource in {}", literal(spread, "Tag", "t", 12)),
        _ => "resource is DataOS::Dataset".to_owned(),
    };
    format!("{action}, {what}")
}

fn conditions(spread: &mut Spread, on_resource: bool) -> Vec<String> {
    let mut group = || literal(spread, "Group", "g", 12);
    let mut conditions = vec![
        "context has purpose && context.purpose == \"audit\"".to_owned(),
        "principal.hasTag(\"region\") && principal.getTag(\"region\") == \"EMEA\"".to_owned(),
        format!("principal in {}", group()),
        format!("principal in [{}, {}]", group(), group()),
        format!("!(principal in {}) || context has purpose", group()),
        format!("principal in {} && context has purpose", group()),
        format!("{} in {}", group(), group()),
        "action in DataOS::Action::\"write\"".to_owned(),
        // Overflows where it is reached.
        "context has method && 9223372036854775807 + 1 > 0".to_owned(),
        format!(
            "{} in {}",
            literal(spread, "Tag", "t", 12),
            literal(spread, "Tag", "t", 12)
        ),
    ];
    if on_resource {
        let owner = literal(spread, "Group", "g", 3);
        let resource = literal(spread, "Resource", "r", 12);
        conditions.push("resource[\"type\"] == \"a\"".to_owned());
        conditions.push(format!("resource.owner in {owner}"));
        conditions.push(format!("{resource}.owner in DataOS::Group::\"g1\""));
        conditions.push(
            "resource.owner.hasTag(\"level\") && resource.owner.getTag(\"level\") == \"high\""
                .to_owned(),
        );
    }
    conditions
}

struct Oracle {
    policies: PolicySet,
    schema: Schema,
}

impl Oracle {
    fn answer(&self, request: &Request, entities: &Entities) -> (bool, Vec<String>, Vec<String>) {
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
        let response = Authorizer::new().is_authorized(&question, &self.policies, entities);
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

/// All entities with this caller among them, as it was verified: what the snapshot holds of it is for
/// others.
fn with_caller(stored: &[Entity], caller: &Principal, schema: &Schema) -> Entities {
    let caller = caller.entity();
    let others = stored.iter().filter(|known| known.uid != caller.uid);
    let all = others.chain([&caller]).map(cedar_entity);
    Entities::from_entities(all, Some(schema)).unwrap()
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

/// How often each kind of answer came.
#[derive(Default)]
struct Seen {
    triples: usize,
    allowed: usize,
    forbidden: usize,
    failing: usize,
    compiled: usize,
}

#[test]
fn indexed_decisions_are_those_of_cedar() {
    let mut spread = Spread::new(3);
    let mut seen = Seen::default();
    for _ in 0..WORLDS {
        compare_world(&mut spread, &mut seen);
    }
    assert!(seen.triples >= 100_000);
    // The test says something only if all kinds of answers come.
    for (what, count) in [
        ("allowed", seen.allowed),
        ("forbidden", seen.forbidden),
        ("failing", seen.failing),
        ("compiled", seen.compiled),
    ] {
        assert!(
            count > seen.triples / 50,
            "only {count} {what} of {}",
            seen.triples
        );
    }
}

fn compare_world(spread: &mut Spread, seen: &mut Seen) {
    let text: String = (0..POLICIES).map(|number| policy(spread, number)).collect();
    let world = World::with(&text);
    let stored = entities(spread);
    let changes = stored.iter().cloned().map(EntityChange::Upsert).collect();
    world.pdp.apply(changes).unwrap();
    let schema_text = dataos_pdp::shipped_policies().next().unwrap().1;
    let schema = Schema::from_cedarschema_str(schema_text).unwrap().0;
    let oracle = Oracle {
        policies: PolicySet::from_str(&text).unwrap(),
        schema,
    };
    for _ in 0..CALLERS {
        let caller = principal(spread);
        let entities = with_caller(&stored, &caller, &oracle.schema);
        for number in 0..TRIPLES {
            let request = triple(spread, &caller);
            let decision = world.pdp.decide_now(&request);
            let (is_allowed, determining, errors) = oracle.answer(&request, &entities);
            let ids: Vec<_> = decision
                .policies
                .iter()
                .map(|policy| policy.id.clone())
                .collect();
            let failed: Vec<_> = decision.errors.iter().map(|(id, _)| id.clone()).collect();
            assert_eq!(
                (decision.is_allowed(), &ids, &failed),
                (is_allowed, &determining, &errors),
                "{request:?}\n{text}"
            );
            for engine in engines(number) {
                assert_eq!(
                    decision,
                    world.pdp.decide_with(&request, *engine),
                    "{engine:?} {request:?}\n{text}"
                );
            }
            seen.triples += 1;
            seen.allowed += usize::from(is_allowed);
            seen.forbidden += usize::from(!is_allowed && !determining.is_empty());
            seen.failing += usize::from(!errors.is_empty());
        }
    }
    seen.compiled += usize::try_from(world.pdp.decision_counts().compiled).unwrap();
}

/// The other ways to decide: without the index always, through Cedar now and then.
fn engines(number: usize) -> &'static [Engine] {
    if number.is_multiple_of(20) {
        &[Engine::CompiledWhole, Engine::IndexedStock, Engine::Stock]
    } else {
        &[Engine::CompiledWhole]
    }
}

fn triple(spread: &mut Spread, caller: &Principal) -> Request {
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
    let mut request = Request::new(caller, action, resource);
    for name in ["purpose", "method"] {
        if spread.is(40) {
            request
                .context
                .insert(name.to_owned(), Value::from("audit"));
        }
    }
    request
}
