//! Test files as they are written: datasets and entities to look at, and cases.

use std::collections::BTreeMap;

use dataos_model::{
    action::Action,
    decision::Effect,
    entity::{EntityType, EntityUid, NAMESPACE},
    principal::{Authentication, Principal},
    value::Value,
};
use serde::Deserialize;
use serde_json::Value as Json;
use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, Options, Spanned};

use crate::problem::Problem;

/// Longest test file, in bytes.
pub const TEST_BYTES_MAX: usize = 1024 * 1024;
/// Most cases in one file.
const CASES_MAX: usize = 10_000;
/// Deepest nesting of a value.
const VALUE_DEPTH_MAX: usize = 16;

/// A test file.
#[derive(Debug)]
pub(super) struct TestFile {
    pub(super) fixtures: FixturesWire,
    pub(super) cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileWire {
    #[serde(default)]
    datasets: Vec<Spanned<DatasetWire>>,
    #[serde(default)]
    entities: Vec<Spanned<EntityWire>>,
    cases: Vec<Spanned<CaseWire>>,
}

/// What the cases of a file look at.
#[derive(Debug, Default)]
pub(super) struct FixturesWire {
    pub(super) datasets: Vec<Spanned<DatasetWire>>,
    pub(super) entities: Vec<Spanned<EntityWire>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DatasetWire {
    pub(super) address: String,
    #[serde(default)]
    pub(super) tags: Vec<String>,
    pub(super) columns: Vec<ColumnWire>,
    /// The column by which cases name rows; the first one if left out.
    pub(super) key: Option<String>,
    #[serde(default)]
    pub(super) rows: Vec<BTreeMap<String, Json>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ColumnWire {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) column_type: String,
    #[serde(default)]
    pub(super) required: bool,
    #[serde(default)]
    pub(super) tags: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntityWire {
    pub(super) uid: String,
    #[serde(default)]
    pub(super) parents: Vec<String>,
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, Json>,
    #[serde(default)]
    pub(super) tags: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseWire {
    name: String,
    principal: PrincipalWire,
    action: Option<String>,
    resource: Option<ResourceWire>,
    sql: Option<String>,
    #[serde(default)]
    context: BTreeMap<String, Json>,
    expect: ExpectWire,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrincipalWire {
    user: Option<String>,
    service: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ResourceWire {
    Name(String),
    Entity(EntityWire),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectWire {
    decision: String,
    reason: Option<String>,
    policies: Option<Vec<String>>,
    rows: Option<RowsWire>,
    masks: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RowsWire {
    Filter(String),
    Listed(Vec<Json>),
}

/// One case.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    /// One-based line and column.
    pub(super) place: (u64, u64),
    pub(super) principal: Principal,
    pub(super) question: Question,
    pub(super) context: BTreeMap<String, Value>,
    pub(super) expect: Expect,
}

/// What is asked.
#[derive(Debug)]
pub(super) enum Question {
    /// A request.
    Request { action: Action, resource: Resource },
    /// A statement.
    Sql(String),
}

/// What a request is about; attributes and parents count if the fixtures do not hold it.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) uid: EntityUid,
    pub(super) attributes: BTreeMap<String, Value>,
    pub(super) parents: Vec<EntityUid>,
}

/// What must come out; what is left out is not looked at.
#[derive(Debug)]
pub(super) struct Expect {
    pub(super) decision: Effect,
    pub(super) reason: Option<String>,
    pub(super) policies: Option<Vec<String>>,
    pub(super) rows: Option<Rows>,
    pub(super) masks: Option<BTreeMap<String, String>>,
}

/// Which rows.
#[derive(Debug)]
pub(super) enum Rows {
    /// The text of the row condition.
    Filter(String),
    /// Keys of visible rows; for a statement its rows, or their first columns.
    Listed(Vec<Json>),
}

impl TestFile {
    /// Reads a test file: a list of cases, or datasets, entities and cases by name.
    pub(super) fn parse(file: &str, text: &str) -> Result<Self, Problem> {
        if text.len() > TEST_BYTES_MAX {
            let message = format!("longer than {TEST_BYTES_MAX} bytes (TEST_BYTES_MAX)");
            return Err(Problem::whole(file, message));
        }
        let wire = read(file, text)?;
        if wire.cases.len() > CASES_MAX {
            return Err(Problem::whole(
                file,
                format!("more than {CASES_MAX} cases (CASES_MAX)"),
            ));
        }
        let cases = wire.cases.into_iter().map(|case| {
            let place = place(&case);
            Case::of(case.value, place).map_err(|message| problem(file, place, message))
        });
        Ok(Self {
            cases: cases.collect::<Result<_, _>>()?,
            fixtures: FixturesWire {
                datasets: wire.datasets,
                entities: wire.entities,
            },
        })
    }
}

fn read(file: &str, text: &str) -> Result<FileWire, Problem> {
    let mut options = Options::default();
    options.duplicate_keys = DuplicateKeyPolicy::Error;
    options.merge_keys = MergeKeyPolicy::Error;
    options.strict_booleans = true;
    options.with_snippet = false;
    let content = text.lines().map(str::trim_start);
    let mut content = content.filter(|line| !line.is_empty() && !line.starts_with(['#', '%']));
    let first = content.find(|line| !line.starts_with("---"));
    let is_list = first.is_some_and(|line| line.starts_with('-') || line.starts_with('['));
    let read = if is_list {
        serde_saphyr::from_str_with_options(text, options).map(|cases| FileWire {
            datasets: Vec::new(),
            entities: Vec::new(),
            cases,
        })
    } else {
        serde_saphyr::from_str_with_options(text, options)
    };
    read.map_err(|error| {
        let place = error.location().map(|at| (at.line(), at.column()));
        let message = error.to_string();
        // The place is told with the file.
        let message = message
            .rsplit_once(" at line ")
            .map_or(message.as_str(), |(message, _)| message);
        Problem {
            position: place,
            ..Problem::whole(file, message)
        }
        .with_hint("docs/policy-as-code.md shows the form of a test file")
    })
}

/// Where a part of the file stands.
pub(super) fn place<T>(part: &Spanned<T>) -> (u64, u64) {
    (part.defined.line(), part.defined.column())
}

/// A problem at a place.
pub(super) fn problem(file: &str, place: (u64, u64), message: impl Into<String>) -> Problem {
    Problem {
        position: Some(place),
        ..Problem::whole(file, message)
    }
}

impl Case {
    fn of(wire: CaseWire, place: (u64, u64)) -> Result<Self, String> {
        let principal = principal(wire.principal)?;
        let expect = expect(wire.expect)?;
        let question = match (wire.action, wire.resource, wire.sql) {
            (None, None, Some(sql)) => Question::Sql(sql),
            (Some(action), Some(resource), None) => {
                let action: Action = action.parse().map_err(|error| format!("{error}"))?;
                if matches!(action, Action::ReadRow | Action::ReadCell) {
                    return Err(format!(
                        "ask for `select` on the dataset, and expect `rows` or `masks`, instead of `{action}`"
                    ));
                }
                let resource = resource.read()?;
                Question::Request { action, resource }
            }
            _ => return Err("a case has `action` and `resource`, or `sql`".to_owned()),
        };
        let is_on_data = match &question {
            Question::Sql(_) => true,
            Question::Request { resource, .. } => resource.uid.entity_type == EntityType::DATASET,
        };
        if !is_on_data && (expect.rows.is_some() || expect.masks.is_some()) {
            return Err("`rows` and `masks` are expected of datasets alone".to_owned());
        }
        Ok(Self {
            name: wire.name,
            place,
            principal,
            question,
            context: values(&wire.context)?,
            expect,
        })
    }
}

fn principal(wire: PrincipalWire) -> Result<Principal, String> {
    let uid = match (wire.user, wire.service) {
        (Some(user), None) => EntityType::USER.id(user),
        (None, Some(service)) => EntityType::SERVICE.id(service),
        _ => return Err("a principal has `user` or `service`".to_owned()),
    };
    let mut principal = Principal::new(uid, Authentication::Internal);
    principal.groups = wire.groups;
    principal.roles = wire.roles;
    principal.tags = wire.tags;
    principal.attributes = wire.attributes;
    Ok(principal)
}

fn expect(wire: ExpectWire) -> Result<Expect, String> {
    let decision = Effect::named(&wire.decision)
        .ok_or_else(|| format!("decision `{}` is neither allow nor deny", wire.decision))?;
    Ok(Expect {
        decision,
        reason: wire.reason,
        policies: wire.policies,
        rows: wire.rows.map(|rows| match rows {
            RowsWire::Filter(text) => Rows::Filter(text),
            RowsWire::Listed(keys) => Rows::Listed(keys),
        }),
        masks: wire.masks,
    })
}

impl ResourceWire {
    fn read(self) -> Result<Resource, String> {
        Ok(match self {
            Self::Name(text) => Resource {
                uid: uid(&text)?,
                attributes: BTreeMap::new(),
                parents: Vec::new(),
            },
            Self::Entity(wire) => Resource {
                uid: uid(&wire.uid)?,
                attributes: values(&wire.attributes)?,
                parents: wire
                    .parents
                    .iter()
                    .map(|text| uid(text))
                    .collect::<Result<_, _>>()?,
            },
        })
    }
}

/// `Type::"id"`, of our types with or without the namespace; quotes may be left out.
pub(super) fn uid(text: &str) -> Result<EntityUid, String> {
    let inner = text
        .strip_prefix(NAMESPACE)
        .and_then(|rest| rest.strip_prefix("::"))
        .unwrap_or(text);
    let malformed = || format!("`{text}` is no entity; write Type::\"id\"");
    // Behind more than one `::` an id without quotes could be a part of the type.
    let split = inner
        .split_once("::\"")
        .map(|(of, id)| (of, format!("\"{id}")));
    let unquoted = || inner.split_once("::").map(|(of, id)| (of, id.to_owned()));
    let (entity_type, id) = split.or_else(unquoted).ok_or_else(malformed)?;
    let quoted = id.strip_prefix('"').and_then(|id| id.strip_suffix('"'));
    let is_part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphabetic())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let is_name = entity_type.split("::").all(is_part);
    let id = quoted.unwrap_or(&id);
    if is_name && !id.is_empty() {
        Ok(EntityType::named(entity_type).id(id))
    } else {
        Err(malformed())
    }
}

/// Values by name.
pub(super) fn values(wire: &BTreeMap<String, Json>) -> Result<BTreeMap<String, Value>, String> {
    let named = wire.iter().map(|(name, json)| {
        let value = value(json, 0).map_err(|problem| format!("`{name}`: {problem}"))?;
        Ok((name.clone(), value))
    });
    named.collect()
}

/// A value; `{entity: Type::"id"}` stands for an entity.
fn value(json: &Json, depth: usize) -> Result<Value, String> {
    if depth > VALUE_DEPTH_MAX {
        return Err(format!(
            "nested deeper than {VALUE_DEPTH_MAX} (VALUE_DEPTH_MAX)"
        ));
    }
    Ok(match json {
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => {
            let whole = number.as_i64();
            Value::Long(whole.ok_or_else(|| format!("{number} is no 64-bit integer"))?)
        }
        Json::String(text) => Value::String(text.clone()),
        Json::Array(items) => {
            let items = items.iter().map(|item| value(item, depth + 1));
            Value::Set(items.collect::<Result<_, _>>()?)
        }
        Json::Object(fields) => match (fields.len(), fields.get("entity")) {
            (1, Some(Json::String(text))) => Value::Entity(uid(text)?),
            _ => {
                let fields = fields
                    .iter()
                    .map(|(name, field)| Ok((name.clone(), value(field, depth + 1)?)));
                Value::Record(fields.collect::<Result<_, String>>()?)
            }
        },
        Json::Null => return Err("there is no null; leave it out".to_owned()),
    })
}
