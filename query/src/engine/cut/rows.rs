//! Rows of governed tables as a plan reads and joins them, if it does nothing else with them.

use std::{collections::BTreeSet, sync::Arc};

use datafusion::{
    arrow::datatypes::DataType,
    catalog::TableProvider,
    common::{
        Column, DFSchema, JoinType, NullEquality, ScalarValue, plan_err,
        tree_node::{Transformed, TransformedResult as _, TreeNode as _},
    },
    datasource::source_as_provider,
    logical_expr::{
        BinaryExpr, Case, Expr, Join, LogicalPlan, Operator, TableScan, utils::split_conjunction,
    },
};
use dataos_model::dataset::{self, ColumnType};

use crate::{
    column::{arrow_type, column_type},
    engine::governed::GovernedTable,
    source::{
        select::{Exists, Joined, Of},
        table::Part,
        term::{DatePart, Operation, Term, Test},
    },
};

/// Some rows of a governed table.
pub(super) struct Table {
    provider: Arc<dyn TableProvider>,
    /// Over the table's columns.
    filters: Vec<Expr>,
}

impl Table {
    fn keep(&mut self, filter: Expr) {
        if !self.filters.contains(&filter) {
            self.filters.push(filter);
        }
    }

    fn governed(&self) -> Option<&GovernedTable> {
        self.provider.downcast_ref()
    }

    /// What its source is asked for, with these columns.
    pub(super) fn part(&self, columns: BTreeSet<String>) -> Option<Part> {
        self.governed()?.part(self.filters.clone(), columns)
    }
}

/// Rows of governed tables, joined where columns are equal, with some of their columns under names of the plan.
pub(super) struct Rows<'a> {
    pub(super) tables: Vec<Table>,
    pub(super) joined: Joined<String>,
    schema: &'a DFSchema,
    /// In the order of the schema: what its table calls each column, or how it is calculated of some; nothing if it is
    /// something else.
    columns: Vec<Option<Term<String>>>,
}

impl<'a> Rows<'a> {
    /// What a plan gives, if it is that.
    pub(super) fn of(plan: &'a LogicalPlan) -> Option<Self> {
        match plan {
            LogicalPlan::TableScan(scan) => Self::scanned(scan),
            LogicalPlan::SubqueryAlias(alias) => Some(Self {
                schema: &alias.schema,
                ..Self::of(&alias.input)?
            }),
            LogicalPlan::Filter(filter) => {
                let mut rows = Self::of(&filter.input)?;
                rows.keep(&filter.predicate)?;
                Some(rows)
            }
            LogicalPlan::Projection(projection) => {
                let rows = Self::of(&projection.input)?;
                let columns = projection.expr.iter().map(|expr| rows.calculated(expr));
                Some(Self {
                    columns: columns.collect(),
                    schema: &projection.schema,
                    ..rows
                })
            }
            LogicalPlan::Join(join) => Self::of_join(join),
            _ => None,
        }
    }

    fn scanned(scan: &'a TableScan) -> Option<Self> {
        let provider = source_as_provider(&scan.source).ok()?;
        let is_in_database = provider
            .downcast_ref()
            .is_some_and(GovernedTable::is_in_database);
        if scan.fetch.is_some() || !is_in_database {
            return None;
        }
        let columns = scan.projected_schema.fields().iter();
        let columns = columns.map(|field| {
            let what = field.name().clone();
            Some(Term::Column(Of { table: 0, what }))
        });
        let mut table = Table {
            provider,
            filters: Vec::new(),
        };
        for filter in &scan.filters {
            let name = |column: &Column| Some(column.name.clone());
            table.keep(renamed(filter, name)?);
        }
        Some(Self {
            tables: vec![table],
            joined: Joined {
                pairs: Vec::new(),
                tests: Vec::new(),
                exists: Vec::new(),
            },
            schema: &scan.projected_schema,
            columns: columns.collect(),
        })
    }

