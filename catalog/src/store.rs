//! Durable form of the catalog. Only `tables` names SQL.

mod tables;
mod wire;

use crate::change::Mutation;

pub(crate) use tables::Tables;
pub(crate) use wire::{depot_body, record_body};

/// What the store holds now.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// Number of the newest transaction.
    pub(crate) transaction: u64,
    /// The changes that lead from nothing to it.
    pub(crate) mutations: Vec<Mutation>,
}
