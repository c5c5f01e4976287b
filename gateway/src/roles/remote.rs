//! The seams of other roles, as plain implementations of their traits.

mod assets;
mod decide;
mod entities;
mod log;
mod policies;
mod query;
mod resources;
mod secrets;

pub(crate) use assets::RemoteAssets;
pub(crate) use decide::RemoteDecide;
pub(crate) use entities::{RemoteIdentities, RemoteSink};
pub(crate) use log::{RemoteRecord, RemoteRecords};
pub(crate) use policies::RemotePolicies;
pub(crate) use query::RemoteQuery;
pub(crate) use resources::RemoteResources;
pub(crate) use secrets::RemoteSecrets;
