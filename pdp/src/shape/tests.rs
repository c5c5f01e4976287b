use std::str::FromStr;

use cedar_policy::{Request, Schema};
use dataos_model::principal::Principal;

use super::*;
use crate::{
    convert::{cedar_context, cedar_uid},
    shipped::shipped_policies,
    version::check_entity,
};

const OWN: &str = r#"
namespace DataOS {
    type Address = { city: String, "zip code"?: Long };
    entity User in [Group] tags String;
    entity Group;
    entity Colour enum ["red", "green"];
    entity Thing in [Group] = {
        owner: User,
        home?: Address,
        names: Set<String>,
        price?: decimal,
        seen?: datetime,
        life?: duration,
        at?: ipaddr,
        colour?: Colour,
    } tags Set<Long>;
    action look appliesTo { principal: [User], resource: [Thing], context: { home?: Address, n: Long } };
}"#;

fn shapes(text: &str) -> (Schema, Shapes) {
    let (fragment, _) = cedar_policy::SchemaFragment::from_cedarschema_str(text).unwrap();
    let document = fragment.to_json_value().unwrap();
    (
        Schema::from_json_value(document.clone()).unwrap(),
        Shapes::read(&document, &Vocabulary::default()),
    )
}

fn samples() -> Vec<Value> {
    let record = |pairs: &[(&str, Value)]| {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()));
        Value::Record(pairs.collect())
    };
    vec![
        Value::Bool(true),
        Value::Long(1),
        Value::from("x"),
        Value::Decimal(12_500),
        Value::DateTime(7),
        Value::Duration(7),
        Value::Ip(dataos_model::value::IpRange {
            address: std::net::IpAddr::from_str("10.0.0.1").unwrap(),
            prefix_bits: 8,
        }),
        Value::Set(BTreeSet::new()),
        Value::Set(BTreeSet::from([Value::from("x")])),
        Value::Set(BTreeSet::from([Value::Long(1)])),
        Value::Entity(EntityType::USER.id("ann")),
        Value::Entity(EntityType::GROUP.id("g")),
        Value::Entity(EntityType::named("Colour").id("red")),
        Value::Entity(EntityType::named("Colour").id("blue")),
        record(&[("city", Value::from("Bonn"))]),
        record(&[("city", Value::from("Bonn")), ("zip code", Value::Long(1))]),
        record(&[
            ("city", Value::from("Bonn")),
            ("zip code", Value::from("1")),
        ]),
        record(&[("city", Value::from("Bonn")), ("street", Value::Long(1))]),
        record(&[("zip code", Value::Long(1))]),
    ]
}

/// A shape may leave a yes to Cedar, but for these it should not; it must never say yes alone.
#[test]
fn a_shape_says_yes_only_where_cedar_does() {
    let (schema, shapes) = shapes(OWN);
    let attributes = [
        "owner", "home", "names", "price", "seen", "life", "at", "colour", "none",
    ];
    let mut accepted = 0;
    for name in attributes {
        for value in samples() {
            let mut thing = Entity::new(EntityType::named("Thing").id("t"));
            let owner = Value::Entity(EntityType::USER.id("ann"));
            thing.attributes.insert("owner".to_owned(), owner);
            thing
                .attributes
                .insert("names".to_owned(), Value::Set(BTreeSet::new()));
            thing.attributes.insert(name.to_owned(), value.clone());
            for parent in [None, Some(EntityType::GROUP), Some(EntityType::USER)] {
                let parents = parent.into_iter().map(|parent| parent.id("p"));
                let thing = thing.clone().with_parents(parents);
                if shapes.accepts_entity(&thing) {
                    accepted += 1;
                    check_entity(&thing, &schema).unwrap_or_else(|error| {
                        panic!("{name} = {value:?}: Cedar refuses what the shape accepts: {error}")
                    });
                }
            }
        }
    }
    // Each attribute's own samples, without parents and in a group; those of `colour` are Cedar's.
    assert_eq!(accepted, 2 * (1 + 2 + 2 + 1 + 1 + 1 + 1));
}

#[test]
fn tags_are_checked() {
    let (schema, shapes) = shapes(OWN);
    for value in samples() {
        let mut user = Entity::new(EntityType::USER.id("ann"));
        user.tags.insert("a".to_owned(), value.clone());
        if shapes.accepts_entity(&user) {
            check_entity(&user, &schema).unwrap();
            assert_eq!(value, Value::from("x"));
        }
        let mut group = Entity::new(EntityType::GROUP.id("g"));
        group.tags.insert("a".to_owned(), value);
        assert!(!shapes.accepts_entity(&group));
    }
}

#[test]
fn requests_of_the_shipped_schema_are_accepted_as_cedar_does() {
    let (_, text) = shipped_policies().next().unwrap();
    let (schema, shapes) = shapes(text);
    let mut contexts = vec![BTreeMap::new()];
    for name in ["purpose", "network", "nothing"] {
        for value in samples() {
            contexts.push(BTreeMap::from([(name.to_owned(), value)]));
        }
    }
    let principals = [
        Principal::anonymous().uid,
        Principal::platform().uid,
        EntityType::GROUP.id("g"),
    ];
    let mut accepted = 0;
    for action in Action::ALL {
        for of in ["Dataset", "Resource", "ApiPath", "Workspace", "Nothing"] {
            let resource = EntityType::named(of).id("x");
            for principal in &principals {
                for context in &contexts {
                    let asked = || {
                        Request::new(
                            cedar_uid(principal).unwrap(),
                            cedar_uid(&EntityType::named("Action").id(action.name())).unwrap(),
                            cedar_uid(&resource).unwrap(),
                            cedar_context(context).unwrap(),
                            Some(&schema),
                        )
                        .map(drop)
                        .map_err(|error| error.to_string())
                    };
                    if shapes.accepts(*action, principal, &resource, context) {
                        accepted += 1;
                        asked().unwrap();
                    } else if context.is_empty() {
                        asked().unwrap_err();
                    }
                }
            }
        }
    }
    assert!(accepted > 100);
}