    /// Rows that meet where columns are equal and there. Tables of the right side have the numbers behind those of
    /// the left.
    fn of_join(join: &'a Join) -> Option<Self> {
        let is_plain = join.null_equality == NullEquality::NullEqualsNothing && !join.null_aware;
        if !is_plain || join.on.is_empty() {
            return None;
        }
        let (mut left, right) = (Self::of(&join.left)?, Self::of(&join.right)?);
        let first = left.tables.len();
        let mut right = right.behind(first)?;
        let named = |column: &Column| left.named(column).or_else(|| right.named(column));
        let keys = join.on.iter();
        let keys = keys.map(|(one, other)| Some([named(column(one)?)?, named(column(other)?)?]));
        let keys: Vec<_> = keys.collect::<Option<_>>()?;
        let mut kept = None;
        match join.join_type {
            JoinType::Inner => {
                left.joined.append(right.joined);
                left.joined.pairs.extend(keys);
                left.columns.append(&mut right.columns);
                kept = join.filter.as_ref();
            }
            JoinType::LeftSemi | JoinType::LeftAnti if right.joined.exists.is_empty() => {
                let conjuncts = join.filter.iter().flat_map(split_conjunction);
                let tests = conjuncts.map(|conjunct| test(conjunct, named));
                let tests: Vec<_> = tests.collect::<Option<_>>()?;
                left.joined.exists.push(Exists {
                    tables: first..first + right.tables.len(),
                    pairs: right.joined.pairs.into_iter().chain(keys).collect(),
                    tests: right.joined.tests.into_iter().chain(tests).collect(),
                    is_negated: join.join_type == JoinType::LeftAnti,
                });
            }
            _ => return None,
        }
        left.tables.append(&mut right.tables);
        left.schema = &join.schema;
        if let Some(filter) = kept {
            left.keep(filter)?;
        }
        Some(left)
    }

    /// The same, with numbers of its tables behind those of others.
    fn behind(self, first: usize) -> Option<Self> {
        let behind = |of: &Of<String>| {
            Some(Of {
                table: first + of.table,
                what: of.what.clone(),
            })
        };
        let mut joined = self.joined.over(&behind)?;
        for exists in &mut joined.exists {
            exists.tables = first + exists.tables.start..first + exists.tables.end;
        }
        let columns = self.columns.iter().map(|term| term.as_ref()?.over(&behind));
        Some(Self {
            joined,
            columns: columns.collect(),
            ..self
        })
    }

    /// How they are joined, if the caller sees each column that decides that as it is, and nothing of his that is beyond
    /// equality is evaluated on rows that a view keeps from him.
    pub(super) fn joined(&self) -> Option<Joined<dataset::Column>> {
        let mut tested = self.joined.all_tests().flat_map(|test| &test.columns);
        let may_go = tested.all(|of| {
            let table = self.tables.get(of.table).and_then(Table::governed);
            table.is_some_and(|table| !table.is_fenced())
        });
        may_go.then(|| self.joined.over(&|of| self.seen(of)))?
    }

    /// Leaves out rows that a condition is not true of; `None` if it is not about columns of tables.
    fn keep(&mut self, condition: &Expr) -> Option<()> {
        for conjunct in split_conjunction(condition) {
            let columns = conjunct.column_refs().into_iter();
            let mut tables = columns.map(|column| Some(self.named(column)?.table));
            let table = tables.next()??;
            if !tables.all(|other| other == Some(table)) {
                let test = test(conjunct, |column| self.named(column))?;
                self.joined.tests.push(test);
                continue;
            }
            let filter = renamed(conjunct, |column| Some(self.named(column)?.what))?;
            self.tables.get_mut(table)?.keep(filter);
        }
        Some(())
    }

    /// What its table calls a column of the plan.
    fn named(&self, column: &Column) -> Option<Of<String>> {
        match self.term(column)? {
            Term::Column(of) => Some(of.clone()),
            _ => None,
        }
    }

    fn term(&self, column: &Column) -> Option<&Term<String>> {
        let at = self.schema.index_of_column(column).ok()?;
        self.columns.get(at)?.as_ref()
    }

    /// How an expression is calculated of columns of the tables, as far as there are terms for it.
    fn calculated(&self, expr: &Expr) -> Option<Term<String>> {
        match expr {
            Expr::Alias(alias) => self.calculated(&alias.expr),
            Expr::Column(column) => self.term(column).cloned(),
            Expr::Literal(value, _) => literal(value),
            Expr::Cast(cast) => {
                let term = self.calculated(&cast.expr)?;
                let column_type = number_type(cast.field.data_type())?;
                Some(Term::Cast(Box::new(term), column_type))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let operation = match op {
                    Operator::Plus => Operation::Sum,
                    Operator::Minus => Operation::Difference,
                    Operator::Multiply => Operation::Product,
                    _ => return None,
                };
                let terms = [self.calculated(left)?, self.calculated(right)?];
                Some(Term::Calculated(operation, Box::new(terms)))
            }
            Expr::Case(case) => self.choice(case),
            Expr::ScalarFunction(function) if function.name() == "date_part" => {
                let [Expr::Literal(part, _), of] = function.args.as_slice() else {
                    return None;
                };
                let part = part.try_as_str().flatten()?;
                let mut parts = [DatePart::Year, DatePart::Month, DatePart::Day].into_iter();
                let part = parts.find(|known| known.name().eq_ignore_ascii_case(part))?;
                Some(Term::Part(part, self.named(column(of)?)?))
            }
            _ => None,
        }
    }

