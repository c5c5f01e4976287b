//! Brings one resource to what it declares: ask, record, execute, record.

use std::sync::Arc;

use dataos_model::{
    action::Action,
    depot::{Bucket, Depot, DepotSource},
    entity::EntityUid,
    fault::{Fault, FaultKind},
    principal::Principal,
    record::EntryKind,
    resource::ResourceId,
    seams::ScanReport,
    secret::SecretName,
};

use crate::{
    core::{Core, entity},
    govern::{Permission, Question},
    manifest::{Body, BucketBody, Credentials, DepotBody, DepotTarget, Document, Server},
    store::{ResourceRow, Status},
};

/// Longest status message, in characters.
const MESSAGE_CHARS_MAX: usize = 500;

impl Core {
    /// Carries a revision out and stores how it went. `caller` is the owner, if it is the owner that
    /// calls; `before` is what was stored until now.
    ///
    /// # Errors
    /// Only if the store fails; everything else becomes the status.
    pub(crate) async fn reconcile(
        self: &Arc<Self>,
        document: &Document,
        revision: u64,
        owner: &EntityUid,
        caller: Option<&Principal>,
        request_id: &str,
        before: Option<&ResourceRow>,
    ) -> Result<(Status, String), Fault> {
        let done = self
            .try_reconcile(document, revision, owner, caller, request_id, before)
            .await;
        let (status, message) = match done {
            Ok(message) => (Status::Active, message),
            Err(fault) if fault.kind == FaultKind::Denied => {
                (Status::Error, format!("PolicyDenied: {fault}"))
            }
            Err(fault) => (Status::Error, fault.to_string()),
        };
        let message: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
        self.store
            .set_status(&document.id, revision, status, &message)
            .await?;
        Ok((status, message))
    }

    async fn try_reconcile(
        self: &Arc<Self>,
        document: &Document,
        revision: u64,
        owner: &EntityUid,
        caller: Option<&Principal>,
        request_id: &str,
        before: Option<&ResourceRow>,
    ) -> Result<String, Fault> {
        let principal = match caller {
            Some(principal) => principal.clone(),
            None => self.owner(owner).await?,
        };
        let permission = self
            .governor
            .ask(Question {
                principal: &principal,
                action: Action::CreateChild,
                resource: document.id.uid(),
                entity: Some(entity(&document.id, owner, &document.tags)),
                request_id,
                facts: vec![("revision", revision.to_string())],
            })
            .await?;
        let done = self
            .execute(document, revision, owner, &principal, request_id, before)
            .await;
        let result = match &done {
            Ok(_) => "succeeded".to_owned(),
            Err(fault) => format!("failed: {}", fault.message),
        };
        self.settle(&permission, result).await;
        done
    }

    async fn settle(&self, permission: &Permission, result: String) {
        self.governor
            .outcome(permission, EntryKind::Outcome, &[("result", result)])
            .await;
    }

    async fn execute(
        self: &Arc<Self>,
        document: &Document,
        revision: u64,
        owner: &EntityUid,
        principal: &Principal,
        request_id: &str,
        before: Option<&ResourceRow>,
    ) -> Result<String, Fault> {
        let applying = self.applying.lock().await;
        let current = self.store.resource(&document.id).await?;
        let Some(current) = current.filter(|row| row.revision == revision) else {
            return Err(Fault::new(
                FaultKind::Conflict,
                "another revision has come in between",
            ));
        };
        let message = match &document.body {
            Body::Secret => self.put_secrets(document, before).await?,
            Body::Policy(compiled) => {
                self.put_policy(&document.id, compiled).await?;
                String::new()
            }
            Body::Depot(depot) => {
                self.put_secrets(document, before).await?;
                self.check_credentials(principal, request_id, document, depot)
                    .await?;
                self.register(document, owner, depot).await?;
                String::new()
            }
            // Each revision runs once.
            Body::Workflow(_) if current.is_installed => String::new(),
            Body::Workflow(_) => {
                self.stop_run(&document.id).await;
                self.start_run(&document.id, revision, owner).await?;
                String::new()
            }
        };
        self.store.set_installed(&document.id, revision).await?;
        // A scan can take long and changes nothing declared, so others need not wait for it.
        drop(applying);
        match &document.body {
            Body::Depot(_) => self
                .scan(&document.id.name)
                .await
                .map(|report| summary(&report)),
            _ => Ok(message),
        }
    }

