//! Documents of issuers: one GET each, bounded in time and bytes, without redirects, and only from
//! where the configuration points to.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use dataos_model::{
    fault::Fault,
    json::{self, Bounds},
};
use reqwest::{
    Client, ClientBuilder, RequestBuilder, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header,
};
use serde_json::Value;

use crate::{
    authenticate::jwks::{JWKS_BYTES_MAX, KeySet},
    config::IssuerConfig,
    outbound::{self, told},
};

/// Time for one document.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest discovery document.
const METADATA_BYTES_MAX: usize = 64 << 10;
/// Where an issuer describes itself (OpenID Connect Discovery 4).
const METADATA_PATH: &str = "/.well-known/openid-configuration";

/// Fetches what one issuer publishes.
#[derive(Debug)]
pub(in crate::authenticate) struct Fetcher {
    issuer: String,
    /// Hosts outside of the issuer's own that its keys may lie on, wherever those are.
    key_hosts: Vec<String>,
    /// For addresses that the configuration names.
    trusting: Client,
    /// For addresses that only the issuer names: never connects to a private one.
    wary: Client,
}

impl Fetcher {
    pub(super) fn open(config: &IssuerConfig) -> Result<Self, Fault> {
        let wrong = |problem: &str| Fault::invalid(format!("issuer {}: {problem}", config.issuer));
        let client = || {
            let client = outbound::client(FETCH_TIMEOUT, config.ca_file.as_deref());
            client.map_err(|problem| wrong(&problem))
        };
        let (trusting, wary) = (client()?, client()?);
        let built = |client: ClientBuilder| client.build().map_err(|error| wrong(&told(&error)));
        Ok(Self {
            issuer: config.issuer.clone(),
            key_hosts: config.key_hosts.clone(),
            trusting: built(trusting)?,
            wary: built(wary.dns_resolver(Arc::new(PublicResolver)))?,
        })
    }

    /// The key set at an address of the configuration.
    pub(super) async fn keys_at(&self, url: &str) -> Result<KeySet, String> {
        keys(&self.trusting, url).await
    }

    /// The key set that the issuer's own description names.
    pub(super) async fn discovered_keys(&self) -> Result<KeySet, String> {
        let metadata = self.metadata().await.map_err(Problem::into_text)?;
        let keys_url = metadata.get("jwks_uri").and_then(Value::as_str);
        let keys_url =
            keys_url.ok_or_else(|| format!("{} has no text `jwks_uri`", self.metadata_url()))?;
        keys(self.client_for("jwks_uri", keys_url)?, keys_url).await
    }

    /// What the issuer says of itself.
    pub(in crate::authenticate) async fn metadata(&self) -> Result<Value, Problem> {
        let url = self.metadata_url();
        let document = get(&self.trusting, &url, METADATA_BYTES_MAX).await;
        let document = document.map_err(Problem::Away)?;
        let metadata = json::parse(&document, &Bounds::SMALL)
            .map_err(|error| Problem::Refused(format!("{url} is not strict JSON: {error}")))?;
        match metadata.get("issuer").and_then(Value::as_str) {
            Some(issuer) if issuer == self.issuer => Ok(metadata),
            other => {
                let other = other.unwrap_or("nobody");
                let problem = format!("{url} describes `{other}`, another issuer");
                Err(Problem::Refused(problem))
            }
        }
    }

    fn metadata_url(&self) -> String {
        format!("{}{METADATA_PATH}", self.issuer.trim_end_matches('/'))
    }

    /// Whether we, or a browser, may be sent to an address that the issuer gives under this name.
    pub(in crate::authenticate) fn check_place(&self, name: &str, url: &str) -> Result<(), String> {
        self.client_for(name, url).map(drop)
    }

    /// Status and document of a form sent to an address that the issuer names.
    pub(in crate::authenticate) async fn post_form(
        &self,
        (name, url): (&str, &str),
        form: String,
        authorization: Option<String>,
    ) -> Result<(StatusCode, Vec<u8>), String> {
        let request = self.client_for(name, url)?.post(url);
        let request = request
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(form);
        let request = match authorization {
            Some(value) => request.header(header::AUTHORIZATION, value),
            None => request,
        };
        answer(request, url, METADATA_BYTES_MAX).await
    }

    /// Status and document of an address that the issuer names, asked with a token.
    pub(in crate::authenticate) async fn get_with_token(
        &self,
        (name, url): (&str, &str),
        token: &str,
    ) -> Result<(StatusCode, Vec<u8>), String> {
        let request = self.client_for(name, url)?.get(url).bearer_auth(token);
        answer(request, url, METADATA_BYTES_MAX).await
    }

