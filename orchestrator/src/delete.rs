//! Delete: decided for the caller, then for the owner, then carried out.

use std::sync::Arc;

use dataos_model::{
    action::Action,
    entity::EntityChange,
    fault::{Fault, FaultKind},
    principal::Principal,
    record::EntryKind,
    resource::{ApplyOutcome, ResourceId},
};

use crate::{
    core::{Core, entity},
    govern::Question,
    manifest::{Body, Document},
    store::{ResourceRow, Status},
};

impl Core {
    pub(crate) async fn delete(
        self: &Arc<Self>,
        principal: &Principal,
        request_id: &str,
        id: &ResourceId,
    ) -> Result<ApplyOutcome, Fault> {
        let _applying = self.applying.lock().await;
        let row = self.required(id).await?;
        let document = Self::document(&row)?;
        let question = |principal, action| Question {
            principal,
            action,
            resource: id.uid(),
            entity: Some(entity(id, &row.owner, &document.tags)),
            request_id,
            facts: vec![("revision", row.revision.to_string())],
        };
        let permission = self
            .governor
            .ask(question(principal, Action::DeleteResource))
            .await?;
        self.refuse_if_used(id).await?;
        // The owner may be gone; then who was allowed to delete the resource acts alone.
        let owner = self
            .owner(&row.owner)
            .await
            .unwrap_or_else(|_| principal.clone());
        let child = match self
            .governor
            .ask(question(&owner, Action::DeleteChild))
            .await
        {
            Ok(child) => child,
            Err(fault) => {
                let text = format!("PolicyDenied: {fault}");
                self.store
                    .set_status(id, row.revision, Status::Error, &text)
                    .await?;
                return Err(fault);
            }
        };
        let done = self.take_out(&row, &document).await;
        let result = match &done {
            Ok(()) => "succeeded".to_owned(),
            Err(fault) => format!("failed: {}", fault.message),
        };
        self.governor
            .outcome(&child, EntryKind::Outcome, &[("result", result)])
            .await;
        done?;
        let facts = [
            ("change", "delete".to_owned()),
            ("revision", row.revision.to_string()),
        ];
        self.governor
            .outcome(&permission, EntryKind::ResourceChange, &facts)
            .await;
        Ok(ApplyOutcome {
            id: id.clone(),
            change: "deleted".to_owned(),
            revision: row.revision,
            warnings: Vec::new(),
        })
    }

    async fn refuse_if_used(&self, id: &ResourceId) -> Result<(), Fault> {
        let mut users = Vec::new();
        for row in self.store.resources().await? {
            let uses = |document: Document| document.references.iter().any(|r| r.names(id));
            if Self::document(&row).is_ok_and(uses) {
                users.push(row.id.to_string());
            }
        }
        if users.is_empty() {
            return Ok(());
        }
        Err(Fault::new(
            FaultKind::Conflict,
            format!("{id} is used by {}", users.join(", ")),
        )
        .with_reason("in_use")
        .with_hint("delete what uses it first"))
    }

    async fn take_out(&self, row: &ResourceRow, document: &Document) -> Result<(), Fault> {
        match &document.body {
            Body::Secret => {}
            Body::Policy(_) => self.remove_policy(&row.id).await?,
            Body::Depot(_) => match self.assets.remove_depot(&row.id.name).await {
                // It was never registered, or a former try got this far.
                Err(fault) if fault.kind == FaultKind::NotFound => {}
                done => done?,
            },
            Body::Workflow(_) => {
                self.stop_run(&row.id).await;
                for run in self.store.runs(&row.id).await? {
                    self.remove_run_directory(run.number).await;
                }
            }
        }
        for (name, _) in &document.secrets {
            self.secrets.remove(name).await?;
        }
        self.store.remove(&row.id).await?;
        self.sink
            .apply(vec![EntityChange::Remove(row.id.uid())])
            .map(|_| ())
    }
}
