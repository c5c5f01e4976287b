//! A database of MariaDB or MySQL as a depot: its tables with their columns, from information_schema.
//! No table is read.
//!
//! Views are named and not catalogued: the servers do not tell which columns a view reads, so tags
//! could not follow to it, and a view could show what a tag hides.

mod types;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use dataos_model::{
    clock::Timestamp,
    dataset::{Column, DatasetId, DatasetSchema},
    depot::{DatasetSource, Depot, DepotSource, Tls},
    fault::{Fault, FaultKind},
    seams::Secrets,
};
use sqlx::{
    ConnectOptions, Connection, MySqlConnection, Row,
    mysql::{MySqlConnectOptions, MySqlRow, MySqlSslMode},
};

use crate::{
    change::Record,
    names,
    scan::{ALL_COLUMNS_MAX, RELATIONS_MAX, Survey, Unreadable, schema_problem},
};

/// Longest wait for a connection.
const CONNECT_SECONDS_MAX: u64 = 10;
/// Longest whole scan.
const SCAN_SECONDS_MAX: u64 = 120;

/// Why a view is not catalogued.
const VIEW: &str = "it is a view, and the server does not tell which columns it reads, so tags could \
    not follow; read its tables, or make it a table";

const TABLES: &str = "
    SELECT CAST(TABLE_NAME AS CHAR) AS name, CAST(TABLE_TYPE AS CHAR) AS kind,
           CAST(TABLE_ROWS AS CHAR) AS row_estimate, CAST(DATA_LENGTH AS CHAR) AS size_bytes
    FROM information_schema.TABLES
    WHERE TABLE_SCHEMA = ?
    LIMIT ?";

const COLUMNS: &str = "
    SELECT CAST(TABLE_NAME AS CHAR) AS relation, CAST(COLUMN_NAME AS CHAR) AS name,
           CAST(COLUMN_TYPE AS CHAR) AS type, CAST(IS_NULLABLE AS CHAR) AS is_nullable
    FROM information_schema.COLUMNS
    WHERE TABLE_SCHEMA = ?
    ORDER BY TABLE_NAME, ORDINAL_POSITION
    LIMIT ?";

