//! A SQLite file as a depot: its tables with their declared columns. No table is read.
//!
//! Views are named and not catalogued: SQLite does not tell which columns a view reads, so tags could
//! not follow to it. Virtual tables run code of their modules, and are not catalogued either.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use dataos_model::{
    clock::Timestamp,
    dataset::{Column, ColumnType, DatasetId, DatasetSchema},
    depot::DatasetSource,
    fault::{Fault, FaultKind},
};
use sqlx::{
    ConnectOptions, Connection, Row, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteRow},
};

use crate::{
    change::Record,
    names,
    scan::{ALL_COLUMNS_MAX, RELATIONS_MAX, Survey, Unreadable, schema_problem},
};

/// Longest whole scan.
const SCAN_SECONDS_MAX: u64 = 60;
/// Longest wait for a file that another program writes.
const BUSY_SECONDS_MAX: u64 = 10;
/// The one schema of a file.
const SCHEMA: &str = "main";

const TABLES: &str = "
    SELECT name, type AS kind FROM pragma_table_list
    WHERE schema = 'main' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND type <> 'shadow'
    ORDER BY name
    LIMIT ?";

const COLUMNS: &str = "
    SELECT l.name AS relation, c.name AS name, c.type AS type, c.\"notnull\" AS is_required
    FROM pragma_table_list AS l JOIN pragma_table_xinfo(l.name) AS c
    WHERE l.schema = 'main' AND l.type = 'table' AND l.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
    ORDER BY l.name, c.cid
    LIMIT ?";

