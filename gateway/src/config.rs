//! Configuration: defaults < TOML file < environment `DATAOS_*` < flags, checked once.
//!
//! Every plain setting is a line of [`SETTINGS`]; `dataos config explain` prints the same list with
//! the value in force and where it came from. Issuers of tokens are a list of tables and come from
//! the file alone. An unknown key, in the file or in the environment, is an error.

mod issuer;
mod units;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use dataos_model::fault::{Fault, Location};

pub use issuer::{ClaimNames, IssuerConfig, KeySource};

/// Where the value of a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nothing said otherwise.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A command line flag.
    Flag(&'static str),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A plain setting.
#[derive(Clone, Copy, Debug)]
struct Setting {
    /// Dotted key in the file; in the environment `DATAOS_` and the key in capitals with `_`.
    key: &'static str,
    /// Default, as it would be written; empty where there is none.
    default: &'static str,
    /// What it is for.
    meaning: &'static str,
}

const fn setting(key: &'static str, default: &'static str, meaning: &'static str) -> Setting {
    Setting {
        key,
        default,
        meaning,
    }
}

/// All plain settings.
const SETTINGS: &[Setting] = &[
    setting("listen", "127.0.0.1:8443", "address and port to listen on"),
    setting(
        "data_dir",
        "",
        "folder that holds everything; default depends on the user",
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
    setting("limits.connections", "4096", "connections at once"),
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
        "session.lifetime",
        "12h",
        "life of a console session; at most 7d",
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
        "audit.origin",
        "dataos",
        "name of the log in its checkpoints",
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
/// Most issuers: each costs a key set in memory and a background refresh.
const ISSUERS_MAX: usize = 32;

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--data`.
    pub data: Option<PathBuf>,
}

/// Files that replace the certificate of the built-in CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM chain, leaf first.
    pub certificate: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Bounds of the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; a further one is closed at once.
    pub connections_max: usize,
    /// Largest request body.
    pub body_bytes_max: usize,
    /// Time to finish the TLS handshake.
    pub handshake_timeout: Duration,
    /// Time to send a request head.
    pub head_timeout: Duration,
    /// Time to send a request body.
    pub body_timeout: Duration,
    /// Time that a handler may take.
    pub answer_timeout: Duration,
    /// Time that open calls get at shutdown.
    pub drain_timeout: Duration,
}

/// The checked configuration of one process.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Folder that holds everything.
    pub data_dir: PathBuf,
    /// Folder of files to register as a depot.
    pub data: Option<PathBuf>,
    /// Further host names and addresses for the certificate.
    pub host_names: Vec<String>,
    /// Folder of Cedar policies.
    pub policies_dir: PathBuf,
    /// Own certificate, if not the built-in CA's.
    pub certificate: Option<CertificateFiles>,
    /// Bounds.
    pub limits: Limits,
    /// Life of a session.
    pub session_lifetime: Duration,
    /// Filter of log lines.
    pub log_level: String,
    /// Form of log lines.
    pub log_format: LogFormat,
    /// Name of the audit log in its checkpoints.
    pub audit_origin: String,
    /// Issuers of bearer tokens.
    pub issuers: Vec<IssuerConfig>,
    /// Key, value and origin of each plain setting, for `config explain`.
    explained: Vec<(&'static str, String, Origin, &'static str)>,
}

impl Config {
    /// The configuration of a process that holds everything in `data_dir` and reads neither file
    /// nor environment; for the demo and for tests.
    ///
    /// # Errors
    /// A data directory that is not UTF-8.
    pub fn for_demo(data_dir: &Path, listen: SocketAddr) -> Result<Self, Fault> {
        let flags = Flags {
            listen: Some(listen.to_string()),
            data_dir: Some(data_dir.to_owned()),
            ..Flags::default()
        };
        Self::load(&flags, std::iter::empty())
    }

    /// Reads file, environment and flags.
    ///
    /// # Errors
    /// A file that cannot be read or parsed, an unknown key, or a value that does not fit; the
    /// message names the key and where its value came from.
    pub fn load(
        flags: &Flags,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Fault> {
        let (variables, file_variable) = own_variables(environment)?;
        let file = flags.config.clone().or(file_variable.map(PathBuf::from));
        let mut values: BTreeMap<&'static str, (String, Origin)> = SETTINGS
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
        Self::checked(values, issuers)
    }

    /// Lines of `dataos config explain`: key, value, origin, meaning.
    pub fn explain(&self) -> impl Iterator<Item = (&'static str, &str, &Origin, &'static str)> {
        self.explained
            .iter()
            .map(|(key, value, origin, meaning)| (*key, value.as_str(), origin, *meaning))
    }

    fn checked(
        mut values: BTreeMap<&'static str, (String, Origin)>,
        issuers: Vec<IssuerConfig>,
    ) -> Result<Self, Fault> {
        if let Some((value, _)) = values.get_mut("data_dir")
            && value.is_empty()
        {
            *value = default_data_dir()?;
        }
        let data_dir = PathBuf::from(text(&values, "data_dir"));
        if let Some((value, _)) = values.get_mut("policies_dir")
            && value.is_empty()
        {
            *value = data_dir.join("policies").display().to_string();
        }
        let explained = SETTINGS
            .iter()
            .filter_map(|setting| {
                let (value, origin) = values.get(setting.key)?.clone();
                Some((setting.key, value, origin, setting.meaning))
            })
            .collect();
        Ok(Self {
            listen: parsed(
                &values,
                "listen",
                "an address and port, such as 127.0.0.1:8443",
            )?,
            policies_dir: PathBuf::from(text(&values, "policies_dir")),
            data: Some(text(&values, "data"))
                .filter(|t| !t.is_empty())
                .map(PathBuf::from),
            data_dir,
            host_names: host_names(&values)?,
            certificate: certificate_files(&values)?,
            limits: limits(&values)?,
            session_lifetime: duration(&values, "session.lifetime", 60, 7 * 86_400)?,
            log_level: text(&values, "log.level"),
            log_format: log_format(&values)?,
            audit_origin: text(&values, "audit.origin"),
            issuers: distinct_issuers(issuers)?,
            explained,
        })
    }
}

type Values = BTreeMap<&'static str, (String, Origin)>;

fn text(values: &Values, key: &'static str) -> String {
    values
        .get(key)
        .map(|(value, _)| value.clone())
        .unwrap_or_default()
}

fn wrong(values: &Values, key: &'static str, expected: &str) -> Fault {
    let (value, origin) = values
        .get(key)
        .map_or(("", &Origin::Default), |(value, origin)| (value, origin));
    Fault::invalid(format!(
        "setting `{key}` = `{value}` ({origin}) is not {expected}"
    ))
    .at(Location {
        field: Some(key.to_owned()),
        ..Location::default()
    })
}

fn parsed<T: std::str::FromStr>(
    values: &Values,
    key: &'static str,
    expected: &str,
) -> Result<T, Fault> {
    text(values, key)
        .parse()
        .map_err(|_| wrong(values, key, expected))
}

fn duration(
    values: &Values,
    key: &'static str,
    seconds_min: u64,
    seconds_max: u64,
) -> Result<Duration, Fault> {
    units::duration(&text(values, key))
        .filter(|d| (seconds_min..=seconds_max).contains(&d.as_secs()))
        .ok_or_else(|| {
            let range =
                format!("a duration from {seconds_min}s to {seconds_max}s, such as 30s, 5m");
            wrong(values, key, &range)
        })
}

fn limits(values: &Values) -> Result<Limits, Fault> {
    let body_bytes_max = units::size(&text(values, "limits.body"))
        .filter(|bytes| (1..=16 << 20).contains(bytes))
        .ok_or_else(|| {
            wrong(
                values,
                "limits.body",
                "a size from 1 B to 16 MiB, such as 1 MiB",
            )
        })?;
    let connections_max: usize =
        parsed(values, "limits.connections", "a number from 1 to 1000000")?;
    if !(1..=1_000_000).contains(&connections_max) {
        return Err(wrong(
            values,
            "limits.connections",
            "a number from 1 to 1000000",
        ));
    }
    Ok(Limits {
        connections_max,
        body_bytes_max: usize::try_from(body_bytes_max)
            .map_err(|_| wrong(values, "limits.body", "a size from 1 B to 16 MiB"))?,
        handshake_timeout: duration(values, "limits.handshake_timeout", 1, 300)?,
        head_timeout: duration(values, "limits.head_timeout", 1, 300)?,
        body_timeout: duration(values, "limits.body_timeout", 1, 3600)?,
        answer_timeout: duration(values, "limits.answer_timeout", 1, 86_400)?,
        drain_timeout: duration(values, "limits.drain_timeout", 0, 3600)?,
    })
}

fn log_format(values: &Values) -> Result<LogFormat, Fault> {
    match text(values, "log.format").as_str() {
        "auto" => Ok(LogFormat::Auto),
        "json" => Ok(LogFormat::Json),
        "text" => Ok(LogFormat::Text),
        _ => Err(wrong(values, "log.format", "`auto`, `json` or `text`")),
    }
}

fn host_names(values: &Values) -> Result<Vec<String>, Fault> {
    let mut names = Vec::new();
    for name in text(values, "host_names")
        .split(',')
        .map(str::trim)
        .filter(|n| !n.is_empty())
    {
        let is_address = name.parse::<std::net::IpAddr>().is_ok();
        let is_name = name.len() <= 253
            && name.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && label
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            });
        if !is_address && !is_name {
            let expected = format!("a list of host names and addresses (`{name}` is neither)");
            return Err(wrong(values, "host_names", &expected));
        }
        names.push(name.to_ascii_lowercase());
    }
    Ok(names)
}

fn certificate_files(values: &Values) -> Result<Option<CertificateFiles>, Fault> {
    let (certificate, key) = (
        text(values, "tls.certificate_file"),
        text(values, "tls.key_file"),
    );
    match (certificate.is_empty(), key.is_empty()) {
        (true, true) => Ok(None),
        (false, false) => Ok(Some(CertificateFiles {
            certificate: certificate.into(),
            key: key.into(),
        })),
        (true, false) => Err(wrong(
            values,
            "tls.certificate_file",
            "set, but tls.key_file is",
        )),
        (false, true) => Err(wrong(
            values,
            "tls.key_file",
            "set, but tls.certificate_file is",
        )),
    }
}

fn distinct_issuers(issuers: Vec<IssuerConfig>) -> Result<Vec<IssuerConfig>, Fault> {
    if issuers.len() > ISSUERS_MAX {
        return Err(Fault::invalid(format!("more than {ISSUERS_MAX} issuers")));
    }
    let mut seen = BTreeSet::new();
    let mut prefixes = BTreeSet::new();
    for issuer in &issuers {
        if !seen.insert(issuer.issuer.as_str()) {
            return Err(Fault::invalid(format!(
                "issuer `{}` is given twice",
                issuer.issuer
            )));
        }
        if !prefixes.insert(issuer.user_prefix.as_str()) {
            let message = format!(
                "issuer `{}` shares its user_prefix with another",
                issuer.issuer
            );
            return Err(Fault::invalid(message).with_hint(
                "set a different user_prefix for each issuer, so that their users stay apart",
            ));
        }
    }
    Ok(issuers)
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
    if let Some(listen) = &flags.listen {
        values.insert("listen", (listen.clone(), Origin::Flag("--listen")));
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
fn default_data_dir() -> Result<String, Fault> {
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

#[cfg(test)]
mod tests;
