//! Tables of a database of MariaDB or MySQL.
//!
//! A read has a connection for itself, in a session that is read-only, in UTC and UTF-8, whatever the
//! server is set to. Only the columns that query and policy need are fetched, in the binary protocol,
//! so that no number goes through text that rounds it. Conditions that mean exactly the same to the
//! server go along (`dialect`); all are applied again to what arrives.

mod cell;
mod dialect;
mod session;

use std::sync::Arc;

use async_trait::async_trait;
use dataos_model::{
    depot::Dataset,
    fault::{Fault, FaultKind},
};
use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, mysql::MySqlDatabaseError};

pub(super) use self::session::{Address, Pool};
use self::{
    cell::{Form, cell},
    dialect::MySql,
    session::Session,
};
use super::{
    condition::{Condition, Parameter},
    groups::Groups,
    table::{Answered, Database, Read, Rows},
};

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
        let (sql, parameters) = statement(read);
        let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        for parameter in parameters {
            query = match parameter {
                Parameter::Long(number) => query.bind(number),
                Parameter::Text(text) => query.bind(text),
            };
        }
        let mut found = query.fetch(session.connection()?);
        let mut forms = Vec::new();
        while let Some(row) = found
            .try_next()
            .await
            .map_err(|error| failed(&pool.address.depot, &error))?
        {
            if forms.is_empty() {
                forms = self::forms(&read.dataset, read, &row)?;
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

    fn group_statement(&self, _read: &Read, _groups: &Groups) -> Option<String> {
        None
    }

    async fn group(
        &self,
        _read: &Read,
        _groups: &Groups,
        _rows: &mut Rows,
    ) -> Result<Answered, Fault> {
        Ok(Answered::Declined)
    }
}

fn statement(read: &Read) -> (String, Vec<Parameter>) {
    let list: Vec<String> = read
        .columns
        .iter()
        .map(|column| quoted(&column.name))
        .collect();
    // A SELECT of no column is an error there.
    let list = if list.is_empty() {
        "1".to_owned()
    } else {
        list.join(", ")
    };
    let condition = Condition::of(read, &MySql);
    let (space, table) = (quoted(&read.space), quoted(&read.table));
    let sql = format!("SELECT {list} FROM {space}.{table}{}", condition.sql);
    (sql, condition.parameters)
}

/// How the columns arrive, if their types are those that the catalog knows.
fn forms(dataset: &Dataset, read: &Read, row: &sqlx::mysql::MySqlRow) -> Result<Vec<Form>, Fault> {
    let columns = read.columns.iter().enumerate();
    let forms = columns.map(|(index, column)| {
        Form::of(row, index, &column.column_type).map_err(|found| {
            Fault::new(
                FaultKind::Conflict,
                format!(
                    "column `{}` of `{}` is {found} in the database and {} in the catalog",
                    column.name, dataset.id, column.column_type
                ),
            )
            .with_reason("schema_changed")
            .with_hint("scan the depot again")
        })
    });
    forms.collect()
}

fn silent(depot: &str) -> Fault {
    Fault::unavailable(format!(
        "the database server of depot `{depot}` does not answer"
    ))
    .with_reason("source")
    .with_hint("check that it runs and that host and port of the depot are right")
}

/// By number; the server's own text can quote values and stays out.
fn failed(depot: &str, error: &sqlx::Error) -> Fault {
    let number = match error {
        sqlx::Error::Database(error) => error
            .try_downcast_ref::<MySqlDatabaseError>()
            .map(MySqlDatabaseError::number),
        sqlx::Error::Tls(_) => return insecure(depot),
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            return insecure(depot);
        }
        sqlx::Error::Io(_) => return silent(depot),
        _ => None,
    };
    let Some(number) = number else {
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
