//! Streams of events that are open: each holds a connection, or a part of one, for as long as its client likes.

use std::sync::Arc;

use dataos_model::entity::EntityUid;
use http::StatusCode;

use super::counted::{Counted, Place};
use crate::limits::Refusal;

/// Most streams of one principal: a few windows of a browser, a few terminals.
pub(crate) const STREAMS_PER_PRINCIPAL_MAX: usize = 16;
/// Most streams of all: each asks the PDP a few times a second.
const STREAMS_MAX: usize = 1024;

/// The streams that are open, by principal.
#[derive(Debug, Default)]
pub(crate) struct Streams(Arc<Counted<EntityUid>>);

/// One of them.
pub(crate) type OpenStream = Place<EntityUid>;

impl Streams {
    /// Opens one more.
    ///
    /// # Errors
    /// There are too many, of this principal or of all.
    pub(crate) fn enter(&self, principal: &EntityUid) -> Result<OpenStream, Refusal> {
        if self.open() >= STREAMS_MAX {
            return Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "streams",
                format!("{STREAMS_MAX} streams of events are open"),
            ));
        }
        let place = self.0.enter(principal.clone(), STREAMS_PER_PRINCIPAL_MAX);
        place.ok_or_else(|| {
            Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                "streams_per_principal",
                format!("a principal may have {STREAMS_PER_PRINCIPAL_MAX} streams of events open"),
            )
        })
    }

    /// Streams that are open.
    pub(crate) fn open(&self) -> usize {
        self.0.taken()
    }
}
