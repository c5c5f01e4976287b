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
    /// Whether USING makes one column of two, which a star would show once.
    pub(super) has_merged: bool,
    pub(super) tuples: Vec<Tuple>,
}

impl Source {
    fn new() -> Self {
        Self {
            names: Vec::new(),
            columns: Vec::new(),
            has_merged: false,
            tuples: vec![Vec::new()],
        }
    }
}

/// What a source of FROM is.
enum Kind<'a> {
    Fixed(Rc<Relation>),
    /// Depends on the rows before it.
    Query(&'a ast::Query),
    Function {
        name: String,
        args: &'a [ast::FunctionArg],
        columns: Vec<String>,
        is_numbered: bool,
    },
}

/// What joins one table to those before it.
struct Joined<'a> {
    on: Vec<&'a Expr>,
    /// Whether rows without a partner stay.
    is_outer: bool,
}

/// A condition of WHERE, and whether it was looked at.
struct Condition<'a> {
    expr: &'a Expr,
    is_done: bool,
}

impl Machine<'_> {
    /// The rows of FROM for which WHERE holds.
    pub(super) fn from(&self, select: &ast::Select, outer: &Scope<'_>) -> Outcome<Source> {
        let mut source = Source::new();
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
            let first = &table.relation;
            self.join(&mut source, first, &Joined::FREELY, &conditions, outer)?;
            self.filter(&mut source, &mut conditions, &aliases, outer)?;
            for join in &table.joins {
                let equal = equal(join)?;
                let joined = Joined::of(&join.join_operator, &equal)?;
                source.has_merged |= !equal.is_empty();
                self.join(&mut source, &join.relation, &joined, &conditions, outer)?;
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
            let scope = outer.inside(&source.names, &tuple);
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
        Joined { on, is_outer }: &Joined<'_>,
        conditions: &[Condition<'_>],
        outer: &Scope<'_>,
    ) -> Outcome<()> {
        if let TableFactor::NestedJoin {
            table_with_joins,
            alias: None,
        } = factor
        {
            return self.join_nested(source, table_with_joins, on, *is_outer, outer);
        }
        let (name, kind) = self.kind_of(factor, outer)?;
        // What WHERE demands may narrow an inner join as ON does.
        let also = conditions
            .iter()
            .filter(|_| !*is_outer)
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
            Kind::Function { columns, .. } => columns.clone(),
            Kind::Query(_) => Vec::new(),
        });
        let mut joined = Vec::new();
        for tuple in std::mem::take(&mut source.tuples) {
            let scope = outer.inside(&source.names, &tuple);
            let relation = self.relation_of(&kind, &scope)?;
            let candidates: Vec<usize> = match (&index, &probe) {
                (Some(index), Some((_, other))) => {
                    let wanted = self.value(other, &scope)?.as_key_of(&index.sample);
                    index.rows.get(&wanted).cloned().unwrap_or_default()
                }
                _ => (0..relation.rows.len()).collect(),
            };
            let before = joined.len();
            self.partners(&mut joined, &relation, &candidates, on, &scope)?;
            if joined.len() == before && *is_outer {
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
            if self.all_true(on, &scope)? {
                joined.push(longer);
            }
        }
        self.has_room(joined.len())
    }

    fn all_true(&self, conditions: &[&Expr], scope: &Scope<'_>) -> Outcome<bool> {
        conditions
            .iter()
            .try_fold(true, |holds, expr| Ok(holds && self.is_true(expr, scope)?))
    }

    /// `a LEFT JOIN (b JOIN c ON ..) ON ..`.
    fn join_nested(
        &self,
        source: &mut Source,
        nested: &ast::TableWithJoins,
        on: &[&Expr],
        is_outer: bool,
        outer: &Scope<'_>,
    ) -> Outcome<()> {
        let mut inner = Source::new();
        self.join(&mut inner, &nested.relation, &Joined::FREELY, &[], outer)?;
        for join in &nested.joins {
            let equal = equal(join)?;
            let joined = Joined::of(&join.join_operator, &equal)?;
            source.has_merged |= !equal.is_empty();
            self.join(&mut inner, &join.relation, &joined, &[], outer)?;
        }
        let names = [source.names.as_slice(), inner.names.as_slice()].concat();
        let mut joined = Vec::new();
        for tuple in &source.tuples {
            let before = joined.len();
            for more in &inner.tuples {
                self.step()?;
                let both = [tuple.as_slice(), more.as_slice()].concat();
                let scope = outer.inside(&names, &both);
                if self.all_true(on, &scope)? {
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
            } => of_function(name, &args.args, alias.as_ref(), *with_ordinality),
            TableFactor::Function {
                name,
                args,
                alias,
                with_ordinality,
                ..
            } => of_function(name, args, alias.as_ref(), *with_ordinality),
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
            Kind::Function { name, .. } if name == tables::KEYWORDS => Rc::new(tables::keywords()),
            Kind::Function {
                name,
                args,
                columns,
                is_numbered,
            } => {
                let values = function::series(self, name, args, scope)?;
                let rows = (1..).zip(values).map(|(number, value)| {
                    let number = is_numbered.then_some(Value::Int(number));
                    std::iter::once(value).chain(number).collect()
                });
                Rc::new(Relation {
                    columns: columns.clone(),
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

impl<'a> Joined<'a> {
    const FREELY: Self = Self {
        on: Vec::new(),
        is_outer: false,
    };

    /// By ON, or by what USING stands for.
    fn of(operator: &'a JoinOperator, equal: &'a [Expr]) -> Outcome<Self> {
        let (constraint, is_outer) = parts(operator)?;
        let mut on = equal.iter().collect();
        if let JoinConstraint::On(expr) = constraint {
            conjuncts(expr, &mut on);
        }
        Ok(Self { on, is_outer })
    }
}

fn parts(operator: &JoinOperator) -> Outcome<(&JoinConstraint, bool)> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::CrossJoin(constraint) => Ok((constraint, false)),
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
            Ok((constraint, true))
        }
        _ => Err(unsupported("this kind of join over pg_catalog")),
    }
}

/// The conditions that USING stands for: the column of whichever table has it first, and that of the new one.
fn equal(join: &ast::Join) -> Outcome<Vec<Expr>> {
    let columns = match parts(&join.join_operator)? {
        (JoinConstraint::Using(columns), _) => columns,
        (JoinConstraint::On(_) | JoinConstraint::None, _) => return Ok(Vec::new()),
        (JoinConstraint::Natural, _) => return Err(unsupported("NATURAL over pg_catalog")),
    };
    let table =
        alias_of(&join.relation).ok_or_else(|| unsupported("USING over pg_catalog here"))?;
    let equal = columns.iter().map(|column| {
        let column = ast::Ident::with_quote('"', last(column));
        let table = ast::Ident::with_quote('"', &table);
        Expr::BinaryOp {
            left: Box::new(Expr::Identifier(column.clone())),
            op: BinaryOperator::Eq,
            right: Box::new(Expr::CompoundIdentifier(vec![table, column])),
        }
    });
    Ok(equal.collect())
}

/// A function that gives rows. An alias without columns names the one that a function of one has.
fn of_function<'a>(
    name: &ObjectName,
    args: &'a [ast::FunctionArg],
    alias: Option<&ast::TableAlias>,
    is_numbered: bool,
) -> (String, Kind<'a>) {
    let name = last(name);
    let alias_name = alias_or(alias, &name);
    let own = [alias_name.clone(), "ordinality".to_owned()];
    let given = alias.map_or(&[][..], |alias| &alias.columns);
    let given = given.iter().map(|column| folded(&column.name));
    let count = 1 + usize::from(is_numbered);
    let columns = given
        .clone()
        .chain(own.into_iter().skip(given.len()))
        .take(count);
    let columns = match name.as_str() {
        tables::KEYWORDS => tables::KEYWORD_COLUMNS.map(str::to_owned).to_vec(),
        _ => columns.collect(),
    };
    let kind = Kind::Function {
        name,
        args,
        columns,
        is_numbered,
    };
    (alias_name, kind)
}

fn aliases(from: &[ast::TableWithJoins]) -> Vec<String> {
    let mut names = Vec::new();
    for table in from {
        let joins = table.joins.iter().map(|join| &join.relation);
        for factor in std::iter::once(&table.relation).chain(joins) {
            names.extend(alias_of(factor));
            if let TableFactor::NestedJoin {
                table_with_joins, ..
            } = factor
            {
                names.extend(aliases(std::slice::from_ref(table_with_joins)));
            }
        }
    }
    names
}

/// The name of one table in its statement.
fn alias_of(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table { name, alias, .. } | TableFactor::Function { name, alias, .. } => {
            Some(alias_or(alias.as_ref(), &last(name)))
        }
        TableFactor::Derived { alias, .. } => Some(alias_or(alias.as_ref(), "?")),
        _ => None,
    }
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
