//! A query that is run for each row of another, as a node of a plan.

use std::{cmp::Ordering, fmt, hash::Hash, sync::Arc};

use datafusion::{
    common::{
        DFSchemaRef, JoinType, Result, internal_err,
        tree_node::{TreeNode as _, TreeNodeRecursion},
    },
    logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore, build_join_schema},
};

use super::outside::Parameters;

/// What becomes of the rows that a query has for one row of the first side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Rows {
    /// Each stands beside that row: a join with LATERAL.
    All,
    /// The same, and NULLs where there is none: LEFT JOIN with LATERAL.
    AllOrNulls,
    /// There is one at most, and NULL where there is none: a query as a value.
    OneOrNull,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Apply {
    /// The first side, and behind it what the query reads that is the same for all rows.
    pub(super) inputs: Vec<LogicalPlan>,
    /// What the query gets of each row, over the first side.
    pub(super) parameters: Parameters,
    /// The query, optimized, with parameters and with tables that stand for the other inputs.
    pub(super) query: Arc<LogicalPlan>,
    pub(super) rows: Rows,
    schema: DFSchemaRef,
}

impl Apply {
    /// # Errors
    /// Columns that are on both sides.
    pub(super) fn new(
        inputs: Vec<LogicalPlan>,
        parameters: Parameters,
        query: LogicalPlan,
        rows: Rows,
    ) -> Result<Self> {
        let Some(first) = inputs.first() else {
            return internal_err!("a query is run for the rows of nothing");
        };
        let join = match rows {
            Rows::All => JoinType::Inner,
            Rows::AllOrNulls | Rows::OneOrNull => JoinType::Left,
        };
        let schema = build_join_schema(first.schema(), query.schema(), &join)?;
        Ok(Self {
            inputs,
            parameters,
            query: Arc::new(query),
            rows,
            schema: Arc::new(schema),
        })
    }

    pub(super) fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension {
            node: Arc::new(self),
        })
    }

    /// The node, if a plan is one.
    pub(super) fn of(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(Extension { node }) => node.as_any().downcast_ref(),
            _ => None,
        }
    }

    /// The same with another query.
    ///
    /// # Errors
    /// As [`Apply::new`].
    pub(super) fn with_query(&self, query: LogicalPlan) -> Result<Self> {
        Self::new(
            self.inputs.clone(),
            self.parameters.clone(),
            query,
            self.rows,
        )
    }
}

/// Whether an expression anywhere in a plan passes a test, those of queries in it that are run for each row included.
///
/// # Errors
/// As the test.
pub(super) fn any_expression(
    plan: &LogicalPlan,
    test: &impl Fn(&LogicalPlan, &Expr) -> Result<bool>,
) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let Some(apply) = Apply::of(node) {
            found |= any_expression(&apply.query, test)?;
        }
        node.apply_expressions(|expr| {
            found |= expr.exists(|part| test(node, part))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(if found {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })?;
    Ok(found)
}

impl PartialOrd for Apply {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let (ours, theirs) = ((&self.inputs, &self.query), (&other.inputs, &other.query));
        let ordering = ours.partial_cmp(&theirs)?;
        (ordering != Ordering::Equal || self == other).then_some(ordering)
    }
}

impl UserDefinedLogicalNodeCore for Apply {
    fn name(&self) -> &'static str {
        "Apply"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        self.inputs.iter().collect()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.parameters.columns.clone()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Apply: {:?}", self.rows)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let parameters = Parameters {
            query: self.parameters.query,
            columns: exprs,
        };
        Self::new(inputs, parameters, self.query.as_ref().clone(), self.rows)
    }

    /// Of the first side what is wanted and what the query gets; of the others all.
    fn necessary_children_exprs(&self, wanted: &[usize]) -> Option<Vec<Vec<usize>>> {
        let mut inputs = self
            .inputs
            .iter()
            .map(|input| input.schema().fields().len());
        let first = inputs.next()?;
        let first = wanted.iter().copied().filter(|column| *column < first);
        let others = inputs.map(|count| (0..count).collect());
        Some(std::iter::once(first.collect()).chain(others).collect())
    }
}
