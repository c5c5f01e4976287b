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
        BinaryExpr, Expr, Join, LogicalPlan, Operator, TableScan, utils::split_conjunction,
    },
};
use dataos_model::dataset::{self, ColumnType};

use crate::{
    column::{arrow_type, column_type},
    engine::governed::GovernedTable,
    source::{
        select::{Exists, Joined, Of},
        table::Part,
        term::{Operation, Term},
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
        let behind = |of: Of<String>| Of {
            table: first + of.table,
            what: of.what,
        };
        let term_behind = |term: Term<String>| term.over(&|of| Some(behind(of.clone())));
        let keys = join.on.iter().map(|(one, other)| {
            let (one, other) = (left.named(column(one)?)?, right.named(column(other)?)?);
            Some([one, behind(other)])
        });
        let keys: Vec<_> = keys.collect::<Option<_>>()?;
        let pairs = right.joined.pairs.into_iter();
        let pairs = pairs.map(|pair| pair.map(behind)).chain(keys);
        match join.join_type {
            JoinType::Inner => {
                left.joined.pairs.extend(pairs);
                let exists = right.joined.exists.into_iter().map(|exists| Exists {
                    tables: first + exists.tables.start..first + exists.tables.end,
                    pairs: exists
                        .pairs
                        .into_iter()
                        .map(|pair| pair.map(behind))
                        .collect(),
                    ..exists
                });
                left.joined.exists.extend(exists);
                let of_right = right.columns.into_iter();
                left.columns
                    .extend(of_right.map(|term| term.and_then(term_behind)));
            }
            JoinType::LeftSemi | JoinType::LeftAnti
                if right.joined.exists.is_empty() && join.filter.is_none() =>
            {
                left.joined.exists.push(Exists {
                    tables: first..first + right.tables.len(),
                    pairs: pairs.collect(),
                    is_negated: join.join_type == JoinType::LeftAnti,
                });
            }
            _ => return None,
        }
        left.tables.extend(right.tables);
        left.schema = &join.schema;
        if let Some(filter) = &join.filter {
            left.keep(filter)?;
        }
        Some(left)
    }

    /// How they are joined, if the caller sees each column that decides that as it is.
    pub(super) fn joined(&self) -> Option<Joined<dataset::Column>> {
        let seen = |pairs: &[[Of<String>; 2]]| {
            let pairs = pairs.iter().map(|[left, right]| {
                let (left, right) = (self.seen(left)?, self.seen(right)?);
                Some([left, right])
            });
            pairs.collect::<Option<Vec<_>>>()
        };
        let exists = self.joined.exists.iter().map(|exists| {
            Some(Exists {
                tables: exists.tables.clone(),
                pairs: seen(&exists.pairs)?,
                is_negated: exists.is_negated,
            })
        });
        Some(Joined {
            pairs: seen(&self.joined.pairs)?,
            exists: exists.collect::<Option<_>>()?,
        })
    }

    /// Leaves out rows that a condition is not true of, each conjunct of which is about one table; `None` if it is not.
    fn keep(&mut self, condition: &Expr) -> Option<()> {
        for conjunct in split_conjunction(condition) {
            let columns = conjunct.column_refs().into_iter();
            let mut tables = columns.map(|column| Some(self.named(column)?.table));
            let table = tables.next()??;
            if !tables.all(|other| other == Some(table)) {
                return None;
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

    /// All of the columns, if the caller sees each as it is.
    pub(super) fn shown(&self) -> Option<Vec<Of<dataset::Column>>> {
        let columns = self.columns.iter().map(|term| match term {
            Some(Term::Column(of)) => self.seen(of),
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
fn renamed(expr: &Expr, name: impl Fn(&Column) -> Option<String>) -> Option<Expr> {
    let renamed = expr.clone().transform_up(|expr| match &expr {
        Expr::Column(column) => match name(column) {
            Some(name) => Ok(Transformed::yes(Expr::Column(Column::from_name(name)))),
            None => plan_err!("a column without a name"),
        },
        _ => Ok(Transformed::no(expr)),
    });
    renamed.data().ok()
}
