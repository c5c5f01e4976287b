//! Where values come from: the table of settings, the file, the environment, the flags.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use dataos_model::fault::{Fault, Location};

use super::{Flags, IssuerConfig, Origin, issuer};

/// Each setting's value as text, and where it came from.
pub(super) type Values = BTreeMap<&'static str, (String, Origin)>;

/// A plain setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    /// Dotted key in the file; in the environment `DATAOS_` and the key in capitals with `_`.
    pub(super) key: &'static str,
    /// Default, as it would be written; empty where there is none.
    pub(super) default: &'static str,
    /// What it is for.
    pub(super) meaning: &'static str,
}

const fn setting(key: &'static str, default: &'static str, meaning: &'static str) -> Setting {
    Setting {
        key,
        default,
        meaning,
    }
}

/// Key of the one setting that may hold a password; it is shown without.
pub(super) const METADATA_URL: &str = "metadata_url";

/// All plain settings.
pub(super) const SETTINGS: &[Setting] = &[
    setting("listen", "127.0.0.1:8443", "address and port to listen on"),
    setting(
        "role",
        "all",
        "what this process does: all, or gateway, query, catalog or orchestrator",
    ),
    setting(
        "data_dir",
        "",
        "folder that holds everything; default depends on the user",
    ),
    setting(
        METADATA_URL,
        "",
        "PostgreSQL database for accounts, catalog and resources; SQLite files in data_dir if empty",
    ),
    setting(
        "metadata_url_file",
        "",
        "file that holds metadata_url, so that no variable does",
    ),
    setting(
        "data",
        "",
        "folder of Parquet, CSV and JSON files to register as a depot",
    ),
    setting(
        "host_names",
        "",
        "further names and addresses of this server, comma-separated",
    ),
    setting(
        "policies_dir",
        "",
        "folder of Cedar policies; default is `policies` in data_dir",
    ),
    setting(
        "tls.certificate_file",
        "",
        "PEM chain to serve instead of the built-in CA's",
    ),
    setting("tls.key_file", "", "PEM private key of that chain"),
    setting(
        "tls.minimum_version",
        "1.3",
        "oldest version of TLS that is spoken: 1.3 or 1.2",
    ),
    setting(
        "tls.client_certificate",
        "optional",
        "whether clients show a certificate: none, optional or required",
    ),
    setting(
        "tls.client_certificate_by_name",
        "",
        "the same by server name, such as `api.example.org=required, www.example.org=none`",
    ),
    setting(
        "tls.client_ca_file",
        "",
        "PEM of CAs whose client certificates are taken, beside the built-in one",
    ),
    setting(
        "tls.client_crl_file",
        "",
        "PEM of revocation lists (CRLs) of those CAs",
    ),
    setting(
        "tls.trust_domain",
        "dataos",
        "domain of the identities spiffe://DOMAIN/service/NAME in client certificates",
    ),
    setting("limits.connections", "4096", "connections at once"),
    setting(
        "limits.connections_per_peer",
        "1024",
        "connections at once of one IPv4 address or IPv6 /64",
    ),
    setting(
        "limits.calls",
        "1024",
        "calls under way at once; statements, scans and policy tests have 3/4 of them",
    ),
    setting(
        "limits.body",
        "1 MiB",
        "largest request body; at most 16 MiB",
    ),
    setting(
        "limits.handshake_timeout",
        "10s",
        "time to finish the TLS handshake",
    ),
    setting("limits.head_timeout", "10s", "time to send a request head"),
    setting(
        "limits.idle_timeout",
        "75s",
        "time that a connection may be open without a call",
    ),
    setting(
        "limits.send_timeout",
        "30s",
        "time for which a client may take nothing of its answer",
    ),
    setting("limits.body_timeout", "30s", "time to send a request body"),
    setting(
        "limits.answer_timeout",
        "300s",
        "time that a handler may take",
    ),
    setting(
        "limits.drain_timeout",
        "20s",
        "time that open calls get at shutdown",
    ),
    setting(
        "postgres.listen",
        "",
        "address and port of the PostgreSQL door, such as 127.0.0.1:5432; closed if empty",
    ),
    setting(
        "postgres.connections",
        "256",
        "connections at once to that door",
    ),
    setting(
        "postgres.idle_timeout",
        "1h",
        "time that such a connection may be open without a statement",
    ),
    setting(
        "postgres.login",
        "scram",
        "how passwords and API keys come there: `scram`, proved without being sent, or `clear`, sent inside TLS",
    ),
    setting(
        "query.cache",
        "",
        "memory for results over files that are answered again while nothing changed, such as 64 MiB; none if empty",
    ),
    setting(
        "roles.listen",
        "127.0.0.1:8444",
        "address and port on which other roles call this one; closed if role is all",
    ),
    setting(
        "roles.identity",
        "",
        "folder with this role's certificate; default is `identity` in data_dir, the built-in CA for gateway",
    ),
    setting(
        "roles.gateway",
        "",
        "HOST:PORT of the gateway's roles.listen, for the other roles",
    ),
    setting(
        "roles.query",
        "",
        "HOST:PORT, comma-separated, of processes of the role query; in the gateway itself if empty",
    ),
    setting(
        "roles.catalog",
        "",
        "HOST:PORT of the process of the role catalog; in the gateway itself if empty",
    ),
    setting(
        "roles.orchestrator",
        "",
        "HOST:PORT of the process of the role orchestrator; in the gateway itself if empty",
    ),
    setting(
        "rate.address",
        "",
        "requests of one address, such as 600/1m; no limit if empty, as below",
    ),
    setting("rate.principal", "", "calls of one principal"),
    setting(
        "rate.workspace",
        "",
        "calls in one workspace, all principals together",
    ),
    setting("rate.route", "", "calls of one principal on one route"),
    setting(
        "rate.redis",
        "",
        "HOST:PORT of the Redis in which replicas count together; each for itself if empty",
    ),
    setting(
        "rate.redis_password_file",
        "",
        "file that holds the password of that Redis",
    ),
    setting(
        "session.lifetime",
        "12h",
        "life of a console session; at most 7d",
    ),
    setting(
        "session.idle",
        "2h",
        "time that such a session may be left unused; at most 7d",
    ),
    setting(
        "log.level",
        "info",
        "error, warn, info, debug, or a tracing filter",
    ),
    setting(
        "log.format",
        "auto",
        "json, text, or auto: text on a terminal, else json",
    ),
    setting(
        "telemetry.otlp",
        "",
        "collector of traces (OTLP over HTTP), such as http://127.0.0.1:4318; none if empty",
    ),
    setting(
        "telemetry.share",
        "1",
        "share of calls that are traced, 0 to 1, where the client does not say",
    ),
    setting(
        "telemetry.ca_file",
        "",
        "PEM of the CA of that collector, if not one of the system's",
    ),
    setting(
        "telemetry.headers_file",
        "",
        "file of headers for that collector, each a line `name: value`",
    ),
    setting(
        "audit.origin",
        "dataos",
        "name of the log in its checkpoints",
    ),
    setting(
        "authzen.url",
        "",
        "https:// address of the decision point in its metadata; that of the request if empty",
    ),
    setting(
        "authzen.context",
        "purpose, network, method",
        "names of an AuthZEN context that policies may read; others are ignored",
    ),
    setting(
        "authzen.properties",
        "",
        "ENFORCEMENT_POINT/TYPE=ignore|fill|override, comma-separated; ignore if not given",
    ),
];

