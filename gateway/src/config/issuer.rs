//! Issuers of bearer tokens: `[[issuers]]` tables of the configuration file.

use std::{path::PathBuf, time::Duration};

use dataos_model::fault::{Fault, Location};
use serde::Deserialize;

use super::{LoginConfig, login, units};

/// Largest clock skew: RFC 8725 asks for small ones, and a large one keeps expired tokens alive.
const SKEW_MAX: Duration = Duration::from_secs(60);
/// Algorithms that a configuration may allow; all others are refused whatever it says.
const ALGORITHMS: &[&str] = &["ES256", "RS256", "PS256", "EdDSA", "Ed25519"];
/// Those where it names none. RFC 9864 calls the old `EdDSA` by its curve.
const ALGORITHMS_DEFAULT: &[&str] = &["ES256", "RS256", "EdDSA", "Ed25519"];

/// Where the keys of an issuer come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A JWKS file, read at start and whenever it changes.
    File(PathBuf),
    /// A JWKS document behind HTTPS (plain HTTP only on the loopback interface).
    Url(String),
    /// What the issuer's own description names: `jwks_uri` of its discovery document.
    Discovery,
}

/// Which claims say what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimNames {
    /// The user id; default `sub`.
    pub user: String,
    /// Groups, a list of texts or a text with spaces.
    pub groups: Option<String>,
    /// Roles, likewise.
    pub roles: Option<String>,
    /// Claims that become attributes of the principal, by name.
    pub attributes: Vec<String>,
}

/// One trusted issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerConfig {
    /// Exact value of `iss`.
    pub issuer: String,
    /// Value that must be in `aud`.
    pub audience: String,
    /// Allowed `alg` values.
    pub algorithms: Vec<String>,
    /// Allowed `typ` values, lower case.
    pub types: Vec<String>,
    /// Where its keys come from.
    pub keys: KeySource,
    /// PEM file of the certificate authority behind the URL, if it is a private one.
    pub ca_file: Option<PathBuf>,
    /// Hosts that discovered keys may lie on beside the issuer's own, even at private addresses.
    pub key_hosts: Vec<String>,
    /// Clients whose tokens are taken (`azp` or `client_id`); all of the issuer's if empty.
    pub clients: Vec<String>,
    /// Allowed difference of clocks.
    pub skew: Duration,
    /// Put before the user id, so that issuers cannot name each other's users.
    pub user_prefix: String,
    /// Which claims say what.
    pub claims: ClaimNames,
    /// How people log in through it, if they do.
    pub login: Option<LoginConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    issuer: String,
    audience: String,
    #[serde(default = "default_algorithms")]
    algorithms: Vec<String>,
    #[serde(default = "default_types")]
    types: Vec<String>,
    jwks_file: Option<PathBuf>,
    jwks_url: Option<String>,
    #[serde(default)]
    discovery: bool,
    #[serde(default)]
    key_hosts: Vec<String>,
    #[serde(default)]
    clients: Vec<String>,
    ca_file: Option<PathBuf>,
    #[serde(default = "default_skew")]
    skew: String,
    #[serde(default)]
    user_prefix: String,
    #[serde(default = "default_user")]
    user_claim: String,
    groups_claim: Option<String>,
    roles_claim: Option<String>,
    #[serde(default)]
    attribute_claims: Vec<String>,
    login: Option<login::Wire>,
}

fn default_algorithms() -> Vec<String> {
    ALGORITHMS_DEFAULT
        .iter()
        .map(|name| (*name).to_owned())
        .collect()
}

fn default_types() -> Vec<String> {
    vec!["at+jwt".to_owned()]
}

fn default_skew() -> String {
    "30s".to_owned()
}

fn default_user() -> String {
    "sub".to_owned()
}

