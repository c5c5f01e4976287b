//! FROM: each relation gets an alias of ours; USING becomes ON.

use std::{collections::HashSet, rc::Rc};

use dataos_model::lineage::Transformation;

use super::{
    Binder, BoundQuery, added_call, governed_name, mismatch,
    scope::{Itself, Meaning, Merged, Output, Read, Scope, ScopeRelation},
};
use crate::{
    error::{SqlError, SqlErrorKind},
    ir::{
        Alias, Arguments, BinaryOperator, Expr, Ident, Join, JoinCondition, JoinKind, Position,
        Query, Relation,
    },
    lineage::{Flow, Source},
};

impl Binder<'_> {
    /// All items of FROM; the scope is complete when this returns.
    pub(super) fn from(&mut self, from: &[Relation]) -> Result<(Vec<Relation>, Scope), SqlError> {
        let mut scope = Scope::default();
        let mut relations = Vec::with_capacity(from.len());
        let outer = std::mem::take(&mut self.siblings);
        for (item, relation) in from.iter().enumerate() {
            relations.push(self.relation(relation, &mut scope, item)?);
        }
        self.siblings = outer;
        Ok((relations, scope))
    }

    fn relation(
        &mut self,
        relation: &Relation,
        scope: &mut Scope,
        item: usize,
    ) -> Result<Relation, SqlError> {
        match relation {
            Relation::Table {
                name,
                occurrence,
                alias,
            } => self.table(name, *occurrence, alias.as_ref(), scope, item),
            Relation::Cte { name, alias } => self.cte(name, alias.as_ref(), scope, item),
            Relation::Derived {
                is_lateral,
                query,
                alias,
            } => {
                let bound = if *is_lateral {
                    self.lateral(query, scope)?
                } else {
                    self.query(query, Read::Names)?
                };
                let columns = alias.as_ref().map_or(&[][..], |alias| &alias.columns);
                let bound = bound.called(columns)?;
                self.note_indirect(bound.indirect);
                let name = alias
                    .as_ref()
                    .map_or("derived", |alias| alias.name.value.as_str());
                let engine_alias = self.alias(name);
                scope.push(ScopeRelation {
                    name: alias.as_ref().map(|alias| alias.name.clone()),
                    dataset: None,
                    engine_alias: engine_alias.clone(),
                    columns: bound.outputs,
                    item,
                })?;
                Ok(Relation::Derived {
                    is_lateral: *is_lateral,
                    query: Box::new(bound.query),
                    alias: plain(engine_alias),
                })
            }
            Relation::Join(join) => self.join(join, scope, item),
        }
    }

    /// A query that sees the relations before it.
    fn lateral(&mut self, query: &Query, scope: &mut Scope) -> Result<BoundQuery, SqlError> {
        self.scopes.push(std::mem::take(scope));
        let bound = self.query(query, Read::Names);
        *scope = self.scopes.pop().unwrap_or_default();
        bound
    }

    fn table(
        &mut self,
        name: &[Ident],
        occurrence: usize,
        alias: Option<&Alias>,
        scope: &mut Scope,
        item: usize,
    ) -> Result<Relation, SqlError> {
        let (Some(view), Some(last)) = (self.views.get(occurrence).copied(), name.last()) else {
            return Err(mismatch("a table of the statement was not resolved"));
        };
        self.expand(1, last.position)?;
        let columns = view.columns.iter().enumerate().map(|(column, visible)| {
            let source = Source { occurrence, column };
            Output {
                name: visible.name.clone(),
                engine_name: visible.name.clone(),
                flow: Rc::new(Flow::of(source)),
                base: Some(source),
            }
        });
        let columns = renamed(columns.collect(), alias)?;
        let visible_name = alias.map_or(last, |alias| &alias.name);
        let engine_alias = self.alias(&visible_name.value);
        scope.push(ScopeRelation {
            name: Some(visible_name.clone()),
            dataset: alias.is_none().then(|| view.dataset.clone()),
            engine_alias: engine_alias.clone(),
            columns,
            item,
        })?;
        let name = vec![Ident::quoted(governed_name(occurrence))];
        Ok(Relation::Table {
            name,
            occurrence,
            alias: plain(engine_alias),
        })
    }

    fn cte(
        &mut self,
        name: &Ident,
        alias: Option<&Alias>,
        scope: &mut Scope,
        item: usize,
    ) -> Result<Relation, SqlError> {
        let Some(entry) = self
            .ctes
            .iter_mut()
            .rev()
            .find(|entry| entry.name.value == name.value)
        else {
            return Err(mismatch("a WITH reference was not resolved"));
        };
        match &mut entry.itself {
            Itself::Defined => {}
            Itself::Working { is_named } if !*is_named => *is_named = true,
            Itself::Unknown | Itself::Working { .. } => {
                let text = format!(
                    "`{}` may name itself only once, and on the right side of its UNION",
                    name.value
                );
                return Err(SqlError::new(SqlErrorKind::Invalid, text, name.position));
            }
        }
        let (engine_name, weight) = (entry.engine_name.clone(), entry.weight);
        let (columns, indirect) = (entry.columns.clone(), entry.indirect.clone());
        self.expand(weight, name.position)?;
        self.note_indirect(indirect);
        let visible_name = alias.map_or(name, |alias| &alias.name);
        let engine_alias = self.alias(&visible_name.value);
        scope.push(ScopeRelation {
            name: Some(visible_name.clone()),
            dataset: None,
            engine_alias: engine_alias.clone(),
            columns: renamed(columns, alias)?,
            item,
        })?;
        Ok(Relation::Cte {
            name: engine_name,
            alias: plain(engine_alias),
        })
    }

    fn join(&mut self, join: &Join, scope: &mut Scope, item: usize) -> Result<Relation, SqlError> {
        let Join {
            left,
            right,
            kind,
            condition,
        } = join;
        let start = scope.relations.len();
        let left = self.relation(left, scope, item)?;
        let middle = scope.relations.len();
        let right = self.relation(right, scope, item)?;
        let mut kind = *kind;
        let condition = match condition {
            JoinCondition::None => JoinCondition::None,
            JoinCondition::Natural(position) => {
                let mut equalities = Vec::new();
                for column in common_columns(scope, start, middle, *position) {
                    equalities.push(self.merge(&column, scope, (start, middle), kind, item)?);
                }
                if equalities.is_empty() && kind == JoinKind::Inner {
                    kind = JoinKind::Cross;
                    JoinCondition::None
                } else {
                    JoinCondition::On(all_of(equalities))
                }
            }
            JoinCondition::On(on) => {
                // ON sees the two sides of its join, and what encloses the query.
                let mut visible = std::mem::take(scope);
                let outer_first = std::mem::replace(&mut visible.first_visible, start);
                self.scopes.push(visible);
                let bound = self.condition(on);
                *scope = self.scopes.pop().unwrap_or_default();
                scope.first_visible = outer_first;
                JoinCondition::On(bound?)
            }
            JoinCondition::Using(columns) => {
                let mut equalities = Vec::with_capacity(columns.len());
                for column in columns {
                    equalities.push(self.merge(column, scope, (start, middle), kind, item)?);
                }
                JoinCondition::On(all_of(equalities))
            }
        };
        if matches!(kind, JoinKind::Semi | JoinKind::Anti) {
            scope.forget(middle);
        }
        Ok(Relation::Join(Box::new(Join {
            left,
            right,
            kind,
            condition,
        })))
    }

    /// Merges a column of USING, and answers its equality.
    fn merge(
        &mut self,
        name: &Ident,
        scope: &mut Scope,
        (start, middle): (usize, usize),
        kind: JoinKind,
        item: usize,
    ) -> Result<Expr, SqlError> {
        let end = scope.relations.len();
        let (left, left_flow, mut members) = self.side(name, scope, start..middle)?;
        let (right, right_flow, right_members) = self.side(name, scope, middle..end)?;
        members.extend(right_members);
        self.note_indirect(
            left_flow
                .sources()
                .chain(right_flow.sources())
                .collect::<Vec<_>>(),
        );
        let (expr, flow) = match kind {
            JoinKind::Inner
            | JoinKind::Left
            | JoinKind::Cross
            | JoinKind::Semi
            | JoinKind::Anti => (left.clone(), left_flow),
            JoinKind::Right => (right.clone(), right_flow),
            JoinKind::Full => {
                let mut flow = Flow::default();
                flow.absorb(&left_flow, Transformation::Transformation);
                flow.absorb(&right_flow, Transformation::Transformation);
                (first_present(left.clone(), right.clone())?, Rc::new(flow))
            }
        };
        // A column that was merged before is part of the new one.
        scope
            .merged
            .retain(|merged| !merged.members.iter().all(|member| members.contains(member)));
        scope.hidden.extend(members.iter().copied());
        scope.merged.push(Merged {
            name: name.value.clone(),
            expr,
            flow,
            members,
            item,
        });
        Ok(Expr::Binary {
            operator: BinaryOperator::Equal,
            operands: vec![left, right],
        })
    }

    /// The column of USING on one side.
    #[expect(
        clippy::type_complexity,
        reason = "three parts of one answer, used once"
    )]
    fn side(
        &mut self,
        name: &Ident,
        scope: &Scope,
        range: std::ops::Range<usize>,
    ) -> Result<(Expr, Rc<Flow>, Vec<(usize, usize)>), SqlError> {
        let meanings = scope.unqualified(name, range);
        let [meaning] = meanings.as_slice() else {
            let (kind, text) = if meanings.is_empty() {
                (
                    SqlErrorKind::Unknown,
                    "does not exist or is not visible on both sides",
                )
            } else {
                (SqlErrorKind::Ambiguous, "is ambiguous on one side")
            };
            let message = format!("column `{}` of USING {text}", name.value);
            return Err(SqlError::new(kind, message, name.position));
        };
        let (expr, flow) = self.meant(scope, *meaning)?;
        let members = match *meaning {
            Meaning::Column(relation, column) => vec![(relation, column)],
            Meaning::Merged(index) => scope
                .merged
                .get(index)
                .map(|merged| merged.members.clone())
                .unwrap_or_default(),
        };
        Ok((expr, flow, members))
    }

    /// The text and the sources of what a name means; marks the column as used.
    pub(super) fn meant(
        &mut self,
        scope: &Scope,
        meaning: Meaning,
    ) -> Result<(Expr, Rc<Flow>), SqlError> {
        let found = match meaning {
            Meaning::Column(relation, column) => {
                scope.relations.get(relation).and_then(|relation| {
                    let output = relation.columns.get(column)?;
                    Some((
                        relation.column(output),
                        Rc::clone(&output.flow),
                        output.base,
                    ))
                })
            }
            // The members of a merged column were marked when it was made.
            Meaning::Merged(index) => scope
                .merged
                .get(index)
                .map(|merged| (merged.expr.clone(), Rc::clone(&merged.flow), None)),
        };
        let (expr, flow, base) = found.ok_or_else(|| mismatch("a name has no meaning"))?;
        if let Some(source) = base
            && let Some(used) = self.used.get_mut(source.occurrence)
        {
            used.insert(source.column);
        }
        Ok((expr, flow))
    }
}

