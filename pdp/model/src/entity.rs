//! Entities: the things that policies speak about, as the PDP sees them.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use crate::{dataset::DatasetSchema, value::Value};

/// The Cedar namespace of every type and action.
pub const NAMESPACE: &str = "DataOS";

/// The name of an entity type, without the namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityType(Cow<'static, str>);

macro_rules! entity_types {
    ($($(#[$doc:meta])* $constant:ident = $name:literal;)*) => {
        impl EntityType {
            $($(#[$doc])* pub const $constant: Self = Self(Cow::Borrowed($name));)*
        }
    };
}

entity_types! {
    /// A person.
    USER = "User";
    /// A program.
    SERVICE = "Service";
    /// A set of users, from the identity provider or local.
    GROUP = "Group";
    /// A function that a principal holds.
    ROLE = "Role";
    /// A label; hierarchical: `PII.email` is in `PII`.
    TAG = "Tag";
    /// A tenant's name space for resources.
    WORKSPACE = "Workspace";
    /// A declared resource of any type.
    RESOURCE = "Resource";
    /// A data source.
    DEPOT = "Depot";
    /// A schema or folder inside a depot.
    COLLECTION = "Collection";
    /// A table.
    DATASET = "Dataset";
    /// A column of a dataset.
    COLUMN = "Column";
    /// One row; its attributes are the dataset's columns.
    ROW = "Row";
    /// One cell; its attributes are the columns of its row.
    CELL = "Cell";
    /// A path of the HTTP API.
    API_PATH = "ApiPath";
    /// The audit log as a whole.
    AUDIT_LOG = "AuditLog";
    /// One record of the audit log.
    AUDIT_RECORD = "AuditRecord";
    /// The policies in force.
    POLICY_SET = "PolicySet";
}

impl EntityType {
    /// A type by its name without namespace.
    pub fn named(name: impl Into<String>) -> Self {
        Self(Cow::Owned(name.into()))
    }

    /// The name without namespace.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// The id `id` of this type.
    pub fn id(self, id: impl Into<String>) -> EntityUid {
        EntityUid {
            entity_type: self,
            id: id.into(),
        }
    }
}

/// Type and id of an entity; prints as Cedar does: `DataOS::User::"alice"`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityUid {
    /// The type.
    pub entity_type: EntityType,
    /// The id, any text.
    pub id: String,
}

impl fmt::Display for EntityUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{NAMESPACE}::{}::\"{}\"",
            self.entity_type.name(),
            self.id.escape_debug()
        )
    }
}

/// An entity with its direct parents.
///
/// Conventions: a `Column` has its `Dataset` and its tags as parents; a `Dataset` its `Collection`
/// and tags; a `Collection` its `Depot`; tag `A.B` has parent tag `A`.
#[derive(Clone, Debug, PartialEq)]
pub struct Entity {
    /// Its name.
    pub uid: EntityUid,
    /// Direct parents; ancestors are computed by the PDP.
    pub parents: Vec<EntityUid>,
    /// Attributes; must fit the Cedar schema.
    pub attributes: BTreeMap<String, Value>,
    /// Cedar entity tags (string keys that the schema need not name).
    pub tags: BTreeMap<String, Value>,
    /// For a `Dataset`: its columns, from which row attributes are typed.
    pub schema: Option<DatasetSchema>,
}

impl Entity {
    /// An entity without parents or attributes.
    pub fn new(uid: EntityUid) -> Self {
        Self {
            uid,
            parents: Vec::new(),
            attributes: BTreeMap::new(),
            tags: BTreeMap::new(),
            schema: None,
        }
    }

    /// The attributes of an entity that has none.
    pub fn no_attributes() -> &'static BTreeMap<String, Value> {
        static NONE: BTreeMap<String, Value> = BTreeMap::new();
        &NONE
    }

    /// The same with these parents.
    #[must_use]
    pub fn with_parents(mut self, parents: impl IntoIterator<Item = EntityUid>) -> Self {
        self.parents.extend(parents);
        self
    }
}

/// One change of the entity snapshot. A list of changes is applied as one version.
#[derive(Clone, Debug, PartialEq)]
pub enum EntityChange {
    /// Adds or replaces.
    Upsert(Entity),
    /// Removes, if present.
    Remove(EntityUid),
}
