//! The OpenID AuthZEN Authorization API 1.0 as questions to the PDP and back: pure, no HTTP.
//!
//! Enters: request bodies, and what the entity snapshot holds of the entities that they name.
//! Leaves: requests of the domain, and the JSON of answers. How types, ids and properties map is
//! told in docs/authzen.md. Never done here: a decision, a look at a credential, a permit after an
//! error.

mod answer;
mod batch;
mod names;
mod obligation;
mod page;
mod properties;
mod search;
mod value;
mod wire;

pub use answer::{answer, enforceable, item_error};
pub use batch::{Evaluations, Semantic};
pub(crate) use names::entity_named;
pub use names::{
    action_name, action_named, entity, entity_type, principal as principal_named,
    resource as resource_named, type_name, type_named,
};
pub use obligation::{OBLIGATION_TYPES, obligations};
pub use page::PageRequest;
pub use properties::{Mode, Supplied, entity_asked, principal_asked};
pub use search::{SearchRequest, Sought};
pub use wire::{Evaluation, Operation, Party};

pub(crate) use names::at;
pub(crate) use value::value;

/// Most bytes of a request body; the edge may set less.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// Most objects and arrays inside each other.
pub const DEPTH_MAX: usize = 16;
/// Most JSON values in a request body.
pub const VALUES_MAX: usize = 200_000;
/// Most items of `evaluations`.
pub const EVALUATIONS_MAX: usize = 1_000;
/// Most properties of one entity, and most attributes of a context.
pub const PROPERTIES_MAX: usize = 256;

#[cfg(test)]
mod tests;
