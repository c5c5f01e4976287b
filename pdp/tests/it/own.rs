//! Types and actions of one's own, beside ours.

use std::{collections::BTreeMap, str::FromStr, sync::Arc};

use cedar_policy::{
    Authorizer, Context, Entities, EntityUid as CedarUid, PolicySet, Request as CedarRequest,
    Schema, SchemaFragment,
};
use dataos_model::{
    action::Action,
    decision::{Reason, Request},
    entity::{Entity, EntityChange, EntityType, EntityUid},
    explain::{Search, Sought},
    principal::Principal,
    seams::{EntitySink, Explore, Policies},
    value::Value,
};
use dataos_pdp::{
    Engine, OWN_ACTIONS_MAX, SCHEMA_FRAGMENTS_MAX,
    analysis::{self, Texts},
    shipped_policies,
};

use crate::{
    fixture::{World, block_on, user},
    spread::Spread,
};

pub(crate) const SHOP: &str = r#"
namespace Shop {
    type Place = { city: String, level?: Long };
    entity Folder in [Folder, DataOS::Tag] = { owner?: DataOS::User };
    entity Record in [Folder, DataOS::Tag] = {
        status: String,
        level: Long,
        place?: Place,
        next?: Record,
    } tags String;
    // The same name as one of ours.
    entity Tag in [Tag];
    action all in [DataOS::Action::"read"];
    action read in [all] appliesTo {
        principal: [DataOS::User, DataOS::Service], resource: [Record, Folder], context: DataOS::Call,
    };
    action write, "delete" appliesTo {
        principal: DataOS::User, resource: Record, context: { soft?: Bool },
    };
    // The same name as one of ours, on a type of ours.
    action select appliesTo { principal: DataOS::User, resource: [DataOS::Dataset, Tag] };
}
"#;

const LIB: &str = r#"
namespace Lib {
    entity Record = { status: Bool };
    action read appliesTo { principal: DataOS::User, resource: [Record, Shop::Record] };
}
"#;

const POLICIES: &str = r#"
@id("shop.read") permit (principal, action in Shop::Action::"all", resource)
when { principal in DataOS::Group::"staff" };
@id("shop.write") permit (principal == DataOS::User::"alice", action == Shop::Action::"write", resource is Shop::Record)
unless { resource.status == "archived" };
@id("shop.archive") permit (principal in DataOS::Role::"admin", action == Shop::Action::"write", resource in Shop::Folder::"attic");
@id("shop.delete") permit (principal == DataOS::User::"alice", action == Shop::Action::"delete", resource)
when { context has soft && context.soft };
@id("shop.closed") forbid (principal, action == Shop::Action::"write", resource in Shop::Folder::"closed");
@id("ours.select") permit (principal == DataOS::User::"alice", action == DataOS::Action::"select", resource);
@id("shop.tag") permit (principal, action == Shop::Action::"select", resource == Shop::Tag::"x");
@id("lib.read") permit (principal == DataOS::User::"bob", action == Lib::Action::"read", resource is Lib::Record)
when { resource.status };
"#;

pub(crate) const RECORDS: &str = r#"[
  {"uid": {"type": "Shop::Folder", "id": "attic"}, "attrs": {"owner": {"type": "DataOS::User", "id": "ann"}}, "parents": []},
  {"uid": {"type": "Shop::Record", "id": "f1"},
   "attrs": {"status": "live", "level": 3, "place": {"city": "Bonn"}, "next": {"__entity": {"type": "Shop::Record", "id": "f1"}}},
   "parents": [{"type": "Shop::Folder", "id": "attic"}, {"type": "DataOS::Tag", "id": "t"}],
   "tags": {"k": "v"}}
]"#;

fn action(name: &str) -> Action {
    name.parse().unwrap()
}

fn of(name: &str) -> EntityType {
    EntityType::named(name)
}

fn record(id: &str, status: &str, folders: &[&str]) -> Entity {
    let folders = folders.iter().map(|folder| of("Shop::Folder").id(*folder));
    let mut record = Entity::new(of("Shop::Record").id(id)).with_parents(folders);
    record
        .attributes
        .insert("status".to_owned(), Value::from(status));
    record.attributes.insert("level".to_owned(), Value::Long(1));
    record
}

