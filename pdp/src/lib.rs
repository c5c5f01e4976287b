//! Heimdall, the policy decision point.
//!
//! Enters: Cedar texts of the policies folder and of applied resources, changes of entities, and
//! requests. Leaves: decisions with the policies that determined them, and for datasets the rows as a
//! [`Predicate`](dataos_model::predicate::Predicate) and the columns with their masks. Every answer
//! is made from one immutable version of policies and entities and names both by digest.
//!
//! Never done here: authentication, SQL, HTTP, the audit log. Only this crate names Cedar.
//!
//! ```no_run
//! # fn open(clock: std::sync::Arc<dyn dataos_model::clock::Clock>) -> Result<(), dataos_model::fault::Fault> {
//! let folder = std::path::PathBuf::from("policies");
//! dataos_pdp::write_shipped(&folder)?;
//! let pdp = dataos_pdp::Pdp::open(dataos_pdp::PdpConfig::new(folder), clock)?;
//! // `pdp` is `Decide`, `EntitySink` and `Policies`; `pdp.reload()` reads the folder again.
//! # Ok(()) }
//! ```

mod problem;
mod scan;
mod stack;

mod conditions;
mod convert;
mod digest;
mod facts;

mod digest_map;
mod names;
mod pages;
mod shards;

mod folder;
mod schema;
mod shape;
mod shipped;

mod place;
mod program;
mod source;

mod filed;
mod filter;
mod index;
mod set;

mod answers;
mod entities;
mod entity_files;
mod version;

mod state;

mod decide;
mod explain;
mod search;
mod stock;

mod access;
mod narrow;
mod residual;
mod totality;
mod tpe;

pub mod authzen;
pub mod decisions;

mod doubts;
mod pdp;
mod replay;
mod shadow;

pub mod analysis;

pub use answers::RESIDUALS_MAX;
pub use decide::Engine;
pub use doubts::WARNINGS_MAX;
pub use entities::{ANCESTORS_MAX, ENTITIES_MAX};
pub use entity_files::{ENTITIES_FOLDER, ENTITY_FILE_BYTES_MAX, FILE_ENTITIES_MAX, entity_json};
pub use folder::{FILES_MAX, FOLDER_DEPTH_MAX};
pub use pdp::{Pdp, PdpConfig};
pub use replay::{NotReplayed, Replay, STATES_MAX};
pub use scan::{
    NESTING_MAX, OPERATORS_PER_POLICY_MAX, POLICIES_MAX, POLICY_BYTES_MAX, TEXT_BYTES_MAX,
};
pub use schema::{
    OWN_ACTIONS_MAX, OWN_TYPES_MAX, SCHEMA_BYTES_MAX, SCHEMA_FILE, SCHEMA_FRAGMENTS_MAX,
};
pub use set::links::{LINKS_MAX, TEMPLATES_MAX};
pub use shadow::{DecisionCounts, Divergence, SHADOW_WHOLE_MAX};
pub use shipped::{shipped_policies, write_shipped};
pub use source::ID_BYTES_MAX;
pub use state::{State, StateStep};
