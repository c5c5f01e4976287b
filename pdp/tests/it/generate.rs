//! Worlds for the comparison with Cedar: entities, policies and requests that meet often. The benchmark
//! `bench pdp --differential` uses them too, many more of them.

use dataos_model::{
    action::Action,
    decision::Request,
    entity::{Entity, EntityType},
    principal::{Authentication, Principal},
    value::Value,
};

use super::spread::Spread;

/// Policies of a world.
const POLICIES: usize = 40;

/// A hierarchy with several paths: groups in groups, tags in tags, datasets with tags.
pub(crate) fn entities(spread: &mut Spread) -> Vec<Entity> {
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

pub(crate) fn principal(spread: &mut Spread) -> Principal {
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

/// The policies of one world.
pub(crate) fn policies(spread: &mut Spread) -> String {
    (0..POLICIES).map(|number| policy(spread, number)).collect()
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

/// A question of the caller.
pub(crate) fn request(spread: &mut Spread, caller: &Principal) -> Request {
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
