//! What callers see of resources and runs.

use std::path::Path;

use dataos_model::{
    fault::Fault,
    resource::{ResourceFilter, ResourceId, ResourceView},
};

use crate::{
    core::Core,
    engine,
    manifest::Body,
    store::{ResourceRow, Status},
};

/// Most lines of a log in one answer.
const LINES_MAX: usize = 10_000;
/// Longest line of a log; what is longer is cut.
const LINE_CHARS_MAX: usize = 4_000;

impl Core {
    /// The stored resource of this id.
    pub(crate) async fn required(&self, id: &ResourceId) -> Result<ResourceRow, Fault> {
        self.store.resource(id).await?.ok_or_else(|| {
            Fault::not_found(format!("{id} does not exist"))
                .with_hint("list the resources to see which there are")
        })
    }

    pub(crate) async fn get(&self, id: &ResourceId) -> Result<ResourceView, Fault> {
        let row = self.required(id).await?;
        self.view(row).await
    }

    pub(crate) async fn list(&self, filter: &ResourceFilter) -> Result<Vec<ResourceView>, Fault> {
        let is_wanted = |row: &ResourceRow| {
            let matches = |wanted: &Option<String>, found: &str| {
                wanted.as_ref().is_none_or(|wanted| wanted == found)
            };
            matches(&filter.resource_type, &row.id.resource_type)
                && matches(&filter.name, &row.id.name)
                && matches(&filter.owner, &row.owner.id)
                && row
                    .id
                    .workspace
                    .as_ref()
                    .is_none_or(|name| matches(&filter.workspace, name))
        };
        let mut views = Vec::new();
        for row in self.store.resources().await?.into_iter().filter(is_wanted) {
            views.push(self.view(row).await?);
        }
        Ok(views)
    }

    async fn view(&self, row: ResourceRow) -> Result<ResourceView, Fault> {
        let document = Self::document(&row)?;
        let mut view = ResourceView {
            id: row.id,
            owner: row.owner.id,
            tags: document.tags,
            description: document.description,
            status: row.status.name().to_owned(),
            runtime: String::new(),
            message: row.message,
            revision: row.revision,
            updated_at: row.updated_at,
            manifest: row.manifest,
            nodes: Vec::new(),
        };
        if let Body::Workflow(workflow) = &document.body {
            let newest = self.store.runs(&view.id).await?.into_iter().next();
            let attempts = match &newest {
                Some(run) => self.store.attempts(run.number).await?,
                None => Vec::new(),
            };
            view.nodes = engine::nodes(workflow, &attempts);
            view.runtime = match newest.map(|run| run.phase).as_deref() {
                Some("running") => "running:1".to_owned(),
                Some(phase) => phase.to_owned(),
                None => String::new(),
            };
            if row.status == Status::Active && view.runtime == "failed" {
                let failed = |node: &&dataos_model::resource::RunNode| {
                    node.phase == "failed" || node.phase == "denied"
                };
                if let Some(node) = view.nodes.iter().find(failed) {
                    view.message = format!("job {} {}: {}", node.job, node.phase, node.message);
                }
            }
        }
        Ok(view)
    }

    pub(crate) async fn log(
        &self,
        id: &ResourceId,
        job: Option<&str>,
        lines: usize,
    ) -> Result<Vec<String>, Fault> {
        let row = self.required(id).await?;
        let Body::Workflow(workflow) = Self::document(&row)?.body else {
            return Err(Fault::invalid(format!(
                "{id} does not run, so it has no log"
            )));
        };
        let is_wanted = |name: &str| job.is_none_or(|job| job == name);
        if !workflow.jobs.iter().any(|job| is_wanted(&job.name)) {
            let names: Vec<&str> = workflow.jobs.iter().map(|job| job.name.as_str()).collect();
            return Err(
                Fault::not_found(format!("{id} has no job `{}`", job.unwrap_or_default()))
                    .with_hint(format!("its jobs: {}", names.join(", "))),
            );
        }
        let Some(run) = self.store.runs(id).await?.into_iter().next() else {
            return Ok(Vec::new());
        };
        let mut attempts = self.store.attempts(run.number).await?;
        attempts.retain(|attempt| is_wanted(&attempt.job));
        attempts.sort_by_key(|attempt| attempt.started_at);
        let mut text = Vec::new();
        for attempt in attempts {
            let path = engine::Files::of(
                &self.run_directory(run.number),
                &attempt.job,
                attempt.number,
            );
            text.extend(read_lines(&path.output, &attempt.job).await?);
            if !attempt.message.is_empty() {
                text.push(format!(
                    "{} | [{}: {}]",
                    attempt.job, attempt.phase, attempt.message
                ));
            }
        }
        let surplus = text.len().saturating_sub(lines.min(LINES_MAX));
        Ok(text.split_off(surplus))
    }
}

/// The lines of an output file, made safe to print: what a job writes must not steer a terminal.
async fn read_lines(path: &Path, job: &str) -> Result<Vec<String>, Fault> {
    let bytes = match tokio::fs::read(path).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Fault::unavailable(format!("a log cannot be read: {error}"))),
    };
    let clean = |line: &str| -> String {
        let shown = |c: char| {
            if c.is_control() && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        };
        line.trim_end_matches('\r')
            .chars()
            .take(LINE_CHARS_MAX)
            .map(shown)
            .collect()
    };
    let text = String::from_utf8_lossy(&bytes);
    Ok(text
        .lines()
        .map(|line| format!("{job} | {}", clean(line)))
        .collect())
}
