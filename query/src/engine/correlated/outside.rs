//! Columns that a query names from outside, and to which query around it they belong.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::FieldRef,
    common::{
        Column, DFSchema, DFSchemaRef, ExprSchema as _, Result, Spans, not_impl_err,
        tree_node::{Transformed, TransformedResult as _, TreeNode as _, TreeNodeRecursion},
    },
    logical_expr::{
        Expr, Join, LogicalPlan, Subquery, SubqueryAlias,
        expr::{Exists, InSubquery, Placeholder, SetComparison},
        expr_rewriter::NamePreserver,
    },
};

/// Whether a plan has a column from outside anywhere.
///
/// # Errors
/// None; walking has the type.
pub(super) fn is_correlated(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= node.contains_outer_reference();
        Ok(if found {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })?;
    Ok(found)
}

/// Whether a plan has a query within an expression, or names columns from outside.
///
/// # Errors
/// None; walking has the type.
pub(super) fn has_queries(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(|expr| {
                let is_outside = matches!(expr, Expr::OuterReferenceColumn(..));
                Ok(is_outside || query_of(expr).is_some())
            })?;
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

/// The columns that a query names and that nothing in it has.
///
/// # Errors
/// A plan that is not whole.
pub(super) fn named_from_outside(plan: &LogicalPlan) -> Result<Vec<Expr>> {
    let mut named = Vec::new();
    Walk::new(None, |field: &FieldRef, column: &Column| {
        let column = Expr::OuterReferenceColumn(Arc::clone(field), column.clone());
        if !named.contains(&column) {
            named.push(column);
        }
        None
    })
    .query(plan.clone())?;
    Ok(named)
}

/// The values that a query gets from each row of what is around it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Parameters {
    /// Which query this is: parameters of each have names of their own.
    pub(super) query: usize,
    /// The columns around it, in the order of the parameters.
    pub(super) columns: Vec<Expr>,
}

impl Parameters {
    fn name(query: usize, number: usize) -> String {
        format!("${query}_{number}")
    }

    /// The number of a parameter of this query.
    pub(super) fn number(query: usize, placeholder: &Placeholder) -> Option<usize> {
        let (of, number) = placeholder.id.strip_prefix('$')?.split_once('_')?;
        (of.parse() == Ok(query)).then(|| number.parse().ok())?
    }
}

/// Whether an expression has a parameter of a query.
///
/// # Errors
/// None; walking has the type.
pub(super) fn has_parameter(expr: &Expr, query: usize) -> Result<bool> {
    expr.exists(|expr| {
        Ok(matches!(expr, Expr::Placeholder(placeholder)
            if Parameters::number(query, placeholder).is_some()))
    })
}

/// The query with a parameter in place of each column that it names of `scope`.
///
/// # Errors
/// A column that may be meant in two ways, or a plan that is not whole.
pub(super) fn parameterized(
    plan: LogicalPlan,
    scope: &DFSchema,
    query: usize,
) -> Result<(LogicalPlan, Parameters)> {
    let mut columns: Vec<Column> = Vec::new();
    let mut to = |_: &FieldRef, column: &Column| {
        let field = scope.field_from_column(column).ok()?;
        let known = columns.iter().position(|known| known == column);
        let number = known.unwrap_or_else(|| {
            columns.push(column.clone());
            columns.len() - 1
        });
        let field = Arc::new(field.as_ref().clone().with_nullable(true));
        Some(Expr::Placeholder(Placeholder::new_with_field(
            Parameters::name(query, number),
            Some(field),
        )))
    };
    let plan = Walk::new(Some(scope), &mut to).query(plan)?;
    let columns = columns.into_iter().map(Expr::Column).collect();
    Ok((plan, Parameters { query, columns }))
}

/// An expression over a query's rows as one within a query over them.
///
/// # Errors
/// A column that is not there.
pub(super) fn from_within(expr: Expr, scope: &DFSchema) -> Result<Expr> {
    expr.transform(|expr| match expr {
        Expr::Column(column) if scope.has_column(&column) => {
            let field = Arc::clone(scope.field_from_column(&column)?);
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        expr => Ok(Transformed::no(expr)),
    })
    .data()
}

/// The query of a relation that sees the relations before it: LATERAL.
pub(super) fn lateral(relation: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    Ok(match relation {
        LogicalPlan::Subquery(query) => Some(query.subquery.as_ref().clone()),
        LogicalPlan::SubqueryAlias(alias) => match alias.input.as_ref() {
            LogicalPlan::Subquery(query) => {
                let alias = alias.alias.clone();
                let named = SubqueryAlias::try_new(Arc::clone(&query.subquery), alias)?;
                Some(LogicalPlan::SubqueryAlias(named))
            }
            _ => None,
        },
        _ => None,
    })
}

/// The plan of the query that an expression is, if it is one.
pub(super) fn query_of(expr: &Expr) -> Option<&Subquery> {
    match expr {
        Expr::ScalarSubquery(query)
        | Expr::Exists(Exists {
            subquery: query, ..
        })
        | Expr::InSubquery(InSubquery {
            subquery: query, ..
        })
        | Expr::SetComparison(SetComparison {
            subquery: query, ..
        }) => Some(query),
        _ => None,
    }
}

/// The same expression with another query in it.
pub(super) fn with_query(expr: Expr, query: Subquery) -> Expr {
    match expr {
        Expr::ScalarSubquery(_) => Expr::ScalarSubquery(query),
        Expr::Exists(exists) => Expr::Exists(Exists {
            subquery: query,
            ..exists
        }),
        Expr::InSubquery(within) => Expr::InSubquery(InSubquery {
            subquery: query,
            ..within
        }),
        Expr::SetComparison(comparison) => Expr::SetComparison(SetComparison {
            subquery: query,
            ..comparison
        }),
        other => other,
    }
}

/// Whether the second side of a join sees the first, and can so name columns of it.
///
/// # Errors
/// A plan that is not whole.
pub(super) fn is_lateral(join: &Join) -> Result<bool> {
    if lateral(&join.right)?.is_some() {
        return Ok(true);
    }
    // What is named in queries within it alone does not mark it.
    if names_directly(&join.right)? {
        return Ok(false);
    }
    let named = named_from_outside(&join.right)?;
    let mut named = named.iter().filter_map(column_of);
    Ok(named.any(|column| join.left.schema().has_column(column)))
}

/// Whether a query names columns from outside other than in queries within it.
fn names_directly(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(|node| Ok(node.contains_outer_reference()))
}

/// The column that an expression names from outside.
pub(super) fn column_of(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::OuterReferenceColumn(_, column) => Some(column),
        _ => None,
    }
}