fn world() -> World {
    let files = [
        ("shop.cedarschema", SHOP),
        ("more/lib.cedarschema", LIB),
        ("own.cedar", POLICIES),
    ];
    let world = World::of_files(&files).unwrap();
    let mut lib = Entity::new(of("Lib::Record").id("r1"));
    lib.attributes
        .insert("status".to_owned(), Value::Bool(true));
    let entities = [
        Entity::new(of("Shop::Folder").id("closed")),
        Entity::new(of("Shop::Folder").id("attic")).with_parents([of("Shop::Folder").id("old")]),
        record("r1", "live", &[]),
        record("r2", "archived", &["attic"]),
        record("r3", "live", &["closed"]),
        Entity::new(of("Shop::Tag").id("x")),
        Entity::new(EntityType::TAG.id("x")),
        lib,
    ];
    let changes = entities.into_iter().map(EntityChange::Upsert);
    world.pdp.apply(changes.collect()).unwrap();
    world
}

fn reason(world: &World, principal: &Principal, name: &str, resource: EntityUid) -> Reason {
    let mut request = Request::new(principal, action(name), resource);
    if name == "Shop::delete" {
        request.context.insert("soft".to_owned(), Value::Bool(true));
    }
    let decision = world.pdp.decide_now(&request);
    for engine in [Engine::CompiledWhole, Engine::IndexedStock, Engine::Stock] {
        assert_eq!(
            decision,
            world.pdp.decide_with(&request, engine),
            "{engine:?} {request:?}"
        );
    }
    decision.reason
}

#[test]
fn own_actions_on_own_types_are_decided_and_base_names_are_never_confused() {
    let world = world();
    let mut alice = user("alice", &[]);
    alice.groups = vec!["staff".to_owned()];
    let bob = user("bob", &["admin"]);
    let shop = |id: &str| of("Shop::Record").id(id);
    for (who, name, resource, expected) in [
        (&alice, "Shop::read", shop("r1"), Reason::Permitted),
        (
            &alice,
            "Shop::read",
            of("Shop::Folder").id("closed"),
            Reason::Permitted,
        ),
        (&bob, "Shop::read", shop("r1"), Reason::NoPermit),
        (&alice, "Shop::write", shop("r1"), Reason::Permitted),
        (&alice, "Shop::write", shop("r2"), Reason::NoPermit),
        (&alice, "Shop::write", shop("r3"), Reason::Forbidden),
        (&bob, "Shop::write", shop("r2"), Reason::Permitted),
        (&alice, "Shop::delete", shop("r1"), Reason::Permitted),
        // One base name in two namespaces.
        (
            &bob,
            "Lib::read",
            of("Lib::Record").id("r1"),
            Reason::Permitted,
        ),
        (&bob, "Lib::read", shop("r1"), Reason::NoPermit),
        (
            &bob,
            "Shop::select",
            of("Shop::Tag").id("x"),
            Reason::Permitted,
        ),
        (
            &bob,
            "Shop::select",
            EntityType::TAG.id("x"),
            Reason::RequestInvalid,
        ),
        (&alice, "select", shop("r1"), Reason::RequestInvalid),
        (
            &alice,
            "Shop::read",
            of("Lib::Record").id("r1"),
            Reason::RequestInvalid,
        ),
        (
            &alice,
            "Shop::read",
            of("Record").id("r1"),
            Reason::EntityMissing,
        ),
        (&alice, "Shop::read", shop("r9"), Reason::EntityMissing),
    ] {
        assert_eq!(
            reason(&world, who, name, resource.clone()),
            expected,
            "{} {name} {resource}",
            who.uid
        );
    }
    assert!(world.pdp.decision_counts().compiled > 8);
}

