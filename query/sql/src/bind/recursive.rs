//! WITH RECURSIVE: a query that is a UNION may name itself, once, on its right side.
//!
//! While the right side is bound, each column of the query is a mark. Then the marks are replaced by
//! the sources of the columns, until nothing changes: a column that is built from another one has
//! its sources.

use std::{collections::BTreeSet, rc::Rc};

use super::{
    Binder,
    from::renamed_to,
    scope::{CteEntry, Itself, Output, Read},
};
use crate::{
    error::{SqlError, SqlErrorKind},
    ir::{Body, Cte, Ident, Query, SetOperator},
    lineage::{Flow, Source},
};

impl Binder<'_> {
    /// A query of WITH RECURSIVE, which may or may not name itself.
    pub(super) fn define_recursive(&mut self, cte: &Cte) -> Result<Cte, SqlError> {
        let engine_name = self.cte_name(&cte.name.value);
        let Body::SetOperation {
            operator: SetOperator::Union,
            is_all,
            left,
            right,
        } = &cte.query.body
        else {
            self.enter(cte, engine_name.clone());
            let defined = self.define(cte, engine_name)?;
            // The entry of the definition stays, the one that barred its name goes.
            let at = self.ctes.len().saturating_sub(2);
            self.ctes.remove(at);
            return Ok(defined);
        };
        let query = &cte.query;
        if !query.ctes.is_empty()
            || !query.order_by.is_empty()
            || query.limit.is_some()
            || query.offset.is_some()
        {
            return Err(SqlError::unsupported(
                "WITH, ORDER BY or LIMIT of a UNION in WITH RECURSIVE",
                cte.name.position,
            )
            .with_hint("put it into a query around the UNION, or behind it"));
        }
        let before = self.expanded;
        self.enter(cte, engine_name);
        self.indirect.push(BTreeSet::new());
        let (left, statics, _) = self.body(left, &[], Read::Names)?;
        let mark = self.marked(&statics, &cte.columns)?;
        let (right, steps, _) = self.body(right, &[], Read::Names)?;
        let indirect = self.indirect.pop().unwrap_or_default();
        if statics.len() != steps.len() {
            let text = format!(
                "a set operation has {} and {} columns",
                statics.len(),
                steps.len()
            );
            return Err(SqlError::new(SqlErrorKind::Invalid, text, query.position));
        }
        let columns = self.solved(mark, statics, &steps)?;
        let indirect = unmarked(&indirect, mark, &columns);
        let columns = renamed_to(columns, &cte.columns)?;
        let weight = self.expanded.saturating_sub(before).max(1);
        self.expanded = before;
        let Some(entry) = self.ctes.last_mut() else {
            return Err(super::mismatch("a query of WITH is gone"));
        };
        (entry.columns, entry.indirect) = (columns, indirect);
        (entry.weight, entry.itself) = (weight, Itself::Defined);
        let body = Body::SetOperation {
            operator: SetOperator::Union,
            is_all: *is_all,
            left: Box::new(left),
            right: Box::new(right),
        };
        Ok(Cte {
            name: entry.engine_name.clone(),
            columns: Vec::new(),
            query: Query {
                body,
                ..query.clone()
            },
        })
    }

    /// Makes the name known, so that it means nothing else, and bars its use.
    fn enter(&mut self, cte: &Cte, engine_name: Ident) {
        self.ctes.push(CteEntry {
            name: cte.name.clone(),
            engine_name,
            columns: Vec::new(),
            indirect: BTreeSet::new(),
            weight: 1,
            itself: Itself::Unknown,
        });
    }

    /// Lets the right side name the query, with a mark for each column.
    fn marked(&mut self, statics: &[Output], names: &[Ident]) -> Result<usize, SqlError> {
        // No base table has such a number.
        let occurrence = usize::MAX.saturating_sub(self.recursions);
        self.recursions += 1;
        let columns = statics.iter().enumerate().map(|(column, output)| Output {
            flow: Rc::new(Flow::of(Source { occurrence, column })),
            base: None,
            ..output.clone()
        });
        let columns = renamed_to(columns.collect(), names)?;
        if let Some(entry) = self.ctes.last_mut() {
            entry.columns = columns;
            entry.itself = Itself::Working { is_named: false };
        }
        Ok(occurrence)
    }

    /// The columns of the query, with the sources of both sides and no mark.
    fn solved(
        &mut self,
        mark: usize,
        mut columns: Vec<Output>,
        steps: &[Output],
    ) -> Result<Vec<Output>, SqlError> {
        let mut flows: Vec<Flow> = columns
            .iter()
            .map(|column| Flow::clone(&column.flow))
            .collect();
        loop {
            let before = flows.clone();
            for (flow, step) in flows.iter_mut().zip(steps) {
                for (source, how) in &step.flow.direct {
                    match marked_column(*source, mark).map(|column| before.get(column)) {
                        Some(Some(of)) => flow.absorb(of, *how),
                        Some(None) => {}
                        None => flow.absorb(&Flow::of(*source), *how),
                    }
                }
                flow.conditional.extend(unmarked(
                    &step.flow.conditional,
                    mark,
                    &with(&columns, &before),
                ));
                self.spend(flow)?;
            }
            // Sources only grow, and there are only so many.
            if flows == before {
                break;
            }
        }
        for (column, flow) in columns.iter_mut().zip(flows) {
            column.base = None;
            column.flow = Rc::new(flow);
        }
        Ok(columns)
    }
}

/// The columns with other flows.
fn with(columns: &[Output], flows: &[Flow]) -> Vec<Output> {
    let columns = columns.iter().zip(flows);
    columns
        .map(|(column, flow)| Output {
            flow: Rc::new(flow.clone()),
            ..column.clone()
        })
        .collect()
}

/// The column that a source marks.
fn marked_column(source: Source, mark: usize) -> Option<usize> {
    (source.occurrence == mark).then_some(source.column)
}

/// Sources, each mark replaced by the sources of its column.
fn unmarked(sources: &BTreeSet<Source>, mark: usize, columns: &[Output]) -> BTreeSet<Source> {
    let mut found = BTreeSet::new();
    for source in sources {
        match marked_column(*source, mark) {
            Some(column) => {
                let output = columns.get(column);
                found.extend(output.into_iter().flat_map(|output| output.flow.sources()));
            }
            None => {
                found.insert(*source);
            }
        }
    }
    found
}
