//! What every HTTP client of ours has: a time for each answer, no redirects, no proxy, and the CA that the
//! configuration names.

use std::{error::Error, path::Path, time::Duration};

use reqwest::{Certificate, Client, ClientBuilder, redirect::Policy};

/// A client to be; `ca_file` is PEM of the one CA that is trusted, if not those of the system.
pub(crate) fn client(timeout: Duration, ca_file: Option<&Path>) -> Result<ClientBuilder, String> {
    let builder = Client::builder()
        .timeout(timeout)
        .redirect(Policy::none())
        .no_proxy();
    let Some(path) = ca_file else {
        return Ok(builder);
    };
    let problem = |error: &dyn Error| format!("CA file {}: {error}", path.display());
    let pem = std::fs::read(path).map_err(|error| problem(&error))?;
    let certificate = Certificate::from_pem(&pem).map_err(|error| problem(&error))?;
    Ok(builder.tls_certs_only([certificate]))
}

/// An error with what is behind it; the library's own text stops before the reason.
pub(crate) fn told(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
