//! Metadata at rest: the tables of one room, in a SQLite file or in a PostgreSQL database.
//!
//! Enters: a room's tables and its statements, in words that both engines understand. Leaves: rows.
//! Never done here: to know what a row means; to let two processes write; to show a password.
//!
//! A [`Store`] is one connection, and all work of a room goes over it, one piece after the other. It
//! holds the room's lock for as long as it lives: a locked file, or a session lock of PostgreSQL, so
//! that a statement can only be run by who has the lock. A connection that is lost is made again when
//! it is next needed; if another process has had the lock in between, what this one has in memory is
//! old, and it is refused until it starts again.

mod error;
mod schema;
mod url;
mod value;

mod connection;
mod postgres;
mod sqlite;

mod store;

#[cfg(feature = "test-server")]
pub mod test_maven;
#[cfg(feature = "test-server")]
pub mod test_mysql;
#[cfg(feature = "test-server")]
pub mod test_server;

pub use error::StoreError;
pub use schema::Schema;
pub use store::{Store, Transaction};
pub use url::{PostgresUrl, UrlError};
pub use value::{Row, Value};

/// Where metadata lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Metadata {
    /// In SQLite files of the data directory.
    #[default]
    Embedded,
    /// In a PostgreSQL database, one schema for each store.
    Postgres(PostgresUrl),
}