/// Reads the database's structure.
///
/// # Errors
/// The server cannot be reached, refuses, or takes too long; the fault names the depot.
pub(crate) async fn survey(
    depot: &Depot,
    secrets: &dyn Secrets,
    now: Timestamp,
) -> Result<Survey, Fault> {
    let (options, database) = options(depot, secrets).await?;
    let limit = Duration::from_secs(SCAN_SECONDS_MAX);
    let scan = async {
        let connect =
            tokio::time::timeout(Duration::from_secs(CONNECT_SECONDS_MAX), options.connect());
        let mut connection = match connect.await {
            Ok(connection) => connection.map_err(|error| unreachable(depot, &error))?,
            Err(_) => return Err(too_slow(depot, CONNECT_SECONDS_MAX)),
        };
        let survey = read(&mut connection, &depot.name, database, now)
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

async fn options<'a>(
    depot: &'a Depot,
    secrets: &dyn Secrets,
) -> Result<(MySqlConnectOptions, &'a str), Fault> {
    let DepotSource::MySql {
        host,
        port,
        database,
        user,
        password,
        tls,
    } = &depot.source
    else {
        return Err(Fault::internal(format!(
            "depot `{}` is no database of MySQL",
            depot.name
        )));
    };
    let mut options = MySqlConnectOptions::new()
        .host(host)
        .port(*port)
        .database(database)
        .username(user)
        .no_engine_substitution(false)
        .pipes_as_concat(false)
        .disable_statement_logging();
    options = match tls {
        Tls::Off => options.ssl_mode(MySqlSslMode::Disabled),
        Tls::Verified { authorities } => {
            let options = options.ssl_mode(MySqlSslMode::VerifyIdentity);
            match authorities {
                Some(pem) => options.ssl_ca_from_pem(pem.clone().into_bytes()),
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
    Ok((options, database))
}

async fn read(
    connection: &mut MySqlConnection,
    depot: &str,
    database: &str,
    now: Timestamp,
) -> Result<Survey, sqlx::Error> {
    let bound = |most: usize| u64::try_from(most + 1).unwrap_or(u64::MAX);
    let tables = sqlx::query(TABLES)
        .bind(database)
        .bind(bound(RELATIONS_MAX))
        .fetch_all(&mut *connection)
        .await?;
    let columns = sqlx::query(COLUMNS)
        .bind(database)
        .bind(bound(ALL_COLUMNS_MAX))
        .fetch_all(&mut *connection)
        .await?;
    if tables.len() > RELATIONS_MAX || columns.len() > ALL_COLUMNS_MAX {
        return Ok(Survey::of_too_many(depot));
    }
    let mut of_tables = HashMap::<String, Vec<Column>>::new();
    for row in &columns {
        let relation: String = row.try_get("relation")?;
        of_tables.entry(relation).or_default().push(column(row)?);
    }
    let mut survey = Survey {
        is_whole: true,
        ..Survey::default()
    };
    let named = tables.iter().map(|row| Ok((row.try_get("name")?, row)));
    // Not in the order of a collation, which is another one for each version.
    let named: BTreeMap<String, &MySqlRow> = named.collect::<Result<_, sqlx::Error>>()?;
    for (name, row) in named {
        let columns = of_tables.remove(&name).unwrap_or_default();
        match table(row, (depot, database), columns, now)? {
            Ok(record) => survey.found.push(Arc::new(record)),
            Err(unreadable) => survey.unreadable.push(unreadable),
        }
    }
    Ok(survey)
}

fn column(row: &MySqlRow) -> Result<Column, sqlx::Error> {
    let declared: String = row.try_get("type")?;
    let is_nullable: String = row.try_get("is_nullable")?;
    Ok(Column {
        name: row.try_get("name")?,
        column_type: types::column_type(&declared),
        is_nullable: is_nullable != "NO",
    })
}

fn table(
    row: &MySqlRow,
    (depot, schema): (&str, &str),
    columns: Vec<Column>,
    now: Timestamp,
) -> Result<Result<Record, Unreadable>, sqlx::Error> {
    let table: String = row.try_get("name")?;
    let kind: String = row.try_get("kind")?;
    let number = |column: &str| -> Result<Option<u64>, sqlx::Error> {
        let text: Option<String> = row.try_get(column)?;
        Ok(text.and_then(|text| text.parse().ok()))
    };
    let refuse = |reason: String, id: Option<DatasetId>| {
        let name = names::shown(&format!("{schema}.{table}"));
        Ok(Err(Unreadable { name, reason, id }))
    };
    if kind != "BASE TABLE" && kind != "SYSTEM VERSIONED" {
        let reason = match kind.as_str() {
            "VIEW" => VIEW.to_owned(),
            kind => format!("it is a {}", names::shown(&kind.to_lowercase())),
        };
        return refuse(reason, None);
    }
    if let Some(problem) = names::part_problem(schema).or_else(|| names::part_problem(&table)) {
        return refuse(problem, None);
    }
    let id = DatasetId::new(depot, schema, &table);
    let columns = DatasetSchema { columns };
    if let Some(problem) = schema_problem(&columns) {
        return refuse(problem, Some(id));
    }
    Ok(Ok(Record {
        id,
        schema: columns,
        source: DatasetSource::Table {
            schema: schema.to_owned(),
            table: table.clone(),
        },
        owner: None,
        row_count: number("row_estimate")?,
        size_bytes: number("size_bytes")?,
        scanned_at: now,
        fingerprint: None,
    }))
}

fn unreachable(depot: &Depot, error: &sqlx::Error) -> Fault {
    Fault::unavailable(format!("depot `{}`: MySQL: {error}", depot.name))
        .with_reason("depot_unreachable")
        .with_hint("check host, port, database, user, secret and TLS; nothing was dropped")
}

fn too_slow(depot: &Depot, seconds: u64) -> Fault {
    Fault::new(
        FaultKind::Timeout,
        format!(
            "depot `{}`: the server did not answer within {seconds} s",
            depot.name
        ),
    )
    .with_reason("depot_unreachable")
    .with_hint("check the server; nothing was dropped")
}