#[test]
fn what_does_not_fit_is_never_permitted() {
    let world = world();
    let mut alice = user("alice", &[]);
    alice.groups = vec!["staff".to_owned()];
    let uid = of("Shop::Record").id("new");
    let ask = |change: &dyn Fn(&mut Entity, &mut Request)| {
        let mut entity = record("new", "live", &[]);
        let mut request = Request::new(&alice, action("Shop::write"), uid.clone());
        change(&mut entity, &mut request);
        world.pdp.decide_now(&request.with_entity(entity)).reason
    };
    assert_eq!(ask(&|_, _| {}), Reason::Permitted);
    let set = |name: &'static str, value: Value| {
        move |entity: &mut Entity, _: &mut Request| {
            entity.attributes.insert(name.to_owned(), value.clone());
        }
    };
    let place = |value: Value| Value::Record(BTreeMap::from([("city".to_owned(), value)]));
    assert_eq!(
        ask(&set("place", place(Value::from("Bonn")))),
        Reason::Permitted
    );
    for wrong in [
        set("place", place(Value::Long(1))),
        set("status", Value::Long(1)),
        set("extra", Value::Long(1)),
        set("next", Value::Entity(of("Lib::Record").id("r1"))),
        set("next", Value::Entity(of("Record").id("r1"))),
    ] {
        assert_eq!(ask(&wrong), Reason::RequestInvalid);
    }
    let parent = |of: EntityType| ask(&move |entity, _| entity.parents.push(of.clone().id("x")));
    assert_eq!(parent(EntityType::TAG), Reason::Permitted);
    assert_eq!(parent(of("Shop::Tag")), Reason::RequestInvalid);
    let missing = ask(&|entity, _| drop(entity.attributes.remove("level")));
    assert_eq!(missing, Reason::RequestInvalid);
    let context = ask(&|_, request| {
        request
            .context
            .insert("soft".to_owned(), Value::from("yes"));
    });
    assert_eq!(context, Reason::RequestInvalid);
    // Neither a cycle nor an entity of no declared type is ever known.
    for (entity, message) in [
        (
            Entity::new(of("Shop::Folder").id("old"))
                .with_parents([of("Shop::Folder").id("attic")]),
            "its own ancestor",
        ),
        (
            Entity::new(of("Nobody::Folder").id("old")),
            "Nobody::Folder",
        ),
    ] {
        let fault = world
            .pdp
            .apply(vec![EntityChange::Upsert(entity)])
            .unwrap_err();
        assert!(fault.message.contains(message), "{fault}");
    }
}

#[test]
fn searches_and_explanations_know_own_types() {
    let world = world();
    let alice = user("alice", &[]);
    let search = |sought: Sought| {
        let search = Search {
            sought,
            context: BTreeMap::new(),
            limit: 10,
            after: None,
        };
        block_on(world.pdp.search(&search)).unwrap().found
    };
    let records = search(Sought::Resources {
        of: of("Shop::Record"),
        principal: alice.clone(),
        action: action("Shop::write"),
    });
    assert_eq!(records, ["r1"]);
    let actions = search(Sought::Actions {
        principal: alice.clone(),
        resource: of("Shop::Record").id("r1"),
        resource_entity: None,
    });
    assert_eq!(actions, ["Shop::write"]);
    let request = Request::new(&alice, action("Shop::read"), of("Shop::Record").id("r1"));
    let explained = block_on(world.pdp.explain(&request));
    assert_eq!(explained.nearest[0].policy.id, "shop.read");
    assert_eq!(
        explained.nearest[0].missing,
        ["principal in DataOS::Group::\"staff\""]
    );
    assert_eq!(explained.nearest[0].suffices, Some(true));
    let vocabulary = world.pdp.vocabulary();
    let names: Vec<&str> = vocabulary.actions().map(Action::name).collect();
    let expected = [
        "Lib::read",
        "Shop::delete",
        "Shop::read",
        "Shop::select",
        "Shop::write",
    ];
    assert_eq!(names[Action::ALL.len()..], expected);
}