    /// Puts the values of a document, and takes out those of keys that it no longer has.
    async fn put_secrets(
        &self,
        document: &Document,
        before: Option<&ResourceRow>,
    ) -> Result<String, Fault> {
        for (name, value) in &document.secrets {
            self.secrets.put(name, value.clone()).await?;
        }
        let Some(row) = before else {
            return Ok(String::new());
        };
        for (name, _) in Self::document(row)?.secrets {
            if !document.secrets.iter().any(|(kept, _)| *kept == name) {
                self.secrets.remove(&name).await?;
            }
        }
        Ok(String::new())
    }

    /// The owner must be allowed to see the secret that the depot logs in with.
    async fn check_credentials(
        &self,
        principal: &Principal,
        request_id: &str,
        document: &Document,
        depot: &DepotBody,
    ) -> Result<(), Fault> {
        if let Some(Credentials::Secret { workspace, name }) = depot.target.credentials() {
            self.permit_secret(principal, request_id, workspace, name, &document.id)
                .await?;
        }
        Ok(())
    }

    /// Asks whether a secret may be used for `user` of its name; gives its stored form.
    pub(crate) async fn permit_secret(
        &self,
        principal: &Principal,
        request_id: &str,
        workspace: &str,
        name: &str,
        used_by: &ResourceId,
    ) -> Result<ResourceRow, Fault> {
        let id = ResourceId {
            resource_type: "secret".to_owned(),
            version: "v1".to_owned(),
            name: name.to_owned(),
            workspace: Some(workspace.to_owned()),
        };
        let rows = self.store.resources().await?;
        let row = rows
            .into_iter()
            .find(|row| crate::manifest::is_same(&row.id, &id));
        let row = row.ok_or_else(|| Fault::not_found(format!("{id} does not exist")))?;
        let tags = Self::document(&row)?.tags;
        self.governor
            .ask(Question {
                principal,
                action: Action::GetResource,
                resource: row.id.uid(),
                entity: Some(entity(&row.id, &row.owner, &tags)),
                request_id,
                facts: vec![("used_by", used_by.to_string())],
            })
            .await?;
        Ok(row)
    }

    async fn register(
        &self,
        document: &Document,
        owner: &EntityUid,
        depot: &DepotBody,
    ) -> Result<(), Fault> {
        let name = &document.id.name;
        let source = match &depot.target {
            DepotTarget::Files { root, is_writable } => DepotSource::Files {
                root: root.clone(),
                is_writable: *is_writable,
            },
            DepotTarget::Sqlite { path } => DepotSource::Sqlite { path: path.clone() },
            DepotTarget::Postgres(server, tls) => {
                let (user, password) = self.credentials(name, server).await?;
                DepotSource::Postgres {
                    host: server.host.clone(),
                    port: server.port,
                    database: server.database.clone(),
                    user,
                    password,
                    tls: tls.clone(),
                }
            }
            DepotTarget::MySql(server, tls) => {
                let (user, password) = self.credentials(name, server).await?;
                DepotSource::MySql {
                    host: server.host.clone(),
                    port: server.port,
                    database: server.database.clone(),
                    user,
                    password,
                    tls: tls.clone(),
                }
            }
            DepotTarget::S3(bucket) => DepotSource::S3(self.bucket(name, bucket).await?),
        };
        let description = depot.description.clone().unwrap_or_default();
        let is_described = !document.description.is_empty();
        let depot = Depot {
            name: name.clone(),
            description: if is_described {
                document.description.clone()
            } else {
                description
            },
            owner: owner.id.clone(),
            tags: document.tags.iter().cloned().collect(),
            source,
        };
        self.assets.register_depot(depot).await
    }

    /// Who logs in, and where the password is.
    async fn credentials(
        &self,
        depot: &str,
        server: &Server,
    ) -> Result<(String, Option<SecretName>), Fault> {
        let missing = || {
            Fault::invalid("no user to log in as")
                .with_hint("give `user` beside `host`, or a secret with the key `username`")
        };
        let user = match &server.user {
            Some(user) => user.clone(),
            None => {
                let name = server.credentials.key(depot, "username");
                self.text(&name.ok_or_else(missing)?, missing).await?
            }
        };
        let password = server.credentials.key(depot, "password");
        Ok((user, self.existing(password).await?))
    }

