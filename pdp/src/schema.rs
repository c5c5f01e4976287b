//! The Cedar schema: what the folder declares, compared with the actions that the code knows, and
//! the schema specialised for one dataset.
//!
//! Files beside ours declare types and actions in namespaces of their own; all are one schema.
//!
//! The base schema has one entity type for all rows; a row's attributes are added for one dataset at
//! a time. A type per dataset would make every parse and every validation grow with the catalog.

mod declared;
mod fragments;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    hash::Hash as StdHash,
    sync::{Arc, Mutex, PoisonError},
};

use cedar_policy::{
    Entity as CedarEntity, Policy, PolicySet, Schema, ValidationError, ValidationMode, Validator,
};
use dataos_model::{
    action::Action,
    dataset::{AttributeType, DatasetSchema},
    entity::{EntityType, EntityUid, NAMESPACE},
    hash::Hash,
    vocabulary::Vocabulary,
};
use serde_json::{Value as Json, json};

use crate::{names::Names, problem::Problem, shape::Shapes, stack::on_big_stack};

use declared::Declared;
pub use declared::{OWN_ACTIONS_MAX, OWN_TYPES_MAX};
pub use fragments::SCHEMA_FRAGMENTS_MAX;
pub(crate) use fragments::SchemaTexts;

/// File name of the schema in the policies folder.
pub const SCHEMA_FILE: &str = "schema.cedarschema";
/// Longest schema, in bytes.
pub const SCHEMA_BYTES_MAX: usize = 1024 * 1024;
/// Specialised schemas kept; when full, all are dropped and built again as needed.
const SPECIALISED_MAX: usize = 1_024;
/// Schemas narrowed to some actions that are kept; when full, all are dropped.
const NARROWED_MAX: usize = 64;
/// Actions on rows and cells, whose attributes are those of one dataset.
const ROW_ACTIONS: [Action; 2] = [Action::ReadRow, Action::ReadCell];

/// The schema of a policy set.
pub(crate) struct BaseSchema {
    /// Digest of its canonical form.
    pub hash: Hash,
    /// Digest of its texts.
    pub text_hash: Hash,
    /// Its texts by file.
    pub texts: BTreeMap<String, String>,
    /// With rows and cells that have no attributes.
    plain: Arc<Validator>,
    document: Json,
    /// Numbers of entities and types, the same for all schemas of a PDP.
    pub names: Arc<Names>,
    /// What can be asked about beside our own types and actions.
    pub vocabulary: Arc<Vocabulary>,
    /// What values must look like.
    pub shapes: Shapes,
    actions: HashMap<Action, ActionFacts>,
    /// By the actions that apply to anything.
    narrowed: Mutex<HashMap<Vec<Action>, Arc<Validator>>>,
    /// By the columns of rows and cells.
    specialised: Mutex<HashMap<Hash, Arc<Validator>>>,
    /// What is wrong with a policy on the rows of a dataset.
    pub row_types: Mutex<HashMap<RowTypes, Option<Arc<str>>>>,
}

/// A policy, the columns of rows, the action and the type of the principal.
pub(crate) type RowTypes = (Hash, Hash, Action, EntityType);

/// An action as the engine sees it.
pub(crate) struct ActionFacts {
    /// Its uid.
    pub uid: cedar_policy::EntityUid,
    /// The action and its groups, as entities.
    pub entities: Vec<CedarEntity>,
    /// As policies name it.
    pub named: EntityUid,
    /// All groups it is in.
    pub groups: BTreeSet<EntityUid>,
    /// Types of resources that it applies to.
    pub resources: Vec<EntityType>,
}

impl BaseSchema {
    /// Reads our text alone.
    #[cfg(test)]
    pub(crate) fn parse(text: &str, names: &Arc<Names>) -> Result<Self, Problem> {
        let texts = SchemaTexts {
            schema: text,
            fragments: &BTreeMap::new(),
        };
        Self::read(texts, names)
    }

    /// Reads the texts and compares them with [`Action::ALL`].
    pub(crate) fn read(texts: SchemaTexts<'_>, names: &Arc<Names>) -> Result<Self, Problem> {
        texts.check_bounds()?;
        let built = on_big_stack(|| Self::build(texts, names))
            .ok_or_else(|| Problem::whole(SCHEMA_FILE, "the schema could not be read"))?;
        let schema = built?;
        schema.compare_actions().map_err(|message| {
            Problem::whole(SCHEMA_FILE, message)
                .with_hint("the shipped schema.cedarschema declares every action; extend that one")
        })?;
        Ok(schema)
    }

    fn build(texts: SchemaTexts<'_>, names: &Arc<Names>) -> Result<Self, Problem> {
        let joined = texts.join()?;
        let declared = Declared::read(&joined)?;
        let vocabulary = Arc::new(declared.vocabulary);
        Ok(Self {
            hash: Hash::of(canonical(&joined.document)),
            text_hash: texts.hash(),
            texts: texts.owned(),
            actions: declared.actions,
            plain: Arc::new(Validator::new(joined.schema)),
            names: Arc::clone(names),
            shapes: Shapes::read(&joined.document, &vocabulary),
            vocabulary,
            document: joined.document,
            narrowed: Mutex::default(),
            specialised: Mutex::default(),
            row_types: Mutex::default(),
        })
    }

