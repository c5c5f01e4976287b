//! The URL of a PostgreSQL database; it holds a password, so it never shows itself.

use std::{fmt, str::FromStr};

use dataos_model::secret::Secret;
use sqlx::{
    ConnectOptions,
    postgres::{PgConnectOptions, PgSslMode},
};

/// Parameters that a URL may have; any other is refused, so that a misspelt one cannot weaken it.
const PARAMETERS: &[&str] = &[
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "application_name",
];

/// Where a PostgreSQL database is, and how to log in to it.
///
/// Shown, it is `postgresql://host:port/database`. TLS with a verified certificate is the default
/// unless the server is on this machine; `sslmode` says otherwise.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    text: Secret,
    shown: String,
}

/// Why a text is no URL of a PostgreSQL database; never holds a part that may be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no URL of the form postgresql://user:password@host:port/database: {0}")]
pub struct UrlError(String);

impl FromStr for PostgresUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let options = options(text)?;
        let host = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        let database = options
            .get_database()
            .unwrap_or_else(|| options.get_username());
        Ok(Self {
            shown: format!("postgresql://{host}/{database}"),
            text: Secret::new(text),
        })
    }
}

impl PostgresUrl {
    /// How to connect.
    pub(crate) fn options(&self) -> Result<PgConnectOptions, UrlError> {
        let text = std::str::from_utf8(self.text.expose())
            .map_err(|_| UrlError("it is not UTF-8".to_owned()))?;
        options(text)
    }
}

fn options(text: &str) -> Result<PgConnectOptions, UrlError> {
    let wrong = |problem: &str| UrlError(problem.to_owned());
    if !text.starts_with("postgresql://") && !text.starts_with("postgres://") {
        return Err(wrong("it does not begin with postgresql://"));
    }
    let parameters = text.split_once('?').map_or("", |(_, query)| query);
    let mut has_mode = false;
    for parameter in parameters.split('&').filter(|text| !text.is_empty()) {
        let key = parameter.split_once('=').map_or(parameter, |(key, _)| key);
        if !PARAMETERS.contains(&key) {
            // Not named: a password with a `?` that is not escaped would show here.
            return Err(UrlError(format!(
                "it has a parameter that is none of {}",
                PARAMETERS.join(", ")
            )));
        }
        has_mode |= key == "sslmode";
    }
    let mut options = PgConnectOptions::from_str(text)
        .map_err(|_| wrong("a part is malformed; special characters must be percent-encoded"))?
        .disable_statement_logging();
    if options.get_application_name().is_none() {
        options = options.application_name("dataos");
    }
    if !has_mode && !is_local(&options) {
        options = options.ssl_mode(PgSslMode::VerifyFull);
    }
    Ok(options)
}

fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    options.get_socket().is_some()
        || host == "localhost"
        || host
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({})", self.shown)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::PgSslMode;

    use super::PostgresUrl;

    #[test]
    fn a_url_is_shown_without_its_log_in() {
        for (text, shown) in [
            (
                "postgresql://ana:top%40secret@db.example:6432/meta",
                "postgresql://db.example:6432/meta",
            ),
            (
                "postgres://ana:topsecret@127.0.0.1/meta?sslmode=disable",
                "postgresql://127.0.0.1:5432/meta",
            ),
            (
                "postgresql://ana:topsecret@localhost/meta?host=/run/postgresql",
                "postgresql:///run/postgresql/meta",
            ),
        ] {
            let url: PostgresUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("secret"), "{url:?}");
        }
    }

    #[test]
    fn a_malformed_url_is_refused_and_not_repeated() {
        for (text, expected) in [
            ("", "does not begin"),
            ("mysql://ana:topsecret@db/meta", "does not begin"),
            ("postgresql://ana:topsecret@db:x/meta", "malformed"),
            ("postgresql://ana:top?secret@db/meta", "none of sslmode"),
            (
                "postgresql://ana:topsecret@db/meta?sslmod=disable",
                "none of sslmode",
            ),
            (
                "postgresql://ana:topsecret@db/meta?sslmode=none",
                "malformed",
            ),
        ] {
            let error = text.parse::<PostgresUrl>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn another_machine_must_prove_who_it_is_unless_told_otherwise() {
        for (text, verified) in [
            ("postgresql://ana@db.example/meta", true),
            ("postgresql://ana@db.example/meta?sslmode=disable", false),
            ("postgresql://ana@127.0.0.1/meta", false),
            ("postgresql://ana@[::1]/meta", false),
            ("postgresql://ana@localhost/meta", false),
        ] {
            let url: PostgresUrl = text.parse().unwrap();
            let mode = url.options().unwrap().get_ssl_mode();
            assert_eq!(matches!(mode, PgSslMode::VerifyFull), verified, "{text}");
        }
    }
}
