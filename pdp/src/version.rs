//! One immutable version of policies and entities; every answer is made from one of these.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use cedar_policy::{Entities, PartialEntity, RestrictedExpression, Schema};
use dataos_model::{
    action::Action,
    annotation::Call,
    decision::{Decision, Effect, Reason},
    entity::{Entity, EntityUid},
    fault::Fault,
    principal::Principal,
    value::Value,
};

use crate::{
    answers::Answers,
    convert::{Unrepresentable, cedar_entity, cedar_uid, pairs},
    entities::Snapshot,
    facts::may_hold,
    index::{Key, keys_of},
    names::Table,
    program::{Ancestors, Located, Tags},
    schema::{BaseSchema, SCHEMA_FILE},
    set::PolicySet,
    source::LoadedPolicy,
};

/// Policies and entities that belong together.
#[derive(Debug)]
pub(crate) struct Version {
    /// The policies.
    pub policies: Arc<PolicySet>,
    /// The entities.
    pub entities: Snapshot,
    /// Answers about datasets.
    pub answers: Answers,
}

/// An entity of a request with all its ancestors.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    /// The entity.
    pub entity: Arc<Entity>,
    /// Its ancestors.
    pub ancestors: Vec<EntityUid>,
}

impl Placed {
    /// For partial evaluation, wholly known.
    pub(crate) fn known(&self, schema: &Schema) -> Result<PartialEntity, Unrepresentable> {
        let attributes = pairs(&self.entity.attributes)?;
        self.partial(Some(attributes), schema)
    }

    /// For partial evaluation, with attributes that are not known.
    pub(crate) fn unknown(&self, schema: &Schema) -> Result<PartialEntity, Unrepresentable> {
        self.partial(None, schema)
    }

    fn partial(
        &self,
        attributes: Option<Vec<(String, RestrictedExpression)>>,
        schema: &Schema,
    ) -> Result<PartialEntity, Unrepresentable> {
        let named = |(name, value): (String, RestrictedExpression)| (name.into(), value);
        let attributes = attributes.map(|pairs| pairs.into_iter().map(named).collect());
        let tags = pairs(&self.entity.tags)?.into_iter().map(named).collect();
        let ancestors: Result<_, Unrepresentable> = self.ancestors.iter().map(cedar_uid).collect();
        let uid = cedar_uid(&self.entity.uid)?;
        PartialEntity::new(uid, attributes, Some(ancestors?), Some(tags), schema)
            .map_err(|error| error.to_string())
    }

    /// As programs see it.
    pub(crate) fn located<'a>(&'a self, table: &Table) -> Located<'a> {
        let mut ancestors = Ancestors::new();
        let mut unnamed = Vec::new();
        for uid in &self.ancestors {
            match table.find_uid(uid) {
                Some(name) => ancestors.push(name),
                None => unnamed.push((&uid.entity_type, uid.id.as_str())),
            }
        }
        let (of, name) = table.locate(&self.entity.uid);
        Located {
            uid: &self.entity.uid,
            of,
            name,
            attributes: &self.entity.attributes,
            tags: Tags::Values(&self.entity.tags),
            ancestors,
            unnamed,
        }
    }

    /// The keys under which policies on it are found.
    pub(crate) fn keys(&self) -> Vec<Key> {
        keys_of(&self.entity.uid, &self.ancestors)
    }
}

impl Version {
    /// A version of these two.
    pub(crate) fn new(policies: Arc<PolicySet>, entities: Snapshot) -> Self {
        Self {
            policies,
            entities,
            answers: Answers::default(),
        }
    }

    /// An entity with its ancestors.
    pub(crate) fn placed(&self, entity: Arc<Entity>) -> Placed {
        let ancestors = self.entities.ancestors(&entity.parents);
        Placed { entity, ancestors }
    }

    /// The principal as it was verified, and nothing else: what the snapshot holds of one with the
    /// same name is for questions about somebody who is not calling, and could be more than the
    /// credential of this call was given.
    pub(crate) fn principal(&self, principal: &Principal) -> Placed {
        self.placed(Arc::new(principal.entity()))
    }

    /// A stored entity with its ancestors.
    pub(crate) fn stored(&self, uid: &EntityUid) -> Option<Placed> {
        Some(self.placed(Arc::clone(&self.entities.get(uid)?.entity)))
    }

    /// The policies that can apply, by id.
    pub(crate) fn candidates(
        &self,
        action: Action,
        principal: &Placed,
        resource: &Placed,
        context: &BTreeMap<String, Value>,
    ) -> Vec<&Arc<LoadedPolicy>> {
        let mut found = self.slice(action, principal, resource, context);
        found.retain(|policy| may_hold(&policy.facts, Some(principal), Some(resource)));
        found
    }