    /// Which client may go to an address that the issuer gives under this name.
    fn client_for(&self, name: &str, named: &str) -> Result<&Client, String> {
        let refused = |problem: &str| Err(format!("{name} `{named:.200}` {problem}"));
        let (Ok(issuer), Ok(url)) = (Url::parse(&self.issuer), Url::parse(named)) else {
            return refused("is no URL");
        };
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return refused("has a user or a fragment in it");
        }
        if url.origin() == issuer.origin() {
            return Ok(&self.trusting);
        }
        if url.scheme() != "https" {
            return refused("is not https://");
        }
        let host = url.host_str().unwrap_or_default();
        if self.key_hosts.iter().any(|listed| listed == host) {
            return Ok(&self.trusting);
        }
        // A literal address is never resolved, so the resolver would not see it.
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        match literal.parse::<IpAddr>() {
            Ok(address) if !is_public(address) => {
                refused("is a private address; list its host in key_hosts if that is meant")
            }
            _ => Ok(&self.wary),
        }
    }
}

/// Why a description is not to be had.
#[derive(Debug)]
pub(in crate::authenticate) enum Problem {
    /// The issuer does not answer with one.
    Away(String),
    /// What it answers cannot be believed.
    Refused(String),
}

impl Problem {
    fn into_text(self) -> String {
        let (Self::Away(text) | Self::Refused(text)) = self;
        text
    }
}

/// The key set in a file.
pub(super) fn keys_in(path: &Path) -> Result<KeySet, String> {
    let problem = |error: std::io::Error| format!("{}: {error}", path.display());
    if std::fs::metadata(path).map_err(problem)?.len() > JWKS_BYTES_MAX as u64 {
        return Err(format!(
            "{} is above {JWKS_BYTES_MAX} bytes",
            path.display()
        ));
    }
    KeySet::parse(&std::fs::read(path).map_err(problem)?)
}

async fn keys(client: &Client, url: &str) -> Result<KeySet, String> {
    let document = get(client, url, JWKS_BYTES_MAX).await?;
    KeySet::parse(&document).map_err(|problem| format!("{url}: {problem}"))
}

/// One document of at most so many bytes.
async fn get(client: &Client, url: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
    let (status, document) = answer(client.get(url), url, bytes_max).await?;
    if status != StatusCode::OK {
        return Err(format!("{url} answers {status}"));
    }
    if document.trim_ascii_start().starts_with(b"<") {
        return Err(format!("{url} answers a page, not JSON"));
    }
    Ok(document)
}

/// Status and body of at most so many bytes; no redirect is followed.
async fn answer(
    request: RequestBuilder,
    url: &str,
    bytes_max: usize,
) -> Result<(StatusCode, Vec<u8>), String> {
    let failed = |error: reqwest::Error| {
        if error.is_timeout() {
            format!("{url} did not answer within {} s", FETCH_TIMEOUT.as_secs())
        } else {
            format!("{url}: {}", told(&error))
        }
    };
    let too_large = || format!("{url} answers more than {bytes_max} bytes");
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status();
    if status.is_redirection() {
        return Err(format!("{url} redirects ({status}), which is not followed"));
    }
    if response
        .content_length()
        .is_some_and(|length| length > bytes_max as u64)
    {
        return Err(too_large());
    }
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if document.len() + chunk.len() > bytes_max {
            return Err(too_large());
        }
        document.extend_from_slice(&chunk);
    }
    Ok((status, document))
}

/// Resolves names, and gives none of which any address is private: asked at each connection, so
/// that a name cannot change between the check and the use.
#[derive(Debug)]
struct PublicResolver;

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if let Some(private) = addresses.iter().find(|address| !is_public(address.ip())) {
                let problem = format!(
                    "`{}` is the private address {}; list it in key_hosts if that is meant",
                    name.as_str(),
                    private.ip()
                );
                return Err(problem.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one of the public internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(inner) => is_public_v4(inner),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = match (a, b) {
        // This host, shared, protocol assignments, benchmarking, reserved.
        (0, _) | (100, 64..=127) | (198, 18..=19) | (240..=255, _) => true,
        (192, 0) => c == 0,
        _ => false,
    };
    !(is_special
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation())
}

/// Global unicast, without what holds an IPv4 address or is for documentation.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let is_tunnel = first == 0x2002 || (first == 0x2001 && second == 0);
    let is_documentation = first == 0x2001 && second == 0xdb8;
    first & 0xe000 == 0x2000 && !is_tunnel && !is_documentation
}

#[cfg(test)]
mod tests {
    use super::is_public;

    #[test]
    fn private_addresses_are_known_in_all_their_forms() {
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "100.128.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "2606:4700::1111",
            "2001:4860::8888",
            "::ffff:8.8.8.8",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}
