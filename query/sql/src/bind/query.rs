//! Queries: WITH, SELECT, set operations, and the keys of GROUP BY and ORDER BY.

use std::{
    collections::{BTreeSet, HashSet},
    rc::Rc,
};

use dataos_model::lineage::Transformation;

use super::{
    Binder, BoundQuery,
    from::renamed_to,
    scope::{CteEntry, Meaning, Output, Scope},
};
use crate::{
    error::{SqlError, SqlErrorKind},
    ir::{
        Body, Cte, Expr, Ident, Key, OrderItem, Position, Query, Select, SelectItem, SetOperator,
    },
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
    /// A query in the scopes at hand.
    pub(super) fn query(&mut self, query: &Query) -> Result<BoundQuery, SqlError> {
        let Query {
            ctes,
            body,
            order_by,
            limit,
            offset,
            position,
        } = query;
        let outer_place = std::mem::replace(&mut self.place, *position);
        let outer_ctes = self.ctes.len();
        let ctes = ctes
            .iter()
            .map(|cte| self.define(cte))
            .collect::<Result<Vec<_>, _>>()?;
        self.indirect.push(BTreeSet::new());
        let (body, outputs, order_by) = self.body(body, order_by)?;
        let indirect = self.indirect.pop().unwrap_or_default();
        self.ctes.truncate(outer_ctes);
        self.place = outer_place;
        let (limit, offset, position) = (*limit, *offset, *position);
        let query = Query {
            ctes,
            body,
            order_by,
            limit,
            offset,
            position,
        };
        Ok(BoundQuery {
            query,
            outputs,
            indirect,
        })
    }

    fn define(&mut self, cte: &Cte) -> Result<Cte, SqlError> {
        let Cte {
            name,
            columns,
            query,
        } = cte;
        // What the query weighs is counted where it is used.
        let before = self.expanded;
        let bound = self.query(query)?;
        let weight = self.expanded.saturating_sub(before).max(1);
        self.expanded = before;
        let engine_name = self.alias(&name.value);
        self.ctes.push(CteEntry {
            name: name.clone(),
            engine_name: engine_name.clone(),
            columns: renamed_to(bound.outputs, columns)?,
            indirect: bound.indirect,
            weight,
        });
        Ok(Cte {
            name: engine_name,
            columns: Vec::new(),
            query: bound.query,
        })
    }

    #[expect(clippy::type_complexity, reason = "three parts of one answer")]
    fn body(
        &mut self,
        body: &Body,
        order_by: &[OrderItem],
    ) -> Result<(Body, Vec<Output>, Vec<OrderItem>), SqlError> {
        let (body, outputs) = match body {
            Body::Select(select) => {
                let (select, outputs, order_by) = self.select(select, order_by)?;
                return Ok((Body::Select(Box::new(select)), outputs, order_by));
            }
            Body::Values(rows) => self.values(rows)?,
            Body::Query(query) => {
                let bound = self.query(query)?;
                self.note_indirect(bound.indirect);
                (Body::Query(Box::new(bound.query)), bound.outputs)
            }
            Body::SetOperation {
                operator,
                is_all,
                left,
                right,
            } => {
                let (left, left_outputs, _) = self.body(left, &[])?;
                let (right, right_outputs, _) = self.body(right, &[])?;
                let outputs = self.combined(*operator, left_outputs, &right_outputs)?;
                let (left, right) = (Box::new(left), Box::new(right));
                (
                    Body::SetOperation {
                        operator: *operator,
                        is_all: *is_all,
                        left,
                        right,
                    },
                    outputs,
                )
            }
        };
        let order_by = order_by
            .iter()
            .map(|item| {
                let key = output_key(&item.key, &outputs, self.place)?;
                self.note_key(&key, &outputs);
                Ok(OrderItem {
                    key,
                    ..item.clone()
                })
            })
            .collect::<Result<_, SqlError>>()?;
        Ok((body, outputs, order_by))
    }

    /// The outputs of a set operation: names from the left, sources from both sides, except that
    /// the right side of EXCEPT only decides which rows there are.
    fn combined(
        &mut self,
        operator: SetOperator,
        mut left: Vec<Output>,
        right: &[Output],
    ) -> Result<Vec<Output>, SqlError> {
        if left.len() != right.len() {
            return Err(SqlError::new(
                SqlErrorKind::Invalid,
                format!(
                    "a set operation has {} and {} columns",
                    left.len(),
                    right.len()
                ),
                self.place,
            ));
        }
        for (output, other) in left.iter_mut().zip(right) {
            output.base = None;
            match operator {
                SetOperator::Except => {
                    self.note_indirect(other.flow.sources().collect::<Vec<_>>());
                }
                SetOperator::Union | SetOperator::Intersect => {
                    let mut flow = Flow::clone(&output.flow);
                    flow.absorb(&other.flow, Transformation::Identity);
                    self.spend(&flow)?;
                    output.flow = Rc::new(flow);
                }
            }
        }
        Ok(left)
    }

    fn values(&mut self, rows: &[Vec<Expr>]) -> Result<(Body, Vec<Output>), SqlError> {
        let width = rows.first().map_or(0, Vec::len);
        let mut flows = vec![Flow::default(); width];
        let mut bound_rows = Vec::with_capacity(rows.len());
        for row in rows {
            let mut bound = Vec::with_capacity(width);
            for (expr, flow) in row.iter().zip(&mut flows) {
                bound.push(self.expr(expr, Transformation::Identity, flow)?);
            }
            bound_rows.push(bound);
        }
        let outputs = flows.into_iter().zip(1..).map(|(flow, number)| {
            let name = format!("column{number}");
            Output {
                engine_name: name.clone(),
                name,
                flow: Rc::new(flow),
                base: None,
            }
        });
        Ok((Body::Values(bound_rows), outputs.collect()))
    }

    #[expect(clippy::type_complexity, reason = "three parts of one answer")]
    fn select(
        &mut self,
        select: &Select,
        order_by: &[OrderItem],
    ) -> Result<(Select, Vec<Output>, Vec<OrderItem>), SqlError> {
        let Select {
            is_distinct,
            items,
            from,
            filter,
            group_by,
            having,
        } = select;
        let (from, scope) = self.from(from)?;
        self.scopes.push(scope);
        let (items, outputs) = self.items(items)?;
        let filter = filter
            .as_ref()
            .map(|filter| self.condition(filter))
            .transpose()?;
        let group_by = group_by
            .iter()
            .map(|key| self.group_key(key, &outputs))
            .collect::<Result<_, SqlError>>()?;
        let having = having
            .as_ref()
            .map(|having| self.condition(having))
            .transpose()?;
        let order_by = order_by
            .iter()
            .map(|item| {
                Ok(OrderItem {
                    key: self.order_key(&item.key, &outputs)?,
                    ..item.clone()
                })
            })
            .collect::<Result<_, SqlError>>()?;
        self.scopes.pop();
        let select = Select {
            is_distinct: *is_distinct,
            items,
            from,
            filter,
            group_by,
            having,
        };
        Ok((select, outputs, order_by))
    }

    /// A condition: its sources decide which rows there are.
    pub(super) fn condition(&mut self, condition: &Expr) -> Result<Expr, SqlError> {
        let mut flow = Flow::default();
        let bound = self.expr(condition, Transformation::Transformation, &mut flow)?;
        self.note_indirect(flow.sources().collect::<Vec<_>>());
        Ok(bound)
    }

    /// The select list, each item with an alias of its own.
    fn items(&mut self, items: &[SelectItem]) -> Result<(Vec<SelectItem>, Vec<Output>), SqlError> {
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

    /// A key of GROUP BY: a column of FROM first, then a name of the select list.
    fn group_key(&mut self, key: &Key, outputs: &[Output]) -> Result<Key, SqlError> {
        if let Key::Expr(expr) = key {
            let aliased = match expr {
                Expr::Column(parts) => output_named(parts, outputs)?,
                _ => None,
            };
            let is_alias_only = match (expr, &aliased) {
                (Expr::Column(parts), Some(_)) => !self.is_known_here(parts),
                _ => false,
            };
            if !is_alias_only {
                return Ok(Key::Expr(self.condition(expr)?));
            }
            if let Some(ordinal) = aliased {
                self.note_key(&ordinal, outputs);
                return Ok(ordinal);
            }
        }
        let key = output_key(key, outputs, self.place)?;
        self.note_key(&key, outputs);
        Ok(key)
    }

    /// A key of ORDER BY: a name of the select list first, then anything over FROM.
    fn order_key(&mut self, key: &Key, outputs: &[Output]) -> Result<Key, SqlError> {
        let named = match key {
            Key::Expr(Expr::Column(parts)) => output_named(parts, outputs)?,
            Key::Expr(_) => None,
            Key::Ordinal(..) => Some(output_key(key, outputs, self.place)?),
        };
        match (named, key) {
            (Some(key), _) => {
                self.note_key(&key, outputs);
                Ok(key)
            }
            (None, Key::Expr(expr)) => Ok(Key::Expr(self.condition(expr)?)),
            (None, Key::Ordinal(..)) => output_key(key, outputs, self.place),
        }
    }

    /// Notes the sources of an output that is a key.
    fn note_key(&mut self, key: &Key, outputs: &[Output]) {
        if let Key::Ordinal(ordinal, _) = key
            && let Some(output) = index_of(*ordinal).and_then(|index| outputs.get(index))
        {
            self.note_indirect(output.flow.sources().collect::<Vec<_>>());
        }
    }

    /// Whether a single name is a column of the innermost FROM.
    fn is_known_here(&self, parts: &[Ident]) -> bool {
        match (parts, self.scopes.last()) {
            ([name], Some(scope)) => !scope.unqualified(name, scope.visible()).is_empty(),
            _ => true,
        }
    }
}

fn no_columns(position: Position) -> SqlError {
    SqlError::new(
        SqlErrorKind::Unknown,
        "no column is visible to stand for *",
        position,
    )
}

fn index_of(ordinal: u64) -> Option<usize> {
    usize::try_from(ordinal).ok()?.checked_sub(1)
}

/// The output that a single unqualified name means, as an ordinal.
fn output_named(parts: &[Ident], outputs: &[Output]) -> Result<Option<Key>, SqlError> {
    let [name] = parts else { return Ok(None) };
    let by = |fits: &dyn Fn(&str) -> bool| -> Vec<u64> {
        (1..)
            .zip(outputs)
            .filter(|(_, output)| fits(&output.name))
            .map(|(n, _)| n)
            .collect()
    };
    let exact = by(&|candidate| candidate == name.value);
    let found = if exact.is_empty() {
        by(&|candidate| name.matches_loosely(candidate))
    } else {
        exact
    };
    match found.as_slice() {
        [] => Ok(None),
        [ordinal] => Ok(Some(Key::Ordinal(*ordinal, name.position))),
        _ => Err(SqlError::new(
            SqlErrorKind::Ambiguous,
            format!("`{}` names several output columns", name.value),
            name.position,
        )
        .with_hint("use the position in the select list")),
    }
}

/// A key over outputs alone: an ordinal or a name.
fn output_key(key: &Key, outputs: &[Output], place: Position) -> Result<Key, SqlError> {
    match key {
        Key::Ordinal(ordinal, position) => {
            if index_of(*ordinal).is_some_and(|index| index < outputs.len()) {
                return Ok(key.clone());
            }
            Err(SqlError::new(
                SqlErrorKind::Invalid,
                format!(
                    "position {ordinal} is not in the select list of {}",
                    outputs.len()
                ),
                *position,
            ))
        }
        Key::Expr(Expr::Column(parts)) => output_named(parts, outputs)?.ok_or_else(|| {
            SqlError::new(
                SqlErrorKind::Unknown,
                format!("`{}` is not an output column", dotted(parts)),
                parts
                    .first()
                    .map_or(Position::default(), |part| part.position),
            )
        }),
        Key::Expr(_) => Err(SqlError::unsupported(
            "ORDER BY an expression behind a set operation or VALUES",
            place,
        )),
    }
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
