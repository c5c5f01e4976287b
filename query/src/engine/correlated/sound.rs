//! Of which queries the engine makes joins that answer the same.
//!
//! DataFusion 55 makes joins of EXISTS and IN in WHERE alone, and of IN below OR or NOT one that takes what is not
//! known for false. It pulls conditions with columns from outside up to a join, past whatever lies above them. Past
//! some nodes that is another query: a window then spans the rows of all partners, LIMIT and OFFSET below EXISTS are
//! dropped, and where an aggregate finds no row, EXISTS, IN and a second aggregate do not find the one that it has for
//! none. It also makes plans that name columns which are not there. So a query is left to the engine only where it
//! makes joins, and if nothing lies above its conditions but what this knows to be harmless. A query as a value it
//! takes for never NULL where the column is not.

use datafusion::{
    common::{
        JoinType, Result,
        tree_node::{TreeNode as _, TreeNodeRecursion},
    },
    logical_expr::{
        Aggregate, BinaryExpr, Distinct, EmptyRelation, Expr, FetchType, LogicalPlan, Operator,
        SkipType, expr::InSubquery,
    },
};

use super::{
    apply::Apply,
    outside::{column_of, is_correlated, lateral, named_from_outside, query_of},
};

/// Whether the engine makes what is right of all queries within a plan's.
///
/// # Errors
/// A plan that is not whole.
pub(super) fn is_sound(plan: &LogicalPlan) -> Result<bool> {
    let mut is_sound = true;
    plan.apply_with_subqueries(|node| {
        // What is read once is optimized: it was looked at before.
        if let Some(first) = Apply::of(node).and_then(|apply| apply.inputs.first()) {
            is_sound &= self::is_sound(first)?;
            return Ok(TreeNodeRecursion::Jump);
        }
        is_sound &= is_sound_at(node)?;
        Ok(if is_sound {
            TreeNodeRecursion::Continue
        } else {
            TreeNodeRecursion::Stop
        })
    })?;
    Ok(is_sound)
}

/// The same of the expressions of one node, and of what is LATERAL in it.
///
/// # Errors
/// As [`is_sound`].
pub(super) fn is_sound_at(node: &LogicalPlan) -> Result<bool> {
    match node {
        LogicalPlan::Join(join) => {
            let is_sound = match lateral(&join.right)? {
                Some(query) => is_harmless(&query, Aggregates::Any)?,
                None => true,
            };
            Ok(is_sound && has_values_alone(node)?)
        }
        LogicalPlan::Filter(filter) => is_sound_condition(&filter.predicate),
        node => has_values_alone(node),
    }
}

/// Whether all queries in a node's expressions are values, and harmless.
fn has_values_alone(node: &LogicalPlan) -> Result<bool> {
    let mut are_sound = true;
    node.apply_expressions(|expr| {
        are_sound &= are_values(expr)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(are_sound)
}

fn are_values(expr: &Expr) -> Result<bool> {
    let mut are_sound = true;
    expr.apply(|expr| {
        if let Some(query) = query_of(expr) {
            let is_value = matches!(expr, Expr::ScalarSubquery(_));
            let is_known = is_value && knows_of_null(&query.subquery);
            are_sound &= is_known && is_harmless(&query.subquery, Aggregates::Any)?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(are_sound)
}

/// Whether the engine knows whether a query as a value may be NULL: it takes the one of a query without rows for
/// what the column is.
fn knows_of_null(query: &LogicalPlan) -> bool {
    let mut fields = query.schema().fields().iter();
    fields.all(|field| field.is_nullable()) || has_a_row(query)
}

fn has_a_row(query: &LogicalPlan) -> bool {
    match query {
        LogicalPlan::Projection(projection) => has_a_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => has_a_row(&alias.input),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(EmptyRelation {
            produce_one_row, ..
        }) => *produce_one_row,
        _ => false,
    }
}

/// Whether the engine makes what is right of a condition that keeps rows for which it is true.
fn is_sound_condition(condition: &Expr) -> Result<bool> {
    match condition {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::And,
            right,
        }) => Ok(is_sound_condition(left)? && is_sound_condition(right)?),
        Expr::Not(negated) if matches!(negated.as_ref(), Expr::InSubquery(_)) => {
            is_sound_not_in(negated)
        }
        Expr::InSubquery(within) if within.negated => is_sound_not_in(condition),
        condition => is_sound_below(condition),
    }
}

/// NOT IN finds no row where the query has a NULL: in all of its rows, as the engine sees it, and not in those alone
/// that meet the conditions with columns from outside. Nor does it for a NULL, which the engine expects of columns alone:
/// not of a parameter, nor of what is computed of columns that are never NULL.
fn is_sound_not_in(within: &Expr) -> Result<bool> {
    let Expr::InSubquery(InSubquery { expr, subquery, .. }) = within else {
        return Ok(false);
    };
    let is_column = matches!(expr.as_ref(), Expr::Column(_));
    Ok(is_column && !is_correlated(&subquery.subquery)? && is_sound_query(within)?)
}

/// The same for what is no condition of its own: IN is false where it is not known, which makes no difference below
/// OR and AND.
fn is_sound_below(condition: &Expr) -> Result<bool> {
    match condition {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::And | Operator::Or,
            right,
        }) => Ok(is_sound_below(left)? && is_sound_below(right)?),
        Expr::Not(negated) if matches!(negated.as_ref(), Expr::Exists(_)) => {
            is_sound_query(negated)
        }
        Expr::InSubquery(within) if within.negated => Ok(false),
        Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) => is_sound_query(condition),
        expr => are_values(expr),
    }
}