    fn compare_actions(&self) -> Result<(), String> {
        for action in Action::ALL {
            let facts = self
                .action(*action)
                .ok_or_else(|| format!("action `{action}` is missing"))?;
            let groups = self.direct_groups(*action);
            let expected: BTreeSet<String> = action.groups().iter().map(|g| (*g).into()).collect();
            if groups != expected {
                return Err(format!(
                    "action `{action}` must be in {expected:?}, not {groups:?}"
                ));
            }
            let types: BTreeSet<&EntityType> = facts.resources.iter().collect();
            let expected: BTreeSet<&EntityType> = action.resource_types().iter().collect();
            if types != expected {
                return Err(format!(
                    "action `{action}` applies to other types than in the code"
                ));
            }
        }
        Ok(())
    }

    fn direct_groups(&self, action: Action) -> BTreeSet<String> {
        let path = format!("/{NAMESPACE}/actions/{}/memberOf", action.name());
        let members = self.document.pointer(&path).and_then(Json::as_array);
        let text = |member: &Json, name: &str| member.get(name)?.as_str().map(str::to_owned);
        members
            .into_iter()
            .flatten()
            .filter_map(|member| {
                let id = text(member, "id")?;
                let of = text(member, "type");
                let of = of.filter(|of| !["Action", "DataOS::Action"].contains(&of.as_str()));
                Some(of.map_or(id.clone(), |of| format!("{of}::{id}")))
            })
            .collect()
    }

    /// The schema in which rows and cells have no attributes, with its validator.
    pub(crate) fn plain(&self) -> &Arc<Validator> {
        &self.plain
    }

    /// The schema in Cedar's JSON form.
    pub(crate) fn document(&self) -> &Json {
        &self.document
    }

    /// An action as the engine sees it; `None` never happens in a schema that was compared.
    pub(crate) fn action(&self, action: Action) -> Option<&ActionFacts> {
        self.actions.get(&action)
    }

    /// Errors of strict type-checking for these actions on everything but rows and cells.
    ///
    /// Validation costs time for each action of the schema, and a policy is only about some.
    pub(crate) fn type_errors(
        &self,
        policies: &PolicySet,
        actions: &[Action],
    ) -> Result<Vec<ValidationError>, String> {
        let applying = actions
            .iter()
            .copied()
            .filter(|action| !ROW_ACTIONS.contains(action));
        let validator = self.narrowed(applying.collect())?;
        let result = validator.validate(policies, ValidationMode::Strict);
        Ok(result.validation_errors().cloned().collect())
    }

    /// Names that the schema does not declare. All that can be said of a policy on rows alone while
    /// no dataset is at hand.
    pub(crate) fn name_errors(
        &self,
        policies: &PolicySet,
        actions: &[Action],
    ) -> Result<Vec<ValidationError>, String> {
        let validator = self.narrowed(actions.to_vec())?;
        let result = validator.validate(policies, ValidationMode::Strict);
        let is_about_names = |error: &&ValidationError| {
            matches!(
                error,
                ValidationError::UnrecognizedEntityType(_)
                    | ValidationError::UnrecognizedActionId(_)
                    | ValidationError::InvalidActionApplication(_)
                    | ValidationError::UndefinedFunction(_)
                    | ValidationError::WrongNumberArguments(_)
            )
        };
        Ok(result
            .validation_errors()
            .filter(is_about_names)
            .cloned()
            .collect())
    }

    /// Whether a policy type-checks on rows and cells without columns, for every type of principal.
    /// One that asks for no column then does so on all datasets.
    pub(crate) fn fits_rows(&self, policy: &Policy, actions: &[Action]) -> bool {
        let actions = actions.iter().copied();
        let on_rows = actions.filter(|action| ROW_ACTIONS.contains(action));
        let validator = self.narrowed(on_rows.collect());
        let set = PolicySet::from_policies([policy.clone()]);
        validator
            .ok()
            .zip(set.ok())
            .is_some_and(|(validator, set)| {
                let result = validator.validate(&set, ValidationMode::Strict);
                result.validation_errors().next().is_none()
            })
    }

    /// The schema in which only these actions apply to anything.
    fn narrowed(&self, applying: Vec<Action>) -> Result<Arc<Validator>, String> {
        kept(&self.narrowed, NARROWED_MAX, applying.clone(), || {
            self.applying(&applying)
        })
    }

    /// The document in which only these actions apply to anything.
    fn applying(&self, applying: &[Action]) -> Result<Json, String> {
        let mut document = self.document.clone();
        let actions = self.vocabulary.actions();
        for action in actions.filter(|action| !applying.contains(action)) {
            let (namespace, id) = match action {
                Action::Own(own) => own.parts(),
                ours => (NAMESPACE, ours.name()),
            };
            let facts = document
                .get_mut(namespace)
                .and_then(|declared| declared.get_mut("actions")?.get_mut(id)?.as_object_mut());
            let facts = facts.ok_or_else(|| format!("the schema has no action `{action}`"))?;
            facts.remove("appliesTo");
        }
        Ok(document)
    }

