//! Column names: resolved from the innermost scope outwards. What is no column may be a relation, and is its row.

use std::rc::Rc;

use super::{
    Binder,
    expr::is_repeatable,
    keys::output_index,
    scope::{Meaning, Scope},
};
use crate::{
    error::{SqlError, SqlErrorKind},
    functions::distance,
    ir::{Expr, Ident, Position, SelectItem},
    lineage::Flow,
    parse::dotted,
};

impl Binder<'_> {
    /// What a column name means: its text, its sources, its name as the catalog spells it.
    pub(super) fn column(&mut self, parts: &[Ident]) -> Result<(Expr, Rc<Flow>, String), SqlError> {
        let Some((name, qualifier)) = parts.split_last() else {
            return Err(unknown(parts, Vec::new()));
        };
        for index in (0..self.scopes.len()).rev() {
            let Some(scope) = self.scopes.get_mut(index) else {
                break;
            };
            // Taken out while `meant` marks the column as used.
            let scope = std::mem::take(scope);
            let found = self.column_in(&scope, name, qualifier, parts);
            if let Some(place) = self.scopes.get_mut(index) {
                *place = scope;
            }
            if let Some(found) = found? {
                self.nearest = self.nearest.max(Some(index));
                return Ok(found);
            }
        }
        if let Some(row) = self.row_named(parts)? {
            return self.row(row);
        }
        Err(unknown(parts, self.candidates(name)))
    }

    fn column_in(
        &mut self,
        scope: &Scope,
        name: &Ident,
        qualifier: &[Ident],
        parts: &[Ident],
    ) -> Result<Option<(Expr, Rc<Flow>, String)>, SqlError> {
        let meanings = if qualifier.is_empty() {
            scope.unqualified(name, scope.visible())
        } else {
            let relations = scope.qualified(qualifier);
            if relations.is_empty() {
                return Ok(None);
            }
            relations
                .iter()
                .filter_map(|relation| Some((*relation, scope.relations.get(*relation)?)))
                .flat_map(|(relation, entry)| {
                    let columns = entry.columns_named(name);
                    columns
                        .into_iter()
                        .map(move |column| Meaning::Column(relation, column))
                })
                .collect()
        };
        match meanings.as_slice() {
            [] if qualifier.is_empty() => alias_in(scope, name),
            // A qualifier that is known here hides the same qualifier further out.
            [] => Err(unknown(parts, self.candidates_of(scope, name))),
            [meaning] => {
                let spelled = spelling(scope, *meaning).unwrap_or_else(|| name.value.clone());
                let (expr, flow) = self.meant(scope, *meaning)?;
                Ok(Some((expr, flow, spelled)))
            }
            several => {
                let mut candidates: Vec<String> = several
                    .iter()
                    .filter_map(|meaning| qualified_spelling(scope, *meaning))
                    .collect();
                candidates.dedup();
                Err(SqlError::new(
                    SqlErrorKind::Ambiguous,
                    format!("column `{}` is ambiguous", dotted(parts)),
                    name.position,
                )
                .with_hint(format!("it may be {}", candidates.join(", "))))
            }
        }
    }

    /// Visible columns with a name near to an unknown one.
    fn candidates(&self, name: &Ident) -> Vec<String> {
        self.scopes
            .iter()
            .rev()
            .flat_map(|scope| self.candidates_of(scope, name))
            .collect()
    }

    #[expect(clippy::unused_self, reason = "reads as a pair with `candidates`")]
    fn candidates_of(&self, scope: &Scope, name: &Ident) -> Vec<String> {
        /// More candidates help nobody.
        const CANDIDATES_MAX: usize = 3;
        /// Columns that are compared.
        const COMPARED_MAX: usize = 1_000;
        let mut near: Vec<(usize, String)> = scope
            .columns(scope.visible())
            .take(COMPARED_MAX)
            .map(|(_, _, output)| {
                (
                    distance(&name.value, &output.name.to_ascii_lowercase()),
                    output.name.clone(),
                )
            })
            .filter(|(distance, candidate)| *distance <= 3 && *distance * 2 <= candidate.len())
            .collect();
        near.sort();
        near.dedup();
        near.into_iter()
            .take(CANDIDATES_MAX)
            .map(|(_, name)| name)
            .collect()
    }
}

/// What a name means as an alias of the select list: the expression behind it.
fn alias_in(scope: &Scope, name: &Ident) -> Result<Option<(Expr, Rc<Flow>, String)>, SqlError> {
    let Some(selected) = &scope.selected else {
        return Ok(None);
    };
    let Some(index) = output_index(name, &selected.outputs)? else {
        return Ok(None);
    };
    let (Some(SelectItem::Expr { expr, .. }), Some(output)) =
        (selected.items.get(index), selected.outputs.get(index))
    else {
        return Ok(None);
    };
    if !is_repeatable(expr) {
        let what = format!(
            "the alias `{}` of a query or of a volatile function here",
            name.value
        );
        return Err(SqlError::unsupported(what, name.position)
            .with_hint("compute it in a query in FROM, and name it from outside"));
    }
    Ok(Some((
        expr.clone(),
        Rc::clone(&output.flow),
        output.name.clone(),
    )))
}

fn spelling(scope: &Scope, meaning: Meaning) -> Option<String> {
    match meaning {
        Meaning::Column(relation, column) => Some(
            scope
                .relations
                .get(relation)?
                .columns
                .get(column)?
                .name
                .clone(),
        ),
        Meaning::Merged(index) => Some(scope.merged.get(index)?.name.clone()),
    }
}

fn qualified_spelling(scope: &Scope, meaning: Meaning) -> Option<String> {
    let name = spelling(scope, meaning)?;
    match meaning {
        Meaning::Column(relation, _) => {
            let relation = scope.relations.get(relation)?.name.as_ref()?;
            Some(format!("{}.{name}", relation.value))
        }
        Meaning::Merged(_) => Some(name),
    }
}

/// One error for a column that does not exist and for one that is not visible.
pub(super) fn unknown(parts: &[Ident], mut candidates: Vec<String>) -> SqlError {
    candidates.dedup();
    let error = SqlError::new(
        SqlErrorKind::Unknown,
        format!(
            "column `{}` does not exist or is not visible",
            dotted(parts)
        ),
        parts
            .first()
            .map_or(Position::default(), |part| part.position),
    );
    if candidates.is_empty() {
        return error;
    }
    error.with_hint(format!("did you mean {}?", candidates.join(", ")))
}
