//! One statement from its admission to the record of its end.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use dataos_model::{
    fault::Fault,
    query::{QueryAnswer, QueryRequest, ResultColumn},
    record::Entry,
};
use dataos_sql::reflect::Question;
use tokio::sync::OwnedSemaphorePermit;

use super::{Inner, Prepared, open::Open};
use crate::{
    certificate::{self, Refusal},
    execute::{Progress, overdue},
};

/// What a text turned out to be.
pub(super) enum Admitted {
    /// A question about the database itself.
    Question(Question),
    /// A statement that may run, and its place among those that do.
    Statement(Box<(OwnedSemaphorePermit, Prepared)>),
}

impl Inner {
    pub(super) async fn refuse(&self, request: &QueryRequest, refusal: Refusal) -> Fault {
        self.figures.note_fault(&refusal.fault);
        let recorded = self
            .seams
            .record
            .append(certificate::refused(request, &refusal))
            .await;
        if let Err(error) = recorded {
            tracing::error!(request_id = %request.request_id, %error, "a refusal was not recorded");
        }
        refusal.fault
    }

    /// The record of a statement that may run.
    pub(super) fn allowed(&self, request: &QueryRequest, prepared: &Prepared) -> Entry {
        certificate::allowed(
            request,
            prepared.action,
            &prepared.governed.resource,
            &prepared.governed.certificate,
            &prepared.governed.grants,
            (prepared.governed.bound.fingerprint(), &prepared.questions),
        )
    }

    /// Reads a text, and of a statement decides and takes a place; what is refused is recorded.
    pub(super) async fn admit(
        &self,
        request: &QueryRequest,
        queue_time_max: Duration,
    ) -> Result<Admitted, Fault> {
        match Question::of(request.dialect, &request.sql) {
            Ok(None) => {}
            Ok(Some(question)) => return Ok(Admitted::Question(question)),
            Err(error) => return Err(self.refuse(request, error.into()).await),
        }
        let prepared = async {
            let place = self.place(queue_time_max).await?;
            Ok((place, Box::pin(self.prepare(request)).await?))
        };
        match prepared.await {
            Ok(prepared) => Ok(Admitted::Statement(Box::new(prepared))),
            Err(refusal) => Err(self.refuse(request, refusal).await),
        }
    }

    /// The columns of a statement that may run; they leave when its record is durable.
    pub(super) async fn describe(
        &self,
        request: &Arc<QueryRequest>,
    ) -> Result<Vec<ResultColumn>, Fault> {
        let started = Instant::now();
        let (place, prepared) = match self.admit(request, self.config.queue_time_max).await? {
            Admitted::Question(question) => {
                return Ok(self.reflect(request, question, started).await?.columns);
            }
            Admitted::Statement(admitted) => *admitted,
        };
        let entry = self
            .allowed(request, &prepared)
            .with_fact("described", true);
        let mut open = Open::new(self, request, started, entry);
        let time_max = self.config.time_max;
        let outlining = Box::pin(self.outline(request, &prepared));
        let outlined = tokio::time::timeout(time_max, outlining).await;
        let outlined = outlined.unwrap_or_else(|_| Err(overdue(time_max)));
        drop(place);
        open.durable().await?;
        Ok(open.end(outlined)?.columns)
    }

    /// Runs a statement to its answer.
    pub(super) async fn run(
        self: &Arc<Self>,
        request: Arc<QueryRequest>,
        queue_time_max: Duration,
        progress: Arc<Progress>,
    ) -> Result<QueryAnswer, Fault> {
        let started = Instant::now();
        let admitted = self.admit(&request, queue_time_max).await?;
        progress.is_running.store(true, Ordering::Relaxed);
        self.answer(request, admitted, started, progress).await
    }

    /// Carries out what was admitted.
    pub(super) async fn answer(
        self: &Arc<Self>,
        request: Arc<QueryRequest>,
        admitted: Admitted,
        started: Instant,
        progress: Arc<Progress>,
    ) -> Result<QueryAnswer, Fault> {
        let (place, prepared) = match admitted {
            Admitted::Question(question) => return self.reflect(&request, question, started).await,
            Admitted::Statement(admitted) => *admitted,
        };
        if !prepared.writes() {
            let answer = Box::pin(self.finish(&request, prepared, started, &progress)).await;
            drop(place);
            return answer;
        }
        // A write goes on if its caller goes away: it ends settled or retracted, never in between.
        let inner = Arc::clone(self);
        let writing = tokio::spawn(async move {
            let answer = Box::pin(inner.finish(&request, prepared, started, &progress)).await;
            drop(place);
            answer
        });
        writing
            .await
            .unwrap_or_else(|_| Err(Fault::internal("a write ended early")))
    }

    /// From the record on: what was decided is carried out, and its end recorded.
    async fn finish(
        &self,
        request: &Arc<QueryRequest>,
        prepared: Prepared,
        started: Instant,
        progress: &Progress,
    ) -> Result<QueryAnswer, Fault> {
        let entry = self.allowed(request, &prepared);
        let mut open = Open::new(self, request, started, entry);
        let performing = Box::pin(self.perform(request, &prepared, progress));
        let performed = if prepared.writes() {
            // A write takes effect by itself, so its record is durable before it starts. It keeps
            // the time limit itself, so that nothing of it is left half-way.
            open.durable().await?;
            performing.await
        } else {
            // What a query reads leaves only with the answer: its record becomes durable meanwhile.
            let time_max = self.config.time_max;
            let performed = tokio::time::timeout(time_max, performing).await;
            performed.unwrap_or_else(|_| Err(overdue(time_max)))
        };
        let receipt = open.durable().await?;
        let performed = open.end(performed)?;
        Ok(QueryAnswer {
            columns: performed.columns,
            chunks: performed.encoded.chunks,
            row_count: performed.encoded.row_count,
            is_truncated: performed.is_truncated,
            certificate: prepared.governed.certificate.clone(),
            receipt,
        })
    }
}
