//! One statement behind the door, for as long as the peer and its limits let it.

use dataos_model::{
    fault::{Fault, FaultKind},
    query::QueryAnswer,
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Prepared, Session, own};
use crate::wire::{Asked, Failed, answer::Held, message::Broken, reply::Field, value};

impl<R, W> Session<R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    /// Runs a statement to its answer, none of which is sent yet.
    pub(super) async fn answer(&mut self, sql: &str) -> Result<Result<Held, Failed>, Broken> {
        let answered = match self.run_until_cancelled(sql).await? {
            Ok(answered) => answered,
            Err(failed) => return Ok(Err(failed)),
        };
        if answered.is_truncated && self.settings.rows_max().is_none() {
            let rows = answered.row_count;
            return Ok(Err(own(Fault::new(
                FaultKind::TooLarge,
                format!("the result has more than {rows} rows"),
            )
            .with_reason("result_rows")
            .with_hint(
                "add LIMIT, or SET dataos.rows_max to take no more than the first rows",
            ))));
        }
        Ok(Held::new(answered).map_err(own))
    }

    async fn run_until_cancelled(
        &mut self,
        sql: &str,
    ) -> Result<Result<QueryAnswer, Failed>, Broken> {
        let asked = self.asked(sql);
        let time_max = self.settings.statement_timeout();
        let overdue = async {
            match time_max {
                Some(time_max) => tokio::time::sleep(time_max).await,
                None => std::future::pending().await,
            }
        };
        // Whoever loses is dropped, which cancels the statement and records that.
        tokio::select! {
            answered = self.caller.run(asked) => Ok(answered),
            () = self.cancellable.running.notified() => {
                let fault = Fault::new(FaultKind::Timeout, "the statement was cancelled");
                Ok(Err(own(fault.with_reason("cancelled"))))
            }
            () = overdue => {
                let fault = Fault::new(FaultKind::Timeout, "the statement took longer than statement_timeout");
                Ok(Err(own(fault.with_reason("time_limit"))))
            }
            () = self.input.gone() => Err(Broken::Closed),
        }
    }

    /// The columns of a query, without running it.
    pub(super) async fn described(&mut self, sql: &str) -> Result<Vec<Field>, Failed> {
        let columns = self.caller.describe(self.asked(sql)).await?;
        let fields = columns.into_iter().map(|column| Field {
            kind: value::kind(&column.column_type),
            name: column.name,
        });
        Ok(fields.collect())
    }

    fn asked(&self, sql: &str) -> Asked {
        Asked {
            sql: sql.to_owned(),
            purpose: self.settings.purpose(),
            rows_max: self.settings.rows_max().unwrap_or(u64::MAX),
        }
    }

    /// The end of an answer whose rows were sent.
    pub(super) fn completed(
        &mut self,
        statement: &Prepared,
        held: &mut Held,
    ) -> Result<(), Failed> {
        let mut count = || {
            if statement.answers_rows() {
                return Ok(held.sent);
            }
            held.count().map_err(own)
        };
        let tag = match statement.word() {
            "insert" => format!("INSERT 0 {}", count()?),
            "update" => format!("UPDATE {}", count()?),
            "delete" => format!("DELETE {}", count()?),
            "merge" => format!("MERGE {}", count()?),
            "create" if statement.is_of_view() => "CREATE VIEW".to_owned(),
            "create" => format!("SELECT {}", count()?),
            "drop" => "DROP VIEW".to_owned(),
            "explain" => "EXPLAIN".to_owned(),
            "show" => "SHOW".to_owned(),
            _ => format!("SELECT {}", held.sent),
        };
        if held.is_truncated {
            let message = format!(
                "the answer is cut after {} rows (dataos.rows_max)",
                held.sent
            );
            self.output.warning(&message);
        }
        self.output.complete(&tag);
        Ok(())
    }
}