#[test]
fn a_bad_fragment_refuses_the_whole_load_and_is_named() {
    let many: String = (0..=OWN_ACTIONS_MAX)
        .map(|n| format!("action a{n} appliesTo {{ principal: DataOS::User, resource: T }};"))
        .collect();
    let many = format!("namespace Many {{ entity T; {many} }}");
    for (text, expected) in [
        (
            "namespace Own {\n  entity A in [Nobody];\n}",
            "own.cedarschema:2:16: ",
        ),
        ("namespace Own {\n  entity A\n}", "own.cedarschema:3:"),
        (
            "\nnamespace DataOS { entity A; }",
            "own.cedarschema:2:1: namespace `DataOS` is reserved",
        ),
        (
            "namespace DataOS::Inner { entity A; }",
            "namespace `DataOS::Inner` is reserved",
        ),
        (
            "entity A;",
            "own.cedarschema: a type or action outside of a namespace",
        ),
        (
            "namespace Shop { entity B; }",
            "shop.cedarschema:2:1: namespace `Shop` is declared in own.cedarschema already",
        ),
        (
            "namespace Own { entity Robot; action go appliesTo { principal: Robot, resource: Robot }; }",
            "own.cedarschema: action `Own::go` has the principal `Own::Robot`",
        ),
        (
            "namespace Own { action go appliesTo { principal: DataOS::User, resource: DataOS::Row }; }",
            "applies to `DataOS::Row`",
        ),
        (
            "namespace Own { entity A; action \"a b\" appliesTo { principal: DataOS::User, resource: A }; }",
            "`Own::a b` is no name of an own action",
        ),
        (many.as_str(), "OWN_ACTIONS_MAX"),
    ] {
        let files = [("own.cedarschema", text), ("shop.cedarschema", SHOP)];
        let shown = World::of_files(&files).err().unwrap().to_string();
        assert!(shown.contains(expected), "{text}: {shown}");
    }
    let names: Vec<String> = (0..=SCHEMA_FRAGMENTS_MAX)
        .map(|n| format!("f{n}.cedarschema"))
        .collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let shown = World::of_files(&files).err().unwrap().to_string();
    assert!(shown.contains("SCHEMA_FRAGMENTS_MAX"), "{shown}");
}

#[test]
fn a_reload_takes_fragments_with_policies_or_leaves_both() {
    let world = World::of_files(&[]).unwrap();
    let before = world.pdp.info().hash;
    let alice = user("alice", &[]);
    let policy = "@id(\"p\") permit (principal, action == Later::Action::\"go\", resource);";
    world.write("own.cedar", policy);
    let shown = world.pdp.reload().unwrap_err().to_string();
    assert!(shown.starts_with("own.cedar:1:"), "{shown}");
    let go = "action go appliesTo { principal: DataOS::User, resource: Thing };";
    world.write(
        "later.cedarschema",
        &format!("namespace Later {{ entity Thing; {go} }}"),
    );
    let after = world.pdp.reload().unwrap();
    assert_ne!(before, after);
    let thing = of("Later::Thing").id("t");
    world
        .pdp
        .apply(vec![EntityChange::Upsert(Entity::new(thing.clone()))])
        .unwrap();
    assert_eq!(
        reason(&world, &alice, "Later::go", thing.clone()),
        Reason::Permitted
    );
    // What is known does not fit any more.
    world.write(
        "later.cedarschema",
        &format!("namespace Later {{ entity Thing = {{ n: Long }}; {go} }}"),
    );
    let shown = world.pdp.reload().unwrap_err().to_string();
    assert!(shown.contains("does not fit what is known"), "{shown}");
    assert_eq!(world.pdp.info().hash, after);
    assert_eq!(
        reason(&world, &alice, "Later::go", thing.clone()),
        Reason::Permitted
    );
    // The action is gone, its handle is not: it is unknown, not permitted.
    world
        .pdp
        .apply(vec![EntityChange::Remove(thing.clone())])
        .unwrap();
    world.write("own.cedar", "");
    world.write("later.cedarschema", "namespace Later { entity Thing; }");
    world.pdp.reload().unwrap();
    world
        .pdp
        .apply(vec![EntityChange::Upsert(Entity::new(thing.clone()))])
        .unwrap();
    assert_eq!(
        reason(&world, &alice, "Later::go", thing),
        Reason::ActionUnknown
    );
}

