//! What a name can mean at one place: relations of a FROM, columns merged by USING, WITH queries.

use std::{
    collections::{BTreeSet, HashSet},
    ops::Range,
    rc::Rc,
};

use dataos_model::dataset::DatasetId;

use super::row::WholeRow;
use crate::{
    error::{SqlError, SqlErrorKind},
    ir::{Expr, Ident, SelectItem},
    lineage::{Flow, Source},
    names::names_dataset,
};

/// What is read of the rows of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Columns by their names: each has one of its own.
    Names,
    /// Columns by their places: one that the caller did not name needs no name in the text.
    Places,
    /// Whether there is one.
    Existence,
}

impl Read {
    /// What is read of a query inside, whose rows those of the query are made of.
    pub(super) fn rows(self) -> Self {
        match self {
            Self::Names => Self::Names,
            Self::Places | Self::Existence => Self::Places,
        }
    }
}

/// A column that a query answers.
#[derive(Clone, Debug)]
pub(super) struct Output {
    /// The name that the caller knows.
    pub(super) name: String,
    /// The name in the text, unique within its query.
    pub(super) engine_name: String,
    /// Its sources.
    pub(super) flow: Rc<Flow>,
    /// The base column that it is, if it is one of a table in FROM.
    pub(super) base: Option<Source>,
}

/// A query of WITH.
#[derive(Debug)]
pub(super) struct CteEntry {
    /// Its name as the caller spelled it.
    pub(super) name: Ident,
    /// Its name in the text.
    pub(super) engine_name: Ident,
    /// Its columns.
    pub(super) columns: Vec<Output>,
    /// Sources that decide which rows it has.
    pub(super) indirect: BTreeSet<Source>,
    /// Base tables behind it.
    pub(super) weight: usize,
    /// Whether the query that names it is its own.
    pub(super) itself: Itself,
}

/// How a query of WITH stands to itself while it is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Itself {
    /// It is bound.
    Defined,
    /// It may not be named yet.
    Unknown,
    /// Its right side is being bound and may name it, once.
    Working {
        /// Whether it did.
        is_named: bool,
    },
}

/// The select list of a SELECT, bound.
#[derive(Clone, Debug)]
pub(super) struct Selected {
    /// Its items.
    pub(super) items: Vec<SelectItem>,
    /// What they answer.
    pub(super) outputs: Vec<Output>,
}

/// A relation of FROM.
#[derive(Debug)]
pub(super) struct ScopeRelation {
    /// The name by which the caller can qualify columns.
    pub(super) name: Option<Ident>,
    /// The dataset, if it is a base table without an alias: longer qualifiers mean it too.
    pub(super) dataset: Option<DatasetId>,
    /// Its alias in the text.
    pub(super) engine_alias: Ident,
    /// Its columns.
    pub(super) columns: Vec<Output>,
    /// Which comma-separated item of FROM it belongs to.
    pub(super) item: usize,
}

/// A column that USING made of two.
#[derive(Clone, Debug)]
pub(super) struct Merged {
    /// Its name.
    pub(super) name: String,
    /// Its value.
    pub(super) expr: Expr,
    /// Its sources.
    pub(super) flow: Rc<Flow>,
    /// The columns that it stands for: relation and column.
    pub(super) members: Vec<(usize, usize)>,
    /// Which item of FROM it belongs to.
    pub(super) item: usize,
}

/// The relations of one SELECT.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// Relations, in the order of the text.
    pub(super) relations: Vec<ScopeRelation>,
    /// Merged columns, in the order of the joins.
    pub(super) merged: Vec<Merged>,
    /// The columns that merged columns stand for: relation and column.
    pub(super) hidden: HashSet<(usize, usize)>,
    /// First relation that is visible: within ON, the first of the join.
    pub(super) first_visible: usize,
    /// The select list, for the clauses behind WHERE: there a name that is no column may be an alias.
    pub(super) selected: Option<Rc<Selected>>,
    /// The rows that are used as values.
    pub(super) rows: Vec<WholeRow>,
}

/// What a column name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A column: relation and column.
    Column(usize, usize),
    /// A merged column.
    Merged(usize),
}

impl Scope {
    /// The relations that are visible.
    pub(super) fn visible(&self) -> Range<usize> {
        self.first_visible..self.relations.len()
    }

    /// What an unqualified name can mean among the relations of `range`.
    pub(super) fn unqualified(&self, name: &Ident, range: Range<usize>) -> Vec<Meaning> {
        Ident::meant(|fits| self.unqualified_by(range.clone(), |found| fits(name, found)))
    }

