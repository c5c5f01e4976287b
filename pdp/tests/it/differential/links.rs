//! Links against Cedar's own: a set of the same templates, linked by Cedar.

use std::{collections::HashMap, fs};

use cedar_policy::{Authorizer, PolicyId, PolicySet, Schema, SlotId, Template};
use dataos_model::{
    decision::Request,
    entity::{Entity, EntityChange, EntityType, EntityUid},
    fault::FaultKind,
    policy::{PolicyLink, PolicyText},
    principal::Principal,
    seams::{EntitySink, Policies},
};

use super::{question, with_caller};
use crate::{
    fixture::{World, block_on},
    generate,
    spread::Spread,
};

const LINKS_WORLDS: usize = 4;
const LINKS: usize = 25;
const LINK_CALLERS: usize = 12;
const LINK_TRIPLES: usize = 30;

/// Id, text, and whether it has `?principal` and `?resource`.
const TEMPLATES: &[(&str, bool, bool, &str)] = &[
    (
        "both-in",
        true,
        true,
        "permit (principal in ?principal, action in DataOS::Action::\"read_data\", resource in ?resource)",
    ),
    (
        "both-eq",
        true,
        true,
        "permit (principal == ?principal, action == DataOS::Action::\"select\", resource == ?resource) when { context has purpose && context.purpose == \"audit\" }",
    ),
    (
        "is-in",
        true,
        true,
        "@description(\"a \\\"quoted\\\" word\") forbid (principal is DataOS::User in ?principal, action in [DataOS::Action::\"select\", DataOS::Action::\"insert\"], resource is DataOS::Dataset in ?resource) unless { principal.hasTag(\"region\") }",
    ),
    (
        "who",
        true,
        false,
        "permit (principal in ?principal, action == DataOS::Action::\"get_resource\", resource is DataOS::Resource) when { resource[\"type\"] == \"a\" }",
    ),
    (
        "what",
        false,
        true,
        "forbid (principal, action == DataOS::Action::\"insert\", resource in ?resource) when { context has method && 9223372036854775807 + 1 > 0 }",
    ),
];

fn text() -> String {
    let one = |(id, _, _, body): &(&str, bool, bool, &str)| format!("@id(\"{id}\") {body};\n");
    TEMPLATES.iter().map(one).collect()
}

fn link(spread: &mut Spread, number: usize) -> PolicyLink {
    let (id, has_principal, has_resource, _) = *spread.one_of(TEMPLATES);
    let who = match spread.below(3) {
        0 => EntityType::USER.id(format!("u{}", spread.below(6))),
        1 => EntityType::GROUP.id(format!("g{}", spread.below(12))),
        _ => EntityType::ROLE.id(format!("r{}", spread.below(3))),
    };
    let what = match spread.below(3) {
        0 => EntityType::DEPOT.id(format!("d{}", spread.below(4))),
        1 => EntityType::TAG.id(format!("t{}", spread.below(12))),
        _ => EntityType::DATASET.id(format!("d{}:c/{}", spread.below(4), spread.below(3))),
    };
    PolicyLink {
        id: format!("link{number}"),
        template: id.to_owned(),
        principal: has_principal.then_some(who),
        resource: has_resource.then_some(what),
    }
}

/// The same link, made by Cedar.
fn cedar_link(set: &mut PolicySet, link: &PolicyLink) {
    let mut values = HashMap::new();
    if let Some(uid) = &link.principal {
        values.insert(SlotId::principal(), super::uid(uid));
    }
    if let Some(uid) = &link.resource {
        values.insert(SlotId::resource(), super::uid(uid));
    }
    let ids = (PolicyId::new(&link.template), PolicyId::new(&link.id));
    set.link(ids.0, ids.1, values).unwrap();
}

fn templates() -> PolicySet {
    let mut set = PolicySet::new();
    for (id, _, _, body) in TEMPLATES {
        let template = Template::parse(Some(PolicyId::new(id)), format!("{body};")).unwrap();
        set.add_template(template).unwrap();
    }
    set
}