#[test]
fn checks_tests_and_the_matrix_know_own_types() {
    let schema = shipped_policies().next().unwrap().1.to_owned();
    let cases = r#"
entities:
  - uid: Shop::Record::"r1"
    attributes: {status: live, level: 1}
cases:
  - name: alice writes
    principal: {user: alice}
    action: Shop::write
    resource: Shop::Record::"r1"
    expect: {decision: allow, policies: [shop.write]}
  - name: what a file holds is known
    principal: {user: alice}
    action: Shop::write
    resource: Shop::Record::"f1"
    expect: {decision: allow}
  - name: nobody writes what is closed
    principal: {user: alice}
    action: Shop::write
    resource: {uid: 'Shop::Record::"r9"', parents: ['Shop::Folder::"closed"'], attributes: {status: live, level: 1}}
    expect: {decision: deny, reason: forbidden}
"#;
    let named = |path: &str, text: &str| BTreeMap::from([(path.to_owned(), text.to_owned())]);
    let mut fragments = named("shop.cedarschema", SHOP);
    fragments.extend(named("lib.cedarschema", LIB));
    let texts = Texts {
        schema,
        fragments,
        files: named("own.cedar", POLICIES),
        entities: named("entities/more.json", RECORDS),
        tests: named("tests/own.yaml", cases),
    };
    let report = analysis::test(&texts, &[], None);
    assert!(report.has_passed(), "{report:#?}");
    let checked = analysis::check(&texts, &[]);
    assert_eq!(checked.errors(), 0, "{checked:#?}");
    let damaged = Texts {
        entities: named("entities/more.json", "[{}]"),
        ..texts.clone()
    };
    assert_eq!(analysis::check(&damaged, &[]).errors(), 1);
    let matrix = analysis::matrix(&texts).unwrap().to_string();
    for line in [
        "Shop::read Shop::Record: allow by shop.read",
        "Shop::write Shop::Record: if by !shop.closed, shop.write",
        "Lib::read Lib::Record: if by lib.read",
        "Lib::read Shop::Record: deny",
    ] {
        assert!(
            matrix.lines().any(|shown| shown == line),
            "{line}\n{matrix}"
        );
    }
}

/// Decisions about own types are those of stock Cedar over the joined schema, in random worlds.
#[test]
fn decisions_about_own_types_are_those_of_cedar() {
    let mut spread = Spread::new(11);
    let ours = shipped_policies().next().unwrap().1;
    let fragment = |text: &str| SchemaFragment::from_cedarschema_str(text).unwrap().0;
    let schema = Schema::from_schema_fragments([ours, SHOP, LIB].map(fragment)).unwrap();
    let (mut allowed, mut forbidden) = (0, 0);
    for _ in 0..12 {
        let text: String = (0..12).map(|number| policy(&mut spread, number)).collect();
        let files = [
            ("a.cedarschema", SHOP),
            ("b.cedarschema", LIB),
            ("own.cedar", &text),
        ];
        let world = World::of_files(&files).unwrap();
        let stored = stored(&mut spread);
        let changes = stored.iter().cloned().map(EntityChange::Upsert).collect();
        world.pdp.apply(changes).unwrap();
        let policies = PolicySet::from_str(&text).unwrap();
        for _ in 0..60 {
            let mut caller = user(&format!("u{}", spread.below(3)), &[]);
            caller.groups = (0..3)
                .filter(|_| spread.is(40))
                .map(|n| format!("g{n}"))
                .collect();
            let name = *spread.one_of(&["Shop::read", "Shop::write", "Lib::read"]);
            let kinds: &[&str] = if name == "Lib::read" {
                &["Lib::Record", "Shop::Record"]
            } else {
                &["Shop::Record"]
            };
            let kind: &&str = spread.one_of(kinds);
            let resource = of(kind).id(format!("r{}", spread.below(4)));
            let request = Request::new(&caller, action(name), resource);
            let decision = world.pdp.decide_now(&request);
            let expected = oracle(&request, &policies, &stored, &schema);
            assert_eq!(decision.is_allowed(), expected, "{request:?}\n{text}");
            allowed += usize::from(expected);
            forbidden += usize::from(decision.reason == Reason::Forbidden);
        }
    }
    assert!(allowed > 70 && forbidden > 30, "{allowed} {forbidden}");
}

