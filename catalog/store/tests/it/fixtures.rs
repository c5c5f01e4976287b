//! A store to try, and what is done to it.

use dataos_store::{Metadata, Schema, Store, StoreError};

/// Tables with each kind of column.
pub(crate) const SCHEMA: Schema = Schema {
    name: "sample",
    application_id: 7,
    migrations: &["
        CREATE TABLE item (
            number {serial}, \"user\" {text} NOT NULL UNIQUE, size {integer}, digest {bytes} NOT NULL
        ){strict};
        CREATE TABLE part (item {integer} NOT NULL REFERENCES item (number) ON DELETE CASCADE){strict};
    "],
};

/// The same, one format later.
pub(crate) const NEWER: Schema = Schema {
    migrations: &[
        SCHEMA.migrations[0],
        "CREATE TABLE more (a {integer}){strict}",
    ],
    ..SCHEMA
};

pub(crate) async fn open(
    schema: &'static Schema,
    metadata: &Metadata,
    folder: &tempfile::TempDir,
) -> Result<Store, StoreError> {
    Store::open(schema, metadata, &folder.path().join("sample.db")).await
}

pub(crate) async fn insert(store: &Store, user: &str) -> Result<i64, StoreError> {
    let rows = store
        .query(
            "INSERT INTO item (\"user\", size, digest) VALUES ($1, $2, $3) RETURNING number",
            &[
                user.into(),
                Some(i64::MAX).into(),
                [0, 255].as_slice().into(),
            ],
        )
        .await?;
    Ok(rows[0].integer("number").unwrap())
}

pub(crate) async fn users(store: &Store) -> Result<String, StoreError> {
    let rows = store
        .query("SELECT \"user\" FROM item ORDER BY \"user\"", &[])
        .await?;
    let users = rows.iter().map(|row| row.text("user").unwrap());
    Ok(users.collect::<Vec<_>>().join(" "))
}
