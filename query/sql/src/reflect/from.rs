//! Tables and joins: to the rows that conditions are looked at with.

use std::{collections::HashMap, rc::Rc};

use sqlparser::ast::{
    self, BinaryOperator, Expr, JoinConstraint, JoinOperator, ObjectName, TableFactor,
};

use super::{
    eval::{Common, Machine, Outcome, Place, Scope, Tuple, folded},
    function,
    tables::{self, Relation},
    unsupported,
    value::Value,
};
use crate::{
    error::{SqlError, SqlErrorKind},
    ir::Position,
};

/// The rows of FROM.
pub(super) struct Source {
    pub(super) names: Vec<String>,
    /// Columns of each, for stars; of what depends on a row none.
    pub(super) columns: Vec<Vec<String>>,
    pub(super) tuples: Vec<Tuple>,
}

/// What a source of FROM is.
enum Kind<'a> {
    Fixed(Rc<Relation>),
    /// Depends on the rows before it.
    Query(&'a ast::Query),
    Function(&'a [ast::FunctionArg], String, bool),
}

/// A condition of WHERE, and whether it was looked at.
struct Condition<'a> {
    expr: &'a Expr,
    is_done: bool,
}

impl Machine<'_> {
    /// The rows of FROM for which WHERE holds.
    pub(super) fn from(&self, select: &ast::Select, outer: &Scope<'_>) -> Outcome<Source> {
        let mut source = Source {
            names: Vec::new(),
            columns: Vec::new(),
            tuples: vec![Vec::new()],
        };
        let aliases = aliases(&select.from);
        let mut conditions = Vec::new();
        if let Some(selection) = &select.selection {
            conjuncts(selection, &mut conditions);
        }
        let mut conditions: Vec<Condition<'_>> = conditions
            .into_iter()
            .map(|expr| Condition {
                expr,
                is_done: false,
            })
            .collect();
        for table in &select.from {
            self.join(
                &mut source,
                &table.relation,
                None,
                false,
                &conditions,
                outer,
            )?;
            self.filter(&mut source, &mut conditions, &aliases, outer)?;
            for join in &table.joins {
                let (constraint, is_outer) = kind_of_join(&join.join_operator)?;
                self.join(
                    &mut source,
                    &join.relation,
                    constraint,
                    is_outer,
                    &conditions,
                    outer,
                )?;
                self.filter(&mut source, &mut conditions, &aliases, outer)?;
            }
        }
        for condition in conditions.iter().filter(|condition| !condition.is_done) {
            self.keep(&mut source, condition.expr, outer)?;
        }
        Ok(source)
    }

    /// Looks at conditions all of whose tables are there.
    fn filter(
        &self,
        source: &mut Source,
        conditions: &mut [Condition<'_>],
        aliases: &[String],
        outer: &Scope<'_>,
    ) -> Outcome<()> {
        for condition in conditions.iter_mut().filter(|condition| !condition.is_done) {
            let is_ready = qualifiers(condition.expr).is_some_and(|names| {
                let missing =
                    |name: &String| aliases.contains(name) && !source.names.contains(name);
                !names.iter().any(missing)
            });
            if is_ready {
                self.keep(source, condition.expr, outer)?;
                condition.is_done = true;
            }
        }
        Ok(())
    }

    fn keep(&self, source: &mut Source, condition: &Expr, outer: &Scope<'_>) -> Outcome<()> {
        let mut kept = Vec::new();
        for tuple in std::mem::take(&mut source.tuples) {
            let scope = Scope {
                names: &source.names,
                tuple: &tuple,
                group: None,
                outer: Some(outer),
                common: outer.common,
            };
            if self.is_true(condition, &scope)? {
                kept.push(tuple);
            }
        }
        source.tuples = kept;
        Ok(())
    }

    fn join(
        &self,
        source: &mut Source,
        factor: &TableFactor,
        constraint: Option<&Expr>,
        is_outer: bool,
        conditions: &[Condition<'_>],
        outer: &Scope<'_>,
    ) -> Outcome<()> {
        if let TableFactor::NestedJoin {
            table_with_joins,
            alias: None,
        } = factor
        {
            return self.join_nested(source, table_with_joins, constraint, is_outer, outer);
        }
        let (name, kind) = self.kind_of(factor, outer)?;
        let mut on = Vec::new();
        if let Some(constraint) = constraint {
            conjuncts(constraint, &mut on);
        }
        // What WHERE demands may narrow an inner join as ON does.
        let also = conditions
            .iter()
            .filter(|_| !is_outer)
            .map(|condition| condition.expr);
        let probe = on
            .iter()
            .copied()
            .chain(also)
            .find_map(|expr| probe(expr, &name, &source.names));
        let index = match (&kind, &probe) {
            (Kind::Fixed(relation), Some((column, _))) => index(relation, column),
            _ => None,
        };
        source.names.push(name);
        source.columns.push(match &kind {
            Kind::Fixed(relation) => relation.columns.clone(),
            Kind::Query(_) | Kind::Function(..) => Vec::new(),
        });
        let mut joined = Vec::new();
        for tuple in std::mem::take(&mut source.tuples) {
            let scope = Scope {
                names: &source.names,
                tuple: &tuple,
                group: None,
                outer: Some(outer),
                common: outer.common,
            };
            let relation = self.relation_of(&kind, &scope)?;
            let candidates: Vec<usize> = match (&index, &probe) {
                (Some(index), Some((_, other))) => {
                    let wanted = self.value(other, &scope)?.as_key_of(&index.sample);
                    index.rows.get(&wanted).cloned().unwrap_or_default()
                }
                _ => (0..relation.rows.len()).collect(),
            };
            let before = joined.len();
            self.partners(&mut joined, &relation, &candidates, &on, &scope)?;
            if joined.len() == before && is_outer {
                let mut longer = tuple;
                let row = None;
                longer.push(Place { relation, row });
                joined.push(longer);
            }
        }
        source.tuples = joined;
        Ok(())
    }

    /// Adds a tuple for each row for which all conditions hold.
    fn partners(
        &self,
        joined: &mut Vec<Tuple>,
        relation: &Rc<Relation>,
        candidates: &[usize],
        on: &[&Expr],
        scope: &Scope<'_>,
    ) -> Outcome<()> {
        for row in candidates {
            self.step()?;
            let mut longer = scope.tuple.to_vec();
            longer.push(Place {
                relation: Rc::clone(relation),
                row: Some(*row),
            });
            let scope = Scope {
                tuple: &longer,
                ..*scope
            };
            let mut conditions = on.iter();
            let holds = conditions.try_fold(true, |holds, expr| {
                Ok::<_, SqlError>(holds && self.is_true(expr, &scope)?)
            })?;
            if holds {
                joined.push(longer);
            }
        }
        self.has_room(joined.len())
    }

    /// `a LEFT JOIN (b JOIN c ON ..) ON ..`.
    fn join_nested(
        &self,
        source: &mut Source,
        nested: &ast::TableWithJoins,
        constraint: Option<&Expr>,
        is_outer: bool,
        outer: &Scope<'_>,
    ) -> Outcome<()> {
        let mut inner = Source {
            names: Vec::new(),
            columns: Vec::new(),
            tuples: vec![Vec::new()],
        };
        self.join(&mut inner, &nested.relation, None, false, &[], outer)?;
        for join in &nested.joins {
            let (constraint, is_outer) = kind_of_join(&join.join_operator)?;
            self.join(&mut inner, &join.relation, constraint, is_outer, &[], outer)?;
        }
        let names = [source.names.as_slice(), inner.names.as_slice()].concat();
        let mut joined = Vec::new();
        for tuple in &source.tuples {
            let before = joined.len();
            for more in &inner.tuples {
                self.step()?;
                let both = [tuple.as_slice(), more.as_slice()].concat();
                let scope = Scope {
                    names: &names,
                    tuple: &both,
                    group: None,
                    outer: Some(outer),
                    common: outer.common,
                };
                let holds = constraint.map_or(Ok(true), |expr| self.is_true(expr, &scope))?;
                if holds {
                    joined.push(both);
                }
            }
            self.has_room(joined.len())?;
            if joined.len() == before && is_outer {
                let missing = inner.names.iter().map(|_| Place {
                    relation: Rc::new(Relation {
                        is_open: true,
                        ..Relation::default()
                    }),
                    row: None,
                });
                joined.push(tuple.iter().cloned().chain(missing).collect());
            }
        }
        source.columns.extend(inner.columns);
        source.names = names;
        source.tuples = joined;
        Ok(())
    }

    fn kind_of<'q>(
        &self,
        factor: &'q TableFactor,
        outer: &Scope<'_>,
    ) -> Outcome<(String, Kind<'q>)> {
        Ok(match factor {
            TableFactor::Table {
                name,
                alias,
                args: Some(args),
                with_ordinality,
                ..
            } => {
                let function = last(name);
                let alias_name = alias_or(alias.as_ref(), &function);
                (
                    alias_name,
                    Kind::Function(&args.args, function, *with_ordinality),
                )
            }
            TableFactor::Function {
                name,
                args,
                alias,
                with_ordinality,
                ..
            } => {
                let function = last(name);
                let alias_name = alias_or(alias.as_ref(), &function);
                (alias_name, Kind::Function(args, function, *with_ordinality))
            }
            TableFactor::Table {
                name,
                alias,
                args: None,
                ..
            } => {
                let alias_name = alias_or(alias.as_ref(), &last(name));
                (alias_name, Kind::Fixed(self.named(name, outer)?))
            }
            TableFactor::Derived {
                lateral,
                subquery,
                alias,
                ..
            } => {
                let name = alias_or(alias.as_ref(), "?");
                if *lateral {
                    return Ok((name, Kind::Query(subquery)));
                }
                let relation = self.relation_of_query(subquery, outer)?;
                let relation = renamed(relation, alias.as_ref());
                (name, Kind::Fixed(Rc::new(relation)))
            }
            other => return Err(unsupported(format!("{other} in FROM"))),
        })
    }

    /// A table of WITH, or one of the two schemas.
    fn named(&self, name: &ObjectName, outer: &Scope<'_>) -> Outcome<Rc<Relation>> {
        let table = last(name);
        let schema = match name.0.as_slice() {
            [.., schema, _] => schema.as_ident().map(folded),
            _ => None,
        };
        let mut common: Option<&Common<'_>> = outer.common.filter(|_| schema.is_none());
        while let Some(found) = common {
            if let Some((_, relation)) = found.tables.iter().find(|(name, _)| *name == table) {
                return Ok(Rc::clone(relation));
            }
            common = found.outer;
        }
        let is_ours = match &schema {
            Some(schema) if schema == "pg_catalog" => table.starts_with("pg_"),
            Some(schema) if schema == "information_schema" => !table.starts_with("pg_"),
            Some(_) => false,
            None => tables::is_system(&table),
        };
        if let Some(relation) = self.relations.borrow().get(&table).filter(|_| is_ours) {
            return Ok(Rc::clone(relation));
        }
        let relation = is_ours
            .then(|| tables::relation(self.world, &table))
            .flatten();
        let relation = Rc::new(relation.ok_or_else(|| {
            let message =
                format!("table `{name}` is none of pg_catalog or information_schema here");
            SqlError::new(SqlErrorKind::Unknown, message, Position::default())
                .with_hint("a statement over the catalog reads nothing else; see docs/postgres.md")
        })?);
        self.relations
            .borrow_mut()
            .insert(table, Rc::clone(&relation));
        Ok(relation)
    }

    fn relation_of(&self, kind: &Kind<'_>, scope: &Scope<'_>) -> Outcome<Rc<Relation>> {
        Ok(match kind {
            Kind::Fixed(relation) => Rc::clone(relation),
            Kind::Query(query) => Rc::new(self.relation_of_query(query, scope)?),
            Kind::Function(args, name, is_numbered) => {
                let values = function::series(self, name, args, scope)?;
                let mut columns = vec![name.clone()];
                columns.extend(is_numbered.then(|| "ordinality".to_owned()));
                let rows = (1..).zip(values).map(|(number, value)| {
                    let number = is_numbered.then_some(Value::Int(number));
                    std::iter::once(value).chain(number).collect()
                });
                Rc::new(Relation {
                    columns,
                    rows: rows.collect(),
                    is_open: true,
                })
            }
        })
    }

    pub(super) fn relation_of_query(
        &self,
        query: &ast::Query,
        scope: &Scope<'_>,
    ) -> Outcome<Relation> {
        let rows = self.query(query, scope)?;
        Ok(Relation {
            columns: rows.columns,
            rows: rows.rows,
            is_open: false,
        })
    }
}

