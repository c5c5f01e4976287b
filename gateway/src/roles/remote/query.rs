//! The query layer in a process of its own.

use std::sync::Arc;

use async_trait::async_trait;
use dataos_model::{
    fault::Fault,
    query::{QueryAnswer, QueryRequest, ResultColumn},
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

    async fn describe(&self, request: QueryRequest) -> Result<Vec<ResultColumn>, Fault> {
        self.0.call(Method::Describe, &request).await
    }
}
