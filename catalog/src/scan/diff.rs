//! What a survey changes, compared with what is catalogued.

use std::{collections::BTreeSet, sync::Arc};

use dataos_model::{dataset::DatasetId, depot::DatasetSource, seams::ScanReport};

use super::Survey;
use crate::{
    change::{Edge, Mutation, Record, SCAN_SUPPORT},
    state::State,
    writes::is_in_motion,
};

/// The changes and the report of a survey that began at transaction `started_at`.
pub(crate) fn changes(
    state: &State,
    depot: &str,
    survey: Survey,
    started_at: u64,
) -> (Vec<Mutation>, ScanReport) {
    let mut mutations = Vec::new();
    let mut report = ScanReport::default();
    let mut seen: BTreeSet<DatasetId> = survey
        .unreadable
        .iter()
        .filter_map(|item| item.id.clone())
        .collect();
    for record in survey.found {
        seen.insert(record.id.clone());
        if is_view(state, &record.id) {
            let reason = "a view has this name".to_owned();
            report.unreadable.push((record.id.to_string(), reason));
        } else if is_in_motion(state, &record.id, started_at) {
            report.unchanged += 1;
        } else {
            let edges = survey.derived.get(&record.id);
            mutations.extend(edge_changes(state, &record.id, edges));
            mutations.extend(compare(state, record, &mut report));
        }
    }
    if survey.is_whole {
        for id in state.datasets_of(depot) {
            let stays = is_view(state, &id) || is_in_motion(state, &id, started_at);
            if !seen.contains(&id) && !stays {
                mutations.push(Mutation::RemoveDataset(id.clone()));
                report.dropped.push(id);
            }
        }
    }
    let unreadable = survey.unreadable.into_iter();
    report
        .unreadable
        .extend(unreadable.map(|u| (u.name, u.reason)));
    (mutations, report)
}

/// Whether it is a view, which no source knows of.
fn is_view(state: &State, id: &DatasetId) -> bool {
    let record = state.records.get(id);
    record.is_some_and(|record| matches!(record.source, DatasetSource::View { .. }))
}

/// The changes of the edges that the source itself makes.
fn edge_changes(state: &State, id: &DatasetId, found: Option<&BTreeSet<Edge>>) -> Vec<Mutation> {
    let known: BTreeSet<&Edge> = state
        .edges()
        .feeding(id)
        .filter(|(_, supports)| supports.contains(&SCAN_SUPPORT))
        .map(|(edge, _)| edge)
        .collect();
    let found: BTreeSet<&Edge> = found.into_iter().flatten().collect();
    let added = found.difference(&known).map(|edge| ((*edge).clone(), true));
    let gone = known
        .difference(&found)
        .map(|edge| ((*edge).clone(), false));
    let mutation = |(edge, is_new)| match is_new {
        true => Mutation::AddEdge(edge, SCAN_SUPPORT),
        false => Mutation::RemoveEdge(edge, SCAN_SUPPORT),
    };
    added.chain(gone).map(mutation).collect()
}

fn compare(state: &State, record: Arc<Record>, report: &mut ScanReport) -> Option<Mutation> {
    let Some(known) = state.records.get(&record.id) else {
        report.added.push(record.id.clone());
        return Some(Mutation::PutDataset(record));
    };
    let mut record = Record::clone(&record);
    record.owner = known.owner.clone();
    if record.is_same_content(known) {
        report.unchanged += 1;
        // The fingerprint alone moves when a file was rewritten with the same structure.
        let is_new_print = record.fingerprint != known.fingerprint;
        return is_new_print.then(|| Mutation::PutDataset(Arc::new(record)));
    }
    report.changed.push(record.id.clone());
    Some(Mutation::PutDataset(Arc::new(record)))
}