/// Rows of a table by the value of one column.
struct Index {
    rows: HashMap<Value, Vec<usize>>,
    /// A value of the column, for its type.
    sample: Value,
}

fn index(relation: &Relation, column: &str) -> Option<Index> {
    let position = relation.position(column)?;
    let mut rows: HashMap<Value, Vec<usize>> = HashMap::new();
    let mut sample = Value::Null;
    for (number, row) in relation.rows.iter().enumerate() {
        let value = row.get(position)?;
        if sample.is_null() {
            sample = value.clone();
        }
        rows.entry(value.clone()).or_default().push(number);
    }
    rows.remove(&Value::Null);
    // Other types compare in ways that no index has.
    let is_sound = matches!(sample, Value::Int(_) | Value::Text(_));
    is_sound.then_some(Index { rows, sample })
}

/// `table.column = other`, where `other` is known before the table is joined.
fn probe<'e>(expr: &'e Expr, table: &str, bound: &[String]) -> Option<(String, &'e Expr)> {
    let Expr::BinaryOp {
        left,
        op: BinaryOperator::Eq,
        right,
    } = expr
    else {
        return None;
    };
    let column_of = |expr: &Expr| match expr {
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [.., of, column] if folded(of) == table => Some(folded(column)),
            _ => None,
        },
        _ => None,
    };
    let is_known = |expr: &Expr| {
        qualifiers(expr).is_some_and(|names| names.iter().all(|name| bound.contains(name)))
    };
    [(left, right), (right, left)]
        .into_iter()
        .find_map(|(side, other)| {
            let column = column_of(side).filter(|_| is_known(other))?;
            Some((column, other.as_ref()))
        })
}

