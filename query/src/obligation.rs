//! Obligations of a permit to read that the layer carries out.
//!
//! `no_projection()`: the columns of the dataset, or with `column = 'x'` that one, may stand in conditions
//! and in joins, and no value of them may go into an answer or a copy.

use dataos_model::{
    annotation::{Call, Literal},
    dataset::DatasetSchema,
    fault::Fault,
};

const NO_PROJECTION: &str = "no_projection";
const COLUMN: &str = "column";

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

/// Whether the layer carries out an obligation of a permit to read; of a permit to write it carries out none.
pub fn is_known(call: &Call) -> bool {
    Ban::of(call).is_some()
}

/// Whether a column may stand in conditions alone.
pub(crate) fn is_condition_only(obligations: &[Call], column: &str) -> bool {
    obligations.iter().filter_map(Ban::of).any(|ban| match ban {
        Ban::All => true,
        Ban::Column(name) => name == column,
    })
}

/// Refuses a ban on a column that the dataset does not have: nothing would be banned.
///
/// # Errors
/// There is one.
pub(crate) fn check(obligations: &[Call], schema: &DatasetSchema) -> Result<(), Fault> {
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
