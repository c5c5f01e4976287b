//! The governed query layer.
//!
//! Enters: one SQL statement of a verified principal. Leaves: rows that this principal may see,
//! masked as the policies say, with a certificate of what was enforced whose record is durable.
//! Never done here: sending a caller's text to an engine or a source, approximating a policy, letting
//! a hidden row or a raw masked value reach an expression that can fail or be observed, releasing a
//! byte before its record is durable, knowing Cedar.
//!
//! Entry points: [`QueryLayer::open`] with [`QueryConfig`] and [`QuerySeams`]; the layer is a
//! [`dataos_model::seams::RunQuery`]. [`sample`] writes data for demonstrations, [`Baseline`] runs
//! the engine without governance for benchmarks.

mod config;
mod layer;

mod certificate;
mod figures;
mod grant;
mod obligation;
mod questions;
mod resolve;
mod rights;
mod shown;
mod views;

mod cached;
mod execute;
mod explain;
mod kept;
mod known;
mod write;

mod engine;
mod source;

mod cell;
mod mask;
mod predicate;

mod calendar;
mod column;
mod encode;

pub mod wire;

mod baseline;
#[cfg(test)]
mod fixture;
pub mod sample;

pub use baseline::Baseline;
/// Stack of a thread on which statements are read in place; on threads with less, each is read on a stack of its own.
pub const THREAD_STACK_BYTES: usize = dataos_sql::limits::STACK_BYTES + (2 << 20);

pub use config::{MASK_KEY, QueryConfig, QuerySeams};
pub use layer::QueryLayer;
pub use obligation::is_known as carries_out;
