//! `depot`: a data source, in the two shapes v1 and v2alpha.

use std::path::{Component, Path, PathBuf};

use dataos_model::{
    depot::{Addressing, Tls},
    fault::Fault,
    resource::ResourceId,
    secret::{Secret, SecretName},
};

use super::{
    Body, Parsed, Reference,
    secret::{read_acl, secret_name},
};
use crate::fields::{Fields, not_supported, text_of, wrong};
use crate::yaml::Content;

/// Types of the original product that have no engine here yet.
const RECOGNISED: &[&str] = &[
    "ABFSS",
    "WASBS",
    "GCS",
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
const SUPPORTED: &str = "supported: FILES, S3, POSTGRES, MYSQL, SQLITE";

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
    Postgres(Server, Tls),
    /// A database of MariaDB or MySQL.
    MySql(Server, Tls),
    /// A SQLite file.
    Sqlite { path: PathBuf },
    /// A bucket of an S3-compatible store.
    S3(BucketBody),
}

impl DepotTarget {
    /// Where what it logs in with is kept, if it logs in.
    pub(crate) fn credentials(&self) -> Option<&Credentials> {
        match self {
            Self::Files { .. } | Self::Sqlite { .. } => None,
            Self::Postgres(server, _) | Self::MySql(server, _) => Some(&server.credentials),
            Self::S3(bucket) => Some(&bucket.credentials),
        }
    }
}

/// A bucket, or what lies in it below a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BucketBody {
    /// With its scheme.
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) name: String,
    pub(crate) prefix: String,
    pub(crate) addressing: Addressing,
    pub(crate) tls: Tls,
    pub(crate) credentials: Credentials,
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

/// Where user name and password, or the two parts of an access key, are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// None given.
    None,
    /// In the depot's own manifest (`connectionSecret`).
    Own,
    /// In a declared secret.
    Secret { workspace: String, name: String },
}

impl Credentials {
    /// Where the value of a key is kept, if there are any.
    pub(crate) fn key(&self, depot: &str, key: &str) -> Option<SecretName> {
        match self {
            Self::None => None,
            Self::Own => Some(own_secret(depot, key)),
            Self::Secret { workspace, name } => Some(secret_name(workspace, name, key)),
        }
    }
}

/// Where the values of a `connectionSecret` are kept: behind the platform's own prefix, so that no
/// declared secret can have the name.
fn own_secret(depot: &str, key: &str) -> SecretName {
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
        "S3" => bucket(fields, &spec(fields, is_v1, "s3")?, id, description)?,
        "POSTGRES" | "POSTGRESQL" => {
            let spec = spec(fields, is_v1, "postgresql")?;
            check_subprotocol(&spec, &["postgresql", "postgres"])?;
            let tls = tls(&spec)?;
            server(fields, (&spec, 5432), id, |server| DepotBody {
                description,
                target: DepotTarget::Postgres(server, tls),
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
    let host = spec.required_text("host")?.to_owned();
    let port = spec
        .integer("port", 1..=65535)?
        .and_then(|port| u16::try_from(port).ok());
    let database = spec.required_text("database")?.to_owned();
    let user = spec.text("user")?.map(str::to_owned);
    spec.without_effect(&["params"]);
    spec.finish()?;
    let login = login(fields, id, &["username", "password"])?;
    if user.is_none() && login.credentials == Credentials::None {
        return Err(fields
            .fault("type", "no user to log in as")
            .with_hint("give `user` beside `host`, or a secret with the key `username`"));
    }
    let server = Server {
        host,
        port: port.unwrap_or(port_default),
        database,
        user,
        credentials: login.credentials,
    };
    Ok(Parsed {
        body: Body::Depot(body(server)),
        references: login.references,
        secrets: login.secrets,
    })
}

/// A bucket; without an endpoint one of Amazon's.
fn bucket(
    fields: &Fields<'_>,
    spec: &Fields<'_>,
    id: &ResourceId,
    description: Option<String>,
) -> Result<Parsed, Fault> {
    let name = spec.required_text("bucket")?.to_owned();
    let region = spec.text("region")?.unwrap_or("us-east-1").to_owned();
    let tls = tls(spec)?;
    let scheme = match &tls {
        Tls::Off => "http",
        Tls::Verified { .. } => "https",
    };
    let endpoint = spec.text("endpoint")?;
    let is_path_style = spec.flag("pathStyle")?.unwrap_or(endpoint.is_some());
    let endpoint = match endpoint {
        None => format!("{scheme}://s3.{region}.amazonaws.com"),
        Some(url) if url.contains("://") => url.to_owned(),
        Some(host) => format!("{scheme}://{host}"),
    };
    let prefix = match spec.text("prefix")? {
        Some(prefix) => Some(prefix),
        None => spec.text("relativePath")?,
    };
    spec.without_effect(&["scheme", "format"]);
    spec.finish()?;
    let login = login(fields, id, &["accesskeyid", "secretkey"])?;
    if login.credentials == Credentials::None {
        return Err(fields
            .fault("type", "no access key")
            .with_hint("give a secret with the keys `accesskeyid` and `secretkey`"));
    }
    let target = DepotTarget::S3(BucketBody {
        endpoint,
        region,
        name,
        prefix: prefix.unwrap_or_default().trim_matches('/').to_owned(),
        addressing: if is_path_style {
            Addressing::Path
        } else {
            Addressing::Host
        },
        tls,
        credentials: login.credentials,
    });
    Ok(Parsed {
        body: Body::Depot(DepotBody {
            description,
            target,
        }),
        references: login.references,
        secrets: login.secrets,
    })
}

/// What a depot logs in with: where it is kept, and what of that is in its own text.
struct Login {
    credentials: Credentials,
    references: Vec<Reference>,
    secrets: Vec<(SecretName, Secret)>,
}

fn login(fields: &Fields<'_>, id: &ResourceId, keys: &[&str]) -> Result<Login, Fault> {
    let is_v1 = id.version == "v1";
    if is_v1 && fields.node("connectionSecret").is_some() {
        return Ok(Login {
            credentials: Credentials::Own,
            references: Vec::new(),
            secrets: connection_secret(fields, &id.name, keys)?,
        });
    }
    let name = if is_v1 { "dataosSecrets" } else { "secrets" };
    let found = secret_reference(fields, name)?;
    let credentials = found.as_ref().map(|(reference, workspace)| {
        let (workspace, name) = (workspace.clone(), reference.name.clone());
        Credentials::Secret { workspace, name }
    });
    Ok(Login {
        credentials: credentials.unwrap_or(Credentials::None),
        references: found.into_iter().map(|(reference, _)| reference).collect(),
        secrets: Vec::new(),
    })
}

/// The values of the entry for reading, else of the first one: least privilege.
fn connection_secret(
    fields: &Fields<'_>,
    depot: &str,
    keys: &[&str],
) -> Result<Vec<(SecretName, Secret)>, Fault> {
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
            if !keys.contains(&member.key.as_str()) {
                return Err(wrong(
                    member.place,
                    &field,
                    format!("unknown key `{}`", member.key),
                )
                .with_hint(format!("known: {}", keys.join(", "))));
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