/// A query in a plan, with what it names from outside written beside it.
///
/// # Errors
/// A plan that is not whole.
pub(super) fn query_in_plan(plan: LogicalPlan, spans: Spans) -> Result<Subquery> {
    Ok(Subquery {
        outer_ref_columns: named_from_outside(&plan)?,
        subquery: Arc::new(plan),
        spans,
    })
}

/// All columns of a node's inputs.
fn inputs(node: &LogicalPlan) -> DFSchemaRef {
    let mut all = DFSchema::empty();
    for input in node.inputs() {
        all.merge(input.schema());
    }
    Arc::new(all)
}

/// What a query is within.
struct Around {
    schema: DFSchemaRef,
    /// Whether the query sees it for sure: it is the first side of a join that may not be LATERAL.
    is_sure: bool,
}

/// A way through a query that looks at each column that it names from outside, and may put another expression
/// there.
struct Walk<'a, F> {
    /// What is around the query, if that is known.
    scope: Option<&'a DFSchema>,
    /// What the queries have that were entered, from the outside to the inside.
    around: Vec<Around>,
    to: F,
}

impl<'a, F: FnMut(&FieldRef, &Column) -> Option<Expr>> Walk<'a, F> {
    fn new(scope: Option<&'a DFSchema>, to: F) -> Self {
        Self {
            scope,
            around: Vec::new(),
            to,
        }
    }

    fn query(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let plan = if let LogicalPlan::Subquery(_) = plan {
            plan
        } else {
            self.expressions(plan)?
        };
        match plan {
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Subquery(query) => {
                let plan = self.query(query.subquery.as_ref().clone())?;
                let query = query_in_plan(plan, query.spans)?;
                // One that names nothing from outside any more needs to see nothing.
                if query.outer_ref_columns.is_empty() {
                    return Ok(Arc::unwrap_or_clone(query.subquery));
                }
                Ok(LogicalPlan::Subquery(query))
            }
            plan => {
                let plan = plan.map_children(|child| self.query(child).map(Transformed::yes))?;
                plan.data.recompute_schema()
            }
        }
    }

    /// The second side of a join that is LATERAL has the first around it.
    fn join(&mut self, join: Join) -> Result<LogicalPlan> {
        let left = self.query(join.left.as_ref().clone())?;
        let is_sure = lateral(&join.right)?.is_some();
        let sees = is_sure || !names_directly(&join.right)?;
        if sees {
            let schema = Arc::clone(left.schema());
            self.around.push(Around { schema, is_sure });
        }
        let right = self.query(join.right.as_ref().clone())?;
        if sees {
            self.around.pop();
        }
        let (left, right) = (Arc::new(left), Arc::new(right));
        LogicalPlan::Join(Join {
            left,
            right,
            ..join
        })
        .recompute_schema()
    }

    fn expressions(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let (names, inputs) = (NamePreserver::new(&plan), inputs(&plan));
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = expr.transform_down(|expr| self.expression(expr, &inputs))?;
            Ok(expr.update_data(|expr| name.restore(expr)))
        })
        .data()
    }

    fn expression(&mut self, expr: Expr, inputs: &DFSchemaRef) -> Result<Transformed<Expr>> {
        if let Expr::OuterReferenceColumn(field, column) = &expr {
            let other = self.column(field, column)?;
            return Ok(other.map_or_else(|| Transformed::no(expr), Transformed::yes));
        }
        let Some(query) = query_of(&expr).cloned() else {
            return Ok(Transformed::no(expr));
        };
        self.around.push(Around {
            schema: Arc::clone(inputs),
            is_sure: true,
        });
        let plan = self.query(query.subquery.as_ref().clone())?;
        self.around.pop();
        let query = query_in_plan(plan, query.spans)?;
        Ok(Transformed::yes(with_query(expr, query)))
    }

    /// What is put in place of a column, if nothing that was entered has it.
    fn column(&mut self, field: &FieldRef, column: &Column) -> Result<Option<Expr>> {
        let mut around = self.around.iter().rev();
        match around.find(|around| around.schema.has_column(column)) {
            None => Ok((self.to)(field, column)),
            Some(around) if around.is_sure => Ok(None),
            Some(_) if !self.scope.is_some_and(|scope| scope.has_column(column)) => Ok(None),
            Some(_) => {
                not_impl_err!("the name {column} has two meanings in a query within a query")
            }
        }
    }
}