fn policy(spread: &mut Spread, number: usize) -> String {
    let who = match spread.below(3) {
        0 => "principal".to_owned(),
        1 => format!("principal in DataOS::Group::\"g{}\"", spread.below(3)),
        _ => format!("principal == DataOS::User::\"u{}\"", spread.below(3)),
    };
    let folder = spread.below(3);
    let what = match spread.below(5) {
        0 => "action in Shop::Action::\"all\", resource is Shop::Record".to_owned(),
        1 => format!(
            "action in [Shop::Action::\"write\", Shop::Action::\"read\"], resource in Shop::Folder::\"f{folder}\""
        ),
        2 => "action == Lib::Action::\"read\", resource is Lib::Record".to_owned(),
        3 => "action == Lib::Action::\"read\", resource is Shop::Record".to_owned(),
        _ => format!(
            "action in DataOS::Action::\"read\", resource == Shop::Record::\"r{}\"",
            spread.below(4)
        ),
    };
    let condition = if what.contains("Lib::Record") {
        "resource.status"
    } else if what.contains("Shop::Record") {
        spread.one_of(&[
            "resource.status == \"live\"",
            "resource has next && resource.next.level > 1",
            "resource has place && resource.place.city like \"B*\"",
            "action == Shop::Action::\"read\" || resource.level + 9223372036854775806 > 0",
            "resource.hasTag(\"k\") && resource.getTag(\"k\") == \"v\"",
        ])
    } else {
        "principal in DataOS::Group::\"g0\""
    };
    let effect = if spread.is(75) { "permit" } else { "forbid" };
    let clause = if spread.is(50) {
        format!("when {{ {condition} }}")
    } else {
        String::new()
    };
    format!("@id(\"p{number}\") {effect} ({who}, {what}) {clause};\n")
}

fn stored(spread: &mut Spread) -> Vec<Entity> {
    let folder = |n: usize| of("Shop::Folder").id(format!("f{n}"));
    let mut found: Vec<Entity> = (0..3)
        .map(|n| Entity::new(folder(n)).with_parents((0..n).filter(|_| spread.is(40)).map(folder)))
        .collect();
    for n in 0..4 {
        let status = *spread.one_of(&["live", "archived"]);
        let mut shop = record(&format!("r{n}"), status, &[]);
        shop.parents = (0..3).filter(|_| spread.is(30)).map(folder).collect();
        shop.attributes
            .insert("level".to_owned(), Value::Long(i64::from(n)));
        if spread.is(50) {
            let next = of("Shop::Record").id(format!("r{}", spread.below(4)));
            shop.attributes
                .insert("next".to_owned(), Value::Entity(next));
        }
        if spread.is(50) {
            let city = Value::from(*spread.one_of(&["Bonn", "Ulm"]));
            let place = Value::Record(BTreeMap::from([("city".to_owned(), city)]));
            shop.attributes.insert("place".to_owned(), place);
        }
        if spread.is(50) {
            shop.tags
                .insert("k".to_owned(), Value::from(*spread.one_of(&["v", "w"])));
        }
        found.push(shop);
        let mut lib = Entity::new(of("Lib::Record").id(format!("r{n}")));
        lib.attributes
            .insert("status".to_owned(), Value::Bool(spread.is(50)));
        found.push(lib);
    }
    found
}