fn conjuncts<'e>(expr: &'e Expr, into: &mut Vec<&'e Expr>) {
    match expr {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            conjuncts(left, into);
            conjuncts(right, into);
        }
        Expr::Nested(inner) => conjuncts(inner, into),
        other => into.push(other),
    }
}

/// The tables that an expression names; `None` where that is not plain to see.
fn qualifiers(expr: &Expr) -> Option<Vec<String>> {
    Some(match expr {
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [.., table, _] => vec![folded(table)],
            _ => return None,
        },
        Expr::Value(_) => Vec::new(),
        Expr::Nested(inner)
        | Expr::Cast { expr: inner, .. }
        | Expr::Collate { expr: inner, .. }
        | Expr::UnaryOp { expr: inner, .. }
        | Expr::IsNull(inner)
        | Expr::IsNotNull(inner) => qualifiers(inner)?,
        Expr::BinaryOp { left, right, .. } => [qualifiers(left)?, qualifiers(right)?].concat(),
        Expr::AnyOp { left, right, .. } => [qualifiers(left)?, qualifiers(right)?].concat(),
        Expr::Array(array) => all(&array.elem)?,
        Expr::InList { expr, list, .. } => [qualifiers(expr)?, all(list)?].concat(),
        _ => return None,
    })
}

