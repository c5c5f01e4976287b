//! Which queries within a plan are run for each row, and what they become there.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Field},
    common::{
        Column, DFSchema, NullEquality, Result, ScalarValue, Spans, TableReference, not_impl_err,
        plan_err,
        tree_node::{Transformed, TransformedResult as _, TreeNode as _, TreeNodeRecursion},
    },
    execution::SessionState,
    functions_aggregate::expr_fn::{bool_or, count},
    logical_expr::{
        Expr, ExprSchemable as _, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder,
        Operator, Projection, Sort, Subquery, Union, Values, binary_expr,
        expr::{Exists, InSubquery, Placeholder, SetComparison, SetQuantifier},
        expr_rewriter::NamePreserver,
        ident, lit, not,
        utils::{conjunction, split_conjunction_owned},
        when,
    },
};

use super::{
    apply::{Apply, Rows},
    by_the_engine,
    outside::{
        column_of, from_within, has_queries, is_lateral, lateral, named_from_outside,
        parameterized, query_in_plan, query_of, with_query,
    },
    shared::taken,
    sound::{is_sound, is_sound_at},
};

/// The one column of a query as a value.
const VALUE: &str = "value";

/// How many queries of a node the engine is asked about one by one: each time it plans all that the node is over.
const ASKED_MAX: usize = 8;

/// See the module.
pub(super) struct Rewriter<'a> {
    state: &'a SessionState,
    /// Whether the engine is asked about queries that name columns from outside.
    asks: bool,
    /// How many queries are run for each row so far.
    count: usize,
}

impl<'a> Rewriter<'a> {
    pub(super) fn new(state: &'a SessionState) -> Self {
        Self {
            state,
            asks: true,
            count: 0,
        }
    }

    /// The optimized plan: the engine's where it has one.
    ///
    /// # Errors
    /// What the engine finds wrong, or a query for which there is no plan.
    pub(super) fn optimized(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        match by_the_engine(self.state, &plan) {
            Err(_) if has_queries(&plan)? => {
                let rewritten = self.rewritten(plan.clone())?;
                match by_the_engine(self.state, &rewritten) {
                    // What it plans by itself it does not beside everything.
                    Err(_) if self.asks => {
                        self.asks = false;
                        let rewritten = self.rewritten(plan)?;
                        by_the_engine(self.state, &rewritten)
                    }
                    done => done,
                }
            }
            done => done,
        }
    }

    /// The plan, where each query that the engine has no plan for is run for each row. Its columns stay.
    ///
    /// # Errors
    /// As [`Self::optimized`].
    pub(super) fn rewritten(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        if let LogicalPlan::Join(join) = &plan
            && is_lateral(join)?
        {
            return self.lateral(join);
        }
        let children = plan.map_children(|child| self.rewritten(child).map(Transformed::yes))?;
        self.of_node(children.data)
    }

    /// The same of a node over inputs with which it is done.
    fn of_node(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let plan = self.closed(plan)?;
        let planless = self.planless(&plan)?;
        if planless.is_empty() {
            return Ok(plan);
        }
        match plan {
            LogicalPlan::Join(join) => self.condition(join, &planless),
            LogicalPlan::Filter(filter) => self.filter(filter, &planless),
            LogicalPlan::Sort(sort) => self.sort(sort, &planless),
            LogicalPlan::Values(values) => self.of_values(values),
            plan => self.applied(&plan, &planless),
        }
    }

