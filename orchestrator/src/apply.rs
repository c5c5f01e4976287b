//! Plan and apply: everything is checked and decided before anything is changed.

use std::sync::Arc;

use dataos_model::{
    action::Action,
    decision::Request,
    entity::{EntityType, EntityUid},
    fault::{Fault, FaultKind},
    hash::Hash,
    principal::Principal,
    record::EntryKind,
    resource::{ApplyOutcome, Plan, PlannedChange, ResourceId},
    secret::Secret,
};

use crate::{
    core::{Core, entity},
    govern::{Permission, Question},
    manifest::{self, Body, Document, Reference, is_same},
    plan,
    policy::Compiled,
    store::{NewRevision, ResourceRow, Status},
    yaml,
};

/// What happens to one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Create,
    Update,
    None,
}

/// A document beside what is stored under its id.
struct Item {
    document: Document,
    existing: Option<ResourceRow>,
    change: Change,
    warnings: Vec<String>,
}

impl Item {
    fn id(&self) -> &ResourceId {
        &self.document.id
    }

    /// Whether it is as declared already.
    fn is_settled(&self) -> bool {
        let is_active = |row: &ResourceRow| row.status == Status::Active;
        self.change == Change::None && self.existing.as_ref().is_some_and(is_active)
    }

    /// Whether it is a row filter that is to be brought into force.
    fn is_open_filter(&self) -> bool {
        let is_filter = matches!(self.document.body, Body::Policy(Compiled::Filter(_)));
        is_filter && !self.is_settled()
    }

    fn line(&self) -> plan::Line {
        plan::Line {
            id: self.id().to_string(),
            content: plan::content(&self.document.stored),
            base_revision: self.existing.as_ref().map_or(0, |row| row.revision),
            action: match self.change {
                Change::Create => "create",
                Change::Update => "update",
                Change::None => "none",
            },
        }
    }
}

impl Core {
    pub(crate) async fn plan(
        &self,
        principal: &Principal,
        workspace: &str,
        manifests: &str,
    ) -> Result<Plan, Fault> {
        let items = self.prepare(principal, workspace, manifests).await?;
        let mut changes = Vec::with_capacity(items.len());
        for item in &items {
            let fields = self.changed_fields(principal, item).await?;
            let action = item.line().action.to_owned();
            changes.push(PlannedChange {
                id: item.id().clone(),
                action,
                fields,
            });
        }
        let hash = self.plan_hash(&items).await?;
        let warnings = items.iter().flat_map(|item| {
            item.warnings
                .iter()
                .map(|warning| format!("{}: {warning}", item.id()))
        });
        Ok(Plan {
            hash,
            changes,
            warnings: warnings.collect(),
        })
    }

    async fn plan_hash(&self, items: &[Item]) -> Result<Hash, Fault> {
        let lines: Vec<plan::Line> = items.iter().map(Item::line).collect();
        Ok(plan::hash(&lines, self.policies.hash().await?))
    }

    /// The old values are shown only to who may see the resource.
    async fn changed_fields(
        &self,
        principal: &Principal,
        item: &Item,
    ) -> Result<Vec<String>, Fault> {
        let Some(row) = &item.existing else {
            return Ok(Vec::new());
        };
        let request = Request::new(principal, Action::GetResource, row.id.uid());
        if !self.governor.decide.decide(&request).await.is_allowed() {
            return Ok(vec!["(the present content is not yours to see)".to_owned()]);
        }
        let before = Self::document(row)?;
        let mut fields = plan::difference(&before.stored, &item.document.stored);
        if fields.is_empty() && item.change == Change::Update {
            fields.push("secret values".to_owned());
        }
        Ok(fields)
    }

    pub(crate) async fn apply(
        self: &Arc<Self>,
        principal: &Principal,
        request_id: &str,
        workspace: &str,
        manifests: &str,
        wanted: Option<Hash>,
    ) -> Result<Vec<ApplyOutcome>, Fault> {
        if principal.uid.entity_type != EntityType::USER {
            return Err(
                Fault::new(FaultKind::Unsupported, "a resource is owned by a user")
                    .with_hint("apply as a user"),
            );
        }
        let applying = self.applying.lock().await;
        let items = self.prepare(principal, workspace, manifests).await?;
        if let Some(wanted) = wanted
            && wanted != self.plan_hash(&items).await?
        {
            return Err(Fault::new(
                FaultKind::Conflict,
                "the plan is stale: manifests, resources or policies have changed since",
            )
            .with_reason("plan_stale")
            .with_hint("plan again, review, and apply with the new hash"));
        }
        let permissions = self.permit_all(principal, request_id, &items).await?;
        let _in_hand = self
            .in_hand
            .mark(items.iter().map(|item| item.id().to_string()));
        let mut revisions = Vec::with_capacity(items.len());
        for (item, permission) in items.iter().zip(&permissions) {
            revisions.push(
                self.declare(principal, request_id, item, permission)
                    .await?,
            );
        }
        drop(applying);
        let mut outcomes = Vec::with_capacity(items.len());
        let filters: Vec<(ResourceId, u64)> = items
            .iter()
            .zip(&revisions)
            .filter(|(item, _)| item.is_open_filter())
            .map(|(item, revision)| (item.id().clone(), *revision))
            .collect();
        let ids = filters.iter().map(|(id, _)| id.to_string());
        let mut held = Some(self.held_filters.mark(ids));
        for (item, revision) in items.into_iter().zip(revisions) {
            let is_last_filter = filters.last().is_some_and(|(id, _)| id == item.id());
            held = held.filter(|_| !is_last_filter);
            outcomes.push(
                self.carry_out(principal, request_id, item, revision)
                    .await?,
            );
            if is_last_filter {
                self.settle_filters_of(&filters).await?;
            }
        }
        outcomes.sort_by_key(|(number, _)| *number);
        Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    }

