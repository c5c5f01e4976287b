//! One message after the other: simple and extended queries, until either side ends the session.

mod extended;
mod run;
mod simple;

use std::{collections::BTreeMap, io, sync::Arc};

use dataos_model::fault::{Fault, FaultKind};
use dataos_sql::script::{Piece, Word};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::Instant,
};

use super::{
    Caller, Failed, WireLimits,
    answer::Held,
    cancel::Cancellable,
    command::Command,
    message::{Broken, Format, Input, Message},
    problem::Place,
    reply::{Output, Status},
    settings::Settings,
    startup::Opened,
};

/// Prepared statements of one session.
const STATEMENTS_MAX: usize = 256;
/// Portals of one session; a few of them may hold an answer.
const PORTALS_MAX: usize = 32;
/// Portals that hold an answer.
const HELD_MAX: usize = 2;
/// Bytes of all statements and portals of one session.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// A session.
#[derive(Debug)]
pub(super) struct Session<R, W> {
    input: Input<R>,
    output: Output<W>,
    caller: Arc<dyn Caller>,
    settings: Settings,
    cancellable: Cancellable,
    limits: WireLimits,
    stop: watch::Receiver<bool>,
    /// When the session has lived long enough.
    ends: Instant,
    status: Status,
    statements: BTreeMap<String, Arc<Prepared>>,
    portals: BTreeMap<String, Portal>,
    /// After an error in extended messages: nothing is done until Sync.
    skips: bool,
}

/// A statement that was parsed.
#[derive(Debug)]
struct Prepared {
    /// `None` for an empty text.
    piece: Option<Piece>,
    /// What the session does by itself.
    command: Option<Command>,
    /// Declared types of parameters; 0 where none was.
    types: Vec<u32>,
}

/// A statement with its parameters.
#[derive(Debug)]
struct Portal {
    statement: Arc<Prepared>,
    /// The text with its parameters filled in.
    sql: String,
    formats: Vec<Format>,
    answer: Answer,
}

/// What a portal has of its answer.
#[derive(Debug)]
enum Answer {
    /// Not run.
    None,
    /// Run; nothing sent, or not all.
    Held(Box<Held>),
    /// All sent.
    Done,
}

impl Prepared {
    /// # Errors
    /// More than one statement, or a session's command that is none.
    fn of(mut pieces: Vec<Piece>, types: Vec<u32>) -> Result<Self, Fault> {
        let piece = pieces.pop();
        if !pieces.is_empty() {
            let fault = Fault::new(
                FaultKind::Unsupported,
                "more than one statement is prepared",
            );
            return Err(fault
                .with_reason("sql_syntax")
                .with_hint("prepare one statement"));
        }
        let command = match &piece {
            Some(piece) => Command::of(&piece.words)?,
            None => None,
        };
        Ok(Self {
            piece,
            command,
            types,
        })
    }

    fn word(&self) -> &str {
        let word = self.piece.as_ref().and_then(|piece| piece.words.first());
        word.map_or("", |word| word.text())
    }

    /// Whether CREATE or DROP is of a view.
    fn is_of_view(&self) -> bool {
        // What may stand between: OR REPLACE, SQL SECURITY DEFINER.
        let words = self.piece.iter().flat_map(|piece| &piece.words);
        let mut words = words.skip(1).take(6).map(Word::text);
        words.find(|word| ["view", "table"].contains(word)) == Some("view")
    }

    /// Whether it takes effect.
    fn writes(&self) -> bool {
        matches!(
            self.word(),
            "insert" | "create" | "drop" | "update" | "delete" | "merge"
        )
    }

    /// Whether rows come back.
    fn answers_rows(&self) -> bool {
        !self.writes() || self.piece.as_ref().is_some_and(|piece| piece.has_returning)
    }

    fn place(&self) -> Place<'_> {
        match &self.piece {
            Some(piece) if piece.parameters == 0 => Place::Text(&piece.text, piece.start),
            _ => Place::Changed,
        }
    }

    fn bytes(&self) -> usize {
        let text = self.piece.as_ref().map_or(0, |piece| piece.text.len());
        text + 8 * self.types.len()
    }
}

/// A failure that no call has: of the session itself.
fn own(fault: impl Into<Fault>) -> Failed {
    Failed {
        fault: Box::new(fault.into()),
        request_id: String::new(),
    }
}