    /// A bucket with the id of its access key, and where the secret key is.
    async fn bucket(&self, depot: &str, body: &BucketBody) -> Result<Bucket, Fault> {
        let missing = || {
            Fault::invalid("no access key")
                .with_hint("give a secret with the keys `accesskeyid` and `secretkey`")
        };
        let key = |key: &str| body.credentials.key(depot, key).ok_or_else(missing);
        let secret_key = self.existing(Some(key("secretkey")?)).await?;
        Ok(Bucket {
            endpoint: body.endpoint.clone(),
            region: body.region.clone(),
            name: body.name.clone(),
            prefix: body.prefix.clone(),
            addressing: body.addressing,
            access_key: self.text(&key("accesskeyid")?, missing).await?,
            secret_key: secret_key.ok_or_else(missing)?,
            tls: body.tls.clone(),
        })
    }

    /// A value that is no secret itself, though it is kept with one.
    async fn text(&self, name: &SecretName, missing: impl Fn() -> Fault) -> Result<String, Fault> {
        let value = self.secrets.get(name).await;
        let value = value.map_err(|fault| match fault.kind {
            FaultKind::NotFound => missing(),
            _ => fault,
        })?;
        String::from_utf8(value.expose().to_vec())
            .map_err(|_| Fault::invalid(format!("the secret `{name}` is not text")))
    }

    /// The name, if there is a value: a database may let its user in without a password.
    async fn existing(&self, name: Option<SecretName>) -> Result<Option<SecretName>, Fault> {
        let Some(name) = name else { return Ok(None) };
        match self.secrets.get(&name).await {
            Ok(_) => Ok(Some(name)),
            Err(fault) if fault.kind == FaultKind::NotFound => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Scans a depot, within the time that the configuration gives.
    pub(crate) async fn scan(&self, depot: &str) -> Result<ScanReport, Fault> {
        let scan = tokio::time::timeout(self.config.scan_timeout, self.assets.scan(depot));
        let done = tokio::select! {
            done = scan => done,
            () = self.closing.cancelled() => {
                return Err(Fault::unavailable("the scan was given up: the server stops"));
            }
        };
        match done {
            Ok(done) => done,
            Err(_) => Err(Fault::new(
                FaultKind::Timeout,
                format!("the scan took longer than {:?}", self.config.scan_timeout),
            )),
        }
    }

    /// Tells the PDP of a resource, unless it was changed or deleted since: then what was told of it
    /// must stay. False if so.
    async fn publish_again(&self, row: &ResourceRow, document: &Document) -> Result<bool, Fault> {
        let _applying = self.applying.lock().await;
        let current = self.store.resource(&row.id).await?;
        let is_current = current.is_some_and(|current| current.revision == row.revision);
        if is_current {
            self.publish([(&row.id, &row.owner, document.tags.as_slice())])?;
        }
        Ok(is_current)
    }

    /// Tries a stored resource again.
    pub(crate) async fn reconcile_again(self: &Arc<Self>, row: &ResourceRow, request_id: &str) {
        let done = match Self::document(row) {
            // The values were never stored here, so they cannot be put again.
            Ok(document) if has_lost_values(&document, row) => match row.status {
                Status::Pending => {
                    let text = "the values were not stored; apply the resource again";
                    self.store
                        .set_status(&row.id, row.revision, Status::Error, text)
                        .await
                }
                Status::Active | Status::Error => Ok(()),
            },
            Ok(mut document) => {
                document.secrets.clear();
                match self.publish_again(row, &document).await {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(fault) => {
                        tracing::error!(resource = %row.id, %fault, "the PDP cannot be told");
                        return;
                    }
                }
                let retried =
                    self.reconcile(&document, row.revision, &row.owner, None, request_id, None);
                Box::pin(retried).await.map(|_| ())
            }
            Err(fault) => {
                let text = fault.to_string();
                self.store
                    .set_status(&row.id, row.revision, Status::Error, &text)
                    .await
            }
        };
        if let Err(fault) = done {
            tracing::error!(resource = %row.id, %fault, "a resource cannot be tried again");
        }
    }
}

fn has_lost_values(document: &Document, row: &ResourceRow) -> bool {
    !document.secrets.is_empty() && !row.is_installed
}

/// What a scan found, in words.
pub(crate) fn summary(report: &ScanReport) -> String {
    let mut text = format!(
        "{} datasets added, {} changed, {} dropped, {} unchanged",
        report.added.len(),
        report.changed.len(),
        report.dropped.len(),
        report.unchanged
    );
    if let Some((name, reason)) = report.unreadable.first() {
        text = format!(
            "{text}; {} unreadable, such as {name}: {reason}",
            report.unreadable.len()
        );
    }
    text
}
