//! Indexed decisions against Cedar itself: whole policy set, all entities, its own closure.

mod links;

use std::{collections::HashSet, str::FromStr};

use cedar_policy::{
    Authorizer, Context, Entities, Entity as CedarEntity, EntityUid as CedarUid, PolicySet,
    Request as CedarRequest, RestrictedExpression, Schema,
};
use dataos_model::{
    decision::Request,
    entity::{Entity, EntityChange, EntityUid},
    principal::Principal,
    seams::EntitySink,
    value::Value,
};

use dataos_pdp::Engine;

use crate::{fixture::World, generate, spread::Spread};

const WORLDS: usize = 100;
const CALLERS: usize = 20;
/// Per caller.
const TRIPLES: usize = 50;

fn uid(uid: &EntityUid) -> CedarUid {
    CedarUid::from_str(&uid.to_string()).unwrap()
}

struct Oracle {
    policies: PolicySet,
    schema: Schema,
}

impl Oracle {
    fn answer(&self, request: &Request, entities: &Entities) -> (bool, Vec<String>, Vec<String>) {
        let question = question(request, &self.schema);
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

/// A request as Cedar is asked it.
fn question(request: &Request, schema: &Schema) -> CedarRequest {
    let context = request.context.iter().map(|(name, value)| match value {
        Value::String(text) => (name.clone(), RestrictedExpression::new_string(text.clone())),
        other => panic!("{other:?}"),
    });
    CedarRequest::new(
        uid(&request.principal.uid),
        CedarUid::from_str(&format!("DataOS::Action::\"{}\"", request.action)).unwrap(),
        uid(&request.resource),
        Context::from_pairs(context).unwrap(),
        Some(schema),
    )
    .unwrap()
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
    let text = generate::policies(spread);
    let world = World::with(&text);
    let stored = generate::entities(spread);
    let changes = stored.iter().cloned().map(EntityChange::Upsert).collect();
    world.pdp.apply(changes).unwrap();
    let schema_text = dataos_pdp::shipped_policies().next().unwrap().1;
    let schema = Schema::from_cedarschema_str(schema_text).unwrap().0;
    let oracle = Oracle {
        policies: PolicySet::from_str(&text).unwrap(),
        schema,
    };
    for _ in 0..CALLERS {
        let caller = generate::principal(spread);
        let entities = with_caller(&stored, &caller, &oracle.schema);
        for number in 0..TRIPLES {
            let request = generate::request(spread, &caller);
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