    /// The policies that the index finds, by id.
    pub(crate) fn slice(
        &self,
        action: Action,
        principal: &Placed,
        resource: &Placed,
        context: &BTreeMap<String, Value>,
    ) -> Vec<&Arc<LoadedPolicy>> {
        let table = self.policies.schema.names.read();
        let index = &self.policies.index;
        let (principal, resource) = (principal.located(&table), resource.located(&table));
        index.slice(action, &principal, &resource, context)
    }

    /// All that Cedar may look at: the given entities, and what their attributes and the policies'
    /// conditions point to.
    pub(crate) fn surroundings(
        &self,
        placed: impl IntoIterator<Item = Placed>,
        looked_into: impl IntoIterator<Item = EntityUid>,
    ) -> Vec<Placed> {
        let mut found: BTreeMap<EntityUid, Placed> = placed
            .into_iter()
            .map(|placed| (placed.entity.uid.clone(), placed))
            .collect();
        let mut waiting: BTreeSet<EntityUid> = looked_into.into_iter().collect();
        found
            .values()
            .for_each(|placed| waiting.extend(references(&placed.entity)));
        while let Some(uid) = waiting.pop_first() {
            if found.contains_key(&uid) {
                continue;
            }
            let Some(placed) = self.stored(&uid) else {
                continue;
            };
            waiting.extend(references(&placed.entity));
            found.insert(uid, placed);
        }
        found.into_values().collect()
    }

    /// These as Cedar's entities, with the action. The closure over ancestors is there already.
    pub(crate) fn cedar_entities(
        &self,
        action: Action,
        placed: &[Placed],
    ) -> Result<Entities, Unrepresentable> {
        let facts = self.policies.schema.action(action);
        let actions = facts
            .into_iter()
            .flat_map(|facts| facts.entities.iter().cloned());
        let placed = placed
            .iter()
            .map(|placed| cedar_entity(&placed.entity, &placed.ancestors));
        let list = placed.collect::<Result<Vec<_>, _>>()?;
        Entities::from_entities(list.into_iter().chain(actions), None)
            .map_err(|error| error.to_string())
    }

    /// A deny that no policy determined.
    pub(crate) fn denied(&self, reason: Reason, detail: impl Into<String>) -> Decision {
        Decision {
            effect: Effect::Deny,
            reason,
            policies: Vec::new(),
            errors: Vec::new(),
            obligations: Vec::new(),
            policy_set: self.policies.hash,
            entities: self.entities.hash(),
            detail: detail.into(),
        }
    }
}

/// Whether all entities of a snapshot fit a schema that is about to replace the present one.
pub(crate) fn check_entities(entities: &Snapshot, schema: &BaseSchema) -> Result<(), Fault> {
    entities.all().try_for_each(|entity| {
        check_entity(entity, schema.plain().schema()).map_err(|error| {
            Fault::invalid(format!("{SCHEMA_FILE} does not fit what is known: {error}"))
        })
    })
}

/// Whether an entity fits the schema.
pub(crate) fn check_entity(entity: &Entity, schema: &Schema) -> Result<(), Unrepresentable> {
    let placed = Placed {
        entity: Arc::new(entity.clone()),
        ancestors: entity.parents.clone(),
    };
    placed.known(schema).map(drop)
}

/// The obligations of these policies, each once.
pub(crate) fn obligations<'a>(
    policies: impl IntoIterator<Item = &'a Arc<LoadedPolicy>>,
) -> Vec<Call> {
    let mut found: Vec<Call> = Vec::new();
    for obligation in policies
        .into_iter()
        .filter_map(|policy| policy.obligation.as_ref())
    {
        if !found.contains(obligation) {
            found.push(obligation.clone());
        }
    }
    found
}

fn references(entity: &Entity) -> Vec<EntityUid> {
    fn collect(value: &Value, found: &mut Vec<EntityUid>) {
        match value {
            Value::Entity(uid) => found.push(uid.clone()),
            Value::Set(items) => items.iter().for_each(|item| collect(item, found)),
            Value::Record(fields) => fields.values().for_each(|field| collect(field, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    let values = entity.attributes.values().chain(entity.tags.values());
    values.for_each(|value| collect(value, &mut found));
    found
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use dataos_model::clock::Timestamp;

    use super::*;
    use crate::{set::Source, shipped::shipped_policies, source::Origin};

    /// The shipped policies over no entities.
    pub(crate) fn shipped() -> Version {
        let names = Arc::default();
        let (_, text) = shipped_policies()
            .find(|(path, _)| *path == SCHEMA_FILE)
            .unwrap();
        let schema = Arc::new(BaseSchema::parse(text, &names).unwrap());
        let sources: BTreeMap<_, _> = shipped_policies()
            .filter(|(path, _)| *path != SCHEMA_FILE)
            .map(|(path, text)| {
                let source = Source::read(&schema, path, Origin::File, text, None).unwrap();
                (path.to_owned(), source)
            })
            .collect();
        let policies = PolicySet::new(schema, sources, Timestamp(0)).unwrap();
        Version::new(Arc::new(policies), Snapshot::empty(names))
    }
}
