//! Requests to providers: bounded, without redirects, and to `https://` or this machine alone.

use std::time::{Duration, SystemTime};

use reqwest::{Client, RequestBuilder, Url, header};
use serde_json::Value;

use crate::failure::Failure;

const TIMEOUT: Duration = Duration::from_secs(15);
/// Largest document of a provider.
const DOCUMENT_BYTES_MAX: usize = 256 << 10;

pub(super) fn client() -> Result<Client, Failure> {
    Client::builder()
        .no_proxy()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| Failure::failed(format!("cannot set up TLS: {error}")))
}

/// An address that nobody on the way can read.
pub(super) fn safe(url: &str) -> Result<Url, Failure> {
    let parsed = Url::parse(url).ok().filter(|url| {
        let is_own = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        url.scheme() == "https" || (url.scheme() == "http" && is_own)
    });
    parsed.ok_or_else(|| Failure::failed(format!("the provider's address `{url}` is not https://")))
}

pub(super) async fn get(http: &Client, url: &str) -> Result<(u16, Value), Failure> {
    answer(http.get(safe(url)?), url).await
}

pub(super) async fn post(
    http: &Client,
    url: Url,
    form: &[(&str, &str)],
) -> Result<(u16, Value), Failure> {
    // A query is written as a form is.
    let mut body = url.clone();
    body.query_pairs_mut().clear().extend_pairs(form);
    let body = body.query().unwrap_or_default().to_owned();
    let told = url.to_string();
    let request = http
        .post(url)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .body(body);
    answer(request, &told).await
}

async fn answer(request: RequestBuilder, url: &str) -> Result<(u16, Value), Failure> {
    let failed = |error: reqwest::Error| {
        let mut cause: &dyn std::error::Error = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Failure::Unreachable(format!("{url} does not answer: {cause}"))
    };
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status().as_u16();
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if document.len() + chunk.len() > DOCUMENT_BYTES_MAX {
            let problem = format!("{url} answers more than {DOCUMENT_BYTES_MAX} bytes");
            return Err(Failure::Unreachable(problem));
        }
        document.extend_from_slice(&chunk);
    }
    Ok((
        status,
        serde_json::from_slice(&document).unwrap_or_default(),
    ))
}

/// Unix seconds.
pub(crate) fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
