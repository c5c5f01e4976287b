//! Results that are answered again: looked for before a query is planned, and kept behind it.

use std::sync::Arc;

use dataos_model::query::{RowFormat, RowsEnd};

use super::{Inner, Performed, Prepared};
use crate::{
    cached::{Asked, CachedResult, Key},
    encode::Encoded,
};

impl Inner {
    /// The key of a query's result; none if it is not to be kept.
    pub(super) async fn key(
        &self,
        format: RowFormat,
        prepared: &Prepared,
        rows_max: u64,
    ) -> Option<Key> {
        if !self.cached.is_on() {
            return None;
        }
        let asked = Asked {
            bound: &prepared.governed.bound,
            views: &prepared.governed.views,
            grants: &prepared.governed.grants,
            certificate: &prepared.governed.certificate,
            format,
            rows_max,
            now: self.seams.clock.now(),
        };
        Key::of(asked).await
    }

    /// Keeps a result that is whole.
    pub(super) async fn cache(&self, key: Option<Key>, performed: &Performed) {
        let end = RowsEnd {
            row_count: performed.encoded.row_count,
            is_truncated: performed.is_truncated,
        };
        let mut filling = self.cached.filling(key, &performed.columns);
        for chunk in &performed.encoded.chunks {
            filling = filling.and_then(|filling| filling.with(chunk));
        }
        if let Some(filling) = filling {
            filling.end(end).await;
        }
    }
}

impl Performed {
    /// What was answered before.
    pub(super) fn again(result: &Arc<CachedResult>) -> Self {
        let CachedResult {
            columns,
            chunks,
            end,
        } = result.as_ref();
        Self {
            encoded: Encoded {
                chunks: chunks.clone(),
                row_count: end.row_count,
                byte_count: chunks.iter().map(|chunk| chunk.len() as u64).sum(),
            },
            columns: columns.clone(),
            is_truncated: end.is_truncated,
            rows_written: None,
            is_cached: true,
        }
    }
}
