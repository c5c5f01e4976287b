//! Tables of which no row may be told, and of groups only those of enough entities.
//!
//! A pass over a bound query, before it is printed. A SELECT over such a table has to be an aggregate
//! query whose parts say nothing of one row, neither by a value nor by failing on it; all other
//! SELECTs, whatever they are nested in, see what it answers. It gets
//!
//! - a HAVING that counts the entities of each group, for each such table of its FROM,
//! - around each aggregate of a column a CASE that counts the entities that have a value,
//! - a LIMIT that no answer reaches, below which the engine moves no condition of a query around it:
//!   groups that are left out are left out before it is evaluated.

use self::group::Group;
use super::{
    Binder, TableView,
    expr::{Inner, Parts, call_parts, parts},
};
use crate::{
    error::{SqlError, SqlErrorKind},
    ir::{
        Body, Distinct, Expr, GroupBy, GroupItem, Ident, Join, JoinCondition, Key, OrderItem,
        Position, Query, Relation, Select, SelectItem,
    },
    names::Occurrence,
};

mod counted;
mod forms;
mod group;

/// The smallest group of a table that may be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMinimum {
    /// Entities that a group needs; rows, if no column tells them apart.
    pub size: u64,
    /// The column of the governed table that tells entities apart; no caller can name it.
    pub entity: Option<String>,
}

/// The limit that no answer reaches.
const FENCE_ROWS: u64 = 1 << 62;

impl Binder<'_> {
    /// The query with the conditions that minimums ask for; none if no table has one.
    pub(super) fn aggregated(&self, query: &Query) -> Result<Option<Query>, SqlError> {
        if self.views.iter().all(|view| view.minimums.is_empty()) {
            return Ok(None);
        }
        let mut query = query.clone();
        let mut walk = Walk {
            views: &self.views,
            occurrences: &self.tables.occurrences,
            is_recursive: false,
            place: query.position,
        };
        walk.query(&mut query)?;
        Ok(Some(query))
    }

    /// Refuses a change that reads a table with a minimum: what it does would tell of single rows.
    pub(super) fn refuse_aggregated(&self) -> Result<(), SqlError> {
        let mut tables = self.views.iter().zip(&self.tables.occurrences);
        let Some((view, occurrence)) = tables.find(|(view, _)| !view.minimums.is_empty()) else {
            return Ok(());
        };
        let text = format!("a change may not read `{}`", view.dataset);
        Err(refused(text, occurrence.position)
            .with_hint("the table leaves in aggregates alone, and a change finds single rows"))
    }
}

/// One pass.
struct Walk<'a> {
    views: &'a [&'a TableView],
    occurrences: &'a [Occurrence],
    /// Whether the query at hand is one of WITH RECURSIVE that may name itself.
    is_recursive: bool,
    /// Where the query at hand starts.
    place: Position,
}

impl<'a> Walk<'a> {
    fn query(&mut self, query: &mut Query) -> Result<(), SqlError> {
        let outer = (self.place, self.is_recursive);
        for cte in &mut query.ctes {
            let may_recur = matches!(cte.query.body, Body::SetOperation { .. });
            self.is_recursive = outer.1 || (query.is_recursive && may_recur);
            self.query(&mut cte.query)?;
        }
        (self.place, self.is_recursive) = (query.position, outer.1);
        let is_protected = match &mut query.body {
            Body::Select(select) => self.select(select, &mut query.order_by)?,
            body => {
                self.body(body)?;
                false
            }
        };
        if is_protected && query.limit.is_none() {
            query.limit = Some(FENCE_ROWS);
        }
        self.place = outer.0;
        Ok(())
    }

    fn body(&mut self, body: &mut Body) -> Result<(), SqlError> {
        match body {
            Body::Select(select) => {
                if self.select(select, &mut [])? {
                    let fenced = Query {
                        limit: Some(FENCE_ROWS),
                        ..Query::of(body.clone(), self.place)
                    };
                    *body = Body::Query(Box::new(fenced));
                }
                Ok(())
            }
            Body::Values(rows) => rows.iter_mut().flatten().try_for_each(|e| self.open(e)),
            Body::Query(query) => self.query(query),
            Body::SetOperation {
                operator: _,
                is_all: _,
                left,
                right,
            } => {
                self.body(left)?;
                self.body(right)
            }
        }
    }

