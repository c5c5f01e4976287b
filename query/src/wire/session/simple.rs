//! The simple query: a text of one or several statements, each answered as text.

use dataos_sql::script;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Prepared, Session, own};
use crate::wire::{
    Failed,
    message::{Broken, Format},
    problem::Place,
    reply::Field,
};

impl<R, W> Session<R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    /// Answers a text; the first statement that fails is the last.
    pub(super) async fn simple(&mut self, sql: &str) -> Result<(), Broken> {
        let pieces = match script::pieces(sql) {
            Ok(pieces) => pieces,
            Err(error) => {
                self.fail(&own(error), &Place::Text(sql, 0));
                return Ok(());
            }
        };
        if pieces.is_empty() {
            self.output.sign(b'I');
        }
        for piece in pieces {
            let start = piece.start;
            let text = piece.text.clone();
            let statement = match Prepared::of(vec![piece], Vec::new()) {
                Ok(statement) => statement,
                Err(fault) => {
                    self.fail(&own(fault), &Place::Text(&text, start));
                    return Ok(());
                }
            };
            if let Err(failed) = self.simple_one(&statement, &text).await? {
                self.fail(&failed, &Place::Text(&text, start));
                return Ok(());
            }
        }
        Ok(())
    }

    async fn simple_one(
        &mut self,
        statement: &Prepared,
        text: &str,
    ) -> Result<Result<(), Failed>, Broken> {
        if let Err(failed) = self.check(statement) {
            return Ok(Err(failed));
        }
        if let Some(command) = &statement.command {
            return Ok(self.simple_command(command));
        }
        let mut held = match self.answer(text).await? {
            Ok(held) => held,
            Err(failed) => return Ok(Err(failed)),
        };
        if statement.answers_rows() {
            self.output.fields(&held.fields, &[Format::Text]);
            let sent = held.send(&mut self.output, &[Format::Text], None).await?;
            if let Err(fault) = sent {
                return Ok(Err(own(fault)));
            }
        }
        Ok(self.completed(statement, &mut held))
    }

    fn simple_command(&mut self, command: &crate::wire::command::Command) -> Result<(), Failed> {
        if let Some(columns) = command.columns() {
            if let crate::wire::command::Command::Show(name) = command {
                self.settings.show(name).map_err(own)?;
            }
            let fields: Vec<Field> = columns.iter().map(|name| Field::text(name)).collect();
            self.output.fields(&fields, &[Format::Text]);
        }
        self.command(command)
    }
}
