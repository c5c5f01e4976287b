//! A SELECT over tables with a minimum: which forms it may have, and what leaves it.

use std::collections::HashMap;

use dataos_model::dataset::ColumnType;

use super::{
    GroupMinimum,
    counted::case,
    expr_of,
    forms::{self, Operand},
    refused, value_of,
};
use crate::{
    bind::{
        TableView,
        expr::{Parts, call_parts, has_aggregate, parts},
    },
    error::SqlError,
    functions::FunctionKind,
    ir::{
        Arguments, Call, Distinct, Expr, GroupBy, GroupItem, Ident, JoinCondition, JoinKind, Key,
        OrderItem, Position, Relation, Select, SelectItem,
    },
};

/// The FROM of a SELECT over a table with a minimum.
pub(super) struct Group<'a> {
    /// The columns of each table, by its alias.
    pub(super) tables: HashMap<String, &'a TableView>,
    /// Tables with a minimum.
    pub(super) protected: Vec<(Ident, &'a [GroupMinimum])>,
    /// The keys of GROUP BY.
    pub(super) keys: Vec<Expr>,
    /// Where the first table with a minimum is named.
    pub(super) at: Position,
}

impl Group<'_> {
    /// Refuses what could tell of one row, and adds the conditions.
    pub(super) fn govern(
        &mut self,
        select: &mut Select,
        order: &mut [OrderItem],
    ) -> Result<(), SqlError> {
        self.check_tables()?;
        self.check_clauses(select, order)?;
        select.from.iter().try_for_each(|of| self.check_joins(of))?;
        if let Some(filter) = &select.filter {
            self.check_condition(filter)?;
        }
        self.keys = self.keys_of(select)?;
        if let Some(having) = &select.having {
            self.check_having(having)?;
        }
        let items = select.items.iter_mut().filter_map(value_of);
        let order = order.iter_mut().filter_map(|item| expr_of(&mut item.key));
        for expr in items.chain(order).chain(&mut select.having) {
            self.release(expr)?;
        }
        select.having = self.enough(select.having.take())?;
        Ok(())
    }

    pub(super) fn refused(&self, what: &str) -> SqlError {
        refused(
            format!("{what} over a table that leaves in aggregates alone"),
            self.at,
        )
        .with_hint(
            "SELECT keys, count(..), sum(..), avg(..) FROM it GROUP BY keys; compute the rest in a \
                 query around it",
        )
    }

    fn check_tables(&self) -> Result<(), SqlError> {
        if self.tables.values().any(|view| view.is_view) {
            return Err(self.refused("a view"));
        }
        let mut minimums = self.protected.iter().flat_map(|(_, minimums)| *minimums);
        // Rows that a join repeats would count again.
        if self.tables.len() > 1 && minimums.any(|minimum| minimum.entity.is_none()) {
            let what = "a join of a table whose minimum counts rows";
            return Err(refused(what, self.at)
                .with_hint("ask for the policy to name the key of its entities"));
        }
        Ok(())
    }

    fn check_clauses(&self, select: &Select, order: &[OrderItem]) -> Result<(), SqlError> {
        if matches!(select.distinct, Distinct::On(_)) {
            return Err(self.refused("DISTINCT ON"));
        }
        if select.qualify.is_some() {
            return Err(self.refused("QUALIFY"));
        }
        let items = select.items.iter().filter_map(|item| match item {
            SelectItem::Expr { expr, alias: _ } => Some(expr),
            SelectItem::Star(..) | SelectItem::QualifiedStar(..) => None,
        });
        let order = order.iter().filter_map(|item| match &item.key {
            Key::Expr(expr) => Some(expr),
            Key::Ordinal(..) => None,
        });
        let mut parts = items.chain(order).chain(&select.having);
        if select.group_by.is_empty() && !parts.any(has_aggregate) {
            return Err(self.refused("a query that does not aggregate"));
        }
        Ok(())
    }

    fn check_joins(&self, relation: &Relation) -> Result<(), SqlError> {
        let Relation::Join(join) = relation else {
            return Ok(());
        };
        if matches!(join.kind, JoinKind::Semi | JoinKind::Anti) {
            return Err(self.refused("a SEMI or ANTI join"));
        }
        self.check_joins(&join.left)?;
        self.check_joins(&join.right)?;
        match &join.condition {
            JoinCondition::On(on) => self.check_condition(on),
            JoinCondition::Using(_) | JoinCondition::Natural(_) | JoinCondition::None => Ok(()),
        }
    }

    fn check_condition(&self, condition: &Expr) -> Result<(), SqlError> {
        let operand = |expr: &Expr| self.column(expr).map(Operand::Column);
        if forms::is_total(condition, &operand) {
            return Ok(());
        }
        let what = "a condition on rows that is more than comparisons of columns with columns and \
                    literals of their types,";
        Err(self.refused(what))
    }

    fn check_having(&self, having: &Expr) -> Result<(), SqlError> {
        let operand = |expr: &Expr| match expr {
            Expr::Call(call) if call.function.kind == FunctionKind::Aggregate => {
                Some(Operand::Computed)
            }
            Expr::Extract { .. } if self.keys.contains(expr) => Some(Operand::Computed),
            key if self.keys.contains(key) => self.column(key).map(Operand::Column),
            _ => None,
        };
        if forms::is_total(having, &operand) {
            return Ok(());
        }
        Err(self.refused(
            "a HAVING that is more than comparisons of keys and aggregates with literals,",
        ))
    }

    /// The type of a column of this FROM.
    pub(super) fn column(&self, expr: &Expr) -> Option<&ColumnType> {
        let Expr::Column(path) = expr else {
            return None;
        };
        let [alias, name] = path.as_slice() else {
            return None;
        };
        let view = self.tables.get(&alias.value)?;
        let mut columns = view.columns.iter();
        let column = columns.find(|column| column.name == name.value)?;
        Some(&column.column_type)
    }

    /// The keys of GROUP BY: columns, and parts of dates.
    fn keys_of(&self, select: &Select) -> Result<Vec<Expr>, SqlError> {
        let GroupBy::Items(items) = &select.group_by else {
            return Err(self.refused("GROUP BY ALL"));
        };
        let keys = items.iter().map(|item| {
            let key = match item {
                GroupItem::Key(Key::Expr(key)) => Some(key),
                GroupItem::Key(Key::Ordinal(ordinal, _)) => {
                    let place = usize::try_from(*ordinal).unwrap_or(usize::MAX);
                    let item = select.items.get(place.saturating_sub(1));
                    item.and_then(|item| match item {
                        SelectItem::Expr { expr, .. } => Some(expr),
                        SelectItem::Star(..) | SelectItem::QualifiedStar(..) => None,
                    })
                }
                // The sums of all groups and of all but one are those of that one.
                GroupItem::Sets(..) => return Err(self.refused("ROLLUP, CUBE or GROUPING SETS")),
            };
            let of_date = |expr: &Expr| self.column(expr).is_some_and(ColumnType::is_temporal);
            match key {
                Some(Expr::Extract { expr, .. }) if of_date(expr) => {}
                Some(key) if self.column(key).is_some() => {}
                _ => return Err(self.refused("a key that is no column or EXTRACT of a date")),
            }
            key.cloned().ok_or_else(|| self.refused("a key of nothing"))
        });
        keys.collect()
    }

    /// Lets an expression out: keys, literals, aggregates with their guards, and what is computed of these.
    fn release(&self, expr: &mut Expr) -> Result<(), SqlError> {
        if self.keys.contains(expr) {
            return Ok(());
        }
        match expr {
            Expr::Column(path) => {
                let name = path.last().map_or("", |part| part.value.as_str());
                return Err(self.refused(&format!("`{name}`, which is no key,")));
            }
            Expr::Call(call) if call.over.is_some() => {
                return Err(self.refused("a window function"));
            }
            Expr::Call(call) if call.function.kind != FunctionKind::Scalar => {
                if let Some(guard) = self.guard(call)? {
                    let value = expr.clone();
                    *expr = case(guard, value);
                }
                return Ok(());
            }
            Expr::Call(call) => {
                let mut parts = call_parts(call).into_iter();
                return parts.try_for_each(|part| self.release(part));
            }
            _ => {}
        }
        let Parts {
            values,
            decisive,
            query,
        } = parts(expr);
        if query.is_some() {
            return Err(self.refused("a query in an expression"));
        }
        let mut parts = values.into_iter().chain(decisive);
        parts.try_for_each(|part| self.release(part))
    }

    /// The condition under which an aggregate is told; none if that of its group is enough.
    fn guard(&self, call: &Call) -> Result<Option<Expr>, SqlError> {
        let Call {
            function,
            is_distinct: _,
            arguments,
            order_by,
            within_group,
            filter,
            ignores_nulls,
            over: _,
            position,
        } = call;
        let name = function.name;
        let at = if position.line > 0 {
            *position
        } else {
            self.at
        };
        if !matches!(name, "count" | "sum" | "avg") {
            let text = format!("`{name}` over a table that leaves in aggregates alone");
            return Err(refused(text, at)
                .with_hint("it can tell one value; count, sum and avg are allowed"));
        }
        let is_bare = order_by.is_empty() && within_group.is_empty();
        if !is_bare || filter.is_some() || ignores_nulls.is_some() {
            let text = format!(
                "FILTER or ORDER BY of `{name}` over a table that leaves in aggregates alone"
            );
            return Err(refused(text, at).with_hint("use WHERE, whose groups are counted"));
        }
        let Arguments::List(list) = arguments else {
            return Ok(None);
        };
        match list.as_slice() {
            [Expr::Literal(_)] if name == "count" => Ok(None),
            [Expr::Column(path)] => self.guard_of(name, path, at).map(Some),
            _ => {
                let text = format!("`{name}` of more than a column");
                Err(refused(text, at).with_hint("an expression could pick out one row; aggregate columns, and compute of the results"))
            }
        }
    }
}
