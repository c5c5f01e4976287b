//! Queries: WITH, SELECT with groups, set operations, order and limits.

use std::{cmp::Ordering, collections::HashMap, rc::Rc};

use sqlparser::ast::{self, Expr, SelectItem, SetExpr, SetOperator};

use super::{
    Rows,
    eval::{Common, Machine, Outcome, Scope, Tuple, column_name, folded},
    from::{Source, renamed},
    function, unsupported,
    value::Value,
    window::Window,
};

/// A row with the keys that it is ordered by.
type Keyed = (Vec<Value>, Vec<Value>);
/// A row of what is selected from, with its group where there are groups.
pub(super) type Grouped = (Tuple, Option<Vec<Tuple>>);

impl Machine<'_> {
    pub(super) fn query(&self, query: &ast::Query, scope: &Scope<'_>) -> Outcome<Rows> {
        if query.fetch.is_some() || !query.locks.is_empty() || !query.pipe_operators.is_empty() {
            return Err(unsupported("FETCH, FOR UPDATE and pipes over pg_catalog"));
        }
        let mut common = Common {
            tables: Vec::new(),
            outer: scope.common,
        };
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            let inside = Scope {
                common: Some(&common),
                ..*scope
            };
            let relation = self.relation_of_query(&table.query, &inside)?;
            let relation = renamed(relation, Some(&table.alias));
            let name = folded(&table.alias.name);
            common.tables.push((name, Rc::new(relation)));
        }
        let scope = Scope {
            common: Some(&common),
            ..*scope
        };
        let order = match &query.order_by {
            None => &[][..],
            Some(ast::OrderBy {
                kind: ast::OrderByKind::Expressions(keys),
                ..
            }) => keys,
            Some(_) => return Err(unsupported("ORDER BY ALL over pg_catalog")),
        };
        let (columns, mut rows) = self.body(&query.body, order, &scope)?;
        if !order.is_empty() {
            rows.sort_by(|(_, left), (_, right)| by_keys(left, right, order));
        }
        let mut rows: Vec<Vec<Value>> = rows.into_iter().map(|(row, _)| row).collect();
        self.limit(query.limit_clause.as_ref(), &mut rows, &scope)?;
        Ok(Rows { columns, rows })
    }

    fn limit(
        &self,
        clause: Option<&ast::LimitClause>,
        rows: &mut Vec<Vec<Value>>,
        scope: &Scope<'_>,
    ) -> Outcome<()> {
        let number = |expr: &Expr| -> Outcome<Option<usize>> {
            let number = self.value(expr, scope)?.int();
            Ok(number.map(|number| usize::try_from(number).unwrap_or(0)))
        };
        let (limit, offset) = match clause {
            None => return Ok(()),
            Some(ast::LimitClause::LimitOffset { limit, offset, .. }) => {
                (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
            }
            Some(ast::LimitClause::OffsetCommaLimit { offset, limit }) => {
                (Some(limit), Some(offset))
            }
        };
        if let Some(offset) = offset.map(number).transpose()?.flatten() {
            rows.drain(..offset.min(rows.len()));
        }
        if let Some(limit) = limit.map(number).transpose()?.flatten() {
            rows.truncate(limit);
        }
        Ok(())
    }

    fn body(
        &self,
        body: &SetExpr,
        order: &[ast::OrderByExpr],
        scope: &Scope<'_>,
    ) -> Outcome<(Vec<String>, Vec<Keyed>)> {
        let (columns, rows) = match body {
            SetExpr::Select(select) => return self.select(select, order, scope),
            SetExpr::Query(query) => {
                let rows = self.query(query, scope)?;
                (rows.columns, rows.rows)
            }
            SetExpr::Values(values) => {
                let rows = values.rows.iter().map(|row| {
                    row.content
                        .iter()
                        .map(|expr| self.value(expr, scope))
                        .collect()
                });
                let rows = rows.collect::<Outcome<Vec<Vec<Value>>>>()?;
                let count = rows.first().map_or(0, Vec::len);
                (
                    (1..=count)
                        .map(|number| format!("column{number}"))
                        .collect(),
                    rows,
                )
            }
            SetExpr::SetOperation {
                left,
                op,
                set_quantifier,
                right,
            } => {
                let (columns, left) = self.body(left, &[], scope)?;
                let (_, right) = self.body(right, &[], scope)?;
                let strip = |rows: Vec<Keyed>| rows.into_iter().map(|(row, _)| row);
                let mut rows: Vec<Vec<Value>> = strip(left).collect();
                let right: Vec<Vec<Value>> = strip(right).collect();
                match op {
                    SetOperator::Union => rows.extend(right),
                    SetOperator::Except | SetOperator::Minus => {
                        rows.retain(|row| !right.contains(row))
                    }
                    SetOperator::Intersect => rows.retain(|row| right.contains(row)),
                }
                self.has_room(rows.len())?;
                if *set_quantifier != ast::SetQuantifier::All {
                    distinct(&mut rows);
                }
                (columns, rows)
            }
            other => return Err(unsupported(format!("{other} over pg_catalog"))),
        };
        // Behind a set operation, only columns of the result can be keys.
        let keyed = rows.into_iter().map(|row| {
            let keys = order.iter().map(|key| {
                let position = position(&key.expr, &columns);
                let position =
                    position.ok_or_else(|| unsupported(format!("ORDER BY {} here", key.expr)))?;
                Ok(row.get(position).cloned().unwrap_or_default())
            });
            let keys = keys.collect::<Outcome<Vec<_>>>()?;
            Ok((row, keys))
        });
        let keyed = keyed.collect::<Outcome<Vec<Keyed>>>()?;
        Ok((columns, keyed))
    }

    fn select(
        &self,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
        outer: &Scope<'_>,
    ) -> Outcome<(Vec<String>, Vec<Keyed>)> {
        if select.into.is_some() || select.qualify.is_some() || !select.lateral_views.is_empty() {
            return Err(unsupported(
                "INTO, QUALIFY and LATERAL VIEW over pg_catalog",
            ));
        }
        let source = self.from(select, outer)?;
        let groups = self.groups(select, order, &source, outer)?;
        let columns = columns(select, &source)?;
        let windows = self.windows(select, &source, &groups, outer)?;
        let mut rows = Vec::new();
        for (at, (tuple, group)) in groups.iter().enumerate() {
            let scope = Scope {
                group: group.as_deref(),
                ..outer.inside(&source.names, tuple)
            };
            if let Some(having) = &select.having
                && !self.is_true(having, &scope)?
            {
                continue;
            }
            for row in self.project(select, &windows, at, &scope)? {
                self.has_room(rows.len())?;
                let keys = order.iter().map(|key| match position(&key.expr, &columns) {
                    Some(position) => Ok(row.get(position).cloned().unwrap_or_default()),
                    None => self.value(&key.expr, &scope),
                });
                let keys = keys.collect::<Outcome<Vec<_>>>()?;
                rows.push((row, keys));
            }
        }
        match &select.distinct {
            None | Some(ast::Distinct::All) => {}
            Some(ast::Distinct::Distinct) => {
                let mut seen = std::collections::HashSet::new();
                rows.retain(|(row, _)| seen.insert(row.clone()));
            }
            Some(ast::Distinct::On(_)) => return Err(unsupported("DISTINCT ON over pg_catalog")),
        }
        Ok((columns, rows))
    }

    /// One tuple for each row of the result, with its group where there are groups.
    fn groups(
        &self,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
        source: &Source,
        outer: &Scope<'_>,
    ) -> Outcome<Vec<Grouped>> {
        let keys = match &select.group_by {
            ast::GroupByExpr::Expressions(keys, modifiers) if modifiers.is_empty() => keys,
            _ => return Err(unsupported("this form of GROUP BY over pg_catalog")),
        };
        let items = select.projection.iter().filter_map(expr_of);
        let mut aggregates = items
            .chain(&select.having)
            .chain(order.iter().map(|key| &key.expr));
        if keys.is_empty() && !aggregates.any(function::has_aggregate) {
            let tuples = source.tuples.iter();
            return Ok(tuples.map(|tuple| (tuple.clone(), None)).collect());
        }
        if keys.is_empty() {
            let first = source.tuples.first().cloned().unwrap_or_default();
            return Ok(vec![(first, Some(source.tuples.clone()))]);
        }
        let names = columns(select, source)?;
        let mut groups: Vec<Grouped> = Vec::new();
        let mut found: HashMap<Vec<Value>, usize> = HashMap::new();
        for tuple in &source.tuples {
            let scope = outer.inside(&source.names, tuple);
            let values = keys.iter().map(|key| {
                let item = position(key, &names).and_then(|at| select.projection.get(at));
                let is_number = matches!(key, Expr::Value(_));
                match item.and_then(expr_of).filter(|_| is_number) {
                    Some(expr) => self.value(expr, &scope),
                    None => self.value(key, &scope),
                }
            });
            let values = values.collect::<Outcome<Vec<_>>>()?;
            let at = *found.entry(values).or_insert_with(|| {
                groups.push((tuple.clone(), Some(Vec::new())));
                groups.len() - 1
            });
            if let Some((_, Some(group))) = groups.get_mut(at) {
                group.push(tuple.clone());
            }
        }
        Ok(groups)
    }

    /// The select list for one row: several rows where a function gives several.
    fn project(
        &self,
        select: &ast::Select,
        windows: &[Option<Window>],
        at: usize,
        scope: &Scope<'_>,
    ) -> Outcome<Vec<Vec<Value>>> {
        let mut cells: Vec<(Vec<Value>, bool)> = Vec::new();
        for (item, window) in select.projection.iter().zip(windows) {
            if let Some(window) = window {
                let value = window.get(at).cloned().unwrap_or_default();
                cells.push((vec![value], false));
                continue;
            }
            if let Some(expr) = expr_of(item) {
                match function::series_in_list(self, expr, scope)? {
                    Some(series) => cells.push((series, true)),
                    None => cells.push((vec![self.value(expr, scope)?], false)),
                }
                continue;
            }
            for (name, place) in scope.names.iter().zip(scope.tuple) {
                if is_of(item, name) {
                    let row = place.row.and_then(|row| place.relation.rows.get(row));
                    let none = || vec![Value::Null; place.relation.columns.len()];
                    let values = row.cloned().unwrap_or_else(none);
                    cells.extend(values.into_iter().map(|value| (vec![value], false)));
                }
            }
        }
        let series = cells.iter().filter(|(_, is_series)| *is_series);
        let count = series.map(|(values, _)| values.len()).max().unwrap_or(1);
        let row = |index: usize| {
            let cell = |(values, is_series): &(Vec<Value>, bool)| {
                let at = if *is_series { index } else { 0 };
                values.get(at).cloned().unwrap_or_default()
            };
            cells.iter().map(cell).collect()
        };
        (0..count).try_for_each(|_| self.step())?;
        Ok((0..count).map(row).collect())
    }
}

