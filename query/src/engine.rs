//! The embedded engine: DataFusion over governed tables and nothing else.

mod alike;
pub(crate) mod barrier;
pub(crate) mod correlated;
pub(crate) mod counts;
pub(crate) mod cut;
pub(crate) mod failure;
pub(crate) mod governed;
mod leakproof;
pub(crate) mod numbered;
mod once;
mod record;
pub(crate) mod same;
pub(crate) mod session;
pub(crate) mod threads;
pub(crate) mod view;
mod wanted;
mod yielding;
