//! Declared resources: manifests, plans, reconcile actions, workflows.
//!
//! Enters: manifests of authenticated callers. Leaves: registered depots, policies handed to the
//! PDP, secrets handed to the secret store, runs of workflows, and the state of all of it. Never
//! done here: an action that is not decided and durably recorded before it is executed; a secret
//! value in the store, an argument, the environment, a log or a record; a signal to a process that
//! cannot be proved to be ours; a second run of a step with a committed exit record.
//!
//! ```no_run
//! # use std::{path::PathBuf, sync::Arc};
//! # use dataos_orchestrator::{Orchestrator, OrchestratorConfig, OrchestratorSeams};
//! # async fn open(seams: OrchestratorSeams) -> Result<(), dataos_model::fault::Fault> {
//! let config = OrchestratorConfig::new(PathBuf::from("/var/lib/dataos/orchestrator"));
//! let orchestrator = Orchestrator::open(config, seams).await?;
//! // ... as `Arc<dyn Resources>` ...
//! orchestrator.close().await;
//! # Ok(())
//! # }
//! ```

mod fields;
mod yaml;

mod graph;
mod manifest;
mod marks;
mod policy;

mod store;

mod plan;

mod govern;
mod in_force;
mod reconcile;

mod engine;
mod process;
mod run;
mod step;

mod apply;
mod delete;
mod view;

mod config;
mod core;
mod orchestrator;

pub use config::OrchestratorConfig;
pub use in_force::is_policy_source;
pub use orchestrator::{Orchestrator, OrchestratorSeams};