    /// The node, with the same done in queries of its expressions that name nothing from outside.
    fn closed(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = expr.transform_down(|expr| {
                let Some(query) = query_of(&expr).cloned() else {
                    return Ok(Transformed::no(expr));
                };
                if !named_from_outside(&query.subquery)?.is_empty() {
                    return Ok(Transformed::no(expr));
                }
                let plan = query.subquery.as_ref().clone();
                let query = Subquery {
                    subquery: Arc::new(self.rewritten(plan)?),
                    // What LATERAL within it sees is said to be from outside it.
                    outer_ref_columns: Vec::new(),
                    ..query
                };
                Ok(Transformed::yes(with_query(expr, query)))
            })?;
            Ok(expr.update_data(|expr| name.restore(expr)))
        })
        .data()
    }

    /// Those of a node's queries that the engine has no plan for.
    fn planless(&self, node: &LogicalPlan) -> Result<Vec<Expr>> {
        let all = queries(node)?;
        let (mut sound, mut planless) = (Vec::new(), Vec::new());
        for query in &all {
            let is_sound = self.may_have_plan(node, query, &all)?;
            if is_sound { &mut sound } else { &mut planless }.push(query.clone());
        }
        if sound.is_empty() || self.has_plan(node, &planless)? {
            return Ok(planless);
        }
        // One by one, if they are few: to run a query for each row is right for all.
        for query in &sound {
            if sound.len() > ASKED_MAX || !self.has_plan(node, &beside(query, &all)?)? {
                planless.push(query.clone());
            }
        }
        Ok(planless)
    }

    /// Whether the engine is asked about a query: where it stands it makes joins, and of it the right ones.
    fn may_have_plan(&self, node: &LogicalPlan, query: &Expr, all: &[Expr]) -> Result<bool> {
        let Some(plan) = query_of(query) else {
            return Ok(false);
        };
        if !self.asks && !named_from_outside(&plan.subquery)?.is_empty() {
            return Ok(false);
        }
        let alone = without(node, &beside(query, all)?)?;
        Ok(is_sound_at(&alone)? && is_sound(&plan.subquery)?)
    }

    /// Whether the engine plans a node without some of its queries.
    fn has_plan(&self, node: &LogicalPlan, some: &[Expr]) -> Result<bool> {
        Ok(by_the_engine(self.state, &without(node, some)?).is_ok())
    }
}