/// The issuers of a file.
pub(super) fn read(file: &str, value: toml::Value) -> Result<Vec<IssuerConfig>, Fault> {
    let toml::Value::Array(tables) = value else {
        return Err(Fault::invalid("issuers are written as [[issuers]] tables").at(at(file, 0, "")));
    };
    tables
        .into_iter()
        .enumerate()
        .map(|(index, table)| {
            let wire: Wire = table.try_into().map_err(|error: toml::de::Error| {
                Fault::invalid(error.message().trim().to_owned()).at(at(file, index, ""))
            })?;
            check(wire)
                .map_err(|(field, problem)| Fault::invalid(problem).at(at(file, index, field)))
        })
        .collect()
}

fn at(file: &str, index: usize, field: &str) -> Location {
    let dot = if field.is_empty() { "" } else { "." };
    Location {
        file: Some(file.to_owned()),
        field: Some(format!("issuers[{index}]{dot}{field}")),
        ..Location::default()
    }
}

fn check(wire: Wire) -> Result<IssuerConfig, (&'static str, String)> {
    if wire.issuer.is_empty() || wire.audience.is_empty() {
        return Err(("issuer", "issuer and audience must not be empty".to_owned()));
    }
    for algorithm in &wire.algorithms {
        if !ALGORITHMS.contains(&algorithm.as_str()) {
            let problem = format!("`{algorithm}` is not one of {}", ALGORITHMS.join(", "));
            return Err(("algorithms", problem));
        }
    }
    if wire.algorithms.is_empty() || wire.types.is_empty() {
        return Err((
            "algorithms",
            "algorithms and types must not be empty".to_owned(),
        ));
    }
    let types: Vec<String> = wire.types.iter().map(|t| t.to_ascii_lowercase()).collect();
    if let Some(other) = types
        .iter()
        .find(|t| !matches!(t.as_str(), "at+jwt" | "jwt"))
    {
        return Err(("types", format!("`{other}` is not `at+jwt` or `JWT`")));
    }
    let skew = units::duration(&wire.skew)
        .filter(|skew| *skew <= SKEW_MAX)
        .ok_or_else(|| {
            (
                "skew",
                format!("`{}` is not a duration up to 60s", wire.skew),
            )
        })?;
    let keys = key_source(&wire)?;
    if wire.login.is_some() && keys != KeySource::Discovery {
        let problem = "people log in where `discovery = true` tells the addresses".to_owned();
        return Err(("login", problem));
    }
    Ok(IssuerConfig {
        login: wire.login.map(login::Wire::check).transpose()?,
        keys,
        key_hosts: wire.key_hosts,
        clients: wire.clients,
        issuer: wire.issuer,
        audience: wire.audience,
        algorithms: wire.algorithms,
        types,
        ca_file: wire.ca_file,
        skew,
        user_prefix: wire.user_prefix,
        claims: ClaimNames {
            user: wire.user_claim,
            groups: wire.groups_claim,
            roles: wire.roles_claim,
            attributes: wire.attribute_claims,
        },
    })
}

fn key_source(wire: &Wire) -> Result<KeySource, (&'static str, String)> {
    let checked = |field, url: &str| {
        if is_safe_url(url) {
            return Ok(());
        }
        let problem =
            format!("`{url}` is not https:// (http:// is for 127.0.0.1 and localhost only)");
        Err((field, problem))
    };
    match (&wire.jwks_file, &wire.jwks_url, wire.discovery) {
        (Some(file), None, false) => Ok(KeySource::File(file.clone())),
        (None, Some(url), false) => checked("jwks_url", url).map(|()| KeySource::Url(url.clone())),
        (None, None, true) => checked("issuer", &wire.issuer).map(|()| KeySource::Discovery),
        _ => Err((
            "jwks_url",
            "give either jwks_file or jwks_url, or discovery = true".to_owned(),
        )),
    }
}

fn is_safe_url(url: &str) -> bool {
    let is_loopback = url.strip_prefix("http://").is_some_and(|rest| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let host = authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host);
        matches!(host, "127.0.0.1" | "localhost" | "[::1]")
    });
    url.starts_with("https://") || is_loopback
}
