//! Configuration: defaults < TOML file < environment `DATAOS_*` < flags, checked once.
//!
//! Every plain setting is a line of `sources`; `dataos config explain` prints the same list with
//! the value in force and where it came from. Issuers of tokens are a list of tables and come from
//! the file alone. An unknown key, in the file or in the environment, is an error.

mod authzen;
mod issuer;
mod login;
mod roles;
mod sources;
mod telemetry;
mod tls;
mod units;
mod values;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use dataos_model::fault::Fault;
use dataos_store::Metadata;

pub use crate::rate::{Quota, RateConfig, RedisConfig};
pub use authzen::AuthzenConfig;
pub use issuer::{ClaimNames, IssuerConfig, KeySource};
pub use login::{CommandLine, LoginConfig};
pub use roles::RolesConfig;
pub use telemetry::TelemetryConfig;
pub use tls::{AskedOfClients, CertificateFiles, ClientCertificate, TlsVersion};

use sources::{METADATA_URL, SETTINGS, Values, default_data_dir};
use values::{
    distinct_issuers, duration, host_names, limits, log_format, metadata, parsed, postgres,
    query_cache, rates, text,
};

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

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--role`.
    pub role: Option<String>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--data`.
    pub data: Option<PathBuf>,
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
    /// Connections at once of one IPv4 address or IPv6 network of 64 bits.
    pub connections_per_peer_max: usize,
    /// Calls under way at once; of those that can wait, fewer.
    pub calls_max: usize,
    /// Largest request body.
    pub body_bytes_max: usize,
    /// Time to finish the TLS handshake.
    pub handshake_timeout: Duration,
    /// Time to send a request head.
    pub head_timeout: Duration,
    /// Time that a connection may be open without a call.
    pub idle_timeout: Duration,
    /// Time for which a peer may take nothing of its answer.
    pub send_timeout: Duration,
    /// Time to send a request body.
    pub body_timeout: Duration,
    /// Time that a handler may take.
    pub answer_timeout: Duration,
    /// Time that open calls get at shutdown.
    pub drain_timeout: Duration,
}

/// The PostgreSQL door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresConfig {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Connections at once; a further one is closed at once.
    pub connections_max: usize,
    /// Time that a connection may be open without a statement.
    pub idle_timeout: Duration,
    /// How passwords and API keys come.
    pub login: PostgresLogin,
}

/// How passwords and API keys come to the PostgreSQL door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostgresLogin {
    /// They are proved, and stay with the client.
    Scram,
    /// They are sent, inside TLS.
    Clear,
}

/// The checked configuration of one process.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Folder that holds everything.
    pub data_dir: PathBuf,
    /// Where accounts, catalog and resources are kept.
    pub metadata: Metadata,
    /// Folder of files to register as a depot.
    pub data: Option<PathBuf>,
    /// Further host names and addresses for the certificate.
    pub host_names: Vec<String>,
    /// Folder of Cedar policies.
    pub policies_dir: PathBuf,
    /// Own certificate, if not the built-in CA's.
    pub certificate: Option<CertificateFiles>,
    /// Client certificates.
    pub asked_of_clients: AskedOfClients,
    /// Bounds.
    pub limits: Limits,
    /// How often who may call.
    pub rates: RateConfig,
    /// Life of a session.
    pub session_lifetime: Duration,
    /// Time that a session may be left unused.
    pub session_idle: Duration,
    /// Filter of log lines.
    pub log_level: String,
    /// Form of log lines.
    pub log_format: LogFormat,
    /// The collector of traces; none if absent.
    pub telemetry: Option<TelemetryConfig>,
    /// Name of the audit log in its checkpoints.
    pub audit_origin: String,
    /// How questions of external enforcement points are taken.
    pub authzen: AuthzenConfig,
    /// The PostgreSQL door; closed if absent.
    pub postgres: Option<PostgresConfig>,
    /// Memory for results of statements that are answered again, in bytes; none are, if 0.
    pub query_cache_bytes_max: u64,
    /// What this process does, and where the others are.
    pub roles: RolesConfig,
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
        let (values, issuers) = sources::gather(flags, environment)?;
        Self::checked(values, issuers)
    }

    /// Lines of `dataos config explain`: key, value, origin, meaning.
    pub fn explain(&self) -> impl Iterator<Item = (&'static str, &str, &Origin, &'static str)> {
        self.explained
            .iter()
            .map(|(key, value, origin, meaning)| (*key, value.as_str(), origin, *meaning))
    }

    fn checked(mut values: Values, issuers: Vec<IssuerConfig>) -> Result<Self, Fault> {
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
        let metadata = metadata(&values)?;
        if let (Metadata::Postgres(url), Some((value, _))) =
            (&metadata, values.get_mut(METADATA_URL))
            && !value.is_empty()
        {
            // From here on, nothing holds the text with the password.
            *value = url.to_string();
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
            roles: RolesConfig::read(&values, &data_dir)?,
            data_dir,
            metadata,
            host_names: host_names(&values)?,
            certificate: CertificateFiles::read(&values)?,
            asked_of_clients: AskedOfClients::read(&values)?,
            limits: limits(&values)?,
            rates: rates(&values)?,
            session_lifetime: duration(&values, "session.lifetime", 60, 7 * 86_400)?,
            session_idle: duration(&values, "session.idle", 60, 7 * 86_400)?,
            log_level: text(&values, "log.level"),
            log_format: log_format(&values)?,
            telemetry: TelemetryConfig::read(&values)?,
            audit_origin: text(&values, "audit.origin"),
            authzen: AuthzenConfig::read(&values)?,
            postgres: postgres(&values)?,
            query_cache_bytes_max: query_cache(&values)?,
            issuers: distinct_issuers(issuers)?,
            explained,
        })
    }
}

#[cfg(test)]
mod tests;
