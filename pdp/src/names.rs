//! Entities and types by number, so that decisions compare numbers and not texts.
//!
//! Only what policies and stored entities name gets a number, never what a request brings: requests
//! cannot make the table grow. Numbers are never taken back while the PDP runs.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock, RwLockReadGuard},
};

use dataos_model::entity::{EntityType, EntityUid};
use foldhash::quality::RandomState;
use smol_str::SmolStr;

/// The number of an entity.
pub(crate) type Name = u32;
/// The number of an entity type.
pub(crate) type TypeName = u32;

/// The numbers of a type and of an entity of it, if they have any.
pub(crate) type Numbers = (Option<TypeName>, Option<Name>);

/// All numbers given out.
#[derive(Debug, Default)]
pub(crate) struct Names {
    table: RwLock<Table>,
}

/// Numbers as a reader sees them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    types: HashMap<EntityType, Type, RandomState>,
    count: Name,
}

#[derive(Debug)]
struct Type {
    number: TypeName,
    /// Most ids are short enough to stand in the table itself.
    names: HashMap<SmolStr, Name, RandomState>,
}

impl Names {
    /// The table, for as long as one decision takes.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of an entity; it gets one if it has none.
    pub(crate) fn name(&self, uid: &EntityUid) -> Name {
        if let Some(name) = self.read().find(&uid.entity_type, &uid.id) {
            return name;
        }
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let next = table.count;
        let of_type = table.of_type(&uid.entity_type);
        if let Some(name) = of_type.names.get(uid.id.as_str()) {
            return *name;
        }
        of_type.names.insert(SmolStr::new(&uid.id), next);
        table.count += 1;
        next
    }

    /// The number of a type; it gets one if it has none.
    pub(crate) fn type_name(&self, entity_type: &EntityType) -> TypeName {
        if let Some(number) = self.read().find_type(entity_type) {
            return number;
        }
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.of_type(entity_type).number
    }
}

impl Table {
    /// The number of an entity, if it has one.
    pub(crate) fn find(&self, entity_type: &EntityType, id: &str) -> Option<Name> {
        self.types.get(entity_type)?.names.get(id).copied()
    }

    /// The number of an entity, if it has one.
    pub(crate) fn find_uid(&self, uid: &EntityUid) -> Option<Name> {
        self.find(&uid.entity_type, &uid.id)
    }

    /// The numbers of an entity and of its type, if they have any.
    pub(crate) fn locate(&self, uid: &EntityUid) -> Numbers {
        match self.types.get(&uid.entity_type) {
            Some(of) => (Some(of.number), of.names.get(uid.id.as_str()).copied()),
            None => (None, None),
        }
    }

    /// The number of a type, if it has one.
    fn find_type(&self, entity_type: &EntityType) -> Option<TypeName> {
        Some(self.types.get(entity_type)?.number)
    }

    fn of_type(&mut self, entity_type: &EntityType) -> &mut Type {
        // Types come from the schema and from policies that were checked against it.
        let number = TypeName::try_from(self.types.len()).unwrap_or(TypeName::MAX);
        self.types
            .entry(entity_type.clone())
            .or_insert_with(|| Type {
                number,
                names: HashMap::default(),
            })
    }
}
