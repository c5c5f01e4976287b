//! Queries that name columns from outside where the engine finds no join for them.
//!
//! Enters: a plan as it was made of the text. Leaves: the optimized plan. What the engine makes a join of stays the
//! engine's. Every other query within a query becomes the second side of an [`Apply`](apply::Apply): it is planned
//! once, with a parameter in place of each column from outside, and what of it needs no parameter is read once, as an
//! input; then it is run for each different set of values that the rows of the first side have. That is what SQL
//! says such a query means, whatever stands in it; the levels of a query in a query in a query are taken from the
//! outside to the inside.

mod apply;
mod joined;
mod outside;
mod parameter;
mod query;
mod rewrite;
mod run;
mod shared;
mod sound;

use datafusion::{
    common::{Result, not_impl_err},
    execution::SessionState,
    logical_expr::LogicalPlan,
};

pub(super) use self::run::{ApplyExec, Planner};
use self::{
    outside::{has_queries, is_correlated},
    rewrite::Rewriter,
    sound::{is_sound, is_whole},
};

/// See the module.
///
/// # Errors
/// What the engine finds wrong, or a query for which this finds no plan either.
pub(crate) fn optimized(state: &SessionState, plan: LogicalPlan) -> Result<LogicalPlan> {
    Rewriter::new(state).optimized(plan)
}

/// The same plan, not optimized: as it was if the engine has a plan for it.
///
/// # Errors
/// As [`optimized`].
pub(super) fn plannable(state: &SessionState, plan: LogicalPlan) -> Result<LogicalPlan> {
    if !has_queries(&plan)? || by_the_engine(state, &plan).is_ok() {
        return Ok(plan);
    }
    Rewriter::new(state).rewritten(plan)
}

/// What the engine makes of a plan by itself, if that is sound.
fn by_the_engine(state: &SessionState, plan: &LogicalPlan) -> Result<LogicalPlan> {
    if !has_queries(plan)? {
        return state.optimize(plan);
    }
    if is_sound(plan)? {
        let plan = state.optimize(plan)?;
        if is_whole(&plan)? && !is_correlated(&plan)? {
            return Ok(plan);
        }
    }
    not_impl_err!("the engine makes no join of a query that names columns from outside")
}
