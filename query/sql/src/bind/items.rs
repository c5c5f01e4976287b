//! The select list: stars are expanded, each output gets a name of its own.

use std::{collections::HashSet, rc::Rc};

use dataos_model::lineage::Transformation;

use super::{
    Binder,
    scope::{Meaning, Output, Scope},
};
use crate::{
    error::{SqlError, SqlErrorKind},
    ir::{Expr, Ident, Position, SelectItem},
    limits::{self, OUTPUT_COLUMNS_MAX},
    lineage::Flow,
    parse::dotted,
};

/// Engine names of the outputs of one query, while they are given out.
#[derive(Default)]
struct OutputNames(HashSet<String>);

impl OutputNames {
    /// `name`, or with a number behind it if it is taken.
    fn unique(&mut self, name: &str) -> String {
        let mut unique = name.to_owned();
        let mut number = 2_usize;
        while !self.0.insert(unique.clone()) {
            unique = format!("{name}_{number}");
            number += 1;
        }
        unique
    }
}

impl Binder<'_> {
    /// The select list, each item with an alias of its own.
    pub(super) fn items(
        &mut self,
        items: &[SelectItem],
    ) -> Result<(Vec<SelectItem>, Vec<Output>), SqlError> {
        let mut names = OutputNames::default();
        let mut bound_items = Vec::with_capacity(items.len());
        let mut outputs = Vec::with_capacity(items.len());
        for item in items {
            for (name, expr, flow) in self.item(item, outputs.len())? {
                if outputs.len() >= OUTPUT_COLUMNS_MAX {
                    return Err(limits::exceeded(
                        "output columns",
                        OUTPUT_COLUMNS_MAX,
                        self.place,
                    ));
                }
                self.spend(&flow)?;
                let engine_name = names.unique(&name);
                let alias = Some(Ident::quoted(&engine_name));
                bound_items.push(SelectItem::Expr { expr, alias });
                outputs.push(Output {
                    name,
                    engine_name,
                    flow,
                    base: None,
                });
            }
        }
        Ok((bound_items, outputs))
    }

    /// The columns of one item: name, text, sources.
    fn item(
        &mut self,
        item: &SelectItem,
        index: usize,
    ) -> Result<Vec<(String, Expr, Rc<Flow>)>, SqlError> {
        match item {
            SelectItem::Expr { expr, alias } => {
                if let Expr::Column(parts) = expr {
                    let (bound, flow, name) = self.column(parts)?;
                    let name = alias.as_ref().map_or(name, |alias| alias.value.clone());
                    return Ok(vec![(name, bound, flow)]);
                }
                let mut flow = Flow::default();
                let bound = self.expr(expr, Transformation::Identity, &mut flow)?;
                let name = match alias {
                    Some(alias) => alias.value.clone(),
                    None => implied_name(expr).unwrap_or_else(|| format!("column{}", index + 1)),
                };
                Ok(vec![(name, bound, Rc::new(flow))])
            }
            SelectItem::Star(position) => self.star(*position),
            SelectItem::QualifiedStar(parts) => self.qualified_star(parts),
        }
    }

    /// `*`: for each item of FROM the merged columns, the last join's first, then the others.
    fn star(&mut self, position: Position) -> Result<Vec<(String, Expr, Rc<Flow>)>, SqlError> {
        let Some(scope) = self.scopes.pop() else {
            return Ok(Vec::new());
        };
        if scope.relations.is_empty() {
            self.scopes.push(scope);
            return Err(SqlError::new(
                SqlErrorKind::Invalid,
                "* needs a FROM",
                position,
            ));
        }
        let items = scope.relations.last().map_or(0, |relation| relation.item);
        let mut meanings: Vec<(String, Meaning)> = Vec::new();
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
        let expanded = self.expanded_columns(&scope, meanings);
        self.scopes.push(scope);
        match expanded {
            Ok(columns) if columns.is_empty() => Err(no_columns(position)),
            other => other,
        }
    }

    fn qualified_star(
        &mut self,
        parts: &[Ident],
    ) -> Result<Vec<(String, Expr, Rc<Flow>)>, SqlError> {
        let position = parts
            .first()
            .map_or(Position::default(), |part| part.position);
        let Some(scope) = self.scopes.pop() else {
            return Ok(Vec::new());
        };
        let relations = scope.qualified(parts);
        let expanded = match relations.as_slice() {
            [relation] => {
                let columns = scope
                    .relations
                    .get(*relation)
                    .map(|entry| entry.columns.iter());
                let meanings = columns
                    .into_iter()
                    .flatten()
                    .enumerate()
                    .map(|(column, output)| {
                        (output.name.clone(), Meaning::Column(*relation, column))
                    })
                    .collect();
                self.expanded_columns(&scope, meanings)
            }
            several => {
                let (kind, text) = if several.is_empty() {
                    (SqlErrorKind::Unknown, "is not in FROM")
                } else {
                    (SqlErrorKind::Ambiguous, "is ambiguous")
                };
                Err(SqlError::new(
                    kind,
                    format!("`{}` {text}", dotted(parts)),
                    position,
                ))
            }
        };
        self.scopes.push(scope);
        match expanded {
            Ok(columns) if columns.is_empty() => Err(no_columns(position)),
            other => other,
        }
    }

    fn expanded_columns(
        &mut self,
        scope: &Scope,
        meanings: Vec<(String, Meaning)>,
    ) -> Result<Vec<(String, Expr, Rc<Flow>)>, SqlError> {
        meanings
            .into_iter()
            .map(|(name, meaning)| {
                let (expr, flow) = self.meant(scope, meaning)?;
                Ok((name, expr, flow))
            })
            .collect()
    }
}

fn no_columns(position: Position) -> SqlError {
    SqlError::new(
        SqlErrorKind::Unknown,
        "no column is visible to stand for *",
        position,
    )
}

/// The name of an expression without an alias.
fn implied_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Call(call) => Some(call.function.name.to_owned()),
        Expr::Cast { expr, .. } => match expr.as_ref() {
            Expr::Column(parts) => parts.last().map(|part| part.value.clone()),
            other => implied_name(other),
        },
        Expr::Case { .. } => Some("case".to_owned()),
        Expr::Exists { .. } => Some("exists".to_owned()),
        Expr::Extract { .. } => Some("extract".to_owned()),
        Expr::Column(_)
        | Expr::Literal(_)
        | Expr::Binary { .. }
        | Expr::Unary { .. }
        | Expr::Is { .. }
        | Expr::Distinct { .. }
        | Expr::InList { .. }
        | Expr::InQuery { .. }
        | Expr::Between { .. }
        | Expr::Like { .. }
        | Expr::Subquery(_) => None,
    }
}