    /// The filters of a stream come into force together: of two equal ones the first alone would show
    /// more than both.
    async fn settle_filters_of(&self, filters: &[(ResourceId, u64)]) -> Result<(), Fault> {
        let done = self.settle_filters().await;
        if let Err(fault) = &done {
            // So that they are tried again.
            for (id, revision) in filters {
                self.store
                    .set_status(id, *revision, Status::Error, &fault.to_string())
                    .await?;
            }
        }
        done
    }

    /// Parses and checks; the items come in order of execution.
    async fn prepare(
        &self,
        principal: &Principal,
        workspace: &str,
        manifests: &str,
    ) -> Result<Vec<Item>, Fault> {
        let documents = manifest::parse(manifests, workspace)?;
        let rows = self.store.resources().await?;
        for document in &documents {
            refuse_blanked(document)?;
            if let Body::Policy(compiled) = &document.body {
                let check = self.check_policy(&document.id, compiled).await;
                check.map_err(|fault| policy_refused(document, fault))?;
            }
            for reference in &document.references {
                self.check_reference(document, reference, &documents, &rows)
                    .await?;
            }
        }
        let mut items = Vec::with_capacity(documents.len());
        for document in documents {
            items.push(self.item(principal, document, &rows).await?);
        }
        items.sort_by_key(|item| rank(&item.document));
        Ok(items)
    }

    async fn check_reference(
        &self,
        document: &Document,
        reference: &Reference,
        documents: &[Document],
        rows: &[ResourceRow],
    ) -> Result<(), Fault> {
        let is_declared = documents.iter().any(|other| reference.names(&other.id))
            || rows.iter().any(|row| reference.names(&row.id));
        let is_known = is_declared
            || reference.resource_type == "depot"
                && (self.assets.snapshot().await?.depots).contains_key(&reference.name);
        if is_known {
            return Ok(());
        }
        let place = reference
            .workspace
            .as_ref()
            .map(|w| format!(" in workspace `{w}`"));
        Err(Fault::invalid(format!(
            "document {}: {} `{}`{} does not exist",
            document.number,
            reference.resource_type,
            reference.name,
            place.unwrap_or_default()
        ))
        .at(reference.place.location(&reference.field))
        .with_hint("apply it before, or in the same stream"))
    }

    async fn item(
        &self,
        principal: &Principal,
        mut document: Document,
        rows: &[ResourceRow],
    ) -> Result<Item, Fault> {
        let existing = rows
            .iter()
            .find(|row| is_same(&row.id, &document.id))
            .cloned();
        if let Some(row) = existing.as_ref().filter(|row| row.id != document.id) {
            return Err(Fault::new(
                FaultKind::Conflict,
                format!(
                    "document {}: the name is taken by {}",
                    document.number, row.id
                ),
            )
            .at(document.place.location("version"))
            .with_hint(format!(
                "keep version {}, or delete {} first",
                row.id.version, row.id
            )));
        }
        let change = match &existing {
            None => Change::Create,
            Some(row) if row.content != plan::content(&document.stored) => Change::Update,
            Some(_) if self.has_new_values(&document).await => Change::Update,
            Some(_) => Change::None,
        };
        let mut warnings = std::mem::take(&mut document.warnings);
        if let Some(owner) = document
            .owner
            .as_ref()
            .filter(|owner| **owner != principal.uid.id)
        {
            warnings.push(format!(
                "owner `{owner}` is replaced by `{}`: a resource belongs to who applies it",
                principal.uid.id
            ));
        }
        Ok(Item {
            document,
            existing,
            change,
            warnings,
        })
    }

    /// Whether a secret value differs from the one that is kept.
    async fn has_new_values(&self, document: &Document) -> bool {
        for (name, value) in &document.secrets {
            if self.secrets.get(name).await.ok().as_ref() != Some(value) {
                return true;
            }
        }
        false
    }

