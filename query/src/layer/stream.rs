//! Answers whose rows are read while they are sent.
//!
//! A task of its own reads ahead by a few chunks and keeps the time limit, so that a caller who takes
//! nothing holds neither the engine nor a place for longer than a query may run.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use dataos_model::{
    fault::Fault,
    query::{Certificate, QueryAnswer, QueryRequest, QueryStream, RowPart, RowStream, RowsEnd},
};
use dataos_sql::BoundKind;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    task::JoinHandle,
};

use super::{Inner, Prepared, columns_of, open::Open, run::Admitted};
use crate::{
    cached::{CachedResult, Filling},
    execute::{Progress, Rows, overdue},
};

/// Chunks that wait for a caller who reads slowly.
const CHUNKS_WAITING_MAX: usize = 2;

impl Inner {
    /// Runs a statement to its first rows.
    pub(super) async fn stream(
        self: &Arc<Self>,
        request: Arc<QueryRequest>,
    ) -> Result<QueryStream, Fault> {
        let started = Instant::now();
        match self.admit(&request, self.config.queue_time_max).await? {
            Admitted::Statement(admitted) if admitted.1.governed.bound.kind == BoundKind::Query => {
                let (place, prepared) = *admitted;
                Box::pin(self.begin(request, (place, prepared), started)).await
            }
            // All others answer little, at once.
            admitted => {
                let progress = Arc::<Progress>::default();
                let answer = self.answer(request, admitted, started, progress).await?;
                Ok(whole(answer))
            }
        }
    }

    async fn begin(
        &self,
        request: Arc<QueryRequest>,
        (place, prepared): (OwnedSemaphorePermit, Prepared),
        started: Instant,
    ) -> Result<QueryStream, Fault> {
        let entry = self.allowed(&request, &prepared);
        let mut open = Open::new(self, &request, started, entry);
        let time_max = self.config.time_max;
        let ends = tokio::time::Instant::now() + time_max;
        let rows_max = request.rows_max.unwrap_or(u64::MAX);
        let key = self.key(request.format, &prepared, rows_max).await;
        if let Some(found) = key.as_ref().and_then(|key| self.cached.find(key)) {
            drop(place);
            return again(&found, open, prepared.governed.certificate.clone()).await;
        }
        let beginning = async {
            let planned = self.plan(&prepared).await?;
            let bytes_max = self.config.stream_bytes_max;
            let mut rows = planned.rows(request.format, rows_max, bytes_max)?;
            let first = rows.next().await?;
            Ok((
                columns_of(&prepared.governed.bound, &planned.schema()),
                rows,
                first,
            ))
        };
        let beginning = tokio::time::timeout_at(ends, Box::pin(beginning));
        let (begun, receipt) = tokio::join!(beginning, open.durable());
        let receipt = receipt?;
        let begun = begun.unwrap_or_else(|_| Err(overdue(time_max)));
        let (columns, rows, first) = match begun {
            Ok(begun) => begun,
            Err(fault) => {
                open.fail(&fault);
                return Err(fault);
            }
        };
        open.stream(0);
        let filling = self.cached.filling(key, &columns);
        let filling = first
            .iter()
            .fold(filling, |filling, chunk| filling?.with(chunk));
        let mut at_hand: VecDeque<RowPart> = first.into_iter().map(RowPart::Chunk).collect();
        let certificate = prepared.governed.certificate.clone();
        let rest = if rows.is_over() {
            at_hand.push_back(RowPart::End(rows.end()));
            if let Some(filling) = filling {
                filling.end(rows.end()).await;
            }
            None
        } else {
            let held = (place, prepared);
            Some(Rest::read((rows, filling), held, ends, overdue(time_max)))
        };
        Ok(QueryStream {
            columns,
            certificate,
            receipt,
            rows: Box::new(Recorded::new(
                Streamed {
                    ready: at_hand,
                    rest,
                },
                open,
            )),
        })
    }
}

/// The rows of a result that is there.
async fn again(
    found: &CachedResult,
    mut open: Open,
    certificate: Certificate,
) -> Result<QueryStream, Fault> {
    open.cached();
    let receipt = open.durable().await?;
    open.stream(0);
    let chunks = found.chunks.iter().cloned().map(RowPart::Chunk);
    let rows = Streamed {
        ready: chunks.chain([RowPart::End(found.end)]).collect(),
        rest: None,
    };
    Ok(QueryStream {
        columns: found.columns.clone(),
        certificate,
        receipt,
        rows: Box::new(Recorded::new(rows, open)),
    })
}

