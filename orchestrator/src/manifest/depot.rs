//! `depot`: a data source, in the two shapes v1 and v2alpha.

use std::path::{Component, Path, PathBuf};

use dataos_model::{
    depot::Tls,
    fault::Fault,
    resource::ResourceId,
    secret::{Secret, SecretName},
};

use super::{Body, Parsed, Reference, secret::read_acl};
use crate::fields::{Fields, not_supported, text_of, wrong};
use crate::yaml::Content;

/// Types of the original product that have no engine here yet.
const RECOGNISED: &[&str] = &[
    "ABFSS",
    "WASBS",
    "GCS",
    "S3",
    "REDSHIFT",
    "SNOWFLAKE",
    "BIGQUERY",
    "ELASTICSEARCH",
    "OPENSEARCH",
    "MONGODB",
    "EVENTHUB",
    "KAFKA",
    "PULSAR",
    "JDBC",
    "MSSQL",
    "ORACLE",
];
const SUPPORTED: &str = "supported: FILES, POSTGRES, MYSQL, SQLITE";

/// A depot as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DepotBody {
    pub(crate) description: Option<String>,
    pub(crate) target: DepotTarget,
}

/// Where its data lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DepotTarget {
    /// A folder.
    Files { root: PathBuf, is_writable: bool },
    /// A PostgreSQL database.
    Postgres(Server),
    /// A database of MariaDB or MySQL.
    MySql(Server, Tls),
    /// A SQLite file.
    Sqlite { path: PathBuf },
}

/// A database on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) database: String,
    /// Given in the text; else the key `username` of the credentials.
    pub(crate) user: Option<String>,
    pub(crate) credentials: Credentials,
}

/// Where user name and password are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// None given.
    None,
    /// In the depot's own manifest (`connectionSecret`).
    Own,
    /// In a declared secret.
    Secret { workspace: String, name: String },
}

/// Where the values of a `connectionSecret` are kept: behind the platform's own prefix, so that no
/// declared secret can have the name.
pub(crate) fn own_secret(depot: &str, key: &str) -> SecretName {
    SecretName(format!("dataos/depot/{depot}/{key}"))
}

/// Reads the `depot` section.
pub(super) fn read(fields: &Fields<'_>, id: &ResourceId) -> Result<Parsed, Fault> {
    let kind = fields.required_text("type")?.to_uppercase();
    let description = fields.text("description")?.map(str::to_owned);
    fields.without_effect(&["external", "source", "compute"]);
    let is_v1 = id.version == "v1";
    let parsed = match kind.as_str() {
        "FILES" => plain(description, files(&spec(fields, is_v1, "files")?)?),
        "SQLITE" => plain(description, sqlite(&spec(fields, is_v1, "sqlite")?)?),
        "POSTGRES" | "POSTGRESQL" => {
            let spec = spec(fields, is_v1, "postgresql")?;
            check_subprotocol(&spec, &["postgresql", "postgres"])?;
            server(fields, (&spec, 5432), id, |server| DepotBody {
                description,
                target: DepotTarget::Postgres(server),
            })?
        }
        "MYSQL" | "MARIADB" => {
            let spec = spec(fields, is_v1, "mysql")?;
            check_subprotocol(&spec, &["mysql", "mariadb"])?;
            let tls = tls(&spec)?;
            server(fields, (&spec, 3306), id, |server| DepotBody {
                description,
                target: DepotTarget::MySql(server, tls),
            })?
        }
        word if RECOGNISED.contains(&word) => {
            let problem = format!("depot type `{word}` is recognised and not supported yet");
            return Err(not_supported(fields.fault("type", problem)).with_hint(SUPPORTED));
        }
        word => {
            let problem = format!("unknown depot type `{word}`");
            return Err(fields.fault("type", problem).with_hint(SUPPORTED));
        }
    };
    fields.finish()?;
    Ok(parsed)
}

/// v1 has `spec`, v2alpha a mapping named by the kind.
fn spec<'a>(fields: &Fields<'a>, is_v1: bool, kind: &'static str) -> Result<Fields<'a>, Fault> {
    let name = if is_v1 { "spec" } else { kind };
    fields.required(name)?;
    fields.fields(name)?.ok_or_else(|| fields.missing(name))
}

fn plain(description: Option<String>, target: DepotTarget) -> Parsed {
    Parsed::plain(Body::Depot(DepotBody {
        description,
        target,
    }))
}

fn files(spec: &Fields<'_>) -> Result<DepotTarget, Fault> {
    let root = absolute(spec, "name the folder from the root, as the server sees it")?;
    let is_writable = spec.flag("writable")?.unwrap_or(false);
    spec.finish()?;
    Ok(DepotTarget::Files { root, is_writable })
}

fn sqlite(spec: &Fields<'_>) -> Result<DepotTarget, Fault> {
    let path = absolute(spec, "name the file from the root, as the server sees it")?;
    spec.finish()?;
    Ok(DepotTarget::Sqlite { path })
}