impl Rewriter<'_> {
    /// A join whose second side sees the first.
    fn lateral(&mut self, join: &Join) -> Result<LogicalPlan> {
        let left = self.rewritten(join.left.as_ref().clone())?;
        let plan = LogicalPlan::Join(Join {
            left: Arc::new(left.clone()),
            ..join.clone()
        });
        if self.asks && by_the_engine(self.state, &plan).is_ok() {
            return Ok(plan);
        }
        let rows = match join.join_type {
            JoinType::Inner => Rows::All,
            JoinType::Left => Rows::AllOrNulls,
            kind => return not_impl_err!("a {kind} join whose second side sees the first"),
        };
        let query = match lateral(&join.right)? {
            Some(query) => query,
            None => join.right.as_ref().clone(),
        };
        let query = fitting(query, condition(join), left.schema())?;
        let number = self.next();
        self.apply(left, query, (rows, number))
    }

    /// A join with queries in its condition.
    fn condition(&mut self, join: Join, planless: &[Expr]) -> Result<LogicalPlan> {
        if let (JoinType::Inner, Some(condition)) = (join.join_type, condition(&join)) {
            let pairs =
                LogicalPlanBuilder::from(join.left).cross_join(join.right.as_ref().clone())?;
            let filter = Filter::try_new(condition, Arc::new(pairs.build()?))?;
            return self.of_node(LogicalPlan::Filter(filter));
        }
        let (mut left, mut right) = (join.left.as_ref().clone(), join.right.as_ref().clone());
        let mut values = Vec::new();
        for query in planless {
            let named = columns_around(query)?;
            let sees =
                |side: &LogicalPlan| named.iter().all(|column| side.schema().has_column(column));
            let side = if sees(&right) {
                &mut right
            } else if sees(&left) {
                &mut left
            } else {
                return self.pairs(join);
            };
            let (applied, value) = self.value(side.clone(), query)?;
            *side = applied;
            values.push((query, value));
        }
        let node = LogicalPlan::Join(join);
        let plan = with_others(&node, vec![left, right], |expr| Ok(value_of(expr, &values)))?;
        with_columns_of(plan, &node)
    }

    /// A join that keeps rows without a partner, with a query over both sides in its condition: for each row of the
    /// side that is kept, the other is a query of the rows that fit it.
    fn pairs(&mut self, join: Join) -> Result<LogicalPlan> {
        let condition = condition(&join);
        let (kept, other) = match join.join_type {
            JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => (join.left, join.right),
            JoinType::Right => (join.right, join.left),
            kind => {
                return not_impl_err!("a query over both sides in the condition of a {kind} join");
            }
        };
        let fit = fitting(Arc::unwrap_or_clone(other), condition, kept.schema())?;
        match join.join_type {
            JoinType::Left | JoinType::Right => {
                let number = self.next();
                let kept = Arc::unwrap_or_clone(kept);
                let plan = self.apply(kept, fit, (Rows::AllOrNulls, number))?;
                let columns = join.schema.columns().into_iter().map(Expr::Column);
                LogicalPlanBuilder::from(plan).project(columns)?.build()
            }
            kind => {
                let is_anti = kind == JoinType::LeftAnti;
                let query = query_in_plan(fit, Spans::new())?;
                let filter = Filter::try_new(Expr::Exists(Exists::new(query, is_anti)), kept)?;
                self.of_node(LogicalPlan::Filter(filter))
            }
        }
    }

    /// What can be looked at before the queries is.
    fn filter(&mut self, filter: Filter, planless: &[Expr]) -> Result<LogicalPlan> {
        let conditions = split_conjunction_owned(filter.predicate);
        let (mut first, mut then) = (Vec::new(), Vec::new());
        for condition in conditions {
            let is_late = condition.exists(|expr| Ok(planless.contains(expr)))?;
            if is_late { &mut then } else { &mut first }.push(condition);
        }
        let mut input = filter.input;
        if let Some(first) = conjunction(first) {
            input = Arc::new(LogicalPlan::Filter(Filter::try_new(first, input)?));
        }
        let then = conjunction(then).unwrap_or_else(|| lit(true));
        let node = LogicalPlan::Filter(Filter::try_new(then, input)?);
        self.applied(&node, planless)
    }

    /// Rows in which queries stand, each as a select list.
    fn of_values(&mut self, values: Values) -> Result<LogicalPlan> {
        let mut rows = Vec::with_capacity(values.values.len());
        for row in values.values {
            let fields = values.schema.iter().zip(row);
            let items = fields.map(|((relation, field), value)| {
                let value = value.cast_to(field.data_type(), &DFSchema::empty())?;
                Ok(value.alias_qualified(relation.cloned(), field.name()))
            });
            let items = items.collect::<Result<Vec<_>>>()?;
            let row = LogicalPlanBuilder::empty(true).project(items)?.build()?;
            rows.push(Arc::new(self.of_node(row)?));
        }
        match rows.len() {
            1 => Ok(Arc::unwrap_or_clone(rows.remove(0))),
            _ => Union::try_new(rows).map(LogicalPlan::Union),
        }
    }

    /// What queries name and the select list has not is carried through it.
    fn sort(&mut self, sort: Sort, planless: &[Expr]) -> Result<LogicalPlan> {
        let node = LogicalPlan::Sort(sort.clone());
        let LogicalPlan::Projection(list) = sort.input.as_ref() else {
            return self.applied(&node, planless);
        };
        let mut shown = list.expr.clone();
        for query in planless {
            for column in columns_around(query)? {
                let is_there =
                    list.schema.has_column(&column) || !list.input.schema().has_column(&column);
                let column = Expr::Column(column);
                if !is_there && !shown.contains(&column) {
                    shown.push(column);
                }
            }
        }
        let list = Projection::try_new(shown, Arc::clone(&list.input))?;
        let wider = LogicalPlan::Sort(Sort {
            input: Arc::new(LogicalPlan::Projection(list)),
            ..sort
        });
        with_columns_of(self.applied(&wider, planless)?, &node)
    }

    /// A node over its input with the values of queries.
    fn applied(&mut self, node: &LogicalPlan, planless: &[Expr]) -> Result<LogicalPlan> {
        let inputs = node.inputs();
        let [input] = inputs.as_slice() else {
            return not_impl_err!(
                "a query that names columns from outside in {}",
                node.display()
            );
        };
        let mut input = LogicalPlan::clone(input);
        let mut values = Vec::new();
        for query in planless {
            let (applied, value) = self.value(input, query)?;
            input = applied;
            values.push((query, value));
        }
        let plan = with_others(node, vec![input], |expr| Ok(value_of(expr, &values)))?;
        with_columns_of(plan, node)
    }

    /// Rows with the value of a query for each, and what the query becomes over them.
    fn value(&mut self, mut input: LogicalPlan, query: &Expr) -> Result<(LogicalPlan, Expr)> {
        let number = self.next();
        let name = TableReference::bare(format!("__value_{number}"));
        let value = Expr::Column(Column::new(Some(name.clone()), VALUE));
        let Some(plan) = query_of(query) else {
            return not_impl_err!("{query} is no query");
        };
        let plan = plan.subquery.as_ref().clone();
        let (plan, shown, value) = match query {
            Expr::Exists(Exists { negated, .. }) => {
                let plan = LogicalPlanBuilder::from(plan).limit(0, Some(1))?.build()?;
                let value = if *negated {
                    value.is_null()
                } else {
                    value.is_not_null()
                };
                (plan, lit(true), value)
            }
            Expr::InSubquery(InSubquery { expr, negated, .. }) => {
                let operand;
                (input, operand) = self.operand(input, expr, number)?;
                let (plan, shown) = compared(plan, operand, (Operator::Eq, SetQuantifier::Any))?;
                (plan, shown, if *negated { not(value) } else { value })
            }
            Expr::SetComparison(SetComparison {
                expr,
                op,
                quantifier,
                ..
            }) => {
                let operand;
                (input, operand) = self.operand(input, expr, number)?;
                let (plan, shown) = compared(plan, operand, (*op, *quantifier))?;
                (plan, shown, value)
            }
            _ => {
                let shown = only_column(&plan)?;
                (plan, shown, value)
            }
        };
        let shown = shown.alias_qualified(Some(name), VALUE);
        let plan = LogicalPlanBuilder::from(plan).project([shown])?.build()?;
        Ok((self.apply(input, plan, (Rows::OneOrNull, number))?, value))
    }

    /// Rows with what a query is compared with as a column, so that it is computed once for each, and that column as
    /// the query names it.
    fn operand(
        &mut self,
        input: LogicalPlan,
        operand: &Expr,
        number: usize,
    ) -> Result<(LogicalPlan, Expr)> {
        if let Expr::Column(_) = operand {
            let operand = from_within(operand.clone(), input.schema())?;
            return Ok((input, operand));
        }
        let name = TableReference::bare(format!("__operand_{number}"));
        let columns = input.schema().columns().into_iter().map(Expr::Column);
        let operand = operand.clone().alias_qualified(Some(name.clone()), VALUE);
        let columns: Vec<Expr> = columns.chain([operand]).collect();
        let list = LogicalPlanBuilder::from(input).project(columns)?.build()?;
        let input = self.of_node(list)?;
        let operand = Expr::Column(Column::new(Some(name), VALUE));
        let operand = from_within(operand, input.schema())?;
        Ok((input, operand))
    }

    /// The node that runs a query for each row.
    fn apply(
        &mut self,
        first: LogicalPlan,
        query: LogicalPlan,
        (rows, number): (Rows, usize),
    ) -> Result<LogicalPlan> {
        let (query, parameters) = parameterized(query, first.schema(), number)?;
        if let Some(column) = named_from_outside(&query)?.first() {
            return not_impl_err!(
                "a query names {column}, which is not among the columns around it"
            );
        }
        let (query, shared) = taken(self.optimized(query)?, number)?;
        let inputs = std::iter::once(first).chain(shared).collect();
        Ok(Apply::new(inputs, parameters, query, rows)?.into_plan())
    }

    fn next(&mut self) -> usize {
        self.count += 1;
        self.count
    }
}

