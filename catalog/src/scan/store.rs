//! Readers of databases. Only the modules below name SQL.

pub(super) mod postgres;
