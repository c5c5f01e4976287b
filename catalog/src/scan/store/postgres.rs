//! A PostgreSQL database as a depot: tables and views with their columns, read in a few flat queries
//! of the system catalog inside one snapshot and joined here. No table is read.
//!
//! Partitions are not catalogued: rights and tags belong to the table that they are parts of.

mod types;
mod views;

use std::{collections::HashMap, sync::Arc, time::Duration};

use dataos_model::{
    clock::Timestamp,
    dataset::{Column, DatasetId, DatasetSchema},
    depot::{DatasetSource, Depot, DepotSource, Tls},
    fault::{Fault, FaultKind},
    seams::Secrets,
};
use sqlx::{
    ConnectOptions, Connection, PgConnection, Row,
    postgres::{PgConnectOptions, PgRow, PgSslMode, types::Oid},
};

use crate::{
    change::Record,
    names,
    scan::{ALL_COLUMNS_MAX, RELATIONS_MAX, Survey, Unreadable, schema_problem},
};
use types::{Attribute, Types};
use views::{Relation, Views};

/// Longest wait for a connection.
const CONNECT_SECONDS_MAX: u64 = 10;
/// Longest whole scan.
const SCAN_SECONDS_MAX: u64 = 120;
/// Bytes of a page, for sizes.
const PAGE_BYTES: u64 = 8192;

/// Said inside the transaction, not at connect: poolers refuse options at connect.
const LIMITS: &str = "SET LOCAL statement_timeout = '60s'; SET LOCAL search_path = pg_catalog";

const RELATIONS: &str = "
    SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind,
           c.reltuples::float8 AS row_estimate, c.relpages::int8 AS pages
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
      AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
      AND c.relpersistence <> 't'
    ORDER BY n.nspname, c.relname
    LIMIT $1";

const ATTRIBUTES: &str = "
    SELECT a.attrelid, a.attnum::int4 AS attnum, a.attname AS name, a.atttypid, a.atttypmod, a.attnotnull,
           coalesce(l.collisdeterministic, true) AS is_deterministic
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
    WHERE a.attnum > 0 AND NOT a.attisdropped
      AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
      AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
    ORDER BY a.attrelid, a.attnum
    LIMIT $1";

const TYPES: &str = "
    SELECT t.oid, t.typname AS name, t.typtype::text AS kind, t.typelem, t.typbasetype,
           t.typtypmod, t.typcategory::text AS category,
           n.nspname = 'pg_catalog' AS is_builtin
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype <> 'c'";

/// Reads the database's structure.
///
/// # Errors
/// The server cannot be reached, refuses, or takes too long; the fault names the depot.
pub(crate) async fn survey(
    depot: &Depot,
    secrets: &dyn Secrets,
    now: Timestamp,
) -> Result<Survey, Fault> {
    let options = options(depot, secrets).await?;
    let limit = Duration::from_secs(SCAN_SECONDS_MAX);
    let scan = async {
        let connect =
            tokio::time::timeout(Duration::from_secs(CONNECT_SECONDS_MAX), options.connect());
        let mut connection = match connect.await {
            Ok(connection) => connection.map_err(|error| unreachable(depot, &error))?,
            Err(_) => return Err(too_slow(depot, CONNECT_SECONDS_MAX)),
        };
        let survey = read(&mut connection, &depot.name, now)
            .await
            .map_err(|error| unreachable(depot, &error))?;
        // The answer is complete; a farewell that fails changes nothing.
        connection.close().await.ok();
        Ok(survey)
    };
    tokio::time::timeout(limit, scan)
        .await
        .unwrap_or_else(|_| Err(too_slow(depot, SCAN_SECONDS_MAX)))
}

async fn options(depot: &Depot, secrets: &dyn Secrets) -> Result<PgConnectOptions, Fault> {
    let DepotSource::Postgres {
        host,
        port,
        database,
        user,
        password,
        tls,
    } = &depot.source
    else {
        return Err(Fault::internal(format!(
            "depot `{}` is no database",
            depot.name
        )));
    };
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(host)
        .port(*port)
        .database(database)
        .username(user)
        .application_name("dataos-catalog")
        .disable_statement_logging();
    options = match tls {
        Tls::Off => options.ssl_mode(PgSslMode::Disable),
        Tls::Verified { authorities } => {
            let options = options.ssl_mode(PgSslMode::VerifyFull);
            match authorities {
                Some(pem) => options.ssl_root_cert_from_pem(pem.clone().into_bytes()),
                None => options,
            }
        }
    };
    if let Some(name) = password {
        let secret = secrets.get(name).await?;
        let text = std::str::from_utf8(secret.expose()).map_err(|_| {
            Fault::invalid(format!(
                "depot `{}`: secret `{name}` is not text",
                depot.name
            ))
        })?;
        options = options.password(text.trim_end_matches(['\r', '\n']));
    }
    Ok(options)
}

async fn read(
    connection: &mut PgConnection,
    depot: &str,
    now: Timestamp,
) -> Result<Survey, sqlx::Error> {
    let mut transaction = connection
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await?;
    sqlx::raw_sql(LIMITS).execute(&mut *transaction).await?;
    let bound = |most: usize| i64::try_from(most + 1).unwrap_or(i64::MAX);
    let relations = sqlx::query(RELATIONS)
        .bind(bound(RELATIONS_MAX))
        .fetch_all(&mut *transaction)
        .await?;
    let attributes = sqlx::query(ATTRIBUTES)
        .bind(bound(ALL_COLUMNS_MAX))
        .fetch_all(&mut *transaction)
        .await?;
    let types = sqlx::query(TYPES).fetch_all(&mut *transaction).await?;
    let views = Views::read(&mut transaction).await?;
    transaction.commit().await?;

    if relations.len() > RELATIONS_MAX || attributes.len() > ALL_COLUMNS_MAX {
        return Ok(Survey::of_too_many(depot));
    }
    join(
        depot,
        now,
        &relations,
        columns(&attributes, &Types::read(&types)?)?,
        &views,
    )
}

