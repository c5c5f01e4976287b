//! Tables of a database of MariaDB or MySQL.
//!
//! A read has a connection for itself, in a session that is read-only, in UTC and UTF-8, whatever the
//! server is set to. Only the columns that query and policy need are fetched, in the binary protocol,
//! so that no number goes through text that rounds it. Conditions that mean exactly the same to the
//! server go along (`dialect`); all are applied again to what arrives. Rows are joined, grouped and cut to the
//! first there if all of their conditions went along.

mod cell;
mod dialect;
mod session;

use std::sync::Arc;

use async_trait::async_trait;
use dataos_model::{
    dataset::Column,
    depot::Dataset,
    fault::{Fault, FaultKind},
};
use futures::TryStreamExt;
use sqlx::{
    AssertSqlSafe, MySqlConnection, Row,
    mysql::{MySqlArguments, MySqlColumn, MySqlDatabaseError},
    query::Query,
};

pub(super) use self::session::Pool;
use self::{
    cell::{Form, cell},
    dialect::MySql,
    session::Session,
};
use super::{
    condition::{Condition, Parameter, alias, clause},
    select::Select,
    statement::Statement,
    table::{Answered, Database, Read, Rows},
};

/// MySQL took dates that are no days for the same group, and for two.
const DUPLICATE_GROUP: u16 = 1022;

/// A statement of more values is not kept: there are many of its kind, and they are large.
const KEPT_PARAMETERS_MAX: usize = 32;

/// The tables of a depot.
#[derive(Clone, Debug)]
pub(super) struct Server(pub(super) Arc<Pool>);

/// An identifier, exactly as spelled.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[async_trait]
impl Database for Server {
    async fn read(&self, read: &Read, rows: &mut Rows) -> Result<(), Fault> {
        let Self(pool) = self;
        let mut session = Session::open(pool).await?;
        let Condition {
            conjuncts,
            parameters,
            ..
        } = Condition::of(read, &MySql(0), Vec::new());
        let sql = format!("{}{}", select(read), clause(&conjuncts));
        let mut found = query(sql, parameters).fetch(session.connection()?);
        let mut forms = Vec::new();
        while let Some(row) = found
            .try_next()
            .await
            .map_err(|error| failed(&pool.address.depot, &error))?
        {
            if forms.is_empty() {
                forms = self::forms(&read.columns, row.columns())
                    .map_err(|(column, found)| other_type(&read.dataset, &column, &found))?;
            }
            rows.push(|index, column_type| {
                let form = forms.get(index).ok_or("a value without a form")?;
                cell(&row, index, *form, column_type)
            })?;
            rows.settle().await?;
        }
        drop(found);
        session.rest();
        Ok(())
    }

    fn statement(&self, reads: &[Read], select: &Select) -> Option<String> {
        let statement = Statement::of(reads, select, &dialects(reads))?;
        Some(statement.sql)
    }

    async fn select(
        &self,
        reads: &[Read],
        select: &Select,
        rows: &mut Rows,
    ) -> Result<Answered, Fault> {
        let Self(pool) = self;
        let failed = |error: sqlx::Error| failed(&pool.address.depot, &error);
        let Some(Statement { sql, parameters }) = Statement::of(reads, select, &dialects(reads))
        else {
            return Ok(Answered::Declined);
        };
        let mut session = Session::open(pool).await?;
        // Else it may compare each row with each.
        if reads.len() > 1 && !session.hashes_joins() {
            session.rest();
            return Ok(Answered::Declined);
        }
        for read in reads {
            let is_catalogued = is_catalogued(session.connection()?, read).await;
            if !is_catalogued.map_err(failed)? {
                session.rest();
                return Ok(Answered::Declined);
            }
        }
        let sent = select.sent();
        let mut found = query(sql, parameters).fetch(session.connection()?);
        let mut forms = Vec::new();
        loop {
            let row = match found.try_next().await {
                Ok(Some(row)) => row,
                Ok(None) => break,
                Err(error) if number(&error) == Some(DUPLICATE_GROUP) && forms.is_empty() => {
                    // It has ended: there is nothing to kill.
                    drop(found);
                    session.rest();
                    return Ok(Answered::Declined);
                }
                Err(error) => return Err(failed(error)),
            };
            // If it is true of one row then of the first, before any was handed over.
            let is_unfit: Option<i64> = row.try_get(sent.len()).map_err(failed)?;
            if is_unfit == Some(1) {
                return Ok(Answered::Declined);
            }
            if forms.is_empty() {
                match self::forms(&sent, row.columns()) {
                    Ok(found) => forms = found,
                    Err(_) => return Ok(Answered::Declined),
                }
            }
            rows.push(|index, column_type| {
                select.cell(index, column_type, |at, sent| {
                    let form = forms.get(at).ok_or("a value without a form")?;
                    cell(&row, at, *form, sent)
                })
            })?;
            rows.settle().await?;
        }
        drop(found);
        session.rest();
        Ok(Answered::Whole)
    }
}

/// For each of the tables of a statement.
fn dialects(reads: &[Read]) -> Vec<MySql> {
    (0..reads.len()).map(MySql).collect()
}

/// Whether the columns of a read still have the types that the catalog knows: those of a row that the table has no
/// part in. Each run of a statement says them anew.
async fn is_catalogued(connection: &mut MySqlConnection, read: &Read) -> Result<bool, sqlx::Error> {
    let (list, table) = (list(read, &format!("{}.", alias(0))), place(read, 0));
    let typed = format!("SELECT {list} FROM (SELECT 1) AS one LEFT JOIN {table} ON FALSE");
    let row = query(typed, Vec::new()).fetch_one(connection).await?;
    Ok(forms(&read.columns, row.columns()).is_ok())
}

