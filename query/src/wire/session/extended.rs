//! The extended query: parse, bind, describe, execute, close.

use std::sync::Arc;

use dataos_model::fault::{Fault, FaultKind};
use dataos_sql::script;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Answer, HELD_MAX, KEPT_BYTES_MAX, PORTALS_MAX, Portal, Prepared, STATEMENTS_MAX, Session, own,
};
use crate::wire::{
    Failed,
    message::{Broken, Format, Message, Named},
    parameter,
    reply::{Field, format_of},
};

/// A failure, and the statement that its position is about.
type Failure = (Failed, Arc<Prepared>);
/// What came of a message, if the connection goes on.
type Done = Result<Result<(), Failure>, Broken>;

/// A failure of no statement's.
fn nowhere(fault: impl Into<Fault>) -> Failure {
    let nothing = Prepared {
        piece: None,
        command: None,
        types: Vec::new(),
    };
    (own(fault), Arc::new(nothing))
}

impl<R, W> Session<R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    pub(super) async fn extended(&mut self, message: Message) -> Done {
        match message {
            Message::Parse { name, sql, types } => Ok(self.parse(name, &sql, types)),
            Message::Bind {
                portal,
                statement,
                formats,
                values,
                results,
            } => Ok(self.bind(portal, &statement, &formats, &values, results)),
            Message::Describe(Named::Statement(name)) => Ok(self.describe_statement(&name).await),
            Message::Describe(Named::Portal(name)) => self.describe_portal(&name).await,
            Message::Execute { portal, rows_max } => self.execute(&portal, rows_max).await,
            Message::Close(named) => {
                match named {
                    Named::Statement(name) => drop(self.statements.remove(&name)),
                    Named::Portal(name) => drop(self.portals.remove(&name)),
                }
                self.output.sign(b'3');
                Ok(Ok(()))
            }
            _ => Ok(Ok(())),
        }
    }

    fn parse(&mut self, name: String, sql: &str, mut types: Vec<u32>) -> Result<(), Failure> {
        let pieces = script::pieces(sql).map_err(|error| {
            // The position is one of the text as sent, whatever a piece of it would be.
            let piece = script::Piece {
                text: sql.to_owned(),
                start: 0,
                words: Vec::new(),
                parameters: 0,
                has_returning: false,
            };
            let whole = Prepared {
                piece: Some(piece),
                command: None,
                types: Vec::new(),
            };
            (own(error), Arc::new(whole))
        })?;
        let count = pieces
            .iter()
            .map(|piece| piece.parameters)
            .max()
            .unwrap_or(0);
        if types.len() < count {
            types.resize(count, 0);
        }
        let statement = Arc::new(Prepared::of(pieces, types).map_err(nowhere)?);
        self.check(&statement)
            .map_err(|failed| (failed, Arc::clone(&statement)))?;
        if !name.is_empty() && self.statements.contains_key(&name) {
            let fault = Fault::new(
                FaultKind::Invalid,
                format!("statement `{name}` exists already"),
            );
            return Err(nowhere(fault));
        }
        if self.statements.len() >= STATEMENTS_MAX && !self.statements.contains_key(&name) {
            return Err(nowhere(too_many("prepared statements", STATEMENTS_MAX)));
        }
        self.keeps(statement.bytes()).map_err(nowhere)?;
        self.statements.insert(name, statement);
        self.output.sign(b'1');
        Ok(())
    }

    fn bind(
        &mut self,
        name: String,
        statement: &str,
        formats: &[Format],
        values: &[Option<Vec<u8>>],
        results: Vec<Format>,
    ) -> Result<(), Failure> {
        let statement = self.statement(statement)?;
        let filled = fill(&statement, formats, values);
        let sql = filled.map_err(|fault| (own(fault), Arc::clone(&statement)))?;
        if self.portals.len() >= PORTALS_MAX && !self.portals.contains_key(&name) {
            return Err(nowhere(too_many("portals", PORTALS_MAX)));
        }
        self.keeps(sql.len()).map_err(nowhere)?;
        let portal = Portal {
            statement,
            sql,
            formats: results,
            answer: Answer::None,
        };
        self.portals.insert(name, portal);
        self.output.sign(b'2');
        Ok(())
    }

    async fn describe_statement(&mut self, name: &str) -> Result<(), Failure> {
        let statement = self.statement(name)?;
        let types: Vec<u32> = statement
            .types
            .iter()
            .map(|oid| parameter::told(*oid))
            .collect();
        let fields = self.fields_of(&statement).await;
        let fields = fields.map_err(|failed| (failed, Arc::clone(&statement)))?;
        self.output.parameters(&types);
        match fields {
            Some(fields) => self.output.fields(&fields, &[Format::Text]),
            None => self.output.sign(b'n'),
        }
        Ok(())
    }

    /// The columns of a statement whose parameters are not known yet.
    async fn fields_of(&mut self, statement: &Prepared) -> Result<Option<Vec<Field>>, Failed> {
        self.check(statement)?;
        if let Some(command) = &statement.command {
            return Ok(command_fields(command));
        }
        let Some(piece) = statement
            .piece
            .as_ref()
            .filter(|_| statement.answers_rows())
        else {
            return Ok(None);
        };
        let samples = (1..).zip(&statement.types);
        let samples = samples.map(|(number, oid)| parameter::sample(number, *oid));
        let samples = samples.collect::<Result<Vec<_>, _>>().map_err(own)?;
        let sql = script::filled(&piece.text, &samples).map_err(own)?;
        self.described(&sql).await.map(Some)
    }

    async fn describe_portal(&mut self, name: &str) -> Done {
        let statement = match self.portal(name) {
            Ok(portal) => Arc::clone(&portal.statement),
            Err(failure) => return Ok(Err(failure)),
        };
        if let Some(command) = &statement.command {
            match command_fields(command) {
                Some(fields) => self.output.fields(&fields, &[Format::Text]),
                None => self.output.sign(b'n'),
            }
            return Ok(Ok(()));
        }
        if statement.piece.is_none() || !statement.answers_rows() {
            self.output.sign(b'n');
            return Ok(Ok(()));
        }
        if statement.writes() {
            return self.describe_write(name, &statement).await;
        }
        // Whoever describes a portal executes it next: one run serves both.
        if let Err(failure) = self.run_portal(name).await? {
            return Ok(Err(failure));
        }
        if let Some(portal) = self.portals.get(name)
            && let Answer::Held(held) = &portal.answer
        {
            self.output.fields(&held.fields, &portal.formats);
        }
        Ok(Ok(()))
    }

    /// The columns of a write that returns rows. It takes effect when it is executed, not before.
    async fn describe_write(&mut self, name: &str, statement: &Arc<Prepared>) -> Done {
        let Some(portal) = self.portals.get(name) else {
            return Ok(Ok(()));
        };
        let (sql, formats) = (portal.sql.clone(), portal.formats.clone());
        let failed = |failed| (failed, Arc::clone(statement));
        if let Err(refused) = self.check(statement) {
            return Ok(Err(failed(refused)));
        }
        match self.described(&sql).await {
            Ok(fields) => self.output.fields(&fields, &formats),
            Err(refused) => return Ok(Err(failed(refused))),
        }
        Ok(Ok(()))
    }

    async fn execute(&mut self, name: &str, rows_max: usize) -> Done {
        let statement = match self.portal(name) {
            Ok(portal) => Arc::clone(&portal.statement),
            Err(failure) => return Ok(Err(failure)),
        };
        let failed = |failed| (failed, Arc::clone(&statement));
        if statement.piece.is_none() {
            self.output.sign(b'I');
            return Ok(Ok(()));
        }
        if let Some(command) = &statement.command {
            let done = self.check(&statement).and_then(|()| self.command(command));
            return Ok(done.map_err(failed));
        }
        if let Err(failure) = self.run_portal(name).await? {
            return Ok(Err(failure));
        }
        let Some(portal) = self.portals.get_mut(name) else {
            return Ok(Ok(()));
        };
        let formats = portal.formats.clone();
        let Answer::Held(mut held) = std::mem::replace(&mut portal.answer, Answer::Done) else {
            self.output.complete("SELECT 0");
            return Ok(Ok(()));
        };
        if statement.answers_rows() {
            let most = (rows_max > 0).then_some(rows_max);
            match held.send(&mut self.output, &formats, most).await? {
                Ok(true) => {
                    self.output.sign(b's');
                    if let Some(portal) = self.portals.get_mut(name) {
                        portal.answer = Answer::Held(held);
                    }
                    return Ok(Ok(()));
                }
                Ok(false) => {}
                Err(fault) => return Ok(Err(failed(own(fault)))),
            }
        }
        Ok(self.completed(&statement, &mut held).map_err(failed))
    }

    /// Sees to it that a portal was run.
    async fn run_portal(&mut self, name: &str) -> Done {
        let Some(portal) = self.portals.get(name) else {
            return Ok(Ok(()));
        };
        if !matches!(portal.answer, Answer::None) {
            return Ok(Ok(()));
        }
        let (statement, sql) = (Arc::clone(&portal.statement), portal.sql.clone());
        let is_held = |portal: &&Portal| matches!(portal.answer, Answer::Held(_));
        if self.portals.values().filter(is_held).count() >= HELD_MAX {
            return Ok(Err(nowhere(too_many("portals with rows left", HELD_MAX))));
        }
        if let Err(failed) = self.check(&statement) {
            return Ok(Err((failed, statement)));
        }
        match self.answer(&sql).await? {
            Ok(held) => {
                let count = held.fields.len();
                if let Some(portal) = self.portals.get_mut(name) {
                    if portal.formats.len() > 1 && portal.formats.len() != count {
                        let message = format!("formats for another number of columns than {count}");
                        return Ok(Err(nowhere(Fault::invalid(message))));
                    }
                    portal.answer = Answer::Held(Box::new(held));
                }
                Ok(Ok(()))
            }
            Err(failed) => Ok(Err((failed, statement))),
        }
    }

    fn statement(&self, name: &str) -> Result<Arc<Prepared>, Failure> {
        self.statements.get(name).cloned().ok_or_else(|| {
            let fault = Fault::not_found(format!("there is no prepared statement `{name}`"));
            nowhere(fault.with_reason("unknown_statement"))
        })
    }

    fn portal(&self, name: &str) -> Result<&Portal, Failure> {
        self.portals.get(name).ok_or_else(|| {
            let fault = Fault::not_found(format!("there is no portal `{name}`"));
            nowhere(fault.with_reason("unknown_portal"))
        })
    }

    /// Refuses what the session has no room for.
    fn keeps(&self, bytes: usize) -> Result<(), Fault> {
        let statements: usize = self.statements.values().map(|kept| kept.bytes()).sum();
        let portals: usize = self.portals.values().map(|kept| kept.sql.len()).sum();
        if statements + portals + bytes <= KEPT_BYTES_MAX {
            return Ok(());
        }
        Err(too_many("bytes of prepared statements", KEPT_BYTES_MAX))
    }
}