    /// Whether the SELECT is over a table with a minimum.
    fn select(&mut self, select: &mut Select, order: &mut [OrderItem]) -> Result<bool, SqlError> {
        let (mut tables, mut is_plain) = (Vec::new(), true);
        for relation in &select.from {
            is_plain &= tables_of(relation, &mut tables);
        }
        let found = tables.iter().filter_map(|(alias, occurrence)| {
            let minimums = self.views.get(*occurrence)?.minimums.as_slice();
            (!minimums.is_empty()).then(|| (alias.clone(), *occurrence, minimums))
        });
        let found: Vec<(Ident, usize, &'a [GroupMinimum])> = found.collect();
        let Some((_, first, _)) = found.first() else {
            for relation in &mut select.from {
                self.relation(relation)?;
            }
            for expr in expressions(select, order) {
                self.open(expr)?;
            }
            return Ok(false);
        };
        let at = self.occurrences.get(*first);
        let at = at.map_or(self.place, |occurrence| occurrence.position);
        if self.is_recursive {
            return Err(refused("such a table in a query that names itself", at)
                .with_hint("aggregate it in a query of WITH of its own first"));
        }
        if !is_plain {
            return Err(refused("a join of such a table with a query", at)
                .with_hint("join it with tables, or aggregate it in a query of its own first"));
        }
        let tables = tables
            .into_iter()
            .filter_map(|(alias, occurrence)| Some((alias.value, *self.views.get(occurrence)?)));
        let found = found
            .into_iter()
            .map(|(alias, _, minimums)| (alias, minimums));
        let mut group = Group {
            tables: tables.collect(),
            protected: found.collect(),
            keys: Vec::new(),
            at,
        };
        group.govern(select, order)?;
        Ok(true)
    }

    /// A relation of a SELECT that reads no table with a minimum.
    fn relation(&mut self, relation: &mut Relation) -> Result<(), SqlError> {
        match relation {
            Relation::Table { .. } | Relation::Cte { .. } => Ok(()),
            Relation::Derived { query, .. } => self.query(query),
            Relation::Join(join) => {
                self.relation(&mut join.left)?;
                self.relation(&mut join.right)?;
                match &mut join.condition {
                    JoinCondition::On(on) => self.open(on),
                    JoinCondition::Using(_) | JoinCondition::Natural(_) | JoinCondition::None => {
                        Ok(())
                    }
                }
            }
        }
    }

    /// An expression of such a SELECT: its queries are looked at. None of them is inside a SELECT over a table with
    /// a minimum, which may have none.
    fn open(&mut self, expr: &mut Expr) -> Result<(), SqlError> {
        if let Expr::Call(call) = expr {
            return call_parts(call)
                .into_iter()
                .try_for_each(|part| self.open(part));
        }
        let Parts {
            values,
            decisive,
            query,
        } = parts(expr);
        for part in values.into_iter().chain(decisive) {
            self.open(part)?;
        }
        match query {
            Some(Inner::Values(query) | Inner::Exists(query)) => self.query(query),
            None => Ok(()),
        }
    }
}

pub(super) fn refused(what: impl Into<String>, at: Position) -> SqlError {
    SqlError::new(
        SqlErrorKind::AggregateOnly,
        format!("{} is not permitted", what.into()),
        at,
    )
}

/// The tables of a relation with their aliases; whether it is of tables alone.
fn tables_of(relation: &Relation, tables: &mut Vec<(Ident, usize)>) -> bool {
    match relation {
        Relation::Table {
            name: _,
            occurrence,
            alias,
        } => {
            let alias = alias
                .as_ref()
                .map(|alias| (alias.name.clone(), *occurrence));
            tables.extend(alias);
            true
        }
        Relation::Cte { .. } | Relation::Derived { .. } => false,
        Relation::Join(join) => {
            let Join { left, right, .. } = join.as_ref();
            let is_left = tables_of(left, tables);
            tables_of(right, tables) && is_left
        }
    }
}

/// All expressions of a SELECT, those of its FROM apart.
fn expressions<'a>(select: &'a mut Select, order: &'a mut [OrderItem]) -> Vec<&'a mut Expr> {
    let Select {
        distinct,
        items,
        from: _,
        filter,
        group_by,
        having,
        qualify,
    } = select;
    let mut found: Vec<&mut Expr> = items.iter_mut().filter_map(value_of).collect();
    if let Distinct::On(keys) = distinct {
        found.extend(keys.iter_mut().filter_map(expr_of));
    }
    if let GroupBy::Items(items) = group_by {
        for item in items {
            match item {
                GroupItem::Key(key) => found.extend(expr_of(key)),
                GroupItem::Sets(_, sets) => found.extend(sets.iter_mut().flatten()),
            }
        }
    }
    found.extend(filter.iter_mut().chain(having).chain(qualify));
    found.extend(order.iter_mut().filter_map(|item| expr_of(&mut item.key)));
    found
}

fn value_of(item: &mut SelectItem) -> Option<&mut Expr> {
    match item {
        SelectItem::Expr { expr, alias: _ } => Some(expr),
        SelectItem::Star(..) | SelectItem::QualifiedStar(..) => None,
    }
}

fn expr_of(key: &mut Key) -> Option<&mut Expr> {
    match key {
        Key::Expr(expr) => Some(expr),
        Key::Ordinal(..) => None,
    }
}