/// What Cedar says, from the text of policies and the JSON of entities.
fn oracle(request: &Request, policies: &PolicySet, stored: &[Entity], schema: &Schema) -> bool {
    let uid = |uid: &EntityUid| CedarUid::from_str(&uid.to_string()).unwrap();
    let caller = request.principal.entity();
    let all: Vec<serde_json::Value> = stored.iter().chain([&caller]).map(json).collect();
    let entities = Entities::from_json_value(all.into(), Some(schema)).unwrap();
    let (namespace, id) = request.action.name().rsplit_once("::").unwrap();
    let question = CedarRequest::new(
        uid(&request.principal.uid),
        CedarUid::from_str(&format!("{namespace}::Action::\"{id}\"")).unwrap(),
        uid(&request.resource),
        Context::empty(),
        Some(schema),
    );
    let response = Authorizer::new().is_authorized(&question.unwrap(), policies, &entities);
    response.decision() == cedar_policy::Decision::Allow
}

fn json(entity: &Entity) -> serde_json::Value {
    fn value(of: &Value) -> serde_json::Value {
        match of {
            Value::Bool(value) => (*value).into(),
            Value::Long(value) => (*value).into(),
            Value::String(text) => text.as_str().into(),
            Value::Entity(uid) => serde_json::json!({"__entity": name(uid)}),
            Value::Record(fields) => map(fields),
            other => panic!("{other:?}"),
        }
    }
    fn map(fields: &BTreeMap<String, Value>) -> serde_json::Value {
        fields
            .iter()
            .map(|(name, of)| (name.clone(), value(of)))
            .collect()
    }
    fn name(uid: &EntityUid) -> serde_json::Value {
        serde_json::json!({"type": uid.entity_type.whole_name(), "id": uid.id})
    }
    let parents: Vec<serde_json::Value> = entity.parents.iter().map(name).collect();
    serde_json::json!({
        "uid": name(&entity.uid),
        "attrs": map(&entity.attributes),
        "parents": parents,
        "tags": map(&entity.tags),
    })
}

fn with_files() -> World {
    let files = [
        ("shop.cedarschema", SHOP),
        ("lib.cedarschema", LIB),
        ("own.cedar", POLICIES),
        ("entities/shop.json", RECORDS),
    ];
    World::of_files(&files).unwrap()
}