fn command_fields(command: &crate::wire::command::Command) -> Option<Vec<Field>> {
    let columns = command.columns()?;
    Some(columns.iter().map(|name| Field::text(name)).collect())
}

fn too_many(what: &str, most: usize) -> Fault {
    Fault::new(
        FaultKind::TooLarge,
        format!("the session has too many {what}: at most {most} are allowed"),
    )
    .with_hint("close those that are no longer needed")
}

/// The text with its parameters.
fn fill(
    statement: &Prepared,
    formats: &[Format],
    values: &[Option<Vec<u8>>],
) -> Result<String, Fault> {
    let Some(piece) = &statement.piece else {
        return Ok(String::new());
    };
    if values.len() != statement.types.len() {
        let message = format!(
            "the statement has {} parameters, and {} values were bound",
            statement.types.len(),
            values.len()
        );
        return Err(Fault::invalid(message));
    }
    if values.is_empty() {
        return Ok(piece.text.clone());
    }
    let values = (1..).zip(&statement.types).zip(values);
    let literals = values.map(|((number, oid), value)| {
        let format = format_of(formats, number - 1);
        parameter::literal(number, *oid, format, value.as_deref())
    });
    let literals = literals.collect::<Result<Vec<_>, _>>()?;
    Ok(script::filled(&piece.text, &literals)?)
}