fn absolute(spec: &Fields<'_>, hint: &str) -> Result<PathBuf, Fault> {
    let text = spec.required_text("path")?;
    let path = Path::new(text);
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        let problem = format!("`{text}` is not an absolute path without `..`");
        return Err(spec.fault("path", problem).with_hint(hint));
    }
    Ok(path.to_owned())
}

fn check_subprotocol(spec: &Fields<'_>, known: &[&str]) -> Result<(), Fault> {
    match spec.text("subprotocol")? {
        Some(word) if !known.contains(&word) => {
            Err(spec.fault("subprotocol", format!("expected {}", known.join(" or "))))
        }
        _ => Ok(()),
    }
}

/// Protected unless the text says otherwise.
fn tls(spec: &Fields<'_>) -> Result<Tls, Fault> {
    let authorities = spec.text("authorities")?.map(str::to_owned);
    match spec.text("tls")? {
        None | Some("verified") => Ok(Tls::Verified { authorities }),
        Some("off") if authorities.is_none() => Ok(Tls::Off),
        Some("off") => Err(spec.fault("authorities", "authorities without TLS")),
        Some(_) => Err(spec.fault("tls", "expected `verified` or `off`")),
    }
}

/// A server with the port that it has unless the text says otherwise.
fn server(
    fields: &Fields<'_>,
    (spec, port_default): (&Fields<'_>, u16),
    id: &ResourceId,
    body: impl FnOnce(Server) -> DepotBody,
) -> Result<Parsed, Fault> {
    let is_v1 = id.version == "v1";
    let host = spec.required_text("host")?.to_owned();
    let port = spec
        .integer("port", 1..=65535)?
        .and_then(|port| u16::try_from(port).ok());
    let database = spec.required_text("database")?.to_owned();
    let user = spec.text("user")?.map(str::to_owned);
    spec.without_effect(&["params"]);
    spec.finish()?;
    let mut references = Vec::new();
    let mut secrets = Vec::new();
    let credentials = if is_v1 && fields.node("connectionSecret").is_some() {
        secrets = connection_secret(fields, &id.name)?;
        Credentials::Own
    } else {
        let name = if is_v1 { "dataosSecrets" } else { "secrets" };
        match secret_reference(fields, name)? {
            Some((reference, workspace)) => {
                let name = reference.name.clone();
                references.push(reference);
                Credentials::Secret { workspace, name }
            }
            None => Credentials::None,
        }
    };
    if user.is_none() && credentials == Credentials::None {
        return Err(fields
            .fault("type", "no user to log in as")
            .with_hint("give `user` beside `host`, or a secret with the key `username`"));
    }
    let server = Server {
        host,
        port: port.unwrap_or(port_default),
        database,
        user,
        credentials,
    };
    Ok(Parsed {
        body: Body::Depot(body(server)),
        references,
        secrets,
    })
}

/// The values of the entry for reading, else of the first one: least privilege.
fn connection_secret(fields: &Fields<'_>, depot: &str) -> Result<Vec<(SecretName, Secret)>, Fault> {
    let mut chosen: Option<(bool, Vec<(SecretName, Secret)>)> = None;
    for (path, node) in fields.list("connectionSecret")? {
        let entry = Fields::of(
            node,
            &path,
            crate::fields::Unknown::Refuse,
            fields.warnings(),
        )?;
        read_acl(&entry)?;
        let is_read = entry.text("acl")? == Some("r");
        entry.text("type")?;
        entry.not_supported(&["files"])?;
        let data = entry.required("data")?;
        let Content::Map(members) = &data.content else {
            return Err(crate::fields::expected(
                data,
                &format!("{path}.data"),
                "a mapping",
            ));
        };
        let mut values = Vec::new();
        for member in members {
            let field = format!("{path}.data.{}", member.key);
            if !matches!(member.key.as_str(), "username" | "password") {
                return Err(wrong(
                    member.place,
                    &field,
                    format!("unknown key `{}`", member.key),
                )
                .with_hint("known: username, password"));
            }
            let value = Secret::new(text_of(&member.node, &field)?.as_bytes());
            values.push((own_secret(depot, &member.key), value));
        }
        entry.finish()?;
        let is_better = chosen
            .as_ref()
            .is_none_or(|(has_read, _)| is_read && !has_read);
        if is_better {
            chosen = Some((is_read, values));
        }
    }
    chosen
        .map(|(_, values)| values)
        .ok_or_else(|| fields.fault("connectionSecret", "the list is empty"))
}

fn secret_reference(
    fields: &Fields<'_>,
    list: &'static str,
) -> Result<Option<(Reference, String)>, Fault> {
    let mut found = None;
    for (path, node) in fields.list(list)? {
        let entry = Fields::of(node, &path, crate::fields::Unknown::Warn, fields.warnings())?;
        let name = entry.required_text("name")?.to_owned();
        let workspace = entry.text("workspace")?.unwrap_or("public").to_owned();
        entry.without_effect(&["key", "keys", "allKeys", "consumptionType", "acl", "type"]);
        entry.finish()?;
        let reference = Reference {
            resource_type: "secret",
            name,
            workspace: Some(workspace.clone()),
            place: node.place,
            field: path,
        };
        found.get_or_insert((reference, workspace));
    }
    Ok(found)
}
