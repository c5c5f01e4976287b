//! The query layer in a process of its own.

use std::{
    sync::Arc,
    task::{Context, Poll},
    vec,
};

use async_trait::async_trait;
use bytes::Bytes;
use dataos_model::{
    fault::{Fault, FaultKind},
    query::{QueryAnswer, QueryRequest, QueryStream, ResultColumn, RowPart, RowStream, RowsEnd},
    seams::RunQuery,
};

use crate::roles::{link::Link, method::Method, served::QueryHead};

/// Asks over a link. Dropping a call ends it there too, but for a write, which ends by itself.
#[derive(Debug)]
pub(crate) struct RemoteQuery(pub(crate) Arc<Link>);

#[async_trait]
impl RunQuery for RemoteQuery {
    async fn run(&self, request: QueryRequest) -> Result<QueryAnswer, Fault> {
        let answer = self.0.answer(Method::Run, &request).await;
        let answer = answer.map_err(|unanswered| unanswered.fault)?;
        let head: QueryHead = answer.value()?;
        Ok(QueryAnswer {
            columns: head.columns,
            chunks: answer.rows,
            row_count: head.row_count,
            is_truncated: head.is_truncated,
            certificate: head.certificate,
            receipt: head.receipt,
        })
    }

    /// The rows come whole over the link, within the bounds of an answer; above them the statement fails,
    /// for nobody asked for a part.
    async fn stream(&self, request: QueryRequest) -> Result<QueryStream, Fault> {
        let is_limited = request.rows_max.is_some();
        let answer = self.run(request).await?;
        if answer.is_truncated && !is_limited {
            let message = format!(
                "there are more than {} rows, and a query layer that is a process of its own sends no more at once",
                answer.row_count
            );
            return Err(Fault::new(FaultKind::TooLarge, message)
                .with_hint("set `rows_max`, or narrow the statement"));
        }
        Ok(QueryStream {
            columns: answer.columns,
            certificate: answer.certificate,
            receipt: answer.receipt,
            rows: Box::new(Whole {
                chunks: answer.chunks.into_iter(),
                end: RowsEnd {
                    row_count: answer.row_count,
                    is_truncated: answer.is_truncated,
                },
            }),
        })
    }

    async fn describe(&self, request: QueryRequest) -> Result<Vec<ResultColumn>, Fault> {
        self.0.call(Method::Describe, &request).await
    }
}

/// Rows that are all here.
#[derive(Debug)]
struct Whole {
    chunks: vec::IntoIter<Bytes>,
    end: RowsEnd,
}

impl RowStream for Whole {
    fn poll_part(&mut self, _: &mut Context<'_>) -> Poll<Result<RowPart, Fault>> {
        let chunk = self.chunks.next().map(RowPart::Chunk);
        Poll::Ready(Ok(chunk.unwrap_or(RowPart::End(self.end))))
    }

    fn end(&self) -> Option<RowsEnd> {
        Some(self.end)
    }
}
