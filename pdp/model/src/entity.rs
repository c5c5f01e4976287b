//! Entities: the things that policies speak about, as the PDP sees them.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{dataset::DatasetSchema, value::Value};

/// The Cedar namespace of our own types and actions.
pub const NAMESPACE: &str = "DataOS";
/// Between a namespace and what is in it.
const SEPARATOR: &str = "::";

/// The name of an entity type: of ours without the namespace (`User`), of any other one with it
/// (`Shop::Record`). So two types are equal if and only if they are the same type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntityType(Cow<'static, str>);

macro_rules! entity_types {
    ($($(#[$doc:meta])* $constant:ident = $name:literal;)*) => {
        impl EntityType {
            $($(#[$doc])* pub const $constant: Self = Self(Cow::Borrowed($name));)*

            /// All our own types.
            pub const ALL: &[Self] = &[$(Self::$constant,)*];
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
    /// A type by its name as [`name`](Self::name) gives it.
    pub fn named(name: impl Into<String>) -> Self {
        Self(Cow::Owned(name.into()))
    }

    /// A type by namespace and name in it. A type in no namespace is none of ours.
    pub fn within(namespace: &str, name: &str) -> Self {
        if namespace == NAMESPACE {
            return Self::named(name);
        }
        Self::named([namespace, SEPARATOR, name].concat())
    }

    /// The name: of ours without the namespace, of any other one with it.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Whether it is in our namespace, declared or not.
    pub fn is_ours(&self) -> bool {
        !self.0.contains(SEPARATOR)
    }

    /// The name with its namespace, as Cedar writes it: `DataOS::User`, `Shop::Record`.
    pub fn whole_name(&self) -> Cow<'_, str> {
        if self.is_ours() {
            Cow::Owned([NAMESPACE, SEPARATOR, self.name()].concat())
        } else {
            Cow::Borrowed(self.name())
        }
    }

    /// The name without its namespace.
    pub fn base_name(&self) -> &str {
        match self.0.rsplit_once(SEPARATOR) {
            Some((_, base)) => base,
            None => &self.0,
        }
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntityUid {
    /// The type.
    pub entity_type: EntityType,
    /// The id, any text.
    pub id: String,
}

impl EntityUid {
    /// As Cedar prints it. Written several times for each decision, so in one piece: `to_string` would let the text
    /// grow part by part.
    pub fn text(&self) -> String {
        const AROUND: usize = NAMESPACE.len() + 2 * SEPARATOR.len() + 2;
        let name = self.entity_type.name();
        let mut text = String::with_capacity(AROUND + name.len() + self.id.len());
        if self.entity_type.is_ours() {
            text.push_str(NAMESPACE);
            text.push_str(SEPARATOR);
        }
        text.push_str(name);
        text.push_str(SEPARATOR);
        text.push('"');
        // Most ids have nothing to escape.
        if self.id.bytes().all(is_plain) {
            text.push_str(&self.id);
        } else {
            text.extend(self.id.escape_debug());
        }
        text.push('"');
        text
    }
}

impl fmt::Display for EntityUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// Whether a byte of a text stands for itself between quotes.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\'' | b'\\')
}

/// An entity with its direct parents.
///
/// Conventions: a `Column` has its `Dataset` and its tags as parents; a `Dataset` its `Collection`
/// and tags; a `Collection` its `Depot`; tag `A.B` has parent tag `A`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum EntityChange {
    /// Adds or replaces.
    Upsert(Entity),
    /// Removes, if present.
    Remove(EntityUid),
}

#[cfg(test)]
mod tests {
    use super::EntityType;

    #[test]
    fn an_id_is_escaped_where_it_has_to_be() {
        let ascii = (0..=127_u8).map(|byte| char::from(byte).to_string());
        let others = [
            "",
            "plain-1_2",
            "a'b",
            "ä",
            "\u{301}a",
            "\u{202e}",
            "two words",
        ];
        for id in ascii.chain(others.map(str::to_owned)) {
            let escaped = format!("DataOS::Tag::\"{}\"", id.escape_debug());
            assert_eq!(EntityType::TAG.id(&*id).to_string(), escaped);
        }
    }

    #[test]
    fn types_of_different_namespaces_are_never_the_same() {
        let ours = EntityType::within("DataOS", "Tag");
        let own = EntityType::within("Shop", "Tag");
        let inner = EntityType::within("DataOS::Inner", "Tag");
        let nowhere = EntityType::within("", "Tag");
        assert_eq!(ours, EntityType::TAG);
        let all = [&ours, &own, &inner, &nowhere];
        for (at, left) in all.iter().enumerate() {
            assert_eq!(left.base_name(), "Tag");
            assert!(all.iter().skip(at + 1).all(|right| left != right));
        }
        assert_eq!(own.clone().id("x").to_string(), "Shop::Tag::\"x\"");
        assert_eq!(ours.clone().id("x").to_string(), "DataOS::Tag::\"x\"");
        assert!(ours.is_ours() && !own.is_ours() && !inner.is_ours() && !nowhere.is_ours());
    }
}