fn answer(
    set: &PolicySet,
    schema: &Schema,
    stored: &[Entity],
    caller: &Principal,
    request: &Request,
) -> (bool, Vec<String>) {
    let question = question(request, schema);
    let entities = with_caller(stored, caller, schema);
    let response = Authorizer::new().is_authorized(&question, set, &entities);
    let mut determining: Vec<String> = response
        .diagnostics()
        .reason()
        .map(ToString::to_string)
        .collect();
    determining.sort();
    let is_allowed = response.decision() == cedar_policy::Decision::Allow;
    (is_allowed, determining)
}

#[test]
fn links_decide_as_cedars_own() {
    let mut spread = Spread::new(11);
    let (mut allowed, mut denied) = (0, 0);
    let schema_text = dataos_pdp::shipped_policies().next().unwrap().1;
    let schema = Schema::from_cedarschema_str(schema_text).unwrap().0;
    for _ in 0..LINKS_WORLDS {
        let world = World::with(&text());
        let stored = generate::entities(&mut spread);
        let changes = stored.iter().cloned().map(EntityChange::Upsert).collect();
        world.pdp.apply(changes).unwrap();
        let mut oracle = templates();
        for number in 0..LINKS {
            let link = link(&mut spread, number);
            block_on(world.pdp.put_link(link.clone())).unwrap();
            cedar_link(&mut oracle, &link);
        }
        for _ in 0..LINK_CALLERS {
            let caller = generate::principal(&mut spread);
            for _ in 0..LINK_TRIPLES {
                let request = generate::request(&mut spread, &caller);
                let decision = world.pdp.decide_now(&request);
                let ids: Vec<_> = decision.policies.iter().map(|p| p.id.clone()).collect();
                let expected = answer(&oracle, &schema, &stored, &caller, &request);
                assert_eq!((decision.is_allowed(), ids), expected, "{request:?}");
                assert_eq!(decision, world.pdp.decide_stock(&request));
                *(if expected.0 {
                    &mut allowed
                } else {
                    &mut denied
                }) += 1;
            }
        }
    }
    assert!(
        allowed > 20 && denied > 20,
        "{allowed} allowed, {denied} denied"
    );
}

fn role(name: &str) -> EntityUid {
    EntityType::ROLE.id(name)
}

const GRANT: &str = "@id(\"grant\")\n@description(\"a grant\")\npermit (principal in ?principal, \
                     action == DataOS::Action::\"select\", resource);\n";

fn grant(id: &str, principal: Option<EntityUid>) -> PolicyLink {
    PolicyLink {
        id: id.to_owned(),
        template: "grant".to_owned(),
        principal,
        resource: None,
    }
}

fn put(world: &World, text: &str) -> Result<(), dataos_model::fault::Fault> {
    let text = PolicyText {
        source: "own".to_owned(),
        cedar: text.to_owned(),
    };
    block_on(world.pdp.check(std::slice::from_ref(&text)))?;
    block_on(world.pdp.put(text)).map(drop)
}

/// Whether an analyst may select from the customers.
fn is_allowed(world: &World) -> bool {
    let ann = crate::fixture::user("ann", &["analyst"]);
    let select = dataos_model::action::Action::Select;
    let decision = world.decide(&ann, select, crate::fixture::customers().uid());
    decision.is_allowed()
}

/// A world with the template in the text `own`, and two links.
fn linked() -> World {
    let world = World::with("");
    put(&world, GRANT).unwrap();
    for (id, name) in [("analysts", "analyst"), ("auditors", "auditor")] {
        block_on(world.pdp.put_link(grant(id, Some(role(name))))).unwrap();
    }
    world
}

