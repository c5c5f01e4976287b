//! What the cases of a test file look at, as entities and rows.

use std::collections::{BTreeMap, BTreeSet};

use dataos_model::{
    dataset::{AttributeType, Column, ColumnType, DatasetId, DatasetSchema},
    entity::{Entity, EntityType, EntityUid},
    value::Value,
};
use serde_json::Value as Json;

use crate::problem::Problem;

use super::case::{DatasetWire, EntityWire, FixturesWire, place, problem, uid, values};

/// Most rows of one dataset.
const ROWS_MAX: usize = 10_000;

/// A dataset with rows.
#[derive(Clone, Debug, PartialEq)]
pub struct FixtureDataset {
    /// Its name.
    pub id: DatasetId,
    /// Its columns.
    pub schema: DatasetSchema,
    /// Tags of the dataset.
    pub tags: BTreeSet<String>,
    /// Tags of columns that have any.
    pub column_tags: BTreeMap<String, BTreeSet<String>>,
    /// The column by which cases name rows.
    pub key: String,
    /// Rows as they are written; what is absent is NULL.
    pub rows: Vec<BTreeMap<String, Json>>,
}

/// The fixtures of a test file.
#[derive(Debug, Default)]
pub(super) struct Fixtures {
    pub(super) datasets: Vec<FixtureDataset>,
    pub(super) entities: Vec<Entity>,
}

impl Fixtures {
    pub(super) fn of(file: &str, wire: &FixturesWire) -> Result<Self, Problem> {
        let mut fixtures = Self::default();
        for dataset in &wire.datasets {
            let read = FixtureDataset::of(&dataset.value)
                .map_err(|message| problem(file, place(dataset), message))?;
            fixtures.entities.extend(read.entities());
            fixtures.datasets.push(read);
        }
        for entity in &wire.entities {
            let read = entity_of(&entity.value)
                .map_err(|message| problem(file, place(entity), message))?;
            fixtures.entities.push(read);
        }
        Ok(fixtures)
    }

    pub(super) fn dataset(&self, uid: &EntityUid) -> Option<&FixtureDataset> {
        self.datasets
            .iter()
            .find(|dataset| dataset.id.uid() == *uid)
    }
}

fn entity_of(wire: &EntityWire) -> Result<Entity, String> {
    let parents = wire.parents.iter().map(|text| uid(text));
    let mut entity =
        Entity::new(uid(&wire.uid)?).with_parents(parents.collect::<Result<Vec<_>, _>>()?);
    entity.attributes = values(&wire.attributes)?;
    let tags = wire.tags.iter();
    entity.tags = tags
        .map(|(name, text)| (name.clone(), Value::String(text.clone())))
        .collect();
    Ok(entity)
}

impl FixtureDataset {
    fn of(wire: &DatasetWire) -> Result<Self, String> {
        let id: DatasetId = wire.address.parse().map_err(|fault| format!("{fault}"))?;
        let mut schema = DatasetSchema::default();
        for column in &wire.columns {
            let column_type: ColumnType = column
                .column_type
                .parse()
                .map_err(|fault| format!("{fault}"))?;
            schema.columns.push(Column {
                name: column.name.clone(),
                column_type,
                is_nullable: !column.required,
            });
        }
        let first = schema.columns.first().map(|column| column.name.clone());
        let key = wire.key.clone().or(first);
        let key = key.ok_or_else(|| "a dataset without columns".to_owned())?;
        if wire.rows.len() > ROWS_MAX {
            return Err(format!("more than {ROWS_MAX} rows (ROWS_MAX)"));
        }
        let dataset = Self {
            id,
            tags: wire.tags.iter().cloned().collect(),
            column_tags: wire
                .columns
                .iter()
                .filter(|column| !column.tags.is_empty())
                .map(|column| (column.name.clone(), column.tags.iter().cloned().collect()))
                .collect(),
            schema,
            key,
            rows: wire.rows.clone(),
        };
        for (number, row) in dataset.rows.iter().enumerate() {
            dataset
                .check_row(row)
                .map_err(|message| format!("row {}: {message}", number + 1))?;
        }
        Ok(dataset)
    }

