//! `policy.data`: masks and row filters.

use dataos_model::{action::Action, entity::EntityType, fault::Fault};

use super::{
    Compiled, Envelope,
    cedar::{self, Policy, attribute, has, quoted},
    filter::Filter,
    mask,
    object::{self, Reach},
    subject::{self, Purpose},
};
use crate::{
    fields::{Fields, expected, text_of, wrong},
    yaml::{Content, Node},
};

/// Priority of a policy that states none: behind every other.
const PRIORITY_DEFAULT: i64 = 100;

/// Compiles the `data` section.
pub(super) fn compile(fields: &Fields<'_>, mut envelope: Envelope) -> Result<Compiled, Fault> {
    envelope.read_inner(fields)?;
    let kind = fields.required_text("type")?;
    let priority = fields
        .integer("priority", 1..=100)?
        .unwrap_or(PRIORITY_DEFAULT);
    let reach = object::envelope(fields)?;
    let compiled = match kind {
        "mask" => Compiled::alone(&[Policy {
            id: envelope.id(),
            description: envelope.description,
            priority: Some(priority),
            ..masking(fields, &reach)?
        }]),
        "filter" => Compiled::Filter(Filter {
            id: envelope.filter(),
            description: envelope.description,
            priority,
            who: users_alone(fields)?,
            reach,
            keeps: filters(fields)?,
        }),
        word => {
            return Err(fields
                .fault("type", format!("unknown type of data policy `{word}`"))
                .with_hint("known: mask, filter"));
        }
    };
    fields.finish()?;
    Ok(compiled)
}

fn masking(fields: &Fields<'_>, reach: &Reach) -> Result<Policy, Fault> {
    fields.required("selector")?;
    let selector = fields
        .fields("selector")?
        .ok_or_else(|| fields.missing("selector"))?;
    let who = users(&selector)?;
    selector.required("column")?;
    let column = selector
        .fields("column")?
        .ok_or_else(|| selector.missing("column"))?;
    let (columns, is_placed) = columns(&column, reach)?;
    column.finish()?;
    selector.finish()?;
    fields.required("mask")?;
    let section = fields
        .fields("mask")?
        .ok_or_else(|| fields.missing("mask"))?;
    let mask = mask::read(&section)?;
    section.finish()?;
    let place = if is_placed { None } else { reach.condition() };
    let when = [Some(who), Some(columns), place]
        .into_iter()
        .flatten()
        .collect();
    Ok(Policy {
        id: String::new(),
        description: String::new(),
        mask: Some(mask.to_string()),
        priority: None,
        is_permit: false,
        actions: vec![Action::ReadCell],
        when,
        unless: Vec::new(),
    })
}

/// The users of a selector. It must be there: without it a `pass_through` would unmask for everyone.
fn users(selector: &Fields<'_>) -> Result<String, Fault> {
    selector.required("user")?;
    let user = selector
        .fields("user")?
        .ok_or_else(|| selector.missing("user"))?;
    subject::selector(&user, Purpose::Forbid)
}

/// The condition on the column, and whether it already says which dataset.
fn columns(fields: &Fields<'_>, reach: &Reach) -> Result<(String, bool), Fault> {
    let mut terms = Vec::new();
    for (path, node) in fields.list("tags")? {
        terms.push(object::tag_condition(
            text_of(node, &path)?,
            node.place,
            &path,
        )?);
    }
    let names = fields.list("names")?;
    match (terms.is_empty(), names.is_empty()) {
        (false, true) => return Ok((cedar::any(&terms), false)),
        (true, false) => {}
        (true, true) => return Err(fields.fault("", "neither `tags` nor `names` names a column")),
        (false, false) => {
            return Err(fields.fault("names", "a policy has `tags` or `names`, not both"));
        }
    }
    let Reach::Dataset(dataset) = reach else {
        return Err(fields
            .fault(
                "names",
                "columns by name need an exact depot, collection and dataset",
            )
            .with_hint("name the dataset, or tag the columns and select by tag"));
    };
    for (path, node) in names {
        let name = text_of(node, &path)?;
        if name.is_empty() || name.contains('*') {
            return Err(wrong(
                node.place,
                &path,
                format!("`{name}` is not a column name"),
            ));
        }
        let uid = EntityType::COLUMN.id(dataset.column_uid(name).id);
        terms.push(format!("resource in {}", cedar::entity(&uid)));
    }
    Ok((cedar::any(&terms), true))
}

/// The users of a selector that has nothing else.
fn users_alone(fields: &Fields<'_>) -> Result<String, Fault> {
    fields.required("selector")?;
    let selector = fields
        .fields("selector")?
        .ok_or_else(|| fields.missing("selector"))?;
    let who = users(&selector)?;
    selector.finish()?;
    Ok(who)
}

/// The condition that a row must meet.
fn filters(fields: &Fields<'_>) -> Result<String, Fault> {
    fields.required("filters")?;
    let mut terms = Vec::new();
    for (path, node) in fields.list("filters")? {
        let entry = Fields::of(
            node,
            &path,
            crate::fields::Unknown::Refuse,
            fields.warnings(),
        )?;
        terms.push(comparison(&entry)?);
        entry.finish()?;
    }
    if terms.is_empty() {
        return Err(fields.fault("filters", "the list is empty"));
    }
    Ok(cedar::all(&terms))
}

/// A row stays only if the column is there and compares as told: NULL is hidden either way.
fn comparison(fields: &Fields<'_>) -> Result<String, Fault> {
    let column = fields.required_text("column")?;
    let operator = match fields.required_text("operator")? {
        "equals" => "==",
        "not_equals" => "!=",
        word => {
            return Err(fields
                .fault("operator", format!("unknown operator `{word}`"))
                .with_hint("known: equals, not_equals"));
        }
    };
    let left = attribute("resource", column);
    let guard = has("resource", column);
    match (fields.node("value"), fields.fields("valueFrom")?) {
        (Some(value), None) => {
            let value = literal(value, &fields.path("value"))?;
            Ok(format!("{guard} && {left} {operator} {value}"))
        }
        (None, Some(from)) => {
            let name = quoted(from.required_text("userAttribute")?);
            from.finish()?;
            Ok(format!(
                "principal.hasTag({name}) && {guard} && {left} {operator} principal.getTag({name})"
            ))
        }
        _ => Err(fields.fault(
            "value",
            "a filter has exactly one of `value` and `valueFrom`",
        )),
    }
}

/// A Cedar literal of the value's own type.
fn literal(node: &Node, path: &str) -> Result<String, Fault> {
    match &node.content {
        Content::Text(text) => Ok(quoted(text)),
        Content::Bool(value) => Ok(value.to_string()),
        Content::Number(text) => cedar_number(text).ok_or_else(|| {
            wrong(node.place, path, format!("`{text}` is no exact number")).with_hint(
                "whole numbers of 64 bits, or decimals with at most 4 digits behind the point",
            )
        }),
        _ => Err(expected(node, path, "a single value")),
    }
}

/// A long, or a decimal with one to four digits behind the point.
pub(super) fn cedar_number(text: &str) -> Option<String> {
    if let Ok(value) = text.parse::<i64>() {
        return Some(value.to_string());
    }
    let (whole, fraction) = text.split_once('.')?;
    let is_digits = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    (is_digits(digits) && digits.len() <= 14 && is_digits(fraction) && fraction.len() <= 4)
        .then(|| format!("decimal({})", quoted(text)))
}
