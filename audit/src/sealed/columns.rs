//! Rows of a sealed file: entries as columns, and back.
//!
//! | column | type | holds |
//! | --- | --- | --- |
//! | `index` | u64 | position in the log |
//! | `time` | timestamp, ms, UTC | |
//! | `kind`, `request_id`, `action`, `principal`, `resource`, `reason` | text | |
//! | `effect` | text or null | `allow`, `deny` |
//! | `request_digest`, `policy_set`, `entities` | 32 bytes, null for all zeros | |
//! | `salt` | 16 bytes | salt of the details |
//! | `policies`, `obligations` | list of text | |
//! | `completes` | u64 or null | |
//! | `fact.<name>` | text or null | the facts that most entries of the file have |
//! | `facts` | map of text to text | the other facts |

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray as _, FixedSizeBinaryArray, FixedSizeBinaryBuilder, ListBuilder,
        MapBuilder, RecordBatch, StringBuilder, StringViewArray, TimestampMillisecondArray,
        TimestampMillisecondBuilder, UInt64Array, UInt64Builder,
    },
    buffer::OffsetBuffer,
    datatypes::{TimestampMillisecondType, UInt64Type},
    error::ArrowError,
};
use dataos_model::{decision::Effect, record::EntryKind};

use crate::{details::Details, row::Row};

/// What the columns of facts are named by.
pub(crate) const FACT_PREFIX: &str = "fact.";

/// Columns of text that each row has.
pub(crate) const TEXTS: [&str; 6] = [
    "kind",
    "request_id",
    "action",
    "principal",
    "resource",
    "reason",
];

const ZEROS: [u8; 32] = [0; 32];

/// Rows on their way to a file.
pub(crate) struct RowBuilder {
    index: UInt64Builder,
    time: TimestampMillisecondBuilder,
    texts: [StringBuilder; 6],
    effect: StringBuilder,
    /// Request digest, policy set, entities.
    hashes: [FixedSizeBinaryBuilder; 3],
    salt: FixedSizeBinaryBuilder,
    /// Policies, obligations.
    lists: [ListBuilder<StringBuilder>; 2],
    completes: UInt64Builder,
    facts: Vec<(String, StringBuilder)>,
    rest: MapBuilder<StringBuilder, StringBuilder>,
}

impl RowBuilder {
    /// A builder that gives these facts, in ascending order, a column each.
    pub(crate) fn new(facts: &[String]) -> Self {
        let fact = |name: &String| (name.clone(), StringBuilder::new());
        Self {
            index: UInt64Builder::new(),
            time: TimestampMillisecondBuilder::new().with_timezone("UTC"),
            texts: Default::default(),
            effect: StringBuilder::new(),
            hashes: std::array::from_fn(|_| FixedSizeBinaryBuilder::new(32)),
            salt: FixedSizeBinaryBuilder::new(16),
            lists: std::array::from_fn(|_| ListBuilder::new(StringBuilder::new())),
            completes: UInt64Builder::new(),
            facts: facts.iter().map(fact).collect(),
            rest: MapBuilder::new(None, StringBuilder::new(), StringBuilder::new()),
        }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: &Row<'_>) -> Result<(), ArrowError> {
        let details = &row.details;
        self.index.append_value(row.index);
        self.time.append_value(row.time_ms);
        let texts = [
            row.kind.name(),
            row.request_id,
            row.action,
            details.principal,
            details.resource,
            details.reason,
        ];
        for (column, text) in self.texts.iter_mut().zip(texts) {
            column.append_value(text);
        }
        self.effect.append_option(row.effect.map(Effect::name));
        let hashes = [row.request_digest, row.policy_set, details.entities];
        for (column, hash) in self.hashes.iter_mut().zip(hashes) {
            match *hash {
                ZEROS => column.append_null(),
                _ => column.append_value(hash)?,
            }
        }
        self.salt.append_value(row.salt)?;
        for (column, texts) in self
            .lists
            .iter_mut()
            .zip([&details.policies, &details.obligations])
        {
            texts
                .iter()
                .for_each(|text| column.values().append_value(text));
            column.append(true);
        }
        self.completes.append_option(details.completes);
        // Both are in order of name.
        let mut columns = self.facts.iter_mut().peekable();
        for (name, value) in &details.facts {
            while let Some((_, column)) = columns.next_if(|(known, _)| known.as_str() < *name) {
                column.append_null();
            }
            match columns.next_if(|(known, _)| known == name) {
                Some((_, column)) => column.append_value(value),
                None => {
                    self.rest.keys().append_value(name);
                    self.rest.values().append_value(value);
                }
            }
        }
        columns.for_each(|(_, column)| column.append_null());
        self.rest.append(true)
    }

