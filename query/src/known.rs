//! Statements that were governed before.
//!
//! Nothing here is believed because it was true once. Each statement looks at the catalog and asks the PDP as
//! ever; what is spared is to parse, resolve, bind, print and check a text of one dialect over the same catalog and under the
//! same answers again. A governed query follows from these alone. They are compared whole, so there is
//! nothing here that could outlive a change, and nobody has to tell of one: policies, entities, the caller's
//! attributes, time and context show in the answers, each with the hashes of the policy set and the entities
//! that it was made under; views and columns in the catalog.
//!
//! Of a text whose names mean several datasets, which of them depends on more, and it is not kept. Nor is one that
//! reads a view that lends rights: the accounts of definers are asked for more than the caller's answers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use dataos_model::{
    access::DatasetAccess,
    dataset::DatasetId,
    depot::AssetSnapshot,
    query::{Certificate, Dialect, QueryRequest},
};
use dataos_sql::Bound;
use foldhash::quality::RandomState;

use crate::{resolve::is_same, rights::Grants, views::BoundView};

/// Most bytes of all, about; when they are reached, all are dropped.
const BYTES_MAX: usize = 32 << 20;
/// Longest text.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Different answers to one text, the newest: callers who are shown different things, and policies before and now.
const ANSWERS_MAX: usize = 8;
/// What a column of a table and a statement cost besides their texts, about.
const COLUMN_BYTES: usize = 512;
const STATEMENT_BYTES: usize = 4 << 10;

/// What a query comes to over a catalog, as the PDP answered.
#[derive(Debug)]
pub(crate) struct Governed {
    pub(crate) bound: Bound,
    pub(crate) grants: Grants,
    /// Inner ones first.
    pub(crate) views: Vec<BoundView>,
    pub(crate) certificate: Certificate,
    /// The datasets, as the record names them.
    pub(crate) resource: String,
    /// The answers in short, as the record keeps them.
    pub(crate) answers: Vec<String>,
}

/// Texts and what they came to.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Kept>);

/// Texts of one dialect.
type Texts = HashMap<String, Vec<Arc<Governed>>, RandomState>;

#[derive(Debug, Default)]
struct Kept {
    /// What all were read over; without contents once nobody else has it.
    catalog: Weak<AssetSnapshot>,
    texts: HashMap<Dialect, Texts, RandomState>,
    byte_count: usize,
}

impl Known {
    /// What a text came to over this very catalog, under one answer or another.
    pub(crate) fn find(
        &self,
        request: &QueryRequest,
        catalog: &Arc<AssetSnapshot>,
    ) -> Vec<Arc<Governed>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_same(&kept.catalog, catalog) {
            return Vec::new();
        }
        let texts = kept.texts.get(&request.dialect);
        let found = texts.and_then(|texts| texts.get(&request.sql));
        found.cloned().unwrap_or_default()
    }

    /// Keeps what a text came to.
    pub(crate) fn keep(
        &self,
        request: &QueryRequest,
        catalog: &Arc<AssetSnapshot>,
        governed: &Arc<Governed>,
    ) {
        let sql = &request.sql;
        let grants = &governed.grants;
        if sql.len() > TEXT_BYTES_MAX || grants.caller.is_empty() || !grants.definers.is_empty() {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let byte_count = governed.byte_count() + sql.len();
        let is_full = kept.byte_count + byte_count > BYTES_MAX;
        if is_full || !is_same(&kept.catalog, catalog) {
            *kept = Kept {
                catalog: Arc::downgrade(catalog),
                ..Kept::default()
            };
        }
        if byte_count > BYTES_MAX {
            return;
        }
        let texts = kept.texts.entry(request.dialect).or_default();
        let answers = texts.entry(sql.clone()).or_default();
        let oldest = (answers.len() == ANSWERS_MAX).then(|| answers.remove(0));
        answers.push(Arc::clone(governed));
        kept.byte_count += byte_count;
        kept.byte_count -= oldest.map_or(0, |oldest| oldest.byte_count() + sql.len());
    }
}

impl Governed {
    /// The datasets that the PDP is asked about.
    pub(crate) fn datasets(&self) -> Vec<DatasetId> {
        let grants = self.grants.caller.iter();
        grants.map(|grant| grant.dataset.id.clone()).collect()
    }

    /// Whether it was made under these answers.
    pub(crate) fn is_under(&self, answers: &[Arc<DatasetAccess>]) -> bool {
        let grants = &self.grants.caller;
        let mut pairs = grants.iter().zip(answers);
        grants.len() == answers.len()
            && pairs.all(|(grant, now)| Arc::ptr_eq(&grant.access, now) || grant.access == *now)
    }

    fn byte_count(&self) -> usize {
        // Governed text, fingerprint and certificate.
        let texts = 3 * self.certificate.governed_sql.len();
        let columns = self.grants.caller.iter();
        let columns: usize = columns
            .map(|grant| grant.dataset.schema.columns.len() + grant.columns.len())
            .sum();
        STATEMENT_BYTES + texts + columns * COLUMN_BYTES
    }
}