/// The queries in a node's expressions.
fn queries(node: &LogicalPlan) -> Result<Vec<Expr>> {
    let mut queries = Vec::new();
    node.apply_expressions(|expr| {
        expr.apply(|expr| {
            if query_of(expr).is_some() && !queries.contains(expr) {
                queries.push(expr.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(queries)
}

/// Those of some queries that are not part of this one.
fn beside(query: &Expr, all: &[Expr]) -> Result<Vec<Expr>> {
    let mut others = Vec::new();
    for other in all {
        if !query.exists(|part| Ok(part == other))? {
            others.push(other.clone());
        }
    }
    Ok(others)
}

/// The columns that a query and what it is compared with name of the rows around it.
fn columns_around(query: &Expr) -> Result<Vec<Column>> {
    let mut columns: Vec<Column> = query.column_refs().into_iter().cloned().collect();
    if let Some(query) = query_of(query) {
        let named = named_from_outside(&query.subquery)?;
        columns.extend(named.iter().filter_map(column_of).cloned());
    }
    Ok(columns)
}

/// The condition of a join as one expression.
fn condition(join: &Join) -> Option<Expr> {
    let operator = match join.null_equality {
        NullEquality::NullEqualsNothing => Operator::Eq,
        NullEquality::NullEqualsNull => Operator::IsNotDistinctFrom,
    };
    let equal = join.on.iter().cloned();
    let equal = equal.map(|(left, right)| binary_expr(left, operator, right));
    conjunction(equal.chain(join.filter.clone()))
}

/// The rows of a query that fit a condition over them and the rows around it.
fn fitting(query: LogicalPlan, condition: Option<Expr>, around: &DFSchema) -> Result<LogicalPlan> {
    let Some(condition) = condition else {
        return Ok(query);
    };
    let condition = from_within(condition, around)?;
    Ok(LogicalPlan::Filter(Filter::try_new(
        condition,
        Arc::new(query),
    )?))
}

/// A comparison with one or each row of a query: the query of one row, and the value in it.
fn compared(
    plan: LogicalPlan,
    operand: Expr,
    (operator, quantifier): (Operator, SetQuantifier),
) -> Result<(LogicalPlan, Expr)> {
    let holds = binary_expr(operand, operator, only_column(&plan)?);
    let (is_found, found) = match quantifier {
        SetQuantifier::Any => (holds, true),
        SetQuantifier::All => (not(holds), false),
    };
    let plan = LogicalPlanBuilder::from(plan)
        .project([is_found.alias("is_found")])?
        .aggregate(
            Vec::<Expr>::new(),
            [
                bool_or(ident("is_found")).alias("any"),
                count(ident("is_found")).alias("known"),
                count(lit(1_i64)).alias("all"),
            ],
        )?
        .build()?;
    let value = when(ident("any"), lit(found))
        .when(ident("known").eq(ident("all")), lit(!found))
        .otherwise(lit(ScalarValue::Boolean(None)))?;
    Ok((plan, value))
}

fn only_column(plan: &LogicalPlan) -> Result<Expr> {
    match plan.schema().columns().as_slice() {
        [column] => Ok(Expr::Column(column.clone())),
        columns => plan_err!("a query as a value has one column, not {}", columns.len()),
    }
}

/// What is put in place of an expression.
fn value_of(expr: &Expr, values: &[(&Expr, Expr)]) -> Option<Expr> {
    let mut values = values.iter();
    let found = values.find(|(query, _)| *query == expr);
    found.map(|(_, value)| value.clone())
}

/// The node over these inputs, with other expressions in place of some.
fn with_others(
    node: &LogicalPlan,
    inputs: Vec<LogicalPlan>,
    other: impl Fn(&Expr) -> Result<Option<Expr>>,
) -> Result<LogicalPlan> {
    let names = NamePreserver::new(node);
    let exprs = node.expressions().into_iter().map(|expr| {
        let name = names.save(&expr);
        let expr = expr.transform_down(|expr| {
            Ok(match other(&expr)? {
                Some(other) => Transformed::new(other, true, TreeNodeRecursion::Jump),
                None => Transformed::no(expr),
            })
        })?;
        Ok(name.restore(expr.data))
    });
    let exprs = exprs.collect::<Result<Vec<_>>>()?;
    node.with_new_exprs(exprs, inputs)
}

/// The node without some of its queries: with something in their place that the engine cannot compute with.
fn without(node: &LogicalPlan, some: &[Expr]) -> Result<LogicalPlan> {
    let inputs = node.inputs().into_iter().cloned().collect();
    with_others(node, inputs, |expr| {
        if !some.contains(expr) {
            return Ok(None);
        }
        let value = expr.get_type(node.schema()).unwrap_or(DataType::Boolean);
        let field = Arc::new(Field::new(VALUE, value, true));
        let unknown = Placeholder::new_with_field("$other".to_owned(), Some(field));
        Ok(Some(Expr::Placeholder(unknown)))
    })
}

/// The plan with the columns of the node that it stands for.
fn with_columns_of(plan: LogicalPlan, node: &LogicalPlan) -> Result<LogicalPlan> {
    if plan.schema().fields().len() == node.schema().fields().len() {
        return Ok(plan);
    }
    let columns = node.schema().columns().into_iter().map(Expr::Column);
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}
