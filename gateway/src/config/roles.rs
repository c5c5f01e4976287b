//! What this process does, and where the others are.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use dataos_model::fault::Fault;
use http::uri::Authority;

use super::{
    sources::Values,
    values::{parsed, text, wrong},
};
use crate::roles::Role;

const ROLE: &str = "role";
/// The word for a process that does everything.
const ALL: &str = "all";
const LISTEN: &str = "roles.listen";
const IDENTITY: &str = "roles.identity";
/// Where a role's identity lies in its data directory, unless the setting says otherwise.
const IDENTITY_FOLDER: &str = "identity";
/// Most processes of one role.
const ENDPOINTS_MAX: usize = 16;

/// Processes of one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolesConfig {
    /// What this one does; everything if absent.
    pub role: Option<Role>,
    /// Address of the door for other roles.
    pub listen: SocketAddr,
    /// Folder with the identity of this one; the built-in CA makes the gateway's if absent.
    pub identity: Option<PathBuf>,
    /// Hosts and ports of each role that is a process of its own.
    pub endpoints: Vec<(Role, Vec<String>)>,
}

impl RolesConfig {
    pub(super) fn read(values: &Values, data_dir: &Path) -> Result<Self, Fault> {
        let role = match text(values, ROLE).as_str() {
            ALL => None,
            name => Some(Role::named(name).ok_or_else(|| {
                let names: Vec<&str> = Role::ALL.iter().map(|role| role.name()).collect();
                wrong(
                    values,
                    ROLE,
                    &format!("`{ALL}` or one of {}", names.join(", ")),
                )
            })?),
        };
        let mut endpoints = Vec::new();
        for other in Role::ALL {
            let key = key(*other);
            let addresses = addresses(values, key)?;
            let is_wanted = match role {
                Some(Role::Gateway) => *other != Role::Gateway,
                Some(_) => *other == Role::Gateway,
                None => false,
            };
            match (addresses.is_empty(), is_wanted) {
                (false, true) => endpoints.push((*other, addresses)),
                (false, false) => {
                    let expected = "set only where `role` says that others do the rest: the gateway \
                                    names the other roles, and they name the gateway";
                    return Err(wrong(values, key, expected));
                }
                (true, _) if is_wanted && *other == Role::Gateway => {
                    let expected = "the host and port of the gateway's door for roles, such as \
                                    gateway:8444, which this role needs";
                    return Err(wrong(values, key, expected));
                }
                (true, _) => {}
            }
        }
        let identity = Some(text(values, IDENTITY)).filter(|path| !path.is_empty());
        let is_role = role.is_some_and(|role| role != Role::Gateway);
        let default = || is_role.then(|| data_dir.join(IDENTITY_FOLDER));
        Ok(Self {
            role,
            listen: parsed(
                values,
                LISTEN,
                "an address and port, such as 127.0.0.1:8444",
            )?,
            identity: identity.map(PathBuf::from).or_else(default),
            endpoints,
        })
    }

    /// Where a role is, if it is a process of its own.
    pub(crate) fn of(&self, role: Role) -> Option<&[String]> {
        let found = self.endpoints.iter().find(|(other, _)| *other == role);
        found.map(|(_, addresses)| addresses.as_slice())
    }
}

fn key(role: Role) -> &'static str {
    match role {
        Role::Gateway => "roles.gateway",
        Role::Query => "roles.query",
        Role::Catalog => "roles.catalog",
        Role::Orchestrator => "roles.orchestrator",
    }
}

fn addresses(values: &Values, key: &'static str) -> Result<Vec<String>, Fault> {
    let listed = text(values, key);
    let listed = listed
        .split(',')
        .map(str::trim)
        .filter(|one| !one.is_empty());
    let listed: Vec<String> = listed.map(str::to_owned).collect();
    let is_address = |address: &String| {
        let authority = address.parse::<Authority>();
        authority.is_ok_and(|authority| authority.port_u16().is_some() && !address.contains('@'))
    };
    if listed.len() > ENDPOINTS_MAX || !listed.iter().all(is_address) {
        let expected = format!("at most {ENDPOINTS_MAX} of HOST:PORT, comma-separated");
        return Err(wrong(values, key, &expected));
    }
    Ok(listed)
}
