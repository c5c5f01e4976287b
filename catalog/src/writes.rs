//! A governed write and its lineage: staged before it runs, settled or retracted after.
//!
//! While a write runs, its target has the edges of before and of after: whichever rows a reader
//! sees, they carry the tags of what they were made from. Settling a write that creates closes the
//! older edges; retracting takes away what the stage brought. What neither happened to is closed at
//! the next start: it is voided if it left no file, else the edges stay.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use dataos_model::{
    clock::Timestamp,
    dataset::DatasetId,
    depot::{Dataset, DatasetSource},
    fault::{Fault, FaultKind},
    lineage::WriteLineage,
};

use crate::{
    change::{Edge, Mutation, Record, SCAN_SUPPORT, Stage},
    names,
    scan::COLUMNS_MAX,
    state::State,
};

/// Most edges of one statement: a thousand columns from a thousand unresolved ones.
const EDGES_PER_WRITE_MAX: usize = 1_000_000;
/// Most writes in progress.
const STAGES_MAX: usize = 10_000;
/// Most bytes kept of a statement.
const STATEMENT_BYTES_MAX: usize = 64 * 1024;

/// Checks what a write brings.
pub(crate) fn check(target: &Dataset, lineage: &WriteLineage) -> Result<(), Fault> {
    check_target(target)?;
    if lineage.target != target.id {
        return Err(Fault::internal(format!(
            "lineage of {} was staged for {}",
            lineage.target, target.id
        )));
    }
    if lineage.edges.len() > EDGES_PER_WRITE_MAX {
        return Err(Fault::new(
            FaultKind::TooLarge,
            format!("the statement has more than {EDGES_PER_WRITE_MAX} column edges"),
        )
        .with_hint("split it, or name the columns instead of `*`"));
    }
    Ok(())
}

/// Checks the target of a write.
pub(crate) fn check_target(target: &Dataset) -> Result<(), Fault> {
    names::check_dataset(&target.id)?;
    let columns = &target.schema.columns;
    if columns.is_empty() || columns.len() > COLUMNS_MAX {
        return Err(Fault::invalid(format!(
            "{} has {} columns; 1 to {COLUMNS_MAX} are accepted",
            target.id,
            columns.len()
        )));
    }
    let mut seen = BTreeSet::new();
    for column in columns {
        if let Some(problem) = names::column_problem(&column.name) {
            return Err(Fault::invalid(format!("{}: {problem}", target.id)));
        }
        if !seen.insert(&column.name) {
            let name = names::shown(&column.name);
            return Err(Fault::invalid(format!(
                "{} has column `{name}` twice",
                target.id
            )));
        }
    }
    Ok(())
}

/// The changes of a stage, and its number.
pub(crate) fn stage(
    state: &State,
    target: &Dataset,
    lineage: &WriteLineage,
    now: Timestamp,
) -> Result<(Vec<Mutation>, u64), Fault> {
    if !state.depots.contains_key(&target.id.depot) {
        return Err(Fault::not_found(format!("no depot `{}`", target.id.depot)));
    }
    if state.stages.len() >= STAGES_MAX {
        return Err(
            Fault::unavailable(format!("{STAGES_MAX} writes are in progress"))
                .with_hint("wait for some to end"),
        );
    }
    // A transaction has at most one stage, so its number serves for both and only grows.
    let id = state.transaction + 1;
    let is_new = !state.records.contains_key(&target.id);
    let statement = lineage
        .statement
        .chars()
        .take(STATEMENT_BYTES_MAX / 4)
        .collect();
    let mut mutations = vec![Mutation::PutStage(Arc::new(Stage {
        id,
        target: target.id.clone(),
        creates: lineage.creates,
        is_new,
        paths: paths(target),
        statement,
    }))];
    if is_new {
        mutations.push(Mutation::PutDataset(Arc::new(Record::of_write(
            target, now,
        ))));
    }
    let edges: BTreeSet<Edge> = lineage
        .edges
        .iter()
        .map(|edge| Edge::new(&target.id, edge))
        .collect();
    mutations.extend(edges.into_iter().map(|edge| Mutation::AddEdge(edge, id)));
    Ok((mutations, id))
}

