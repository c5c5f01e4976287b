//! What a joined schema declares: the facts of its actions, and what may be asked beside ours.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cedar_policy::{Entities, EntityUid as CedarUid, Schema};
use dataos_model::{
    action::Action,
    entity::{EntityType, NAMESPACE},
    own_action::OwnAction,
    vocabulary::Vocabulary,
};

use super::{ActionFacts, SCHEMA_FILE, fragments::Joined};
use crate::{
    convert::{model_type, model_uid},
    problem::Problem,
};

/// Most own actions of a schema.
pub const OWN_ACTIONS_MAX: usize = 1_000;
/// Most own types of a schema.
pub const OWN_TYPES_MAX: usize = 1_000;

/// Actions as the engine sees them, and own types and actions.
pub(super) struct Declared {
    pub(super) actions: HashMap<Action, ActionFacts>,
    pub(super) vocabulary: Vocabulary,
}

impl Declared {
    pub(super) fn read(joined: &Joined) -> Result<Self, Problem> {
        let schema = &joined.schema;
        let refused = |message: String| Problem::whole(SCHEMA_FILE, message);
        let entities = schema
            .action_entities()
            .map_err(|error| refused(error.to_string()))?;
        let mut actions = HashMap::new();
        let mut own = BTreeMap::new();
        for uid in schema.actions() {
            let namespace = uid.type_name().namespace();
            if namespace == NAMESPACE {
                let known = Action::ALL
                    .iter()
                    .find(|known| known.name() == uid.id().unescaped());
                if let Some(action) = known {
                    actions.insert(*action, ActionFacts::of(schema, &entities, uid));
                }
                continue;
            }
            let facts = ActionFacts::of(schema, &entities, uid);
            if facts.resources.is_empty() {
                // A group, which nobody can ask for.
                continue;
            }
            let file = joined
                .files
                .get(&namespace)
                .map_or(SCHEMA_FILE, String::as_str);
            let name = format!("{namespace}::{}", uid.id().unescaped());
            let action = own_action(schema, uid, &name, &facts)
                .map_err(|message| Problem::whole(file, message))?;
            own.insert(action, facts.resources.clone());
            actions.insert(action, facts);
        }
        let types: BTreeSet<EntityType> = schema.entity_types().map(model_type).collect();
        let types: BTreeSet<EntityType> = types.into_iter().filter(|of| !of.is_ours()).collect();
        if own.len() > OWN_ACTIONS_MAX {
            let message = format!("more than {OWN_ACTIONS_MAX} own actions (OWN_ACTIONS_MAX)");
            return Err(Problem::whole("policies", message));
        }
        if types.len() > OWN_TYPES_MAX {
            let message = format!("more than {OWN_TYPES_MAX} own types (OWN_TYPES_MAX)");
            return Err(Problem::whole("policies", message));
        }
        Ok(Self {
            actions,
            vocabulary: Vocabulary::new(types, own),
        })
    }
}

/// The handle of an own action, if it can be decided like ours.
fn own_action(
    schema: &Schema,
    uid: &CedarUid,
    name: &str,
    facts: &ActionFacts,
) -> Result<Action, String> {
    let principals = schema.principals_for_action(uid).into_iter().flatten();
    let askers = [EntityType::USER, EntityType::SERVICE];
    if let Some(other) = principals.map(model_type).find(|of| !askers.contains(of)) {
        return Err(format!(
            "action `{name}` has the principal `{}`; who asks is a `DataOS::User` or `DataOS::Service`",
            other.whole_name()
        ));
    }
    let inside = [EntityType::ROW, EntityType::CELL];
    if let Some(other) = facts.resources.iter().find(|of| inside.contains(of)) {
        return Err(format!(
            "action `{name}` applies to `{}`, which exists only inside a query",
            other.whole_name()
        ));
    }
    let declared = OwnAction::declare(name);
    declared.map(Action::Own).map_err(|error| error.to_string())
}

impl ActionFacts {
    fn of(schema: &Schema, entities: &Entities, uid: &CedarUid) -> Self {
        let groups: Vec<CedarUid> = entities
            .ancestors(uid)
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let known = std::iter::once(uid).chain(&groups);
        let resources = schema.resources_for_action(uid).into_iter().flatten();
        let resources: BTreeSet<EntityType> = resources.map(model_type).collect();
        Self {
            entities: known.filter_map(|uid| entities.get(uid).cloned()).collect(),
            groups: groups.iter().map(model_uid).collect(),
            named: model_uid(uid),
            resources: resources.into_iter().collect(),
            uid: uid.clone(),
        }
    }
}