    fn check_row(&self, row: &BTreeMap<String, Json>) -> Result<(), String> {
        if let Some(name) = row.keys().find(|name| self.schema.column(name).is_none()) {
            return Err(format!("{} has no column `{name}`", self.id));
        }
        let missing = self.schema.columns.iter().find(|column| {
            let is_absent = row.get(&column.name).is_none_or(Json::is_null);
            is_absent && (!column.is_nullable || column.name == self.key)
        });
        match missing {
            Some(column) => Err(format!("`{}` has no value", column.name)),
            None => self.values(row).map(drop),
        }
    }

    /// The row as policies see it.
    pub(super) fn values(
        &self,
        row: &BTreeMap<String, Json>,
    ) -> Result<BTreeMap<String, Value>, String> {
        let mut values = BTreeMap::new();
        for column in &self.schema.columns {
            let json = row.get(&column.name).filter(|json| !json.is_null());
            let (Some(json), Some(attribute_type)) = (json, column.column_type.attribute_type())
            else {
                continue;
            };
            let value = value(json, attribute_type).ok_or_else(|| {
                format!("{json} is no {} (`{}`)", column.column_type, column.name)
            })?;
            values.insert(column.name.clone(), value);
        }
        Ok(values)
    }

    /// What names a row in a case.
    pub(super) fn key_of(&self, row: &BTreeMap<String, Json>) -> Json {
        row.get(&self.key).cloned().unwrap_or(Json::Null)
    }

    /// The dataset as the PDP knows it.
    fn entities(&self) -> Vec<Entity> {
        let id = &self.id;
        let mut tags: BTreeSet<&String> = self.tags.iter().collect();
        tags.extend(self.column_tags.values().flatten());
        let mut entities: Vec<Entity> =
            tags.into_iter().flat_map(|tag| tag_entities(tag)).collect();
        let under = |above: EntityUid, tags: Option<&BTreeSet<String>>| {
            let tags = tags
                .into_iter()
                .flatten()
                .map(|tag| EntityType::TAG.id(tag));
            std::iter::once(above).chain(tags).collect::<Vec<_>>()
        };
        entities.push(Entity::new(id.depot_uid()));
        entities.push(Entity::new(id.collection_uid()).with_parents([id.depot_uid()]));
        for column in &self.schema.columns {
            let parents = under(id.uid(), self.column_tags.get(&column.name));
            entities.push(Entity::new(id.column_uid(&column.name)).with_parents(parents));
        }
        let mut dataset =
            Entity::new(id.uid()).with_parents(under(id.collection_uid(), Some(&self.tags)));
        dataset.schema = Some(self.schema.clone());
        entities.push(dataset);
        entities
    }
}

/// `PII.email` is in `PII`.
fn tag_entities(tag: &str) -> Vec<Entity> {
    let mut entities = Vec::new();
    let mut rest = Some(tag);
    while let Some(name) = rest {
        let above = name.rsplit_once('.').map(|(above, _)| above);
        let parents = above.map(|above| EntityType::TAG.id(above));
        entities.push(Entity::new(EntityType::TAG.id(name)).with_parents(parents));
        rest = above;
    }
    entities
}

fn value(json: &Json, attribute_type: AttributeType) -> Option<Value> {
    Some(match attribute_type {
        AttributeType::Bool => Value::Bool(json.as_bool()?),
        AttributeType::Long => Value::Long(json.as_i64()?),
        AttributeType::String => Value::String(json.as_str()?.to_owned()),
        AttributeType::Decimal => Value::Decimal(decimal(json)?),
        AttributeType::DateTime => Value::DateTime(instant(json.as_str()?)?),
        AttributeType::StringSet | AttributeType::LongSet => {
            let item_type = if attribute_type == AttributeType::LongSet {
                AttributeType::Long
            } else {
                AttributeType::String
            };
            let items = json.as_array()?.iter().map(|item| value(item, item_type));
            Value::Set(items.collect::<Option<_>>()?)
        }
    })
}

/// Units of 10^-4, from a number or its text.
fn decimal(json: &Json) -> Option<i64> {
    const PLACES: usize = 4;
    let text = match json {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        _ => return None,
    };
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.as_str()),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > PLACES || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let units: i64 = format!("{whole}{fraction:0<PLACES$}").parse().ok()?;
    units.checked_mul(sign)
}

/// Milliseconds since 1970, from `2024-05-01` or `2024-05-01T12:00:00Z`.
fn instant(text: &str) -> Option<i64> {
    use time::{
        Date, OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description,
    };
    let time = OffsetDateTime::parse(text, &Rfc3339).ok().or_else(|| {
        let date = Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?;
        Some(date.midnight().assume_utc())
    })?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}
