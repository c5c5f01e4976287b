//! Readers of databases. Only the modules below name SQL.

pub(super) mod mysql;
pub(super) mod postgres;
pub(super) mod sqlite;