/// The columns of each relation, with their numbers.
type Columns = HashMap<u32, Vec<(i32, Column)>>;

fn columns(attributes: &[PgRow], types: &Types) -> Result<Columns, sqlx::Error> {
    let mut columns = Columns::new();
    for row in attributes {
        let relation: Oid = row.try_get("attrelid")?;
        let numbered = (row.try_get("attnum")?, column(row, types)?);
        columns.entry(relation.0).or_default().push(numbered);
    }
    Ok(columns)
}

fn join(
    depot: &str,
    now: Timestamp,
    rows: &[PgRow],
    mut columns: Columns,
    views: &Views,
) -> Result<Survey, sqlx::Error> {
    let mut survey = Survey {
        is_whole: true,
        ..Survey::default()
    };
    let mut records = Vec::with_capacity(rows.len());
    let mut relations = HashMap::with_capacity(rows.len());
    for row in rows {
        let oid: Oid = row.try_get("oid")?;
        let (numbers, columns): (Vec<i32>, Vec<Column>) = columns
            .remove(&oid.0)
            .unwrap_or_default()
            .into_iter()
            .unzip();
        match relation(row, depot, columns, now)? {
            Ok(record) => {
                let names = record
                    .schema
                    .columns
                    .iter()
                    .map(|column| column.name.clone());
                let columns = numbers.into_iter().zip(names).collect();
                relations.insert(
                    oid.0,
                    Relation {
                        id: record.id.clone(),
                        columns,
                    },
                );
                records.push((oid.0, record));
            }
            Err(unreadable) => survey.unreadable.push(unreadable),
        }
    }
    for (oid, record) in records {
        match views.edges(oid, &relations) {
            Ok(edges) => {
                if !edges.is_empty() {
                    survey.derived.insert(record.id.clone(), edges);
                }
                survey.found.push(Arc::new(record));
            }
            Err(reason) => {
                let name = names::shown(&format!("{}.{}", record.id.collection, record.id.name));
                survey.unreadable.push(Unreadable {
                    name,
                    reason,
                    id: Some(record.id),
                });
            }
        }
    }
    Ok(survey)
}

fn column(row: &PgRow, types: &Types) -> Result<Column, sqlx::Error> {
    let attribute = Attribute::read(row)?;
    Ok(Column {
        name: row.try_get("name")?,
        column_type: types.column_type(&attribute),
        // A domain's own constraint does not hold for values made by outer joins in views.
        is_nullable: !row.try_get::<bool, _>("attnotnull")?,
    })
}

fn relation(
    row: &PgRow,
    depot: &str,
    columns: Vec<Column>,
    now: Timestamp,
) -> Result<Result<Record, Unreadable>, sqlx::Error> {
    let schema: String = row.try_get("schema")?;
    let table: String = row.try_get("name")?;
    let kind: String = row.try_get("kind")?;
    let row_estimate: f64 = row.try_get("row_estimate")?;
    let pages: i64 = row.try_get("pages")?;
    let has_rows = kind == "r" || kind == "m" || kind == "p";
    let refuse = |reason: String, id: Option<DatasetId>| {
        let name = names::shown(&format!("{schema}.{table}"));
        Ok(Err(Unreadable { name, reason, id }))
    };
    if let Some(problem) = names::part_problem(&schema).or_else(|| names::part_problem(&table)) {
        return refuse(problem, None);
    }
    let id = DatasetId::new(depot, &schema, &table);
    let columns = DatasetSchema { columns };
    if let Some(problem) = schema_problem(&columns) {
        return refuse(problem, Some(id));
    }
    Ok(Ok(Record {
        id,
        schema: columns,
        source: DatasetSource::Table { schema, table },
        owner: None,
        row_count: (has_rows && row_estimate >= 0.0).then(|| rows(row_estimate)),
        size_bytes: has_rows.then(|| pages.unsigned_abs().saturating_mul(PAGE_BYTES)),
        scanned_at: now,
        fingerprint: None,
    }))
}

/// A row estimate as a number: PostgreSQL keeps it as a float, never near the limits of u64.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the caller has checked the sign, and the cast saturates"
)]
fn rows(estimate: f64) -> u64 {
    estimate.round() as u64
}

fn unreachable(depot: &Depot, error: &sqlx::Error) -> Fault {
    let is_insecure = match error {
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
        _ => false,
    };
    let hint = if is_insecure {
        "give the authority of the server's certificate as `authorities` of the depot, and the host name that it is \
         for; on this machine or a trusted network, `tls: off` does without; nothing was dropped"
    } else {
        "check host, port, database, user and secret; nothing was dropped"
    };
    Fault::unavailable(format!("depot `{}`: PostgreSQL: {error}", depot.name))
        .with_reason("depot_unreachable")
        .with_hint(hint)
}

fn too_slow(depot: &Depot, seconds: u64) -> Fault {
    Fault::new(
        FaultKind::Timeout,
        format!(
            "depot `{}`: PostgreSQL did not answer within {seconds} s",
            depot.name
        ),
    )
    .with_reason("depot_unreachable")
    .with_hint("check the server; nothing was dropped")
}
