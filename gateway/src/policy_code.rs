//! Policies as code for people and pipelines: the commands `dataos policy ...`, which need neither a
//! server nor a data directory, and the forms in which results are told.
//!
//! Enters: a policies folder, or its texts at a git revision. Leaves: text, JSON, JUnit, SARIF and an
//! exit code. The work itself is in `dataos_pdp::analysis`.

mod command;
mod git;
mod junit;
mod sarif;
mod statements;
mod text;
pub(crate) mod wire;

pub use command::{Done, PolicyCommand, run};
pub(crate) use statements::FixtureStatements;
