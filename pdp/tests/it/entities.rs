//! The entity snapshot through its seam.

use dataos_model::{
    action::Action,
    decision::{Reason, Request},
    entity::{Entity, EntityChange, EntityType, EntityUid},
    fault::FaultKind,
    seams::EntitySink,
    value::Value,
};

use crate::fixture::{World, customers, shop, user};

fn group(name: &str) -> EntityUid {
    EntityType::GROUP.id(name)
}

fn nested(child: &str, parent: &str) -> EntityChange {
    EntityChange::Upsert(Entity::new(group(child)).with_parents([group(parent)]))
}

#[test]
fn a_cycle_is_refused_and_nothing_of_the_batch_applies() {
    let world = World::with("");
    let before = world
        .pdp
        .apply(vec![nested("a", "b"), nested("b", "c")])
        .unwrap();
    for batch in [
        vec![nested("x", "y"), nested("c", "a")],
        vec![nested("x", "x")],
        vec![nested("x", "y"), nested("y", "x")],
    ] {
        let fault = world.pdp.apply(batch).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Invalid);
        assert!(
            fault.message.contains("would be its own ancestor"),
            "{fault}"
        );
        assert_eq!(world.pdp.apply(Vec::new()).unwrap(), before);
    }
}

#[test]
fn what_does_not_fit_the_schema_is_refused() {
    let world = World::with("");
    let before = world.pdp.apply(Vec::new()).unwrap();
    let mut untyped = Entity::new(EntityType::RESOURCE.id("r"));
    untyped.attributes = [
        ("owner".to_owned(), Value::from("ann")),
        ("type".to_owned(), Value::from("x")),
    ]
    .into();
    for (entity, expected) in [
        (
            Entity::new(group("a")).with_parents([EntityType::TAG.id("t")]),
            "not allowed",
        ),
        (Entity::new(EntityType::named("Nothing").id("x")), "Nothing"),
        (
            Entity::new(EntityType::RESOURCE.id("r")),
            "to have attribute",
        ),
        (untyped, "owner"),
        (Entity::new(EntityType::ROW.id("1")), "not kept as entities"),
        (
            Entity::new(EntityType::named("not a name").id("x")),
            "is not an entity type",
        ),
    ] {
        let good = Entity::new(group("good"));
        let batch = vec![
            EntityChange::Upsert(good),
            EntityChange::Upsert(entity.clone()),
        ];
        let fault = world.pdp.apply(batch).unwrap_err();
        assert!(fault.message.contains(expected), "{}: {fault}", entity.uid);
        assert_eq!(world.pdp.apply(Vec::new()).unwrap(), before);
    }
}

#[test]
fn the_digest_is_that_of_the_content_whatever_the_way() {
    let (one, other) = (World::with(""), World::with(""));
    let start = one.pdp.apply(Vec::new()).unwrap();
    assert_eq!(start, other.pdp.apply(Vec::new()).unwrap());
    one.pdp.apply(vec![nested("a", "b")]).unwrap();
    let left = one
        .pdp
        .apply(vec![nested("c", "d"), nested("e", "f")])
        .unwrap();
    let detours = vec![
        nested("e", "x"),
        nested("c", "d"),
        nested("a", "b"),
        nested("gone", "a"),
    ];
    let between = other.pdp.apply(detours).unwrap();
    assert_ne!(left, between);
    let right = other
        .pdp
        .apply(vec![nested("e", "f"), EntityChange::Remove(group("gone"))])
        .unwrap();
    assert_eq!(left, right);
    let mut changes = shop();
    for change in &mut changes {
        if let EntityChange::Upsert(entity) = change
            && let Some(schema) = &mut entity.schema
        {
            schema.columns[1].is_nullable = false;
        }
    }
    assert_ne!(
        one.pdp.apply(changes).unwrap(),
        left,
        "columns are part of the content"
    );
}

#[test]
fn ancestors_reach_through_what_comes_later_and_goes_away() {
    let policy = r#"@id("p") permit (principal in DataOS::Group::"top", action, resource);"#;
    let world = World::with(policy);
    let mut ann = user("ann", &[]);
    ann.groups.push("a".to_owned());
    let ask = || world.decide(&ann, Action::Select, customers().uid()).reason;
    assert_eq!(ask(), Reason::NoPermit);
    world.pdp.apply(vec![nested("a", "b")]).unwrap();
    assert_eq!(ask(), Reason::NoPermit);
    world.pdp.apply(vec![nested("b", "top")]).unwrap();
    assert_eq!(ask(), Reason::Permitted);
    world
        .pdp
        .apply(vec![EntityChange::Remove(group("a"))])
        .unwrap();
    assert_eq!(ask(), Reason::NoPermit);
}

#[test]
fn a_resource_that_is_not_known_is_a_deny_unless_sent() {
    let world = World::shipped();
    let admin = user("root", &["admin"]);
    let unknown = EntityType::DATASET.id("shop:crm/nothing");
    let decision = world.decide(&admin, Action::Select, unknown);
    assert_eq!(decision.reason, Reason::EntityMissing);
    let path = EntityType::API_PATH.id("/api/v1/new");
    let request = Request::new(&admin, Action::Call, path.clone());
    assert_eq!(world.pdp.decide_now(&request).reason, Reason::EntityMissing);
    let sent = request.clone().with_entity(Entity::new(path));
    assert_eq!(world.pdp.decide_now(&sent).reason, Reason::Permitted);
    let wrong = request.with_entity(Entity::new(EntityType::API_PATH.id("/other")));
    assert_eq!(world.pdp.decide_now(&wrong).reason, Reason::RequestInvalid);
}

#[test]
fn what_is_sent_cannot_replace_what_is_known() {
    let world = World::shipped();
    let uid = EntityType::RESOURCE.id("workflow:v1:w");
    let owned = |owner: &str| {
        let mut entity = Entity::new(uid.clone());
        let owner = Value::Entity(EntityType::USER.id(owner));
        entity.attributes = [
            ("owner".to_owned(), owner),
            ("type".to_owned(), "workflow".into()),
        ]
        .into();
        entity
    };
    world
        .pdp
        .apply(vec![EntityChange::Upsert(owned("ann"))])
        .unwrap();
    let eve = user("eve", &[]);
    let request = Request::new(&eve, Action::RunStep, uid.clone()).with_entity(owned("eve"));
    assert_eq!(world.pdp.decide_now(&request).reason, Reason::NoPermit);
}

#[test]
fn a_request_that_does_not_fit_the_schema_is_a_deny() {
    let world = World::shipped();
    let admin = user("root", &["admin"]);
    let mut request = Request::new(&admin, Action::Select, customers().uid());
    request.context.insert("purpose".to_owned(), Value::Long(1));
    assert_eq!(
        world.pdp.decide_now(&request).reason,
        Reason::RequestInvalid
    );
    request.context.clear();
    request
        .context
        .insert("mood".to_owned(), Value::from("good"));
    assert_eq!(
        world.pdp.decide_now(&request).reason,
        Reason::RequestInvalid
    );
    let elsewhere = Request::new(&admin, Action::Query, customers().uid());
    assert_eq!(
        world.pdp.decide_now(&elsewhere).reason,
        Reason::RequestInvalid
    );
    let mut group = user("x", &[]);
    group.uid = EntityType::GROUP.id("g");
    let group = Request::new(&group, Action::Select, customers().uid());
    assert_eq!(world.pdp.decide_now(&group).reason, Reason::RequestInvalid);
}