/// The names that are on both sides of a NATURAL JOIN, of the columns that the caller may see.
fn common_columns(scope: &Scope, start: usize, middle: usize, position: Position) -> Vec<Ident> {
    let right: HashSet<&str> = scope.names(middle..scope.relations.len()).collect();
    let mut common: Vec<Ident> = Vec::new();
    for name in scope.names(start..middle) {
        if right.contains(name) && !common.iter().any(|known| known.value == name) {
            common.push(Ident {
                position,
                ..Ident::quoted(name)
            });
        }
    }
    common
}

/// An alias in the text: never with column names.
fn plain(name: Ident) -> Option<Alias> {
    Some(Alias {
        name,
        columns: Vec::new(),
    })
}

/// Gives the first columns the names of an alias.
pub(super) fn renamed(
    columns: Vec<Output>,
    alias: Option<&Alias>,
) -> Result<Vec<Output>, SqlError> {
    match alias {
        Some(alias) => renamed_to(columns, &alias.columns),
        None => Ok(columns),
    }
}

/// Gives the first columns these names.
pub(super) fn renamed_to(
    mut columns: Vec<Output>,
    names: &[Ident],
) -> Result<Vec<Output>, SqlError> {
    if let Some(extra) = names.get(columns.len()) {
        let message = format!(
            "{} names are given for {} columns",
            names.len(),
            columns.len()
        );
        return Err(SqlError::new(
            SqlErrorKind::Invalid,
            message,
            extra.position,
        ));
    }
    for (column, name) in columns.iter_mut().zip(names) {
        column.name.clone_from(&name.value);
    }
    Ok(columns)
}

/// The conjunction of one or more conditions.
pub(super) fn all_of(mut conditions: Vec<Expr>) -> Expr {
    match (conditions.pop(), conditions.is_empty()) {
        (Some(only), true) => only,
        (Some(last), false) => {
            conditions.push(last);
            Expr::Binary {
                operator: BinaryOperator::And,
                operands: conditions,
            }
        }
        (None, _) => Expr::Literal(crate::ir::Literal::Bool(true)),
    }
}

fn first_present(left: Expr, right: Expr) -> Result<Expr, SqlError> {
    added_call("coalesce", false, Arguments::List(vec![left, right]))
}
