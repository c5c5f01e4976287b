//! Domain values and entities <-> Cedar's.

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

use cedar_policy::{
    Context, Entities, Entity as CedarEntity, EntityId, EntityTypeName, EntityUid as CedarUid,
    EvalResult, Request, RestrictedExpression, eval_expression, pst,
};
use dataos_model::{
    action::Action,
    entity::{Entity, EntityType, EntityUid},
    value::Value,
};

/// A value, name or entity that Cedar cannot hold; the text says what.
pub(crate) type Unrepresentable = String;

/// Parsing a type name costs more than a whole decision, so the known ones are parsed once.
static TYPE_NAMES: LazyLock<HashMap<String, EntityTypeName>> = LazyLock::new(|| {
    Action::ALL
        .iter()
        .flat_map(|action| action.resource_types())
        .chain(&[
            EntityType::USER,
            EntityType::SERVICE,
            EntityType::GROUP,
            EntityType::ROLE,
            EntityType::TAG,
        ])
        .map(EntityType::name)
        .chain(["Action"])
        .filter_map(|name| Some((name.to_owned(), parse_type(name).ok()?)))
        .collect()
});

fn parse_type(name: &str) -> Result<EntityTypeName, Unrepresentable> {
    EntityType::named(name)
        .whole_name()
        .parse()
        .map_err(|_| format!("`{name}` is not an entity type"))
}

fn type_name(name: &str) -> Result<EntityTypeName, Unrepresentable> {
    TYPE_NAMES
        .get(name)
        .cloned()
        .map_or_else(|| parse_type(name), Ok)
}

/// The type as Cedar names it.
pub(crate) fn cedar_type(entity_type: &EntityType) -> Result<EntityTypeName, Unrepresentable> {
    type_name(entity_type.name())
}

/// The uid as Cedar names it.
pub(crate) fn cedar_uid(uid: &EntityUid) -> Result<CedarUid, Unrepresentable> {
    Ok(CedarUid::from_type_name_and_id(
        cedar_type(&uid.entity_type)?,
        EntityId::new(&uid.id),
    ))
}

/// The type as the domain names it.
pub(crate) fn model_type(name: &EntityTypeName) -> EntityType {
    EntityType::within(&name.namespace(), name.basename())
}

/// The uid as the domain names it.
pub(crate) fn model_uid(uid: &CedarUid) -> EntityUid {
    model_type(uid.type_name()).id(uid.id().unescaped())
}

/// The type of a syntax tree as the domain names it.
pub(crate) fn tree_type(name: &pst::EntityType) -> EntityType {
    let parts: Vec<&str> = name.0.namespace.iter().map(pst::Id::as_str).collect();
    EntityType::within(&parts.join("::"), name.0.id.as_str())
}

/// A value as Cedar takes it.
pub(crate) fn restricted(value: &Value) -> Result<RestrictedExpression, Unrepresentable> {
    Ok(match value {
        Value::Bool(value) => RestrictedExpression::new_bool(*value),
        Value::Long(value) => RestrictedExpression::new_long(*value),
        Value::String(text) => RestrictedExpression::new_string(text.clone()),
        Value::Decimal(units) => RestrictedExpression::new_decimal(decimal_text(*units)),
        Value::DateTime(milliseconds) => datetime(*milliseconds)?,
        Value::Duration(milliseconds) => {
            RestrictedExpression::new_duration(format!("{milliseconds}ms"))
        }
        Value::Ip(range) => {
            RestrictedExpression::new_ip(format!("{}/{}", range.address, range.prefix_bits))
        }
        Value::Set(items) => RestrictedExpression::new_set(
            items
                .iter()
                .map(restricted)
                .collect::<Result<Vec<_>, _>>()?,
        ),
        Value::Record(fields) => {
            RestrictedExpression::new_record(pairs(fields)?).map_err(|error| error.to_string())?
        }
        Value::Entity(uid) => RestrictedExpression::new_entity_uid(cedar_uid(uid)?),
    })
}

/// Cedar writes instants as text with a year of four digits; an offset reaches all of i64.
fn datetime(milliseconds: i64) -> Result<RestrictedExpression, Unrepresentable> {
    format!("datetime(\"1970-01-01\").offset(duration(\"{milliseconds}ms\"))")
        .parse()
        .map_err(|_| format!("{milliseconds} ms is not an instant"))
}

/// `12.5000` for 125000.
pub(crate) fn decimal_text(units: i64) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let digits = units.unsigned_abs();
    format!("{sign}{}.{:04}", digits / 10_000, digits % 10_000)
}

/// An entity with all its ancestors as parents, so that Cedar needs no other entity for `in`.
pub(crate) fn cedar_entity(
    entity: &Entity,
    ancestors: &[EntityUid],
) -> Result<CedarEntity, Unrepresentable> {
    let parents = ancestors
        .iter()
        .map(cedar_uid)
        .collect::<Result<Vec<_>, _>>()?;
    CedarEntity::new_with_tags(
        cedar_uid(&entity.uid)?,
        pairs(&entity.attributes)?,
        parents,
        pairs(&entity.tags)?,
    )
    .map_err(|error| error.to_string())
}

/// The context of a call.
pub(crate) fn cedar_context(context: &BTreeMap<String, Value>) -> Result<Context, Unrepresentable> {
    Context::from_pairs(pairs(context)?).map_err(|error| error.to_string())
}

/// Named values as Cedar takes them.
pub(crate) fn pairs(
    map: &BTreeMap<String, Value>,
) -> Result<Vec<(String, RestrictedExpression)>, Unrepresentable> {
    map.iter()
        .map(|(name, value)| Ok((name.clone(), restricted(value)?)))
        .collect()
}

/// The instant that a `datetime` literal means, as Cedar reads it.
pub(crate) fn datetime_value(text: &str) -> Option<Value> {
    constant_long(&format!(
        "datetime({text:?}).durationSince(datetime(\"1970-01-01\")).toMilliseconds()"
    ))
    .map(Value::DateTime)
}

/// The time that a `duration` literal means, as Cedar reads it.
pub(crate) fn duration_value(text: &str) -> Option<Value> {
    constant_long(&format!("duration({text:?}).toMilliseconds()")).map(Value::Duration)
}

fn constant_long(expression: &str) -> Option<i64> {
    let unnamed = || {
        let name = parse_type("Action").ok()?;
        Some(CedarUid::from_type_name_and_id(name, EntityId::new("")))
    };
    let request = Request::new(unnamed()?, unnamed()?, unnamed()?, Context::empty(), None).ok()?;
    let expression = expression.parse().ok()?;
    match eval_expression(&request, &Entities::empty(), &expression) {
        Ok(EvalResult::Long(value)) => Some(value),
        _ => None,
    }
}