#[test]
fn entities_in_files_are_loaded_with_the_policies() {
    let world = with_files();
    let alice = user("alice", &[]);
    let f1 = of("Shop::Record").id("f1");
    assert_eq!(
        reason(&world, &alice, "Shop::write", f1.clone()),
        Reason::Permitted
    );
    let known = world.pdp.entity(&f1).unwrap();
    assert_eq!(known.attributes["next"], Value::Entity(f1.clone()));
    assert_eq!(known.tags["k"], Value::from("v"));
    assert_eq!(known.parents.len(), 2);
    // What is written is what is read.
    let shown = dataos_pdp::entity_json(&known);
    assert_eq!(world.pdp.read_entity(shown).unwrap(), *known);
    // A file is changed in the folder alone.
    let change = EntityChange::Remove(f1.clone());
    let fault = world.pdp.apply(vec![change]).unwrap_err();
    assert!(
        fault.message.contains("is in entities/shop.json"),
        "{fault}"
    );
    let before = (world.pdp.info().hash, world.pdp.file_entities_hash());
    world.write("entities/shop.json", &RECORDS.replace("live", "archived"));
    let after = (world.pdp.reload().unwrap(), world.pdp.file_entities_hash());
    assert_eq!(before.0, after.0, "the policies are the same");
    assert_ne!(before.1, after.1);
    assert_eq!(
        reason(&world, &alice, "Shop::write", f1.clone()),
        Reason::NoPermit
    );
    world.write("entities/shop.json", "[]");
    world.pdp.reload().unwrap();
    assert_eq!(
        reason(&world, &alice, "Shop::write", f1.clone()),
        Reason::EntityMissing
    );
    // One entity has one home.
    world
        .pdp
        .apply(vec![EntityChange::Upsert(record("f1", "live", &[]))])
        .unwrap();
    world.write("entities/shop.json", RECORDS);
    let fault = world.pdp.reload().unwrap_err();
    assert!(
        fault.message.contains("applied over REST already"),
        "{fault}"
    );
    assert_eq!(reason(&world, &alice, "Shop::write", f1), Reason::Permitted);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of bad files")]
fn a_bad_entity_file_refuses_the_whole_load() {
    let world = with_files();
    let hash = world.pdp.info().hash;
    let item = |uid: &str, attrs: &str, more: &str| {
        format!("[{{\"uid\": {uid}, \"attrs\": {attrs}, \"parents\": []{more}}}]")
    };
    let one = r#"{"type": "Shop::Record", "id": "x"}"#;
    let good = r#"{"status": "live", "level": 1}"#;
    let folder = |id: &str, parent: &str| {
        format!(
            r#"{{"uid": {{"type": "Shop::Folder", "id": "{id}"}}, "attrs": {{}}, "parents": [{{"type": "Shop::Folder", "id": "{parent}"}}]}}"#
        )
    };
    for (text, expected) in [
        (
            item(one, r#"{"status": "live", "level": NaN}"#, ""),
            "entities/bad.json:1:",
        ),
        (item(one, r#"{"status": "live", "level": 1.5}"#, ""), "1.5"),
        (
            item(one, r#"{"status": "live", "level": 1e99}"#, ""),
            "entities/bad.json",
        ),
        (
            item(one, r#"{"status": "live", "status": "x", "level": 1}"#, ""),
            "a key is given twice",
        ),
        (item(one, r#"{"status": 1, "level": 1}"#, ""), "`status`"),
        (item(one, r#"{"level": 1}"#, ""), "`status`"),
        (
            item(one, r#"{"status": "live", "level": 1, "extra": 1}"#, ""),
            "extra",
        ),
        (item(one, r#"{"status": null, "level": 1}"#, ""), "null"),
        (item(one, good, r#", "color": 1"#), "unknown field `color`"),
        (
            item(r#"{"type": "Shop::Nothing", "id": "x"}"#, "{}", ""),
            "Shop::Nothing",
        ),
        (item(r#"{"type": "Record", "id": "x"}"#, good, ""), "Record"),
        (
            item(r#"{"type": "DataOS::User", "id": "x"}"#, "{}", ""),
            "only entities of types of one's own",
        ),
        (item(r#"{"id": "x"}"#, good, ""), "entity 1: "),
        (
            item(one, good, "").replace("[]", r#"[{"type": "Lib::Record", "id": "r"}]"#),
            "Lib::Record",
        ),
        (
            format!("[{0}, {0}]", folder("a", "b")),
            "is in entities/bad.json already",
        ),
        (format!("[{}]", folder("a", "a")), "its own ancestor"),
        (
            format!("[{}, {}]", folder("a", "b"), folder("b", "a")),
            "its own ancestor",
        ),
        (RECORDS.to_owned(), "is in entities/bad.json already"),
        ("{}".to_owned(), "not a list of entities"),
        (
            format!("{}1{}", "[".repeat(60), "]".repeat(60)),
            "nested deeper",
        ),
        (String::new(), "entities/bad.json"),
    ] {
        world.write("entities/bad.json", &text);
        let shown = world.pdp.reload().unwrap_err().to_string();
        assert!(shown.contains(expected), "{text}: {shown}");
        assert_eq!(world.pdp.info().hash, hash);
        let f1 = of("Shop::Record").id("f1");
        assert!(world.pdp.entity(&f1).is_some(), "the old entities stay");
    }
    std::fs::remove_file(world.folder.path().join("entities/bad.json")).unwrap();
    world.pdp.reload().unwrap();
    assert_eq!(world.pdp.info().load_error, None);
}

#[test]
fn entities_of_own_types_come_and_go_in_one_version() {
    let world = world();
    let known = world.pdp.entity(&of("Shop::Record").id("r1")).unwrap();
    assert_eq!(Arc::unwrap_or_clone(known).parents, []);
    world
        .pdp
        .apply(vec![EntityChange::Remove(of("Shop::Record").id("r1"))])
        .unwrap();
    assert!(world.pdp.entity(&of("Shop::Record").id("r1")).is_none());
    assert!(world.pdp.entity(&of("Lib::Record").id("r1")).is_some());
}
