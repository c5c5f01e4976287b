//! Who asks, after authentication. Nothing behind the edge looks at a credential.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    entity::{Entity, EntityType, EntityUid},
    value::Value,
};

/// How the principal proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Authentication {
    /// No credential.
    Anonymous,
    /// A session cookie of the console.
    Session,
    /// A local password, presented on this call.
    Password,
    /// An API key.
    ApiKey,
    /// A JWT access token.
    Token,
    /// A client certificate, proved in the TLS handshake.
    Certificate,
    /// Inside the process: a reconcile loop or start-up.
    Internal,
}

/// A verified caller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Principal {
    /// `User`, `Service`, or the user `anonymous`.
    pub uid: EntityUid,
    /// Groups it is a direct member of.
    pub groups: Vec<String>,
    /// Roles it holds directly.
    pub roles: Vec<String>,
    /// Labels, such as `users:dataos:analyst`; parents of type `Tag`.
    pub tags: Vec<String>,
    /// Verified attributes (department, region, ...); Cedar entity tags of the principal.
    pub attributes: BTreeMap<String, String>,
    /// Who vouches: `local` or the issuer of the token.
    pub issuer: String,
    /// Id of the credential, never the credential.
    pub credential_id: Option<String>,
    /// How it was proved.
    pub authentication: Authentication,
}

impl Principal {
    /// A principal with nothing but a name.
    pub fn new(uid: EntityUid, authentication: Authentication) -> Self {
        Self {
            uid,
            groups: Vec::new(),
            roles: Vec::new(),
            tags: Vec::new(),
            attributes: BTreeMap::new(),
            issuer: "local".to_owned(),
            credential_id: None,
            authentication,
        }
    }

    /// The caller without credential.
    pub fn anonymous() -> Self {
        Self::new(EntityType::USER.id("anonymous"), Authentication::Anonymous)
    }

    /// The platform itself, as the author of its own start-up and reconcile steps.
    pub fn platform() -> Self {
        Self::new(EntityType::SERVICE.id("dataos"), Authentication::Internal)
    }

    /// A principal as the entity snapshot knows it, for questions about somebody who is not calling:
    /// the opposite of [`Principal::entity`]. Parents of other types are left to the snapshot.
    pub fn stored(entity: &Entity) -> Self {
        let names = |wanted: &EntityType| {
            let of_type = |uid: &&EntityUid| uid.entity_type == *wanted;
            let parents = entity.parents.iter().filter(of_type);
            parents.map(|uid| uid.id.clone()).collect()
        };
        let text = |(name, value): (&String, &Value)| match value {
            Value::String(text) => Some((name.clone(), text.clone())),
            _ => None,
        };
        Self {
            groups: names(&EntityType::GROUP),
            roles: names(&EntityType::ROLE),
            tags: names(&EntityType::TAG),
            attributes: entity.tags.iter().filter_map(text).collect(),
            ..Self::new(entity.uid.clone(), Authentication::Internal)
        }
    }

    /// The entity that the PDP decides on: groups, roles and tags are its parents, every attribute
    /// is a Cedar entity tag of type String.
    pub fn entity(&self) -> Entity {
        let parents = self
            .groups
            .iter()
            .map(|group| EntityType::GROUP.id(group))
            .chain(self.roles.iter().map(|role| EntityType::ROLE.id(role)))
            .chain(self.tags.iter().map(|tag| EntityType::TAG.id(tag)));
        let mut entity = Entity::new(self.uid.clone()).with_parents(parents);
        entity.tags = self
            .attributes
            .iter()
            .map(|(name, value)| (name.clone(), Value::String(value.clone())))
            .collect();
        entity
    }
}
