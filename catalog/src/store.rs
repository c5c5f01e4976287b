//! Durable form of the catalog. Only the modules below name SQL.

mod sqlite;
mod wire;

use std::path::PathBuf;

use dataos_model::fault::{Fault, FaultKind};

use crate::change::Mutation;

pub(crate) use sqlite::SqliteStore;
pub(crate) use wire::{depot_body, record_body};

/// What the store holds now.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// Number of the newest transaction.
    pub(crate) transaction: u64,
    /// The changes that lead from nothing to it.
    pub(crate) mutations: Vec<Mutation>,
}

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The file is of a format that this program does not know.
    #[error("{} has format {found}, this program knows up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest known.
        known: i64,
    },
    /// The file is not one of ours.
    #[error("{} is a database of another program", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// What is stored contradicts itself.
    #[error("{} is damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        problem: String,
    },
    /// Another process has it open.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Reading or writing failed: disk full, read-only, no permission.
    #[error("{}: {problem}", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What was being done, and what the system said.
        problem: String,
    },
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let message = format!("catalog store: {error}");
        match error {
            StoreError::Newer { .. } => Self::new(FaultKind::Unsupported, message)
                .with_reason("catalog_newer_format")
                .with_hint("start the newer program that wrote it; nothing was changed"),
            StoreError::Foreign { .. } => Self::new(FaultKind::Damaged, message)
                .with_reason("catalog_foreign_file")
                .with_hint("point the data directory elsewhere; nothing was changed"),
            StoreError::Damaged { .. } => Self::new(FaultKind::Damaged, message)
                .with_reason("catalog_damaged")
                .with_hint("restore the file from a backup; tags set by hand are only there"),
            StoreError::InUse { .. } => Self::new(FaultKind::Conflict, message)
                .with_reason("catalog_in_use")
                .with_hint("stop the other process"),
            StoreError::Failed { .. } => Self::unavailable(message)
                .with_reason("catalog_store_failed")
                .with_hint("check space and permissions of the disk"),
        }
    }
}
