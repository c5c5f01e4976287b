//! Tables of a PostgreSQL database.
//!
//! A read has a connection for itself, in a read-only transaction with a UTC session and a statement
//! time-out. Only the columns that query and policy need are fetched. Conditions of a policy that
//! mean exactly the same to PostgreSQL go along; all are applied again to what arrives. Rows are joined, grouped
//! and cut to the first there if all of their conditions went along.

mod cell;
mod dialect;
mod session;
mod transport;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use dataos_model::fault::{Fault, FaultKind};
use futures::TryStreamExt;
use tokio_postgres::{Client, RowStream, Statement as Prepared};

pub(super) use self::session::Pool;
use self::{cell::cell, dialect::Postgres, session::Session, wire::Raw};
use super::{
    batch::Unfit,
    condition::{Condition, Parameter, alias, clause},
    select::Select,
    statement::Statement,
    table::{Answered, Database, Read, Rows},
};

/// The tables of a depot.
#[derive(Clone, Debug)]
pub(super) struct Server(pub(super) Arc<Pool>);

/// An identifier, exactly as spelled.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The table of a read, under the name that columns are qualified with.
fn place(read: &Read, table: usize) -> String {
    let (space, name) = (quoted(&read.space), quoted(&read.table));
    format!("{space}.{name} AS {}", alias(table))
}

/// Numbers go as their texts.
fn texts(parameters: Vec<Parameter>) -> Vec<String> {
    let texts = parameters.into_iter().map(|parameter| match parameter {
        Parameter::Text(text) => text,
        Parameter::Long(number) => number.to_string(),
    });
    texts.collect()
}

#[async_trait]
impl Database for Server {
    async fn read(&self, read: &Read, rows: &mut Rows) -> Result<(), Fault> {
        let session = Session::open(&self.0).await?;
        let mut found = Box::pin(self.rows(session.client()?, read).await?);
        while let Some(row) = found
            .try_next()
            .await
            .map_err(|error| failed(&self.0.address.depot, &error))?
        {
            rows.push(|index, column_type| {
                let Raw(raw) = row.try_get(index).map_err(|_| "a value in another form")?;
                cell(raw, column_type)
            })?;
            rows.settle().await?;
        }
        drop(found);
        session.rest();
        Ok(())
    }

    fn statement(&self, reads: &[Read], select: &Select) -> Option<String> {
        let reads_of = reads.iter().enumerate();
        let dialects = reads_of.map(|(table, read)| Postgres::supposed(table, &read.columns));
        let dialects: Vec<Postgres> = dialects.collect();
        let statement = Statement::of(reads, select, &dialects)?;
        Some(statement.sql)
    }

    async fn select(
        &self,
        reads: &[Read],
        select: &Select,
        rows: &mut Rows,
    ) -> Result<Answered, Fault> {
        let failed = |error| failed(&self.0.address.depot, &error);
        let session = Session::open(&self.0).await?;
        let client = session.client()?;
        let mut dialects = Vec::with_capacity(reads.len());
        for (table, read) in reads.iter().enumerate() {
            let found = self.columns(client, read).await?;
            dialects.push(Postgres::new(
                table,
                &read.columns,
                &found,
                session.is_utf8(),
            ));
        }
        let Some(Statement { sql, parameters }) = Statement::of(reads, select, &dialects) else {
            session.rest();
            return Ok(Answered::Declined);
        };
        let unfit = select.sent().len();
        let found = client.query_raw(&sql, texts(parameters)).await;
        let mut found = Box::pin(found.map_err(failed)?);
        while let Some(row) = found.try_next().await.map_err(failed)? {
            let value = |index| {
                let Raw(raw) = row.try_get(index).map_err(|_| "a value in another form")?;
                Ok::<_, Unfit>(raw)
            };
            // If it is true of one row then of the first, before any was handed over.
            if value(unfit) != Ok(Some(&[0])) {
                return Ok(Answered::Declined);
            }
            rows.push(|index, column_type| {
                select.cell(index, column_type, |at, sent| cell(value(at)?, sent))
            })?;
            rows.settle().await?;
        }
        drop(found);
        session.rest();
        Ok(Answered::Whole)
    }
}

impl Server {
    /// The columns that a read fetches, of the types that the catalog knows.
    async fn columns(&self, client: &Client, read: &Read) -> Result<Prepared, Fault> {
        let statement = client
            .prepare(&select(read))
            .await
            .map_err(|error| failed(&self.0.address.depot, &error))?;
        cell::check(&read.dataset, &read.columns, statement.columns())?;
        Ok(statement)
    }

    async fn rows(&self, client: &Client, read: &Read) -> Result<RowStream, Fault> {
        let failed = |error| failed(&self.0.address.depot, &error);
        let columns = self.columns(client, read).await?;
        let dialect = Postgres::new(0, &read.columns, &columns, false);
        let condition = Condition::of(read, &dialect, Vec::new());
        if condition.conjuncts.is_empty() {
            let none: [String; 0] = [];
            return client.query_raw(&columns, none).await.map_err(failed);
        }
        let filtered = format!("{}{}", select(read), clause(&condition.conjuncts));
        let texts = texts(condition.parameters);
        client.query_raw(&filtered, texts).await.map_err(failed)
    }
}

/// Without a condition.
fn select(read: &Read) -> String {
    let list = read.columns.iter().map(|column| quoted(&column.name));
    let list: Vec<String> = list.collect();
    // PostgreSQL has rows without columns: `SELECT FROM t`.
    format!("SELECT {} FROM {}", list.join(", "), place(read, 0))
}

fn silent(depot: &str) -> Fault {
    Fault::unavailable(format!(
        "the database server of depot `{depot}` does not answer"
    ))
    .with_reason("source")
    .with_hint("check that it runs and that host and port of the depot are right")
}

/// By SQLSTATE; the server's own text can quote values and stays out.
fn failed(depot: &str, error: &tokio_postgres::Error) -> Fault {
    let Some(code) = error.code() else {
        return silent(depot);
    };
    let code = code.code();
    let state = format!("SQLSTATE {code}");
    match code {
        _ if code.starts_with("28") => Fault::unavailable(format!(
            "depot `{depot}`: the database refuses the log-in ({state})"
        ))
        .with_hint("check the user and the password of the depot"),
        "3D000" => Fault::unavailable(format!("depot `{depot}`: no such database ({state})"))
            .with_hint("check the database name of the depot"),
        "42501" => Fault::unavailable(format!(
            "depot `{depot}`: the role of the depot may not read the table ({state})"
        ))
        .with_hint("grant SELECT to the role that the depot logs in as"),
        _ if code.starts_with("42") => Fault::new(
            FaultKind::Conflict,
            format!("depot `{depot}`: the table is not what the catalog knows ({state})"),
        )
        .with_hint("scan the depot again"),
        "57014" => Fault::new(
            FaultKind::Timeout,
            format!("depot `{depot}`: the database needed too long ({state})"),
        )
        .with_hint("read fewer rows"),
        _ => Fault::unavailable(format!("depot `{depot}`: the database failed ({state})"))
            .with_hint("see the log of the database server"),
    }
    .with_reason("source")
}