/// Reads the file's structure.
///
/// # Errors
/// The file is not there, is no SQLite database, or is locked for long; the fault names the depot.
pub(crate) async fn survey(depot: &str, path: &Path, now: Timestamp) -> Result<Survey, Fault> {
    // To open a pipe or a device could wait for ever.
    let is_file = tokio::fs::metadata(path)
        .await
        .is_ok_and(|metadata| metadata.is_file());
    if !is_file {
        return Err(unreachable(depot, "it is not there, or no file"));
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .create_if_missing(false)
        .busy_timeout(Duration::from_secs(BUSY_SECONDS_MAX))
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        .pragma("query_only", "ON")
        .disable_statement_logging();
    let scan = async {
        let mut connection = options.connect().await?;
        let survey = read(&mut connection, depot, now).await?;
        connection.close().await.ok();
        Ok::<_, sqlx::Error>(survey)
    };
    match tokio::time::timeout(Duration::from_secs(SCAN_SECONDS_MAX), scan).await {
        Ok(survey) => survey.map_err(|error| unreachable(depot, &error.to_string())),
        Err(_) => Err(Fault::new(
            FaultKind::Timeout,
            format!("depot `{depot}`: the file was not read within {SCAN_SECONDS_MAX} s"),
        )
        .with_reason("depot_unreachable")
        .with_hint("check what else uses the file; nothing was dropped")),
    }
}

async fn read(
    connection: &mut SqliteConnection,
    depot: &str,
    now: Timestamp,
) -> Result<Survey, sqlx::Error> {
    let bound = |most: usize| i64::try_from(most + 1).unwrap_or(i64::MAX);
    let mut transaction = connection.begin().await?;
    let tables = sqlx::query(TABLES)
        .bind(bound(RELATIONS_MAX))
        .fetch_all(&mut *transaction)
        .await?;
    let columns = sqlx::query(COLUMNS)
        .bind(bound(ALL_COLUMNS_MAX))
        .fetch_all(&mut *transaction)
        .await?;
    transaction.rollback().await?;
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
    for row in &tables {
        let (name, kind): (String, String) = (row.try_get("name")?, row.try_get("kind")?);
        let columns = of_tables.remove(&name).unwrap_or_default();
        match table(depot, name, &kind, columns, now) {
            Ok(record) => survey.found.push(Arc::new(record)),
            Err(unreadable) => survey.unreadable.push(unreadable),
        }
    }
    Ok(survey)
}

fn column(row: &SqliteRow) -> Result<Column, sqlx::Error> {
    let declared: String = row.try_get("type")?;
    Ok(Column {
        name: row.try_get("name")?,
        column_type: column_type(&declared),
        // A primary key alone does not keep NULL out.
        is_nullable: row.try_get::<i64, _>("is_required")? == 0,
    })
}

fn table(
    depot: &str,
    table: String,
    kind: &str,
    columns: Vec<Column>,
    now: Timestamp,
) -> Result<Record, Unreadable> {
    let refuse = |reason: &str, id: Option<DatasetId>| {
        Err(Unreadable {
            name: names::shown(&table),
            reason: reason.to_owned(),
            id,
        })
    };
    match kind {
        "table" => {}
        "view" => {
            return refuse(
                "it is a view, and SQLite does not tell which columns it reads, so tags could not \
                 follow; read its tables, or make it a table",
                None,
            );
        }
        _ => return refuse("it is a virtual table", None),
    }
    if let Some(problem) = names::part_problem(&table) {
        return refuse(&problem, None);
    }
    let id = DatasetId::new(depot, SCHEMA, &table);
    let schema = DatasetSchema { columns };
    if let Some(problem) = schema_problem(&schema) {
        return refuse(&problem, Some(id));
    }
    Ok(Record {
        id,
        schema,
        source: DatasetSource::Table {
            schema: SCHEMA.to_owned(),
            table,
        },
        owner: None,
        row_count: None,
        size_bytes: None,
        scanned_at: now,
        fingerprint: None,
    })
}

/// The type of a column by its declaration. SQLite takes any word and keeps any value; these are the
/// words whose values have an exact form here, and each value is held against it when it is read.
fn column_type(declared: &str) -> ColumnType {
    let word = declared.split('(').next().unwrap_or_default().trim();
    match word.to_uppercase().as_str() {
        "INT" | "INTEGER" | "TINYINT" | "SMALLINT" | "MEDIUMINT" | "BIGINT" | "INT2" | "INT4"
        | "INT8" => ColumnType::Int(64),
        "TEXT" | "CLOB" | "CHAR" | "CHARACTER" | "VARCHAR" | "NCHAR" | "NVARCHAR"
        | "VARYING CHARACTER" | "NATIVE CHARACTER" => ColumnType::Text,
        "BLOB" => ColumnType::Binary,
        "REAL" | "DOUBLE" | "DOUBLE PRECISION" | "FLOAT" => ColumnType::Float(64),
        "BOOL" | "BOOLEAN" => ColumnType::Bool,
        "DATE" => ColumnType::Date,
        "DATETIME" | "TIMESTAMP" => ColumnType::LocalTimestamp,
        "TIMESTAMPTZ" => ColumnType::Timestamp,
        "JSON" => ColumnType::Json,
        "UUID" => ColumnType::Uuid,
        "" => ColumnType::Other("no declared type".to_owned()),
        "DECIMAL" | "NUMERIC" => {
            ColumnType::Other(format!("{}, kept as a float", declared.to_lowercase()))
        }
        _ => ColumnType::Other(declared.to_lowercase()),
    }
}

fn unreachable(depot: &str, problem: &str) -> Fault {
    Fault::unavailable(format!("depot `{depot}`: SQLite file: {problem}"))
        .with_reason("depot_unreachable")
        .with_hint("check that the file is there and readable by the server; nothing was dropped")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_exact_or_named() {
        for (declared, expected) in [
            ("INTEGER", "bigint"),
            ("smallint(5)", "bigint"),
            ("VARCHAR(20)", "text"),
            ("double precision", "double"),
            ("", "unsupported(no declared type)"),
            (
                "DECIMAL(12,2)",
                "unsupported(decimal(12,2), kept as a float)",
            ),
            ("POINT", "unsupported(point)"),
            ("ANY", "unsupported(any)"),
            ("datetime", "timestamp"),
            ("BOOLEAN", "boolean"),
        ] {
            assert_eq!(column_type(declared).to_string(), expected, "{declared}");
        }
    }
}