pub(super) fn expr_of(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

/// Whether a star takes the columns of this table.
fn is_of(star: &SelectItem, table: &str) -> bool {
    match star {
        SelectItem::Wildcard(_) => true,
        SelectItem::QualifiedWildcard(
            ast::SelectItemQualifiedWildcardKind::ObjectName(name),
            _,
        ) => super::from::last(name) == table,
        _ => false,
    }
}

fn columns(select: &ast::Select, source: &Source) -> Outcome<Vec<String>> {
    let mut columns = Vec::new();
    for item in &select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) => columns.push(column_name(expr)),
            SelectItem::ExprWithAlias { alias, .. } => columns.push(folded(alias)),
            SelectItem::Wildcard(_) if source.has_merged => {
                return Err(unsupported("* with USING over pg_catalog"));
            }
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {
                for (name, of_table) in source.names.iter().zip(&source.columns) {
                    if is_of(item, name) {
                        columns.extend(of_table.iter().cloned());
                    }
                }
            }
            other => return Err(unsupported(format!("{other} over pg_catalog"))),
        }
    }
    Ok(columns)
}

/// The column that a key means: by number, or by a name of the select list.
fn position(key: &Expr, columns: &[String]) -> Option<usize> {
    match key {
        Expr::Value(value) => match &value.value {
            ast::Value::Number(digits, _) => digits.parse::<usize>().ok()?.checked_sub(1),
            _ => None,
        },
        Expr::Identifier(name) => {
            let name = folded(name);
            columns.iter().position(|column| *column == name)
        }
        _ => None,
    }
}

fn distinct(rows: &mut Vec<Vec<Value>>) {
    let mut seen = std::collections::HashSet::new();
    rows.retain(|row| seen.insert(row.clone()));
}

pub(super) fn by_keys(left: &[Value], right: &[Value], keys: &[ast::OrderByExpr]) -> Ordering {
    let mut pairs = left.iter().zip(right).zip(keys);
    let found = pairs.find_map(|((left, right), key)| {
        let is_descending = key.options.asc == Some(false);
        let nulls_first = key.options.nulls_first.unwrap_or(is_descending);
        let order = match (left.is_null(), right.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) if nulls_first => Ordering::Less,
            (true, false) => Ordering::Greater,
            (false, true) if nulls_first => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                let order = left.compare(right).unwrap_or(Ordering::Equal);
                if is_descending {
                    order.reverse()
                } else {
                    order
                }
            }
        };
        order.is_ne().then_some(order)
    });
    found.unwrap_or(Ordering::Equal)
}