/// Whether a query that is no value is harmless, and what it is compared with.
fn is_sound_query(expr: &Expr) -> Result<bool> {
    let (operand, query) = match expr {
        Expr::Exists(exists) => (None, exists.subquery.subquery.as_ref()),
        Expr::InSubquery(within) => (Some(&within.expr), within.subquery.subquery.as_ref()),
        Expr::SetComparison(comparison) => (
            Some(&comparison.expr),
            comparison.subquery.subquery.as_ref(),
        ),
        _ => return Ok(false),
    };
    if let Some(operand) = operand
        && !are_values(operand)?
    {
        return Ok(false);
    }
    match (operand, query) {
        (None, LogicalPlan::Limit(limit)) => {
            let is_one_enough = matches!(limit.get_skip_type()?, SkipType::Literal(0))
                && matches!(limit.get_fetch_type()?, FetchType::Literal(Some(1..)));
            Ok(is_one_enough && is_harmless(&limit.input, Aggregates::OfGroups)?)
        }
        _ => is_harmless(query, Aggregates::OfGroups),
    }
}

/// Which aggregates may lie above conditions with columns from outside.
#[derive(Clone, Copy)]
enum Aggregates {
    Any,
    /// Those that have no row where they find none.
    OfGroups,
    None,
}

/// Whether nothing but what is harmless lies above conditions with columns from outside.
fn is_harmless(plan: &LogicalPlan, aggregates: Aggregates) -> Result<bool> {
    if !is_correlated(plan)? {
        return Ok(true);
    }
    match plan {
        LogicalPlan::Projection(projection) => is_harmless(&projection.input, aggregates),
        LogicalPlan::SubqueryAlias(alias) => is_harmless(&alias.input, aggregates),
        LogicalPlan::Distinct(Distinct::All(input)) => is_harmless(input, aggregates),
        LogicalPlan::Filter(filter) => {
            let schema = filter.input.schema();
            let mut is_near = true;
            filter.predicate.apply(|expr| {
                if let Some(query) = query_of(expr) {
                    let named = named_from_outside(&query.subquery)?;
                    let mut named = named.iter().filter_map(column_of);
                    is_near &= named.all(|column| schema.has_column(column));
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
            Ok(is_near && is_harmless(&filter.input, aggregates)?)
        }
        LogicalPlan::Aggregate(aggregate) => {
            let is_allowed = match aggregates {
                Aggregates::Any => !has_sets(aggregate),
                Aggregates::OfGroups => !has_sets(aggregate) && !aggregate.group_expr.is_empty(),
                Aggregates::None => false,
            };
            Ok(is_allowed && is_harmless(&aggregate.input, Aggregates::None)?)
        }
        LogicalPlan::Join(join) if lateral(&join.right)?.is_none() => match join.join_type {
            JoinType::Inner => {
                Ok(is_harmless(&join.left, aggregates)? && is_harmless(&join.right, aggregates)?)
            }
            JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => {
                Ok(is_harmless(&join.left, aggregates)? && !is_correlated(&join.right)?)
            }
            _ => Ok(false),
        },
        _ => Ok(false),
    }
}

fn has_sets(aggregate: &Aggregate) -> bool {
    let mut groups = aggregate.group_expr.iter();
    groups.any(|group| matches!(group, Expr::GroupingSet(_)))
}

/// Whether an optimized plan has no LATERAL any more, no query for each row, and each column that it names.
///
/// # Errors
/// None; walking has the type.
pub(super) fn is_whole(plan: &LogicalPlan) -> Result<bool> {
    let mut is_whole = true;
    plan.apply_with_subqueries(|node| {
        let inputs = node.inputs();
        let is_left = |input: &&LogicalPlan| matches!(input, LogicalPlan::Subquery(_));
        is_whole &= !inputs.iter().any(is_left);
        node.apply_expressions(|expr| {
            let mut columns = expr.column_refs().into_iter();
            let are_there = columns.all(|column| {
                let mut inputs = inputs.iter();
                inputs.any(|input| input.schema().has_column(column))
            });
            is_whole &= inputs.is_empty() || are_there;
            // The engine runs a query as a value only if it knows that it is for no row.
            is_whole &= !expr.exists(|expr| {
                Ok(query_of(expr).is_some_and(|query| !query.outer_ref_columns.is_empty()))
            })?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(is_whole)
}
