//! Queries: WITH, SELECT, VALUES, set operations.

use std::{collections::BTreeSet, rc::Rc};

use dataos_model::lineage::Transformation;

use super::{
    Binder, BoundQuery,
    keys::output_key,
    row::with_rows,
    scope::{CteEntry, Itself, Output, Read, Selected},
};
use crate::{
    error::{SqlError, SqlErrorKind},
    ir::{
        Body, Cte, Distinct, Expr, Ident, OrderItem, Position, Query, Select, SelectItem,
        SetOperator, StarOptions,
    },
    lineage::Flow,
};

impl Binder<'_> {
    /// A query in the scopes at hand.
    pub(super) fn query(&mut self, query: &Query, read: Read) -> Result<BoundQuery, SqlError> {
        let Query {
            is_recursive,
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
            .map(|cte| {
                if *is_recursive {
                    self.define_recursive(cte)
                } else {
                    let engine_name = self.cte_name(&cte.name.value);
                    self.define(cte, engine_name)
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        self.indirect.push(BTreeSet::new());
        let (body, outputs, order_by) = self.body(body, order_by, read)?;
        let indirect = self.indirect.pop().unwrap_or_default();
        self.ctes.truncate(outer_ctes);
        self.place = outer_place;
        let (limit, offset, position) = (*limit, *offset, *position);
        let query = Query {
            is_recursive: *is_recursive,
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

    pub(super) fn define(&mut self, cte: &Cte, engine_name: Ident) -> Result<Cte, SqlError> {
        let Cte {
            name,
            columns,
            query,
        } = cte;
        // What the query weighs is counted where it is used.
        let before = self.expanded;
        let bound = self.query(query, Read::Names)?.called(columns)?;
        let weight = self.expanded.saturating_sub(before).max(1);
        self.expanded = before;
        self.ctes.push(CteEntry {
            name: name.clone(),
            engine_name: engine_name.clone(),
            columns: bound.outputs,
            indirect: bound.indirect,
            weight,
            itself: Itself::Defined,
        });
        Ok(Cte {
            name: engine_name,
            columns: Vec::new(),
            query: bound.query,
        })
    }

    pub(super) fn body(
        &mut self,
        body: &Body,
        order_by: &[OrderItem],
        read: Read,
    ) -> Result<(Body, Vec<Output>, Vec<OrderItem>), SqlError> {
        let (body, outputs) = match body {
            Body::Select(select) => {
                let (select, outputs, order_by) = self.select(select, order_by, read)?;
                return Ok((Body::Select(Box::new(select)), outputs, order_by));
            }
            Body::Values(rows) => self.values(rows)?,
            Body::Query(query) => {
                let bound = self.query(query, read.rows())?;
                self.note_indirect(bound.indirect);
                (Body::Query(Box::new(bound.query)), bound.outputs)
            }
            Body::SetOperation {
                operator,
                is_all,
                left,
                right,
            } => {
                let (left, left_outputs, _) = self.body(left, &[], read.rows())?;
                let (right, right_outputs, _) = self.body(right, &[], read.rows())?;
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

    fn select(
        &mut self,
        select: &Select,
        order_by: &[OrderItem],
        read: Read,
    ) -> Result<(Select, Vec<Output>, Vec<OrderItem>), SqlError> {
        let Select {
            distinct,
            items,
            from,
            filter,
            group_by,
            having,
            qualify,
        } = select;
        let (from, scope) = self.from(from)?;
        self.scopes.push(scope);
        let (items, outputs) = if read == Read::Existence && is_star(select, order_by) {
            let star = SelectItem::Star(Position::default(), StarOptions::default());
            (vec![star], Vec::new())
        } else {
            self.items(items, read)?
        };
        let filter = self.optional_condition(filter.as_ref())?;
        let selected = Rc::new(Selected { items, outputs });
        if let Some(scope) = self.scopes.last_mut() {
            scope.selected = Some(Rc::clone(&selected));
        }
        let group_by = self.group_by(group_by, &selected)?;
        let having = self.optional_condition(having.as_ref())?;
        let distinct = match distinct {
            Distinct::No => Distinct::No,
            Distinct::Yes => Distinct::Yes,
            Distinct::On(keys) => Distinct::On(
                keys.iter()
                    .map(|key| self.distinct_key(key, &selected))
                    .collect::<Result<_, SqlError>>()?,
            ),
        };
        let qualify = self.optional_condition(qualify.as_ref())?;
        let order_by = order_by
            .iter()
            .map(|item| {
                Ok(OrderItem {
                    key: self.order_key(&item.key, &selected.outputs)?,
                    ..item.clone()
                })
            })
            .collect::<Result<_, SqlError>>()?;
        let scope = self.scopes.pop().unwrap_or_default();
        let from = with_rows(from, &scope.rows)?;
        let Selected { items, outputs } = Rc::unwrap_or_clone(selected);
        let select = Select {
            distinct,
            items,
            from,
            filter,
            group_by,
            having,
            qualify,
        };
        Ok((select, outputs, order_by))
    }

    fn optional_condition(&mut self, condition: Option<&Expr>) -> Result<Option<Expr>, SqlError> {
        condition.map(|expr| self.condition(expr)).transpose()
    }

    /// A condition: its sources decide which rows there are.
    pub(super) fn condition(&mut self, condition: &Expr) -> Result<Expr, SqlError> {
        let mut flow = Flow::default();
        let bound = self.expr(condition, Transformation::Transformation, &mut flow)?;
        self.note_indirect(flow.sources().collect::<Vec<_>>());
        Ok(bound)
    }
}

/// Whether a select list is a star that nothing in its SELECT looks at.
fn is_star(select: &Select, order_by: &[OrderItem]) -> bool {
    matches!(
        select.items.as_slice(),
        [SelectItem::Star(..) | SelectItem::QualifiedStar(..)]
    ) && order_by.is_empty()
        && select.group_by.is_empty()
        && select.having.is_none()
        && select.qualify.is_none()
        && select.distinct == Distinct::No
        && !select.from.is_empty()
}