    /// Asks for all documents; one denial refuses the whole stream.
    async fn permit_all(
        &self,
        principal: &Principal,
        request_id: &str,
        items: &[Item],
    ) -> Result<Vec<Permission>, Fault> {
        let mut permissions = Vec::with_capacity(items.len());
        let mut refused = None;
        for item in items {
            // Policies see whose resource it is now, and the tags before and after.
            let owner = item
                .existing
                .as_ref()
                .map_or(&principal.uid, |row| &row.owner);
            let mut tags = item.document.tags.clone();
            if let Some(row) = &item.existing {
                tags.extend(Self::document(row)?.tags);
                tags.sort();
                tags.dedup();
            }
            let mut facts = vec![("change", item.line().action.to_owned())];
            if let Some(owner) = item
                .document
                .owner
                .as_ref()
                .filter(|o| **o != principal.uid.id)
            {
                facts.push(("declared_owner", owner.clone()));
            }
            let answer = self
                .governor
                .ask(Question {
                    principal,
                    action: Action::ApplyResource,
                    resource: item.id().uid(),
                    entity: Some(entity(item.id(), owner, &tags)),
                    request_id,
                    facts,
                })
                .await;
            match answer {
                Ok(permission) => permissions.push(permission),
                Err(fault) => {
                    refused.get_or_insert(fault);
                }
            }
        }
        match refused {
            None => Ok(permissions),
            Some(fault) => Err(fault.with_hint("nothing of the stream was applied")),
        }
    }

    /// Makes the revision, if the content is new. Gives the number in force.
    async fn declare(
        &self,
        principal: &Principal,
        request_id: &str,
        item: &Item,
        permission: &Permission,
    ) -> Result<u64, Fault> {
        let revision = match (&item.existing, item.change) {
            (Some(row), Change::None) => row.revision,
            _ => {
                let manifest = yaml::print(&item.document.stored)?;
                let new = NewRevision {
                    id: item.id(),
                    owner: &principal.uid,
                    request_id,
                    content: plan::content(&item.document.stored),
                    manifest: &manifest,
                    now: self.now(),
                };
                self.store.add_revision(new).await?
            }
        };
        if item.change != Change::None {
            self.publish([(item.id(), &principal.uid, item.document.tags.as_slice())])?;
        }
        let facts = [
            ("change", item.line().action.to_owned()),
            ("revision", revision.to_string()),
        ];
        self.governor
            .outcome(permission, EntryKind::ResourceChange, &facts)
            .await;
        Ok(revision)
    }

    async fn carry_out(
        self: &Arc<Self>,
        principal: &Principal,
        request_id: &str,
        item: Item,
        revision: u64,
    ) -> Result<(usize, ApplyOutcome), Fault> {
        let number = item.document.number;
        let is_settled = item.is_settled();
        let mut warnings = item.warnings;
        if !is_settled {
            let owner: &EntityUid = match (&item.existing, item.change) {
                (Some(row), Change::None) => &row.owner,
                _ => &principal.uid,
            };
            let caller = (*owner == principal.uid).then_some(principal);
            let before = item.existing.as_ref();
            let (status, message) = self
                .reconcile(&item.document, revision, owner, caller, request_id, before)
                .await?;
            if status != Status::Active {
                warnings.push(format!("{}: {message}", status.name()));
            }
        }
        let change = match item.change {
            Change::Create => "created",
            Change::Update => "updated",
            Change::None => "unchanged",
        };
        let id = item.document.id;
        Ok((
            number,
            ApplyOutcome {
                id,
                change: change.to_owned(),
                revision,
                warnings,
            },
        ))
    }
}

/// Secrets before what uses them; what forbids before what permits, so that no moment shows more
/// than the whole stream does; workflows last.
fn rank(document: &Document) -> (u8, usize) {
    let kind = match &document.body {
        Body::Secret => 0,
        Body::Policy(Compiled::Alone {
            is_permitting: true,
            ..
        }) => 3,
        Body::Policy(_) => 1,
        Body::Depot(_) => 2,
        Body::Workflow(_) => 4,
    };
    (kind, document.number)
}

/// A manifest as it is shown must not wipe out the values that are kept.
fn refuse_blanked(document: &Document) -> Result<(), Fault> {
    let is_blank = |secret: &Secret| secret.expose() == manifest::BLANK.as_bytes();
    match document.secrets.iter().find(|(_, value)| is_blank(value)) {
        None => Ok(()),
        Some((name, _)) => Err(Fault::invalid(format!(
            "document {}: `{name}` holds `{}`, which stands for a value that is not shown",
            document.number,
            manifest::BLANK
        ))
        .at(document.place.location(""))
        .with_hint("write the value itself")),
    }
}

fn policy_refused(document: &Document, fault: Fault) -> Fault {
    let hint = fault
        .hint
        .unwrap_or_else(|| "look at the fields that it names".to_owned());
    Fault {
        kind: fault.kind,
        message: format!(
            "document {}: the policy does not fit the schema: {}",
            document.number, fault.message
        ),
        ..Fault::invalid("")
    }
    .at(document.place.location("policy"))
    .with_hint(hint)
}
