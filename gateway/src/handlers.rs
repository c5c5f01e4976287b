//! What is done on an allowed call: one file per family, each a thin call of one seam.

pub(crate) mod access;
mod asking;
pub(crate) mod audit;
pub(crate) mod authorize;
pub(crate) mod authzen;
pub(crate) mod catalog;
pub(crate) mod certificates;
pub(crate) mod decisions;
pub(crate) mod entities;
pub(crate) mod overview;
pub(crate) mod policies;
pub(crate) mod policy_links;
pub(crate) mod policy_texts;
pub(crate) mod provider;
pub(crate) mod public;
pub(crate) mod queries;
pub(crate) mod query;
pub(crate) mod resources;
pub(crate) mod revocations;
pub(crate) mod session;
pub(crate) mod sessions;
pub(crate) mod users;
mod wire;

use dataos_model::fault::{Fault, Location};
use serde::de::DeserializeOwned;

use crate::serve::Call;

/// The JSON body of a call. Unknown keys and repeated keys are errors that say where.
fn body<T: DeserializeOwned>(call: &Call) -> Result<T, Fault> {
    serde_json::from_slice(&call.body).map_err(|error| {
        Fault::invalid(format!("the request body does not fit: {error}")).at(Location {
            line: Some(error.line() as u64),
            column: Some(error.column() as u64),
            ..Location::default()
        })
    })
}

/// A query parameter that is a number from 1 to `max`.
fn bounded(call: &Call, name: &str, default: usize, max: usize) -> Result<usize, Fault> {
    let Some(text) = call.head.query.get(name) else {
        return Ok(default);
    };
    text.parse()
        .ok()
        .filter(|number| (1..=max).contains(number))
        .ok_or_else(|| {
            Fault::invalid(format!("`{name}` is not a number from 1 to {max}")).at(Location {
                field: Some(name.to_owned()),
                ..Location::default()
            })
        })
}
