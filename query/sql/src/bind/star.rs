//! Stars: the columns that they stand for, and what EXCEPT, REPLACE, RENAME and ILIKE make of them.

use std::rc::Rc;

use dataos_model::lineage::Transformation;

use super::{
    Binder,
    scope::{Meaning, Scope},
};
use crate::{
    error::{SqlError, SqlErrorKind},
    ir::{Expr, Ident, Position, StarOptions},
    lineage::Flow,
    parse::dotted,
};

/// Name, text and sources of a column.
pub(super) type Column = (String, Expr, Rc<Flow>);

impl Binder<'_> {
    /// `*`: for each item of FROM the merged columns, the last join's first, then the others.
    pub(super) fn star(
        &mut self,
        position: Position,
        options: &StarOptions,
    ) -> Result<Vec<Column>, SqlError> {
        let Some(scope) = self.scopes.last_mut().map(std::mem::take) else {
            return Ok(Vec::new());
        };
        let meanings = all_columns(&scope);
        let expanded = if scope.relations.is_empty() {
            let text = "* needs a FROM";
            Err(SqlError::new(SqlErrorKind::Invalid, text, position))
        } else {
            self.expanded_columns(&scope, meanings, options)
        };
        if let Some(place) = self.scopes.last_mut() {
            *place = scope;
        }
        self.changed(expanded?, options, position)
    }

    pub(super) fn qualified_star(
        &mut self,
        parts: &[Ident],
        options: &StarOptions,
    ) -> Result<Vec<Column>, SqlError> {
        let position = parts
            .first()
            .map_or(Position::default(), |part| part.position);
        let Some(scope) = self.scopes.last_mut().map(std::mem::take) else {
            return Ok(Vec::new());
        };
        let relation = only_relation(parts, &scope.qualified(parts), position);
        let expanded = relation.and_then(|relation| {
            let entry = scope.relations.get(relation);
            let columns = entry.into_iter().flat_map(|entry| &entry.columns);
            let meanings = columns
                .enumerate()
                .map(|(column, output)| (output.name.clone(), Meaning::Column(relation, column)));
            self.expanded_columns(&scope, meanings.collect(), options)
        });
        if let Some(place) = self.scopes.last_mut() {
            *place = scope;
        }
        self.changed(expanded?, options, position)
    }

    /// The columns that ILIKE, EXCEPT and REPLACE leave; only these count as used.
    fn expanded_columns(
        &mut self,
        scope: &Scope,
        meanings: Vec<(String, Meaning)>,
        options: &StarOptions,
    ) -> Result<Vec<(Column, bool)>, SqlError> {
        let names: Vec<&str> = meanings.iter().map(|(name, _)| name.as_str()).collect();
        let replaced = options.replace.iter().map(|(_, name)| name);
        let renamed = options.rename.iter().map(|(name, _)| name);
        for name in options.except.iter().chain(replaced).chain(renamed) {
            if !names.iter().any(|known| is_named(name, known)) {
                let text = format!("column `{}` is not among those of the star", name.value);
                return Err(SqlError::new(SqlErrorKind::Unknown, text, name.position));
            }
        }
        let mut columns = Vec::new();
        for (name, meaning) in meanings {
            let is_like = options
                .like
                .as_ref()
                .is_none_or(|pattern| is_like(&name, pattern));
            let is_excepted = options.except.iter().any(|except| is_named(except, &name));
            if !is_like || is_excepted {
                continue;
            }
            let is_replaced = options.replace.iter().any(|(_, by)| is_named(by, &name));
            let (expr, flow) = if is_replaced {
                (Expr::Column(Vec::new()), Rc::default())
            } else {
                self.meant(scope, meaning)?
            };
            columns.push(((name, expr, flow), is_replaced));
        }
        Ok(columns)
    }

    /// Carries out REPLACE, whose values see the FROM, and RENAME.
    fn changed(
        &mut self,
        columns: Vec<(Column, bool)>,
        options: &StarOptions,
        position: Position,
    ) -> Result<Vec<Column>, SqlError> {
        if columns.is_empty() {
            let text = "no column is visible to stand for *";
            return Err(SqlError::new(SqlErrorKind::Unknown, text, position));
        }
        let mut changed = Vec::with_capacity(columns.len());
        for ((name, mut expr, mut flow), is_replaced) in columns {
            let replacement = options.replace.iter().find(|(_, by)| is_named(by, &name));
            if let (true, Some((by, _))) = (is_replaced, replacement) {
                let mut sources = Flow::default();
                expr = self.expr(by, Transformation::Identity, &mut sources)?;
                flow = Rc::new(sources);
            }
            let renamed = options
                .rename
                .iter()
                .find(|(from, _)| is_named(from, &name));
            let name = renamed.map_or(name, |(_, to)| to.value.clone());
            changed.push((name, expr, flow));
        }
        Ok(changed)
    }
}

/// The one relation that a name means.
pub(super) fn only_relation(
    name: &[Ident],
    found: &[usize],
    at: Position,
) -> Result<usize, SqlError> {
    let (kind, text) = match found {
        [relation] => return Ok(*relation),
        [] => (SqlErrorKind::Unknown, "is not in FROM"),
        _ => (SqlErrorKind::Ambiguous, "is ambiguous"),
    };
    Err(SqlError::new(
        kind,
        format!("`{}` {text}", dotted(name)),
        at,
    ))
}

fn all_columns(scope: &Scope) -> Vec<(String, Meaning)> {
    let items = scope.relations.last().map_or(0, |relation| relation.item);
    let mut meanings = Vec::new();
    for item in 0..=items {
        let merged = scope.merged.iter().enumerate().rev();
        meanings.extend(
            merged
                .filter(|(_, merged)| merged.item == item)
                .map(|(index, merged)| (merged.name.clone(), Meaning::Merged(index))),
        );
        let columns = scope.columns(scope.visible()).filter(|(relation, _, _)| {
            scope
                .relations
                .get(*relation)
                .is_some_and(|relation| relation.item == item)
        });
        meanings.extend(columns.map(|(relation, column, output)| {
            (output.name.clone(), Meaning::Column(relation, column))
        }));
    }
    meanings
}

fn is_named(name: &Ident, column: &str) -> bool {
    name.matches(column) || name.matches_loosely(column)
}

/// ILIKE on a name: `%` any text, `_` any sign; in linear space and quadratic time.
fn is_like(name: &str, pattern: &str) -> bool {
    let name: Vec<char> = name.to_lowercase().chars().collect();
    // Which prefixes of the name the pattern so far can be.
    let mut reached = vec![false; name.len() + 1];
    if let Some(empty) = reached.first_mut() {
        *empty = true;
    }
    for sign in pattern.to_lowercase().chars() {
        let mut next = vec![false; reached.len()];
        let mut any = false;
        for (end, place) in next.iter_mut().enumerate() {
            any |= reached.get(end).copied().unwrap_or_default();
            let before = end.checked_sub(1);
            let fits = before
                .and_then(|at| name.get(at))
                .is_some_and(|letter| sign == '_' || *letter == sign);
            let follows = before.and_then(|at| reached.get(at)).copied();
            *place = if sign == '%' {
                any
            } else {
                fits && follows.unwrap_or_default()
            };
        }
        reached = next;
    }
    reached.last().copied().unwrap_or_default()
}
