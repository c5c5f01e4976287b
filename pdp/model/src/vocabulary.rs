//! The types and actions that can be asked about: ours, and those of the schemas beside ours.

use std::collections::{BTreeMap, BTreeSet};

use crate::{action::Action, entity::EntityType};

/// What a schema declares beside our own types and actions. The default is: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocabulary {
    types: BTreeSet<EntityType>,
    /// In the order of names, with the types of resources that each applies to.
    actions: Vec<(Action, Vec<EntityType>)>,
}

impl Vocabulary {
    /// Own types, and own actions with the types that they apply to.
    pub fn new(types: BTreeSet<EntityType>, actions: BTreeMap<Action, Vec<EntityType>>) -> Self {
        let mut actions: Vec<_> = actions.into_iter().collect();
        actions.sort_by_key(|(action, _)| action.name());
        Self { types, actions }
    }

    /// Own types, in the order of names.
    pub fn types(&self) -> impl Iterator<Item = &EntityType> {
        self.types.iter()
    }

    /// Whether it is an own type.
    pub fn has_type(&self, entity_type: &EntityType) -> bool {
        self.types.contains(entity_type)
    }

    /// All actions: ours in their order, then own ones by name.
    pub fn actions(&self) -> impl Iterator<Item = Action> {
        let own = self.actions.iter().map(|(action, _)| *action);
        Action::ALL.iter().copied().chain(own)
    }

    /// The types of resources that an action applies to; none for an own one that is not declared.
    pub fn resource_types(&self, action: Action) -> &[EntityType] {
        let Action::Own(_) = action else {
            return action.resource_types();
        };
        let found = self.actions.iter().find(|(known, _)| *known == action);
        found.map_or(&[], |(_, types)| types)
    }
}
