//! The stock crates: a program of its own (`tests/peers/federation`), as they bring what the product must not
//! contain.

use std::{
    cmp::Ordering,
    io::{Error, ErrorKind, Result},
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;
use serde_json::Value;

use super::super::process::Answering;

/// Numbers are the same up to this, and this part of them: averages end at other digits.
const DIFFERENCE_MAX: f64 = 1e-6;
const PART_MAX: f64 = 1e-9;

/// Most characters of a message of the peer that are shown.
const MESSAGE_MAX: usize = 60;

/// One way to use the crates.
pub(super) struct Peer {
    process: Answering,
    program: PathBuf,
    mode: &'static str,
    sources: Value,
}

/// What it says to a statement.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Answer {
    Rows { ms: f64, rows: Vec<Vec<Value>> },
    Failure { error: String },
}

impl Peer {
    /// Starts the program in one of its modes.
    pub(super) fn start(program: &Path, mode: &'static str, sources: &Value) -> Result<Self> {
        Ok(Self {
            process: started(program, mode, sources)?,
            program: program.to_owned(),
            mode,
            sources: sources.clone(),
        })
    }

    /// What is wrong with its answer, if anything.
    pub(super) fn wrong(&mut self, sql: &str, wanted: &[u8]) -> Result<Option<String>> {
        let wanted = bare(serde_json::from_slice(wanted)?);
        let rows = match self.process.ask(&sql) {
            Ok(Answer::Rows { rows, .. }) => bare(rows),
            Ok(Answer::Failure { error }) => {
                let line = error.lines().next().unwrap_or_default();
                return Ok(Some(line.chars().take(MESSAGE_MAX).collect()));
            }
            // Some plans take hours, and their process hears of nothing else meanwhile.
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                self.process = started(&self.program, self.mode, &self.sources)?;
                return Ok(Some(error.to_string()));
            }
            Err(error) => return Err(error),
        };
        let is_right = rows.len() == wanted.len() && rows.iter().zip(&wanted).all(is_same);
        Ok((!is_right).then(|| format!("wrong rows ({} for {})", rows.len(), wanted.len())))
    }

    /// Milliseconds of planning and execution.
    pub(super) fn run(&mut self, sql: &str) -> Result<f64> {
        match self.process.ask(&sql)? {
            Answer::Rows { ms, .. } => Ok(ms),
            Answer::Failure { error } => Err(Error::other(format!("the stock peer: {error}"))),
        }
    }
}

fn started(program: &Path, mode: &str, sources: &Value) -> Result<Answering> {
    let mut process = Answering::start(Command::new(program).arg(mode))?;
    process.tell(sources)?;
    Ok(process)
}

/// A value without the type and scale that one plan or another gives it.
#[derive(Debug, PartialEq, PartialOrd)]
enum Bare {
    Null,
    Number(f64),
    Text(String),
}

impl Bare {
    fn of(value: Value) -> Self {
        let text = match value {
            Value::Null => return Self::Null,
            Value::String(text) => text,
            other => other.to_string(),
        };
        match text.parse() {
            Ok(number) if f64::is_finite(number) => Self::Number(number),
            _ => Self::Text(text),
        }
    }
}

/// Rows in an order of their own: rows that compare equal come in any.
fn bare(rows: Vec<Vec<Value>>) -> Vec<Vec<Bare>> {
    let rows = rows.into_iter();
    let mut rows: Vec<Vec<Bare>> = rows
        .map(|row| row.into_iter().map(Bare::of).collect())
        .collect();
    rows.sort_by(|one, other| one.partial_cmp(other).unwrap_or(Ordering::Equal));
    rows
}

fn is_same((one, other): (&Vec<Bare>, &Vec<Bare>)) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|pair| match pair {
            (Bare::Number(one), Bare::Number(other)) => {
                (one - other).abs() <= DIFFERENCE_MAX + PART_MAX * other.abs()
            }
            (one, other) => one == other,
        })
}
