//! The Cedar schema: what the folder declares, compared with the actions that the code knows, and
//! the schema specialised for one dataset.
//!
//! The base schema has one entity type for all rows; a row's attributes are added for one dataset at
//! a time. A type per dataset would make every parse and every validation grow with the catalog.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    hash::Hash as StdHash,
    sync::{Arc, Mutex, PoisonError},
};

use cedar_policy::{
    Entity as CedarEntity, PolicySet, Schema, SchemaFragment, ValidationError, ValidationMode,
    Validator,
};
use dataos_model::{
    action::Action,
    dataset::{AttributeType, DatasetSchema},
    entity::{EntityType, NAMESPACE},
    hash::Hash,
};
use serde_json::{Value as Json, json};

use crate::{
    convert::{action_uid, model_uid},
    names::Names,
    problem::Problem,
    shape::Shapes,
    stack::on_big_stack,
};

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
    /// Digest of its text.
    pub text_hash: Hash,
    /// With rows and cells that have no attributes.
    plain: Arc<Validator>,
    document: Json,
    /// Numbers of entities and types, the same for all schemas of a PDP.
    pub names: Arc<Names>,
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
    /// All groups it is in, by name.
    pub groups: BTreeSet<String>,
}

impl BaseSchema {
    /// Parses the text and compares it with [`Action::ALL`].
    pub(crate) fn parse(file: &str, text: &str, names: &Arc<Names>) -> Result<Self, Problem> {
        if text.len() > SCHEMA_BYTES_MAX {
            let message = format!("longer than {SCHEMA_BYTES_MAX} bytes (SCHEMA_BYTES_MAX)");
            return Err(Problem::whole(file, message));
        }
        if let Some(at) = too_deep(text) {
            return Err(Problem::at(
                file,
                text,
                at,
                crate::scan::Bound::Nesting.to_string(),
            ));
        }
        let built = on_big_stack(|| Self::build(file, text, names))
            .ok_or_else(|| Problem::whole(file, "the schema could not be read"))?;
        let schema = built?;
        schema.compare_actions().map_err(|message| {
            Problem::whole(file, message)
                .with_hint("the shipped schema.cedarschema declares every action; extend that one")
        })?;
        Ok(schema)
    }

    fn build(file: &str, text: &str, names: &Arc<Names>) -> Result<Self, Problem> {
        let (fragment, _warnings) = SchemaFragment::from_cedarschema_str(text)
            .map_err(|error| Problem::diagnosed(file, text, 0, &error))?;
        let document = fragment
            .to_json_value()
            .map_err(|error| Problem::diagnosed(file, text, 0, &error))?;
        let schema = Schema::from_json_value(document.clone())
            .map_err(|error| Problem::diagnosed(file, text, 0, &error))?;
        Ok(Self {
            hash: Hash::of(canonical(&document)),
            text_hash: Hash::of(text),
            actions: action_facts(&schema).map_err(|message| Problem::whole(file, message))?,
            plain: Arc::new(Validator::new(schema)),
            names: Arc::clone(names),
            shapes: Shapes::read(&document),
            document,
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
            let expected: BTreeSet<&str> = action.groups().iter().copied().collect();
            if groups != expected {
                return Err(format!(
                    "action `{action}` must be in {expected:?}, not {groups:?}"
                ));
            }
            let types: BTreeSet<EntityType> = self
                .plain()
                .schema()
                .resources_for_action(&facts.uid)
                .into_iter()
                .flatten()
                .map(|name| EntityType::named(name.basename()))
                .collect();
            let expected: BTreeSet<EntityType> = action.resource_types().iter().cloned().collect();
            if types != expected {
                return Err(format!(
                    "action `{action}` applies to other types than in the code"
                ));
            }
        }
        Ok(())
    }

    fn direct_groups(&self, action: Action) -> BTreeSet<&str> {
        let path = format!("/{NAMESPACE}/actions/{}/memberOf", action.name());
        let members = self.document.pointer(&path).and_then(Json::as_array);
        members
            .into_iter()
            .flatten()
            .filter_map(|member| member.get("id")?.as_str())
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

    /// The schema in which only these actions apply to anything.
    fn narrowed(&self, applying: Vec<Action>) -> Result<Arc<Validator>, String> {
        kept(&self.narrowed, NARROWED_MAX, applying.clone(), || {
            self.applying(&applying)
        })
    }

    /// The document in which only these actions apply to anything.
    fn applying(&self, applying: &[Action]) -> Result<Json, String> {
        let mut document = self.document.clone();
        for action in Action::ALL
            .iter()
            .filter(|action| !applying.contains(action))
        {
            let path = format!("/{NAMESPACE}/actions/{}", action.name());
            let facts = document.pointer_mut(&path).and_then(Json::as_object_mut);
            let facts = facts.ok_or_else(|| format!("the schema has no action {path}"))?;
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

fn action_facts(schema: &Schema) -> Result<HashMap<Action, ActionFacts>, String> {
    let entities = schema
        .action_entities()
        .map_err(|error| error.to_string())?;
    let mut facts = HashMap::new();
    for action in Action::ALL {
        let uid = action_uid(action.name())?;
        let Some(entity) = entities.get(&uid) else {
            continue;
        };
        let groups: Vec<_> = entities
            .ancestors(&uid)
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let members = groups
            .iter()
            .filter_map(|group| entities.get(group).cloned());
        let entities = std::iter::once(entity.clone()).chain(members).collect();
        let groups = groups.iter().map(|group| model_uid(group).id).collect();
        facts.insert(
            *action,
            ActionFacts {
                uid,
                entities,
                groups,
            },
        );
    }
    Ok(facts)
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