    /// The rows so far.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let mut columns: Vec<(String, ArrayRef, bool)> = Vec::new();
        let mut add = |name: &str, array: ArrayRef, is_nullable: bool| {
            columns.push((name.to_owned(), array, is_nullable));
        };
        add("index", Arc::new(self.index.finish()), false);
        add("time", Arc::new(self.time.finish()), false);
        for (name, column) in TEXTS.iter().zip(&mut self.texts) {
            add(name, Arc::new(column.finish()), false);
        }
        add("effect", Arc::new(self.effect.finish()), true);
        let hashes = ["request_digest", "policy_set", "entities"];
        for (name, column) in hashes.iter().zip(&mut self.hashes) {
            add(name, Arc::new(column.finish()), true);
        }
        add("salt", Arc::new(self.salt.finish()), false);
        for (name, column) in ["policies", "obligations"].iter().zip(&mut self.lists) {
            add(name, Arc::new(column.finish()), false);
        }
        add("completes", Arc::new(self.completes.finish()), true);
        for (name, column) in &mut self.facts {
            add(
                &format!("{FACT_PREFIX}{name}"),
                Arc::new(column.finish()),
                true,
            );
        }
        add("facts", Arc::new(self.rest.finish()), false);
        RecordBatch::try_from_iter_with_nullable(columns)
    }
}

/// Rows that were read from a file.
#[derive(Debug)]
pub(crate) struct Rows {
    index: UInt64Array,
    time: TimestampMillisecondArray,
    texts: [StringViewArray; 6],
    effect: StringViewArray,
    hashes: [FixedSizeBinaryArray; 3],
    salt: FixedSizeBinaryArray,
    lists: [Texts; 2],
    completes: UInt64Array,
    facts: Vec<(String, StringViewArray)>,
    rest: (Texts, StringViewArray),
}

/// A list of texts in each row.
#[derive(Debug)]
struct Texts {
    offsets: OffsetBuffer<i32>,
    values: StringViewArray,
}