#[test]
fn a_template_alone_decides_nothing() {
    let world = World::with("");
    let hash = world.pdp.info().hash;
    put(&world, GRANT).unwrap();
    assert_eq!(world.pdp.info().hash, hash);
    assert!(world.pdp.list().is_empty());
    for (wrong, field) in [
        (grant("a", None), "principal"),
        (
            PolicyLink {
                resource: Some(role("x")),
                ..grant("a", Some(role("x")))
            },
            "resource",
        ),
        (
            PolicyLink {
                template: "other".to_owned(),
                ..grant("a", None)
            },
            "template",
        ),
    ] {
        let fault = block_on(world.pdp.put_link(wrong)).unwrap_err();
        assert_eq!(fault.location.unwrap().field.as_deref(), Some(field));
    }
}

#[test]
fn links_are_policies_and_follow_their_template() {
    let empty = World::with("").pdp.info().hash;
    let world = linked();
    let list = world.pdp.list();
    assert_eq!(list[0].id, "analysts");
    assert_eq!(list[0].source, "link:analysts of grant");
    assert_eq!(
        list[0].annotations,
        [("description".to_owned(), "a grant".to_owned())]
    );
    let text = &list[0].text;
    assert!(text.contains("DataOS::Role::\"analyst\""), "{text}");
    assert_eq!(world.pdp.templates()[0].links, ["analysts", "auditors"]);
    assert!(is_allowed(&world));
    let narrower = GRANT.replace("resource);", "resource) when { context has purpose };");
    put(&world, &narrower).unwrap();
    assert!(!is_allowed(&world));
    put(&world, GRANT).unwrap();
    assert!(is_allowed(&world));
    block_on(world.pdp.remove_link("analysts")).unwrap();
    assert!(!is_allowed(&world));
    block_on(world.pdp.remove_link("auditors")).unwrap();
    block_on(world.pdp.remove("own")).unwrap();
    assert_eq!(world.pdp.info().hash, empty);
}

#[test]
fn a_used_template_stays_in_whatever_way_it_would_go() {
    let world = linked();
    let renamed = GRANT.replace("\"grant\"", "\"other\"");
    let slots = GRANT.replace("resource)", "resource in ?resource)");
    let fixed = GRANT.replace("?principal", "DataOS::Role::\"x\"");
    for text in ["", &renamed, &slots, &fixed] {
        let fault = put(&world, text).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Conflict, "{fault}");
        assert!(fault.message.contains("analysts"), "{fault}");
    }
    let fault = block_on(world.pdp.check_removal("own")).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Conflict);
    let fault = block_on(world.pdp.remove("own")).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Conflict);
    // Neither a policy nor a second template of its id.
    let twice = "@id(\"analysts\")\npermit (principal, action, resource);\n";
    assert!(put(&world, &format!("{GRANT}{twice}")).is_err());
    fs::write(world.folder.path().join("twice.cedar"), GRANT).unwrap();
    assert!(world.pdp.reload().is_err());
    fs::remove_file(world.folder.path().join("twice.cedar")).unwrap();
    world.pdp.reload().unwrap();
    assert!(is_allowed(&world));
}

#[test]
fn links_of_a_file_follow_the_folder() {
    let world = World::with(GRANT);
    block_on(world.pdp.put_link(grant("analysts", Some(role("analyst"))))).unwrap();
    let own = world.folder.path().join("own.cedar");
    fs::write(&own, "").unwrap();
    let fault = world.pdp.reload().unwrap_err();
    assert!(fault.message.contains("analysts"), "{fault}");
    // A schema that changed is one that links are checked against again.
    let schema = world.folder.path().join("schema.cedarschema");
    let text = fs::read_to_string(&schema).unwrap();
    fs::write(&schema, format!("{text}\n// changed\n")).unwrap();
    fs::write(&own, GRANT.replace("permit", "forbid")).unwrap();
    world.pdp.reload().unwrap();
    assert_eq!(world.pdp.list()[0].effect, "forbid");
    assert_eq!(world.pdp.list().len(), 1);
}