    /// The schema in which rows and cells have the columns of one dataset; only the actions on rows
    /// and cells apply to anything.
    pub(crate) fn specialised(&self, columns: &DatasetSchema) -> Result<Arc<Validator>, String> {
        kept(&self.specialised, SPECIALISED_MAX, columns.hash(), || {
            self.with_columns(&ROW_ACTIONS, columns)
        })
    }

    /// The same for one action and one type of principal: a policy that is ill-typed for services
    /// does not concern users.
    pub(crate) fn environment(
        &self,
        columns: &DatasetSchema,
        columns_hash: Hash,
        action: Action,
        principal: &EntityType,
    ) -> Result<Arc<Validator>, String> {
        let parts = [action.name(), "/", principal.name()];
        let key = Hash::of_parts([columns_hash.0, Hash::of(parts.concat()).0]);
        kept(&self.specialised, SPECIALISED_MAX, key, || {
            let mut document = self.with_columns(&[action], columns)?;
            let path = format!("/{NAMESPACE}/actions/{}/appliesTo", action.name());
            let applies = document.pointer_mut(&path).and_then(Json::as_object_mut);
            let applies = applies.ok_or_else(|| format!("the schema has no {path}"))?;
            applies.insert("principalTypes".to_owned(), json!([principal.name()]));
            Ok(document)
        })
    }

    fn with_columns(&self, applying: &[Action], columns: &DatasetSchema) -> Result<Json, String> {
        let mut document = self.applying(applying)?;
        for row_type in [EntityType::ROW, EntityType::CELL] {
            let path = format!("/{NAMESPACE}/entityTypes/{}", row_type.name());
            let facts = document.pointer_mut(&path).and_then(Json::as_object_mut);
            let facts = facts.ok_or_else(|| format!("the schema has no type {path}"))?;
            facts.insert("shape".to_owned(), shape(columns));
        }
        Ok(document)
    }
}

/// A schema from a cache, or built and kept there; a full cache is emptied.
fn kept<K: Eq + StdHash>(
    cache: &Mutex<HashMap<K, Arc<Validator>>>,
    max: usize,
    key: K,
    document: impl FnOnce() -> Result<Json, String>,
) -> Result<Arc<Validator>, String> {
    let locked = || cache.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = locked().get(&key) {
        return Ok(Arc::clone(known));
    }
    let schema = Schema::from_json_value(document()?).map_err(|error| error.to_string())?;
    let validator = Arc::new(Validator::new(schema));
    let mut kept = locked();
    if kept.len() >= max {
        kept.clear();
    }
    kept.insert(key, Arc::clone(&validator));
    Ok(validator)
}

impl fmt::Debug for BaseSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BaseSchema")
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

/// The columns that have a policy attribute, as the shape of an entity type.
fn shape(columns: &DatasetSchema) -> Json {
    let mut attributes = serde_json::Map::new();
    for column in &columns.columns {
        let Some(attribute_type) = column.column_type.attribute_type() else {
            continue;
        };
        let mut attribute = match attribute_type {
            AttributeType::Bool => json!({"type": "Boolean"}),
            AttributeType::Long => json!({"type": "Long"}),
            AttributeType::String => json!({"type": "String"}),
            AttributeType::Decimal => json!({"type": "Extension", "name": "decimal"}),
            AttributeType::DateTime => json!({"type": "Extension", "name": "datetime"}),
            AttributeType::StringSet => json!({"type": "Set", "element": {"type": "String"}}),
            AttributeType::LongSet => json!({"type": "Set", "element": {"type": "Long"}}),
        };
        if let Some(fields) = attribute.as_object_mut() {
            fields.insert("required".to_owned(), Json::Bool(!column.is_nullable));
        }
        attributes.insert(column.name.clone(), attribute);
    }
    json!({"type": "Record", "attributes": attributes})
}

/// JSON text with sorted keys: one text per meaning.
pub(crate) fn canonical(document: &Json) -> String {
    fn sorted(value: &Json) -> Json {
        match value {
            Json::Object(fields) => {
                let mut names: Vec<_> = fields.iter().collect();
                names.sort_by_key(|(name, _)| *name);
                let fields = names
                    .into_iter()
                    .map(|(name, field)| (name.clone(), sorted(field)));
                Json::Object(fields.collect())
            }
            Json::Array(items) => Json::Array(items.iter().map(sorted).collect()),
            other => other.clone(),
        }
    }
    sorted(document).to_string()
}

/// Where brackets nest too deeply for the schema parser, strings and comments included: a schema
/// has no use for so many.
fn too_deep(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' | b'<' => depth += 1,
            b')' | b']' | b'}' | b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > crate::scan::NESTING_MAX {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests;