/// An answer that is at hand, as a stream.
pub(super) fn whole(answer: QueryAnswer) -> QueryStream {
    let end = RowsEnd {
        row_count: answer.row_count,
        is_truncated: answer.is_truncated,
    };
    let chunks = answer.chunks.into_iter().map(RowPart::Chunk);
    QueryStream {
        columns: answer.columns,
        certificate: answer.certificate,
        receipt: answer.receipt,
        rows: Box::new(Streamed {
            ready: chunks.chain([RowPart::End(end)]).collect(),
            rest: None,
        }),
    }
}

/// Rows, and the record of their end.
#[derive(Debug)]
pub(super) struct Recorded<R> {
    rows: R,
    /// Until the end was handed out.
    open: Option<Open>,
}

impl<R> Recorded<R> {
    pub(super) fn new(rows: R, open: Open) -> Self {
        let open = Some(open);
        Self { rows, open }
    }
}

impl<R: RowStream> RowStream for Recorded<R> {
    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Result<RowPart, Fault>> {
        let part = ready!(self.rows.poll_part(context));
        match (&part, self.open.take()) {
            (_, None) => {}
            (Ok(RowPart::Chunk(chunk)), Some(mut open)) => {
                open.stream(chunk.len() as u64);
                self.open = Some(open);
            }
            (Ok(RowPart::End(end)), Some(open)) => open.end_rows(*end),
            (Err(fault), Some(open)) => open.fail(fault),
        }
        Poll::Ready(part)
    }

    fn end(&self) -> Option<RowsEnd> {
        self.rows.end()
    }
}

/// The rows of a statement: those that are there, and then those that are still being read.
#[derive(Debug)]
struct Streamed {
    ready: VecDeque<RowPart>,
    rest: Option<Rest>,
}

impl RowStream for Streamed {
    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Result<RowPart, Fault>> {
        match (self.ready.pop_front(), &mut self.rest) {
            (Some(part), _) => Poll::Ready(Ok(part)),
            (None, Some(rest)) => rest.poll(context),
            (None, None) => Poll::Ready(Err(Fault::internal("rows behind the end of all"))),
        }
    }

    fn end(&self) -> Option<RowsEnd> {
        match self.ready.back() {
            Some(RowPart::End(end)) => Some(*end),
            _ => None,
        }
    }
}

/// The rows that are still being read. Dropped, it stops the statement.
#[derive(Debug)]
struct Rest {
    parts: mpsc::Receiver<Result<RowPart, Fault>>,
    /// Why the reader stopped without an end.
    stopped: Arc<OnceLock<Fault>>,
    reader: JoinHandle<()>,
}

impl Rest {
    /// Reads on until `ends`, holding what the statement needs.
    fn read(
        (rows, filling): (Rows, Option<Filling>),
        held: (OwnedSemaphorePermit, Prepared),
        ends: tokio::time::Instant,
        late: Fault,
    ) -> Self {
        let (sender, parts) = mpsc::channel(CHUNKS_WAITING_MAX);
        let stopped = Arc::<OnceLock<Fault>>::default();
        let told = Arc::clone(&stopped);
        // Bounded by the places of queries, one of which it holds.
        let reader = tokio::spawn(async move {
            if tokio::time::timeout_at(ends, read(rows, filling, &sender))
                .await
                .is_err()
            {
                let _ = told.set(late);
            }
            drop(held);
        });
        Self {
            parts,
            stopped,
            reader,
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<RowPart, Fault>> {
        self.parts.poll_recv(context).map(|part| {
            part.unwrap_or_else(|| {
                let fault = self.stopped.get().cloned();
                Err(fault.unwrap_or_else(|| Fault::internal("a query ended early")))
            })
        })
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Hands out all rows; returns early if nobody takes them.
async fn read(
    mut rows: Rows,
    mut filling: Option<Filling>,
    sender: &mpsc::Sender<Result<RowPart, Fault>>,
) {
    loop {
        let chunks: Vec<Bytes> = match rows.next().await {
            Ok(chunks) => chunks,
            Err(fault) => {
                let _ = sender.send(Err(fault)).await;
                return;
            }
        };
        for chunk in chunks {
            filling = filling.and_then(|filling| filling.with(&chunk));
            if sender.send(Ok(RowPart::Chunk(chunk))).await.is_err() {
                return;
            }
        }
        if rows.is_over() {
            if let Some(filling) = filling {
                filling.end(rows.end()).await;
            }
            let _ = sender.send(Ok(RowPart::End(rows.end()))).await;
            return;
        }
    }
}