fn all(exprs: &[Expr]) -> Option<Vec<String>> {
    let names = exprs.iter().map(qualifiers).collect::<Option<Vec<_>>>()?;
    Some(names.concat())
}

/// ON, and whether rows without a partner stay.
fn kind_of_join(operator: &JoinOperator) -> Outcome<(Option<&Expr>, bool)> {
    let (constraint, is_outer) = match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::CrossJoin(constraint) => (constraint, false),
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => (constraint, true),
        _ => return Err(unsupported("this kind of join over pg_catalog")),
    };
    match constraint {
        JoinConstraint::On(expr) => Ok((Some(expr), is_outer)),
        JoinConstraint::None => Ok((None, is_outer)),
        JoinConstraint::Using(_) | JoinConstraint::Natural => {
            Err(unsupported("USING and NATURAL over pg_catalog"))
        }
    }
}

fn aliases(from: &[ast::TableWithJoins]) -> Vec<String> {
    let mut names = Vec::new();
    for table in from {
        let joins = table.joins.iter().map(|join| &join.relation);
        for factor in std::iter::once(&table.relation).chain(joins) {
            match factor {
                TableFactor::Table { name, alias, .. } => {
                    names.push(alias_or(alias.as_ref(), &last(name)));
                }
                TableFactor::Derived { alias, .. } => names.push(alias_or(alias.as_ref(), "?")),
                TableFactor::Function { name, alias, .. } => {
                    names.push(alias_or(alias.as_ref(), &last(name)));
                }
                TableFactor::NestedJoin {
                    table_with_joins, ..
                } => {
                    names.extend(aliases(std::slice::from_ref(table_with_joins)));
                }
                _ => {}
            }
        }
    }
    names
}

fn alias_or(alias: Option<&ast::TableAlias>, name: &str) -> String {
    alias.map_or_else(|| name.to_owned(), |alias| folded(&alias.name))
}

/// The names that an alias gives to columns.
pub(super) fn renamed(mut relation: Relation, alias: Option<&ast::TableAlias>) -> Relation {
    let names = alias
        .map(|alias| alias.columns.as_slice())
        .unwrap_or_default();
    for (column, name) in relation.columns.iter_mut().zip(names) {
        *column = folded(&name.name);
    }
    relation
}

/// The last part of a name.
pub(super) fn last(name: &ObjectName) -> String {
    let part = name.0.last().and_then(ast::ObjectNamePart::as_ident);
    part.map(folded).unwrap_or_default()
}
