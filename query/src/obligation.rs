//! Obligations of a permit to read that the layer carries out.
//!
//! `no_projection()`: the columns of the dataset, or with `column = 'x'` that one, may stand in conditions
//! and in joins, and no value of them may go into an answer or a copy.
//!
//! `min_group(size = 5)`: the dataset leaves in aggregates alone, of groups of at least so many rows, or with
//! `key = 'x'` of so many entities, which that column tells apart.

use std::collections::BTreeMap;

use dataos_model::{
    annotation::{Call, Literal},
    dataset::DatasetSchema,
    fault::Fault,
};

const NO_PROJECTION: &str = "no_projection";
const COLUMN: &str = "column";
const MIN_GROUP: &str = "min_group";
const SIZE: &str = "size";
const KEY: &str = "key";
/// A group of fewer is a row.
const SIZE_MIN: u64 = 2;

/// What may not be shown.
enum Ban<'a> {
    All,
    Column(&'a str),
}

impl<'a> Ban<'a> {
    /// The ban that an obligation says, if it is one and well formed.
    fn of(call: &'a Call) -> Option<Self> {
        let mut parameters = call.parameters.iter();
        match (parameters.next(), parameters.next()) {
            (None, _) if call.operator == NO_PROJECTION => Some(Self::All),
            (Some((name, Literal::Text(column))), None)
                if call.operator == NO_PROJECTION && name == COLUMN =>
            {
                Some(Self::Column(column))
            }
            _ => None,
        }
    }
}

/// The smallest group that may be told of: its size, and the column that tells entities apart.
struct Minimum<'a> {
    size: u64,
    key: Option<&'a str>,
}

impl<'a> Minimum<'a> {
    /// The minimum that an obligation says, if it is one and well formed.
    fn of(call: &'a Call) -> Option<Self> {
        let Some(Literal::Integer(size)) = call.parameters.get(SIZE) else {
            return None;
        };
        let size = u64::try_from(*size).ok().filter(|size| *size >= SIZE_MIN)?;
        let key = match call.parameters.get(KEY) {
            None => None,
            Some(Literal::Text(key)) => Some(key.as_str()),
            Some(_) => return None,
        };
        let is_whole = call.parameters.len() == 1 + usize::from(key.is_some());
        (call.operator == MIN_GROUP && is_whole).then_some(Self { size, key })
    }
}

/// Whether the layer carries out an obligation of a permit to read; of a permit to write it carries out none.
pub fn is_known(call: &Call) -> bool {
    Ban::of(call).is_some() || Minimum::of(call).is_some()
}

/// What is carried out, for EXPLAIN POLICY.
pub(crate) fn described(call: &Call) -> String {
    match Minimum::of(call) {
        Some(Minimum { size, key }) => {
            let of = key.map_or("rows".to_owned(), |key| format!("values of `{key}`"));
            format!("leaves in aggregates alone, of groups of at least {size} {of}")
        }
        None => "may stand in conditions alone".to_owned(),
    }
}

/// The smallest groups that may be told of: for each key, the largest size that a policy asks for.
pub(crate) fn minimums(obligations: &[Call]) -> BTreeMap<Option<&str>, u64> {
    let mut minimums = BTreeMap::new();
    for Minimum { size, key } in obligations.iter().filter_map(Minimum::of) {
        let known = minimums.entry(key).or_insert(size);
        *known = size.max(*known);
    }
    minimums
}

/// Whether a column may stand in conditions alone.
pub(crate) fn is_condition_only(obligations: &[Call], column: &str) -> bool {
    obligations.iter().filter_map(Ban::of).any(|ban| match ban {
        Ban::All => true,
        Ban::Column(name) => name == column,
    })
}

/// Refuses an obligation about a column that the dataset does not have: nothing would be carried out.
///
/// # Errors
/// There is one.
pub(crate) fn check(obligations: &[Call], schema: &DatasetSchema) -> Result<(), Fault> {
    let keys = minimums(obligations).into_keys().flatten();
    if let Some(key) = keys.into_iter().find(|key| schema.column(key).is_none()) {
        let message = format!("a policy counts the values of `{key}`, which is no column");
        return Err(Fault::denied("obligation_unknown", message)
            .with_hint("ask for the policy to name a column of the dataset"));
    }
    let mut bans = obligations.iter().filter_map(Ban::of);
    let unknown =
        bans.find(|ban| matches!(ban, Ban::Column(name) if schema.column(name).is_none()));
    match unknown {
        Some(Ban::Column(name)) => {
            let message = format!("a policy bans the projection of `{name}`, which is no column");
            Err(Fault::denied("obligation_unknown", message)
                .with_hint("ask for the policy to name a column of the dataset"))
        }
        Some(Ban::All) | None => Ok(()),
    }
}
