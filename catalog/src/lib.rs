//! The catalog: what data exists, of which types, where it came from and which tags it carries.
//!
//! Enters: declared depots, their files and databases (structure only), tags set by hand, and the
//! lineage of each governed write. Leaves: one immutable [`AssetSnapshot`] per transaction, and the
//! entities that the PDP decides on, pushed into its [`EntitySink`] as part of each transaction.
//! Never done here: deciding access, storing a secret or a value of the data, SQL, policies.
//!
//! [`Catalog::open`] gives the one implementation of the seam `Assets`:
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use dataos_catalog::{Catalog, CatalogConfig, CatalogSeams};
//! # use dataos_model::{fault::Fault, seams::{Assets, EntitySink, Secrets}, clock::Clock};
//! # async fn demo(sink: Arc<dyn EntitySink>, secrets: Arc<dyn Secrets>, clock: Arc<dyn Clock>)
//! # -> Result<(), Fault> {
//! let config = CatalogConfig::new("/var/lib/dataos/catalog".into());
//! let catalog = Catalog::open(config, CatalogSeams { sink, secrets, clock }).await?;
//! let report = catalog.scan("lake").await?;
//! # Ok(()) }
//! ```
//!
//! Order of a change: write into an open transaction of the store, let the PDP see it, make it
//! durable, swap the snapshot. If a step fails, all of them are undone.
//!
//! [`AssetSnapshot`]: dataos_model::depot::AssetSnapshot
//! [`EntitySink`]: dataos_model::seams::EntitySink

mod depot;
mod names;

mod scan;

mod change;
mod store;

mod tags;

mod entities;
mod search;
mod state;

mod transactions;
mod writes;

mod catalog;

pub use catalog::{Catalog, CatalogConfig, CatalogSeams};