/// A statement that the server keeps prepared, as far as [`session`] has room for it: what closes one is not answered,
/// and the driver lets the next command wait until TCP acknowledges it, for 40 ms.
fn query(sql: String, parameters: Vec<Parameter>) -> Query<'static, sqlx::MySql, MySqlArguments> {
    let is_kept = parameters.len() <= KEPT_PARAMETERS_MAX;
    let query = sqlx::query(AssertSqlSafe(sql)).persistent(is_kept);
    parameters
        .into_iter()
        .fold(query, |query, parameter| match parameter {
            Parameter::Long(number) => query.bind(number),
            Parameter::Text(text) => query.bind(text),
        })
}

/// Without a condition.
fn select(read: &Read) -> String {
    format!("SELECT {} FROM {}", list(read, ""), place(read, 0))
}

/// The columns of a read, each behind a qualifier.
fn list(read: &Read, qualifier: &str) -> String {
    let list: Vec<String> = read
        .columns
        .iter()
        .map(|column| format!("{qualifier}{}", quoted(&column.name)))
        .collect();
    // A SELECT of no column is an error there.
    if list.is_empty() {
        return "1".to_owned();
    }
    list.join(", ")
}

/// The table of a read, under the name that columns are qualified with.
fn place(read: &Read, table: usize) -> String {
    let (space, name) = (quoted(&read.space), quoted(&read.table));
    format!("{space}.{name} AS {}", alias(table))
}

/// How columns arrive; else the first that has another type, and that.
fn forms(wanted: &[Column], found: &[MySqlColumn]) -> Result<Vec<Form>, (Column, String)> {
    let columns = wanted.iter().enumerate();
    let forms = columns.map(|(index, column)| {
        let found = found.get(index).ok_or_else(|| "missing".to_owned());
        found
            .and_then(|found| Form::of(found, &column.column_type))
            .map_err(|found| (column.clone(), found))
    });
    forms.collect()
}

fn other_type(dataset: &Dataset, column: &Column, found: &str) -> Fault {
    Fault::new(
        FaultKind::Conflict,
        format!(
            "column `{}` of `{}` is {found} in the database and {} in the catalog",
            column.name, dataset.id, column.column_type
        ),
    )
    .with_reason("schema_changed")
    .with_hint("scan the depot again")
}

fn silent(depot: &str) -> Fault {
    Fault::unavailable(format!(
        "the database server of depot `{depot}` does not answer"
    ))
    .with_reason("source")
    .with_hint("check that it runs and that host and port of the depot are right")
}

/// The number of what the server says.
fn number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?;
    let error = error.try_downcast_ref::<MySqlDatabaseError>()?;
    Some(error.number())
}

/// By number; the server's own text can quote values and stays out.
fn failed(depot: &str, error: &sqlx::Error) -> Fault {
    match error {
        sqlx::Error::Tls(_) => return insecure(depot),
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            return insecure(depot);
        }
        sqlx::Error::Io(_) => return silent(depot),
        _ => {}
    }
    let Some(number) = number(error) else {
        return Fault::unavailable(format!(
            "depot `{depot}`: the database server answers in a way that is not understood"
        ))
        .with_reason("source")
        .with_hint("check that it is MariaDB or MySQL and that its log-in method is mysql_native_password, or caching_sha2_password over TLS");
    };
    let code = format!("error {number}");
    match number {
        1045 | 1698 => Fault::unavailable(format!(
            "depot `{depot}`: the database refuses the log-in ({code})"
        ))
        .with_hint(
            "check the user and the password of the depot, and whether the server wants TLS",
        ),
        1044 | 1049 => Fault::unavailable(format!(
            "depot `{depot}`: no such database, or not for this user ({code})"
        ))
        .with_hint("check the database name of the depot"),
        1142 | 1143 => Fault::unavailable(format!(
            "depot `{depot}`: the user of the depot may not read the table ({code})"
        ))
        .with_hint("grant SELECT to the user that the depot logs in as"),
        1054 | 1146 => Fault::new(
            FaultKind::Conflict,
            format!("depot `{depot}`: the table is not what the catalog knows ({code})"),
        )
        .with_hint("scan the depot again"),
        1969 | 3024 => Fault::new(
            FaultKind::Timeout,
            format!("depot `{depot}`: the database needed too long ({code})"),
        )
        .with_hint("read fewer rows"),
        3159 => Fault::unavailable(format!(
            "depot `{depot}`: the database wants TLS, which the depot has off ({code})"
        ))
        .with_hint("leave `tls: off` out of the depot"),
        1040 | 1203 | 1226 => Fault::unavailable(format!(
            "depot `{depot}`: the database has no connection free ({code})"
        ))
        .with_hint("try again later, or allow the user of the depot more connections"),
        _ => Fault::unavailable(format!("depot `{depot}`: the database failed ({code})"))
            .with_hint("see the log of the database server"),
    }
    .with_reason("source")
}

fn insecure(depot: &str) -> Fault {
    Fault::unavailable(format!(
        "depot `{depot}`: the server offers no TLS, or no certificate that can be verified"
    ))
    .with_reason("source")
    .with_hint(
        "give the authority of the server's certificate as `authorities` of the depot, and the host name \
         that it is for",
    )
}
