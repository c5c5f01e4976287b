//! UPDATE, DELETE and MERGE as they are parsed: what happens to which rows of a table.
//!
//! Each is a list of steps over one state of the table. A step is a query of its own, with tables of
//! its own, so that everything that governs a SELECT governs it: the rows that it finds are rows that
//! the caller sees.

use crate::{
    ir::{Ident, Position},
    parse::{Statement, TableName},
};

/// A statement that changes a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The word that it starts with.
    pub verb: Verb,
    /// The table, as named first.
    pub target: TableName,
    /// What happens, each to rows of its own; UPDATE and DELETE have one step, MERGE one for each WHEN.
    pub steps: Vec<Step>,
    /// RETURNING: a SELECT from the target, which stands for the rows written or removed.
    pub returning: Option<Box<Statement>>,
}

/// The word that a change starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
    /// MERGE.
    Merge,
}

impl Verb {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Merge => "MERGE",
        }
    }
}

/// What happens to the rows that a query finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub action: StepAction,
    /// The query. Unless rows are added, the table that is changed is its first occurrence and its first
    /// relation.
    pub rows: Statement,
    /// Where the step is.
    pub position: Position,
}

/// What happens to a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepAction {
    /// These columns take the values of the query's columns.
    Update(Vec<Ident>),
    /// It goes.
    Delete,
    /// It is added to the table, with these columns; all, if empty.
    Insert(Vec<Ident>),
}
