//! Statements that write: what the PDP is asked about the target, and what comes back.

use std::collections::BTreeSet;

use dataos_model::{
    action::Action,
    dataset::DatasetId,
    decision::{Decision, Request},
    depot::AssetSnapshot,
    entity::Entity,
    fault::Fault,
    query::{QueryRequest, ResultColumn},
    seams::Decide as _,
};
use dataos_sql::{Kind, Security, Statement, StepAction, Tables};

use super::{Inner, Performed, Prepared, columns_of};
use crate::{
    certificate::{Basis, Refusal},
    explain,
    questions::Questions,
    rights::Rights,
    write::{
        self, Writer, Written,
        returned::{Returning, Wanted},
    },
};

/// What was decided about a write.
type Decided = (Action, String, Basis, Vec<(Request, Decision)>);

impl Inner {
    /// Asks about the target of a write; the action and resource of the record, under which policies, and
    /// what was answered.
    pub(super) async fn decide_write(
        &self,
        request: &QueryRequest,
        kind: &Kind,
        (snapshot, tables): (&AssetSnapshot, &Tables),
        questions: &mut Questions,
    ) -> Result<Decided, Refusal> {
        let mut decided = (Action::Select, String::new(), Basis::default());
        let mut permits = Vec::new();
        let writes = write_requests(request, kind, (snapshot, tables));
        let decisions = self.writes.decide_all(&writes).await;
        for (asked, decision) in writes.into_iter().zip(decisions) {
            questions.write(&asked, &decision);
            let (action, resource) = (asked.action, asked.resource.to_string());
            decided = (action, resource, Basis::of(&decision));
            if !decision.is_allowed() {
                return Err(Refusal {
                    fault: write::denied(&asked, &decision),
                    action,
                    decision: Some((asked.resource, Box::new(decision))),
                    questions: std::mem::take(questions),
                    unlent: None,
                });
            }
            permits.push((asked, decision));
        }
        let (action, resource, basis) = decided;
        Ok((action, resource, basis, permits))
    }

    /// The answer of a write: its rows, if it returns some, else their number.
    pub(super) fn written(
        &self,
        request: &QueryRequest,
        prepared: &Prepared,
        written: Written,
    ) -> Result<Performed, Fault> {
        let performed = match (written.returned, prepared.governed.bound.returning()) {
            (Some(returned), Some(bound)) => Performed {
                encoded: returned.encoded,
                columns: columns_of(bound, &returned.schema),
                is_truncated: false,
                rows_written: None,
                is_cached: false,
            },
            _ => self.answered(request, &explain::written(written.row_count)?)?,
        };
        Ok(Performed {
            rows_written: Some(written.row_count),
            ..performed
        })
    }

    pub(super) fn writer<'a>(
        &'a self,
        request: &'a QueryRequest,
        prepared: &'a Prepared,
    ) -> Writer<'a> {
        Writer {
            assets: self.seams.assets.as_ref(),
            snapshot: &prepared.snapshot,
            retired: &self.retired,
            now: self.seams.clock.now(),
            owner: &request.principal.uid.id,
            lender: prepared.lender.as_ref(),
            time_max: self.config.time_max,
            wanted: Wanted {
                format: request.format,
                rows_max: self.rows_max(request),
                bytes_max: self.config.result_bytes_max,
            },
        }
    }

    /// The columns that RETURNING of a write answers.
    pub(super) async fn returned_columns(
        &self,
        prepared: &Prepared,
    ) -> Result<Vec<ResultColumn>, Fault> {
        let governed = &prepared.governed;
        let Some(bound) = governed.bound.returning() else {
            return Ok(Vec::new());
        };
        let target = bound.tables.first().map(|table| &table.dataset);
        let grant = target.and_then(|target| governed.grants.find(&Rights::Caller, target));
        let grant = grant.ok_or_else(|| Fault::internal("rows to return were not decided"))?;
        let planned = Returning::new(bound, grant, self.planner(prepared))
            .planned()
            .await?;
        Ok(columns_of(bound, &planned.schema()))
    }
}

/// What the PDP is asked about the target of a write: all at once, so that one policy set answers.
fn write_requests(
    request: &QueryRequest,
    kind: &Kind,
    (snapshot, tables): (&AssetSnapshot, &Tables),
) -> Vec<Request> {
    let Some(target) = &tables.target else {
        return Vec::new();
    };
    let mut actions = write_actions(kind);
    let is_view = matches!(kind, Kind::CreateView { .. });
    if is_view && snapshot.datasets.contains_key(&target.dataset) {
        // What is replaced is gone.
        actions.insert(Action::Delete);
    }
    let asked = actions.into_iter().map(|action| {
        let is_new = matches!(action, Action::CreateDataset | Action::CreateDefinerView);
        let mut asked = if !is_new {
            Request::new(&request.principal, action, target.dataset.uid())
        } else {
            let collection = target.dataset.collection_uid();
            let entity = Entity::new(collection.clone()).with_parents([target.dataset.depot_uid()]);
            Request::new(&request.principal, action, collection).with_entity(entity)
        };
        asked.context.clone_from(&request.context);
        asked
    });
    asked.collect()
}

/// What a statement does to its target; MERGE what its branches do.
fn write_actions(kind: &Kind) -> BTreeSet<Action> {
    match kind {
        Kind::CreateView {
            security: Security::Definer,
            ..
        } => BTreeSet::from([Action::CreateDataset, Action::CreateDefinerView]),
        Kind::CreateTableAs { .. } | Kind::CreateView { .. } => {
            BTreeSet::from([Action::CreateDataset])
        }
        Kind::DropView { .. } => BTreeSet::from([Action::Delete]),
        Kind::Insert { .. } => BTreeSet::from([Action::Insert]),
        Kind::Change(change) => {
            let steps = change.steps.iter();
            let actions = steps.map(|step| match step.action {
                StepAction::Update(_) => Action::Update,
                StepAction::Delete => Action::Delete,
                StepAction::Insert(_) => Action::Insert,
            });
            actions.collect()
        }
        Kind::ExplainWrite(write, _) => write_actions(&write.kind),
        Kind::Query(_) | Kind::Explain(_) | Kind::ExplainPolicy(_) | Kind::ShowTables => {
            BTreeSet::new()
        }
    }
}

/// The table that INSERT adds rows to: what the caller sees of it binds the rows.
pub(super) fn added_to<'a>(statement: &Statement, tables: &'a Tables) -> Option<&'a DatasetId> {
    let target = tables.target.as_ref().map(|target| &target.dataset);
    let kind = match &statement.kind {
        Kind::ExplainWrite(write, _) => &write.kind,
        kind => kind,
    };
    target.filter(|_| matches!(kind, Kind::Insert { .. }))
}