impl Rows {
    /// The rows of a batch with all columns.
    pub(crate) fn read(batch: &RecordBatch) -> Result<Self, String> {
        let column = |name: &str| {
            let column = batch.column_by_name(name);
            column.ok_or_else(|| format!("there is no column `{name}`"))
        };
        let other = |name: &str| format!("column `{name}` has another type");
        let text = |name: &str| {
            let column = column(name)?.as_string_view_opt();
            column.cloned().ok_or_else(|| other(name))
        };
        let hash = |name: &str, width: i32| {
            let column = column(name)?.as_fixed_size_binary_opt();
            let column = column.filter(|column| column.value_length() == width);
            column.cloned().ok_or_else(|| other(name))
        };
        let number = |name: &str| {
            let column = column(name)?.as_primitive_opt::<UInt64Type>();
            column.cloned().ok_or_else(|| other(name))
        };
        let list = |name: &str| {
            let list = column(name)?.as_list_opt::<i32>();
            list.and_then(|list| Texts::of(list.offsets(), list.values()))
                .ok_or_else(|| other(name))
        };
        let time = column("time")?.as_primitive_opt::<TimestampMillisecondType>();
        let map = column("facts")?.as_map_opt();
        let map = map.ok_or_else(|| other("facts"))?;
        let values = map.values().as_string_view_opt();
        let names = Texts::of(map.offsets(), map.keys());
        let rest = names.zip(values.cloned()).ok_or_else(|| other("facts"))?;
        let mut facts = Vec::new();
        for field in batch.schema_ref().fields() {
            if let Some(name) = field.name().strip_prefix(FACT_PREFIX) {
                facts.push((name.to_owned(), text(field.name())?));
            }
        }
        let [kind, request_id, action, principal, resource, reason] = TEXTS.map(text);
        Ok(Self {
            index: number("index")?,
            time: time.cloned().ok_or_else(|| other("time"))?,
            texts: [kind?, request_id?, action?, principal?, resource?, reason?],
            effect: text("effect")?,
            hashes: [
                hash("request_digest", 32)?,
                hash("policy_set", 32)?,
                hash("entities", 32)?,
            ],
            salt: hash("salt", 16)?,
            lists: [list("policies")?, list("obligations")?],
            completes: number("completes")?,
            facts,
            rest,
        })
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// A row.
    pub(crate) fn row(&self, row: usize) -> Result<Row<'_>, String> {
        if row >= self.len() {
            return Err("the row is missing".to_owned());
        }
        let texts = self.texts.each_ref().map(|column| column.value(row));
        let [kind, request_id, action, principal, resource, reason] = texts;
        let kind = EntryKind::named(kind);
        let effect = match self.effect.is_valid(row).then(|| self.effect.value(row)) {
            None => None,
            Some(name) => {
                Some(Effect::named(name).ok_or_else(|| format!("effect `{name}` is not known"))?)
            }
        };
        let [request_digest, policy_set, entities] =
            self.hashes.each_ref().map(|column| hash_at(column, row));
        let [policies, obligations] = self.lists.each_ref().map(|list| list.at(row));
        let own = self.facts.iter().filter(|(_, column)| column.is_valid(row));
        let mut facts: Vec<(&str, &str)> = Vec::with_capacity(self.facts.len());
        facts.extend(own.map(|(name, column)| (name.as_str(), column.value(row))));
        let (names, values) = &self.rest;
        let rest = names.range(row);
        if !rest.is_empty() {
            facts.extend(rest.map(|at| (names.values.value(at), values.value(at))));
            facts.sort_unstable();
        }
        let salt = self.salt.value(row).try_into();
        Ok(Row {
            index: self.index.value(row),
            time_ms: self.time.value(row),
            kind: kind.ok_or("the kind of the entry is not known")?,
            request_id,
            effect,
            action,
            request_digest,
            policy_set,
            salt: salt.map_err(|_| "the salt has another length")?,
            details: Details {
                entities,
                principal,
                resource,
                reason,
                policies,
                obligations,
                completes: self
                    .completes
                    .is_valid(row)
                    .then(|| self.completes.value(row)),
                facts,
            },
        })
    }
}

fn hash_at(column: &FixedSizeBinaryArray, row: usize) -> &[u8; 32] {
    let hash = column.is_valid(row).then(|| column.value(row));
    hash.and_then(|hash| hash.try_into().ok()).unwrap_or(&ZEROS)
}

impl Texts {
    fn of(offsets: &OffsetBuffer<i32>, values: &ArrayRef) -> Option<Self> {
        Some(Self {
            offsets: offsets.clone(),
            values: values.as_string_view_opt()?.clone(),
        })
    }

    /// Positions of the values of a row.
    fn range(&self, row: usize) -> std::ops::Range<usize> {
        let at = |row| {
            self.offsets
                .get(row)
                .and_then(|offset| usize::try_from(*offset).ok())
        };
        let end = at(row + 1).unwrap_or_default().min(self.values.len());
        at(row).unwrap_or_default()..end
    }

    fn at(&self, row: usize) -> Vec<&str> {
        self.range(row).map(|at| self.values.value(at)).collect()
    }
}

/// Whether a fact may have a column of its own: its name must be one that tools take.
pub(crate) fn can_be_column(name: &str) -> bool {
    const NAME_BYTES_MAX: usize = 64;
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ')
}