/// Environment variables of the client `dataos-ctl`, which the server does not read but tolerates.
const CLIENT_VARIABLES: &[&str] = &[
    "DATAOS_URL",
    "DATAOS_API_KEY",
    "DATAOS_CA_FILE",
    "DATAOS_CONTEXT",
    "DATAOS_PASSWORD",
    "DATAOS_NEW_PASSWORD",
];
/// Prefixes of variables that belong to the client or to the build of the console.
const CLIENT_PREFIXES: &[&str] = &["DATAOS_CTL_", "DATAOS_CONSOLE", "DATAOS_TEST_"];
/// The variable that names the configuration file.
const FILE_VARIABLE: &str = "DATAOS_CONFIG";
/// Largest configuration file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// All values, later sources over earlier ones, and the issuers of the file.
pub(super) fn gather(
    flags: &Flags,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<(Values, Vec<IssuerConfig>), Fault> {
    let (variables, file_variable) = own_variables(environment)?;
    let file = flags.config.clone().or(file_variable.map(PathBuf::from));
    let mut values: Values = SETTINGS
        .iter()
        .map(|setting| (setting.key, (setting.default.to_owned(), Origin::Default)))
        .collect();
    let mut issuers = Vec::new();
    if let Some(path) = &file {
        issuers = read_file(path, &mut values)?;
    }
    for (key, name, value) in variables {
        values.insert(key, (value, Origin::Environment(name)));
    }
    apply_flags(flags, &mut values)?;
    Ok((values, issuers))
}

/// The variables that are settings, and the value of [`FILE_VARIABLE`].
#[expect(
    clippy::type_complexity,
    reason = "a private pair that is taken apart at once"
)]
fn own_variables(
    environment: impl Iterator<Item = (String, String)>,
) -> Result<(Vec<(&'static str, String, String)>, Option<String>), Fault> {
    let mut variables = Vec::new();
    let mut file = None;
    for (name, value) in environment {
        if name == FILE_VARIABLE {
            file = Some(value);
            continue;
        }
        let is_foreign = !name.starts_with("DATAOS_")
            || CLIENT_VARIABLES.contains(&name.as_str())
            || CLIENT_PREFIXES
                .iter()
                .any(|prefix| name.starts_with(prefix));
        if is_foreign {
            continue;
        }
        let known = SETTINGS
            .iter()
            .find(|setting| variable(setting.key) == name);
        match known {
            Some(setting) => variables.push((setting.key, name, value)),
            None => {
                return Err(
                    Fault::invalid(format!("environment variable {name} is no setting"))
                        .with_hint("`dataos config explain` lists them all"),
                );
            }
        }
    }
    Ok((variables, file))
}

fn variable(key: &str) -> String {
    format!("DATAOS_{}", key.to_ascii_uppercase().replace('.', "_"))
}

fn apply_flags(flags: &Flags, values: &mut Values) -> Result<(), Fault> {
    let texts = [
        ("listen", "--listen", &flags.listen),
        ("role", "--role", &flags.role),
    ];
    for (key, flag, text) in texts {
        if let Some(text) = text {
            values.insert(key, (text.clone(), Origin::Flag(flag)));
        }
    }
    let paths = [
        ("data_dir", "--data-dir", &flags.data_dir),
        ("data", "--data", &flags.data),
    ];
    for (key, flag, path) in paths {
        if let Some(path) = path {
            let text = path
                .to_str()
                .ok_or_else(|| Fault::invalid(format!("{flag} {} is not UTF-8", path.display())))?;
            values.insert(key, (text.to_owned(), Origin::Flag(flag)));
        }
    }
    Ok(())
}

/// Reads the file into `values` and returns its issuers.
fn read_file(path: &Path, values: &mut Values) -> Result<Vec<IssuerConfig>, Fault> {
    let name = path.display().to_string();
    let metadata = std::fs::metadata(path)
        .map_err(|error| Fault::invalid(format!("configuration file {name}: {error}")))?;
    if metadata.len() > FILE_BYTES_MAX {
        return Err(Fault::invalid(format!(
            "configuration file {name} is above 1 MiB"
        )));
    }
    let content = std::fs::read_to_string(path)
        .map_err(|error| Fault::invalid(format!("configuration file {name}: {error}")))?;
    let table: toml::Table = content.parse().map_err(|error: toml::de::Error| {
        Fault::invalid(error.message().to_owned()).at(location(&name, &content, error.span()))
    })?;
    let mut issuers = Vec::new();
    for (key, value) in table {
        if key == "issuers" {
            issuers = issuer::read(&name, value)?;
        } else {
            flatten(path, &key, value, values)?;
        }
    }
    Ok(issuers)
}

fn location(file: &str, content: &str, span: Option<std::ops::Range<usize>>) -> Location {
    let before = span.and_then(|span| content.get(..span.start));
    Location {
        file: Some(file.to_owned()),
        line: before.map(|text| text.matches('\n').count() as u64 + 1),
        column: before.map(|text| {
            text.rsplit('\n')
                .next()
                .map_or(0, |line| line.chars().count()) as u64
                + 1
        }),
        field: None,
    }
}

fn flatten(path: &Path, key: &str, value: toml::Value, values: &mut Values) -> Result<(), Fault> {
    let place = || Location {
        file: Some(path.display().to_string()),
        field: Some(key.to_owned()),
        ..Location::default()
    };
    let text = match value {
        toml::Value::Table(table) if !key.contains('.') => {
            for (inner, value) in table {
                flatten(path, &format!("{key}.{inner}"), value, values)?;
            }
            return Ok(());
        }
        toml::Value::String(text) => text,
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Fault::invalid("a list here holds text only").at(place()))?
            .join(","),
        _ => return Err(Fault::invalid("this kind of value is not expected here").at(place())),
    };
    let known = SETTINGS
        .iter()
        .find(|setting| setting.key == key)
        .ok_or_else(|| {
            Fault::invalid("unknown key")
                .at(place())
                .with_hint("`dataos config explain` lists all keys")
        })?;
    values.insert(known.key, (text, Origin::File(path.to_owned())));
    Ok(())
}

/// The system folder for root, a folder in the user's home otherwise.
pub(super) fn default_data_dir() -> Result<String, Fault> {
    use std::os::unix::fs::MetadataExt;

    // The owner of /proc/self is the effective user; asking libc would need unsafe code.
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    if is_root {
        return Ok("/var/lib/dataos".to_owned());
    }
    let base = std::env::var("XDG_DATA_HOME")
        .ok()
        .filter(|base| base.starts_with('/'))
        .or_else(|| {
            std::env::var("HOME")
                .ok()
                .map(|home| format!("{home}/.local/share"))
        });
    match base {
        Some(base) => Ok(format!("{base}/dataos")),
        None => Err(Fault::invalid("there is no home folder to keep data in")
            .with_hint("name a folder with --data-dir")),
    }
}
