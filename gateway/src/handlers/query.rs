//! Governed SQL: a statement whose answer is awaited.

mod accept;
pub(super) mod document;

use std::sync::Arc;

use dataos_model::{
    fault::{Fault, Location},
    query::{Dialect, QueryRequest, RowFormat},
    value::Value as PolicyValue,
};
use serde::Deserialize;

use super::body;
use crate::{
    respond::Answer,
    serve::{Call, Gateway},
};

pub(super) use accept::format;
use document::Page;

/// Most rows of a page.
pub(super) const PAGE_ROWS_MAX: u64 = 10_000;

/// A statement as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QueryBody {
    sql: String,
    #[serde(default)]
    dialect: Dialect,
    purpose: Option<String>,
    rows_max: Option<u64>,
    page_rows: Option<u64>,
}

impl QueryBody {
    /// The statement of a call.
    pub(super) fn request(self, call: &Call, format: RowFormat) -> QueryRequest {
        let mut context = call.context.clone();
        if let Some(purpose) = self.purpose {
            context.insert("purpose".to_owned(), PolicyValue::String(purpose));
        }
        QueryRequest {
            principal: (*call.principal).clone(),
            request_id: call.request_id.clone(),
            sql: self.sql,
            dialect: self.dialect,
            context,
            format,
            rows_max: self.rows_max,
        }
    }

    /// Refuses pages of an answer that has none.
    pub(super) fn without_pages(self, why: &str) -> Result<Self, Fault> {
        match self.page_rows {
            None => Ok(self),
            Some(_) => Err(field("page_rows", format!("`page_rows` {why}"))),
        }
    }
}

/// What is wrong with a field of the body.
fn field(name: &str, message: String) -> Fault {
    Fault::invalid(message).at(Location {
        field: Some(name.to_owned()),
        ..Location::default()
    })
}

pub(crate) async fn run(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let format = format(&call.head.accept)?;
    let wire: QueryBody = body(&call)?;
    let query = gateway.seams.query.as_ref();
    if format != RowFormat::Json {
        let wire = wire.without_pages("cuts JSON alone: rows of other forms are streamed")?;
        let stream = query.stream(wire.request(&call, format)).await?;
        return document::of_rows(stream, format, None).await;
    }
    let Some(page_rows) = wire.page_rows else {
        return document::whole(query.run(wire.request(&call, format)).await?);
    };
    if !(1..=PAGE_ROWS_MAX).contains(&page_rows) || wire.rows_max.is_some() {
        let message = format!("`page_rows` is from 1 to {PAGE_ROWS_MAX}, without `rows_max`");
        return Err(field("page_rows", message));
    }
    let request = QueryRequest {
        rows_max: Some(page_rows),
        ..wire.request(&call, format)
    };
    let page = query.keeper()?.first_page(request).await?;
    let links = Page::of(&page, Some(page_rows));
    document::of_rows(page.answer, format, Some(links)).await
}