    /// The column of a table, if the caller sees it as it is.
    pub(super) fn seen(&self, column: &Of<String>) -> Option<Of<dataset::Column>> {
        let table = self.tables.get(column.table)?.governed()?;
        let what = table.plain(&column.what)?;
        Some(Of {
            table: column.table,
            what,
        })
    }

    /// What is the first of several of which a test is true.
    fn choice(&self, case: &Case) -> Option<Term<String>> {
        if case.expr.is_some() {
            return None;
        }
        let cases = case.when_then_expr.iter().map(|(condition, then)| {
            let test = test(condition, |column| self.named(column))?;
            Some((test, self.calculated(then)?))
        });
        let last = match &case.else_expr {
            Some(last) if !is_null(last) => Some(Box::new(self.calculated(last)?)),
            _ => None,
        };
        Some(Term::Case(cases.collect::<Option<_>>()?, last))
    }

    /// All of the columns, if the caller sees each as it is.
    pub(super) fn shown(&self) -> Option<Vec<Term<dataset::Column>>> {
        let columns = self.columns.iter().map(|term| match term {
            Some(Term::Column(of)) => Some(Term::Column(self.seen(of)?)),
            _ => None,
        });
        columns.collect()
    }

    /// The column that an expression is, which the caller sees as it is.
    pub(super) fn plain(&self, expr: &Expr) -> Option<Of<dataset::Column>> {
        self.seen(&self.named(column(expr)?)?)
    }

    /// What an expression is calculated of, each column of which the caller sees as it is.
    pub(super) fn plain_term(&self, expr: &Expr) -> Option<Term<dataset::Column>> {
        self.calculated(expr)?.over(&|of| self.seen(of))
    }
}

/// What a condition tests of columns.
fn test(condition: &Expr, named: impl Fn(&Column) -> Option<Of<String>>) -> Option<Test<String>> {
    let mut columns = Vec::new();
    let passes = renamed(condition, |column| {
        let of = named(column)?;
        let known = columns.iter().position(|known| *known == of);
        let number = known.unwrap_or_else(|| {
            columns.push(of);
            columns.len() - 1
        });
        Some(number.to_string())
    })?;
    Some(Test { passes, columns })
}

fn literal(value: &ScalarValue) -> Option<Term<String>> {
    let units = match value {
        ScalarValue::Int16(Some(number)) => i128::from(*number),
        ScalarValue::Int32(Some(number)) => i128::from(*number),
        ScalarValue::Int64(Some(number)) => i128::from(*number),
        ScalarValue::Decimal128(Some(units), _, _) => *units,
        _ => return None,
    };
    Some(Term::Literal(units, number_type(&value.data_type())?))
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if value.is_null())
}

/// The column type that is this type in the engine.
fn number_type(data_type: &DataType) -> Option<ColumnType> {
    let column_type = column_type(data_type);
    (arrow_type(&column_type) == *data_type).then_some(column_type)
}

/// The column that an expression is, whatever it is called.
fn column(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Alias(alias) => column(&alias.expr),
        _ => None,
    }
}

/// The place of the column that an expression is.
pub(super) fn position(schema: &DFSchema, expr: &Expr) -> Option<usize> {
    schema.index_of_column(column(expr)?).ok()
}

/// The expression over other names; `None` if it reads a column that has none.
fn renamed(expr: &Expr, mut name: impl FnMut(&Column) -> Option<String>) -> Option<Expr> {
    let renamed = expr.clone().transform_up(|expr| match &expr {
        Expr::Column(column) => match name(column) {
            Some(name) => Ok(Transformed::yes(Expr::Column(Column::from_name(name)))),
            None => plan_err!("a column without a name"),
        },
        _ => Ok(Transformed::no(expr)),
    });
    renamed.data().ok()
}