    fn unqualified_by(&self, range: Range<usize>, fits: impl Fn(&str) -> bool) -> Vec<Meaning> {
        let merged = self
            .merged
            .iter()
            .enumerate()
            .filter(|(_, merged)| fits(&merged.name) && is_within(merged, &range))
            .map(|(index, _)| Meaning::Merged(index));
        let columns = self
            .columns(range.clone())
            .filter_map(|(relation, column, output)| {
                fits(&output.name).then_some(Meaning::Column(relation, column))
            });
        merged.chain(columns).collect()
    }

    /// The names of the columns of `range`, merged ones first.
    pub(super) fn names(&self, range: Range<usize>) -> impl Iterator<Item = &str> {
        let of = range.clone();
        let merged = self
            .merged
            .iter()
            .filter(move |merged| is_within(merged, &of));
        let columns = self
            .columns(range)
            .map(|(_, _, output)| output.name.as_str());
        merged.map(|merged| merged.name.as_str()).chain(columns)
    }

    /// Forgets the relations from `first` on: a join that keeps only its left side has used them.
    pub(super) fn forget(&mut self, first: usize) {
        self.relations.truncate(first);
        self.merged.retain(|merged| is_within(merged, &(0..first)));
        self.hidden.retain(|(relation, _)| *relation < first);
    }

    /// The columns of `range` that no merged column stands for.
    pub(super) fn columns(
        &self,
        range: Range<usize>,
    ) -> impl Iterator<Item = (usize, usize, &Output)> {
        self.relations
            .iter()
            .enumerate()
            .skip(range.start)
            .take(range.end.saturating_sub(range.start))
            .flat_map(|(relation, entry)| {
                entry
                    .columns
                    .iter()
                    .enumerate()
                    .map(move |(column, output)| (relation, column, output))
            })
            .filter(|(relation, column, _)| !self.hidden.contains(&(*relation, *column)))
    }

    /// Adds a relation, unless its name is taken. Base tables of one name in two collections are
    /// apart by their longer names.
    pub(super) fn push(&mut self, relation: ScopeRelation) -> Result<(), SqlError> {
        if let Some(name) = &relation.name {
            let is_taken = self.relations.iter().any(|other| {
                let are_tables = match (&other.dataset, &relation.dataset) {
                    (Some(one), Some(two)) => one != two,
                    _ => false,
                };
                !are_tables
                    && other.name.as_ref().is_some_and(|other| {
                        other.matches(&name.value) || name.matches(&other.value)
                    })
            });
            if is_taken {
                return Err(SqlError::new(
                    SqlErrorKind::Ambiguous,
                    format!("`{}` is twice in FROM", name.value),
                    name.position,
                )
                .with_hint("give one of them another name with AS"));
            }
        }
        self.relations.push(relation);
        Ok(())
    }

    /// The relations that a qualifier means.
    pub(super) fn qualified(&self, parts: &[Ident]) -> Vec<usize> {
        Ident::meant(|fits| {
            let relations = self.relations.iter().enumerate().skip(self.first_visible);
            let named = relations.filter(|(_, relation)| relation.is_named(parts, fits));
            named.map(|(index, _)| index).collect()
        })
    }
}

/// Whether all members of a merged column are within `range`.
fn is_within(merged: &Merged, range: &Range<usize>) -> bool {
    merged
        .members
        .iter()
        .all(|(relation, _)| range.contains(relation))
}

impl ScopeRelation {
    fn is_named(&self, parts: &[Ident], fits: fn(&Ident, &str) -> bool) -> bool {
        match (parts, &self.name) {
            ([single], Some(name)) => fits(single, &name.value),
            (parts, _) => self
                .dataset
                .as_ref()
                .is_some_and(|dataset| names_dataset(parts, dataset, fits)),
        }
    }

    /// Indexes of the columns that a name means.
    pub(super) fn columns_named(&self, name: &Ident) -> Vec<usize> {
        Ident::meant(|fits| {
            let columns = self.columns.iter().enumerate();
            let named = columns.filter(|(_, output)| fits(name, &output.name));
            named.map(|(index, _)| index).collect()
        })
    }

    /// The column in the text.
    pub(super) fn column(&self, output: &Output) -> Expr {
        Expr::Column(vec![
            self.engine_alias.clone(),
            Ident::quoted(&output.engine_name),
        ])
    }
}
