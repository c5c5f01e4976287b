//! Which page of a search is asked for.

use dataos_model::{explain::PAGE_MAX, fault::Fault};
use serde_json::Value as Json;

use super::{
    names::at,
    wire::{Fields, object, text},
};

/// Results of a page if the request does not say.
const PAGE_DEFAULT: usize = 100;

/// `page` of a search request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// Most results, if it says so; more than [`PAGE_MAX`] counts as that many.
    pub limit: Option<usize>,
    /// The token of the page before.
    pub token: Option<String>,
}

impl PageRequest {
    /// Reads `page`.
    pub(super) fn read(fields: &Fields) -> Result<Self, Fault> {
        let Some(page) = object(fields, "page", "page")? else {
            return Ok(Self::default());
        };
        let limit = match page.get("limit") {
            None | Some(Json::Null) => None,
            Some(limit) => Some(limit.as_u64().ok_or_else(|| {
                Fault::invalid("`page.limit` is not a whole number from 0").at(at("page.limit"))
            })?),
        };
        let token = text(&page, "token", "page.token")?;
        Ok(Self {
            limit: limit.map(|limit| usize::try_from(limit).unwrap_or(PAGE_MAX).min(PAGE_MAX)),
            // The end of a list is told as an empty token; to send it back starts over.
            token: token.filter(|token| !token.is_empty()),
        })
    }

    /// Most results of the page, where the page before had `former`.
    ///
    /// # Errors
    /// Another limit than before.
    pub fn limit(&self, former: Option<usize>) -> Result<usize, Fault> {
        match (self.limit, former) {
            (Some(now), Some(former)) if now != former => Err(Fault::invalid(format!(
                "`page.limit` is {now}, and was {former} on the page before"
            ))
            .at(at("page.limit"))
            .with_hint("keep it while you turn pages, or leave it out")),
            (now, former) => Ok(now.or(former).unwrap_or(PAGE_DEFAULT)),
        }
    }
}