/// The changes when a write succeeded.
pub(crate) fn settle(
    state: &State,
    id: u64,
    target: &Dataset,
    now: Timestamp,
) -> Result<Vec<Mutation>, Fault> {
    let stage = find(state, id)?;
    if stage.target != target.id {
        return Err(Fault::internal(format!(
            "write {id} goes to {}, not {}",
            stage.target, target.id
        )));
    }
    let mut record = Record::of_write(target, now);
    record.owner = record.owner.or_else(|| {
        state
            .records
            .get(&target.id)
            .and_then(|known| known.owner.clone())
    });
    let mut mutations = vec![Mutation::RemoveStage(id)];
    // Without its depot nobody can read the dataset; its edges stay for the day the depot is back.
    if state.depots.contains_key(&target.id.depot) {
        mutations.push(Mutation::PutDataset(Arc::new(record)));
    }
    mutations.extend(superseded(state, stage));
    Ok(mutations)
}

/// Supports that a settled write makes superfluous: for one that creates, all of older settled
/// writes; for one that adds, those of older settled writes for the same edge, which would only pile up.
fn superseded(state: &State, stage: &Stage) -> Vec<Mutation> {
    let mut found = Vec::new();
    for (edge, supports) in state.edges().feeding(&stage.target) {
        if stage.creates || supports.contains(&stage.id) {
            let older = supports.range(SCAN_SUPPORT + 1..stage.id);
            let settled = older.filter(|write| !state.stages.contains_key(write));
            found.extend(settled.map(|write| Mutation::RemoveEdge(edge.clone(), *write)));
        }
    }
    found
}

/// The changes when a write did not happen.
pub(crate) fn retract(state: &State, id: u64) -> Result<Vec<Mutation>, Fault> {
    let stage = find(state, id)?;
    let mut mutations = vec![Mutation::RemoveStage(id)];
    for (edge, supports) in state.edges().feeding(&stage.target) {
        if supports.contains(&id) {
            mutations.push(Mutation::RemoveEdge(edge.clone(), id));
        }
    }
    if stage.is_new && !is_needed_by_another(state, stage) {
        mutations.push(Mutation::RemoveDataset(stage.target.clone()));
    }
    Ok(mutations)
}

/// Whether a dataset that came with `stage` has got rows by another write since, or may get them.
fn is_needed_by_another(state: &State, stage: &Stage) -> bool {
    let is_staged = state
        .stages
        .values()
        .any(|s| s.id != stage.id && s.target == stage.target);
    let is_written = state
        .written
        .get(&stage.target)
        .is_some_and(|write| *write > stage.id);
    is_staged || is_written
}

/// The changes at a start for the writes that an earlier process left open.
pub(crate) fn close_abandoned(state: &State) -> Vec<Mutation> {
    let mut mutations = Vec::new();
    for stage in state.stages.values() {
        let left_nothing = !stage.paths.is_empty() && !stage.paths.iter().any(|path| path.exists());
        let voided = if stage.is_new && left_nothing {
            retract(state, stage.id).ok()
        } else {
            None
        };
        mutations.extend(voided.unwrap_or_else(|| vec![Mutation::RemoveStage(stage.id)]));
    }
    mutations
}

fn find(state: &State, id: u64) -> Result<&Arc<Stage>, Fault> {
    state.stages.get(&id).ok_or_else(|| {
        Fault::not_found(format!("no write {id} is in progress"))
            .with_hint("it was settled or retracted before")
    })
}

fn paths(target: &Dataset) -> Vec<PathBuf> {
    match &target.source {
        DatasetSource::Files { paths, .. } => paths.clone(),
        DatasetSource::Objects { .. }
        | DatasetSource::Table { .. }
        | DatasetSource::AuditLog
        | DatasetSource::View { .. } => Vec::new(),
    }
}

/// Whether a scan must leave a dataset alone: a write to it is in progress, or ended after the scan
/// began and may not have been seen by it.
pub(crate) fn is_in_motion(state: &State, id: &DatasetId, scan_started_at: u64) -> bool {
    state.stages.values().any(|stage| stage.target == *id)
        || state
            .written
            .get(id)
            .is_some_and(|write| *write > scan_started_at)
}