impl<R, W> Session<R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    pub(super) fn new(
        input: Input<R>,
        output: Output<W>,
        opened: Opened,
        limits: WireLimits,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            input,
            output,
            caller: opened.caller,
            settings: opened.settings,
            cancellable: opened.cancellable,
            ends: Instant::now() + limits.lifetime,
            limits,
            stop,
            status: Status::Idle,
            statements: BTreeMap::new(),
            portals: BTreeMap::new(),
            skips: false,
        }
    }

    /// Serves until either side ends the session.
    pub(super) async fn run(&mut self) {
        let broken = loop {
            let message = match self.next().await {
                Ok(Message::Terminate) => return,
                Ok(message) => message,
                Err(broken) => break broken,
            };
            if let Err(broken) = self.take(message).await {
                break broken;
            }
        };
        if let Err(error) = self.output.goodbye(&broken).await {
            tracing::debug!(%error, "a session ended early");
        }
    }

    pub(super) async fn close(&mut self) {
        self.output.close(&mut self.input).await;
    }

    async fn next(&mut self) -> Result<Message, Broken> {
        let shutdown = || Broken::Refused("57P01", "the server stops".to_owned(), "connect again");
        if *self.stop.borrow() {
            return Err(shutdown());
        }
        tokio::select! {
            message = self.input.message() => message,
            _ = self.stop.wait_for(|stop| *stop) => Err(shutdown()),
            () = tokio::time::sleep(self.limits.idle_timeout) => Err(Broken::Late("a statement")),
            () = tokio::time::sleep_until(self.ends) => Err(Broken::Refused(
                "57P05",
                "the session has lived as long as a session may".to_owned(),
                "connect and log in again",
            )),
        }
    }

    async fn take(&mut self, message: Message) -> Result<(), Broken> {
        if self.skips && message != Message::Sync {
            return Ok(());
        }
        match message {
            Message::Query(sql) => {
                self.simple(&sql).await?;
                self.turn().await?;
            }
            Message::Sync => {
                self.skips = false;
                self.turn().await?;
            }
            Message::Flush => self.output.flush().await?,
            Message::FunctionCall => {
                let fault = Fault::new(FaultKind::Unsupported, "function calls are not supported");
                self.fail(&own(fault), &Place::Changed);
                self.turn().await?;
            }
            Message::Stray | Message::Terminate => {}
            extended => {
                if let Err(failed) = self.extended(extended).await? {
                    self.fail(&failed.0, &failed.1.place());
                    self.skips = true;
                }
                self.output.make_room().await?;
            }
        }
        Ok(())
    }

    /// It is the peer's turn.
    async fn turn(&mut self) -> io::Result<()> {
        if self.status == Status::Idle {
            // The end of the implicit transaction is the end of its portals.
            self.portals.clear();
        }
        // What was decided for this turn is not shown in a later one, when it might be decided otherwise.
        for portal in self.portals.values_mut() {
            if matches!(&portal.answer, Answer::Held(held) if held.sent == 0) {
                portal.answer = Answer::None;
            }
        }
        self.output.ready(self.status);
        self.output.flush().await
    }

    fn fail(&mut self, failed: &Failed, place: &Place<'_>) {
        if self.status == Status::InTransaction {
            self.status = Status::Failed;
        }
        self.output.error(failed, place);
    }

    /// Refuses what a failed transaction does not take, and writes that could not be taken back.
    fn check(&self, statement: &Prepared) -> Result<(), Failed> {
        let ends_failure = statement
            .command
            .as_ref()
            .is_some_and(Command::ends_failure);
        if self.status == Status::Failed && !ends_failure {
            let fault = Fault::new(
                FaultKind::Conflict,
                "the transaction failed: statements are ignored until its end",
            );
            return Err(own(fault
                .with_reason("transaction_failed")
                .with_hint("ROLLBACK ends it")));
        }
        if self.status == Status::InTransaction && statement.writes() {
            let message = "a write takes effect at once, so it cannot be part of a transaction";
            let fault = Fault::new(FaultKind::Unsupported, message);
            return Err(own(fault
                .with_reason("write_in_transaction")
                .with_hint("run it outside BEGIN, with autocommit on")));
        }
        Ok(())
    }

    /// Carries out a command of the session's; rows are not announced here.
    fn command(&mut self, command: &Command) -> Result<(), Failed> {
        let tag = match command {
            Command::Begin => {
                self.status = Status::InTransaction;
                "BEGIN"
            }
            Command::Commit if self.status != Status::Failed => {
                self.status = Status::Idle;
                "COMMIT"
            }
            Command::Commit | Command::Rollback => {
                self.status = Status::Idle;
                "ROLLBACK"
            }
            Command::RollbackTo => {
                self.status = Status::InTransaction;
                "ROLLBACK"
            }
            Command::Savepoint => "SAVEPOINT",
            Command::Release => "RELEASE",
            Command::Set(name, value) => {
                self.settings.set(name, value).map_err(own)?;
                self.settings.report_one(name, &mut self.output);
                "SET"
            }
            Command::Reset(name) => {
                self.settings.reset(name.as_deref()).map_err(own)?;
                "RESET"
            }
            Command::Show(name) => {
                let (_, value) = self.settings.show(name).map_err(own)?;
                self.output.text_row(&[value]);
                "SHOW"
            }
            Command::ShowAll => {
                for (name, value) in self.settings.all() {
                    self.output.text_row(&[name, value]);
                }
                "SHOW"
            }
            Command::Deallocate(name) => {
                match name {
                    Some(name) => drop(self.statements.remove(name)),
                    None => self.statements.retain(|name, _| name.is_empty()),
                }
                "DEALLOCATE"
            }
            Command::Discard => {
                self.statements.clear();
                self.portals.clear();
                self.settings.reset(None).map_err(own)?;
                "DISCARD ALL"
            }
            Command::Nothing(tag) => tag,
        };
        self.output.complete(tag);
        Ok(())
    }
}
