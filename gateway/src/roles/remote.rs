//! The seams of other roles, as plain implementations of their traits.

mod assets;
mod decide;
mod log;
mod query;
mod secrets;

pub(crate) use assets::RemoteAssets;
pub(crate) use decide::RemoteDecide;
pub(crate) use log::{RemoteRecord, RemoteRecords};
pub(crate) use query::RemoteQuery;
pub(crate) use secrets::RemoteSecrets;
