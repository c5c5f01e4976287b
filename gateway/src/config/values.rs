//! From text to checked values; each error names the setting and where its value came from.

use std::{collections::BTreeSet, fs::File, io::Read, time::Duration};

use dataos_model::{
    fault::{Fault, Location},
    secret::Secret,
};
use dataos_store::{Metadata, PostgresUrl};

use super::{
    IssuerConfig, Limits, LogFormat, Origin, PostgresConfig, PostgresLogin, Quota, RateConfig,
    RedisConfig,
    sources::{METADATA_URL, Values},
    units,
};

/// Most issuers: each costs a key set in memory and a background refresh.
const ISSUERS_MAX: usize = 32;
/// Longest file that holds one secret.
const SECRET_BYTES_MAX: u64 = 64 << 10;

pub(super) fn text(values: &Values, key: &'static str) -> String {
    values
        .get(key)
        .map(|(value, _)| value.clone())
        .unwrap_or_default()
}

pub(super) fn wrong(values: &Values, key: &'static str, expected: &str) -> Fault {
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

pub(super) fn parsed<T: std::str::FromStr>(
    values: &Values,
    key: &'static str,
    expected: &str,
) -> Result<T, Fault> {
    text(values, key)
        .parse()
        .map_err(|_| wrong(values, key, expected))
}

pub(super) fn duration(
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

pub(super) fn limits(values: &Values) -> Result<Limits, Fault> {
    let body_bytes_max = units::size(&text(values, "limits.body"))
        .filter(|bytes| (1..=16 << 20).contains(bytes))
        .ok_or_else(|| {
            wrong(
                values,
                "limits.body",
                "a size from 1 B to 16 MiB, such as 1 MiB",
            )
        })?;
    Ok(Limits {
        connections_max: count(values, "limits.connections")?,
        connections_per_peer_max: count(values, "limits.connections_per_peer")?,
        calls_max: count(values, "limits.calls")?,
        body_bytes_max: usize::try_from(body_bytes_max)
            .map_err(|_| wrong(values, "limits.body", "a size from 1 B to 16 MiB"))?,
        handshake_timeout: duration(values, "limits.handshake_timeout", 1, 300)?,
        head_timeout: duration(values, "limits.head_timeout", 1, 300)?,
        idle_timeout: duration(values, "limits.idle_timeout", 1, 3600)?,
        send_timeout: duration(values, "limits.send_timeout", 1, 3600)?,
        body_timeout: duration(values, "limits.body_timeout", 1, 3600)?,
        answer_timeout: duration(values, "limits.answer_timeout", 1, 86_400)?,
        drain_timeout: duration(values, "limits.drain_timeout", 0, 3600)?,
    })
}

pub(super) fn postgres(values: &Values) -> Result<Option<PostgresConfig>, Fault> {
    const LISTEN: &str = "postgres.listen";
    const LOGIN: &str = "postgres.login";
    if text(values, LISTEN).is_empty() {
        return Ok(None);
    }
    Ok(Some(PostgresConfig {
        listen: parsed(
            values,
            LISTEN,
            "an address and port, such as 127.0.0.1:5432",
        )?,
        connections_max: count(values, "postgres.connections")?,
        idle_timeout: duration(values, "postgres.idle_timeout", 1, 86_400)?,
        login: match text(values, LOGIN).as_str() {
            "scram" => PostgresLogin::Scram,
            "clear" => PostgresLogin::Clear,
            _ => return Err(wrong(values, LOGIN, "`scram` or `clear`")),
        },
    }))
}

/// Memory for results that are answered again, in bytes.
pub(super) fn query_cache(values: &Values) -> Result<u64, Fault> {
    const CACHE: &str = "query.cache";
    let value = text(values, CACHE);
    if value.is_empty() {
        return Ok(0);
    }
    units::size(&value)
        .filter(|bytes| (1 << 20..=16 << 30).contains(bytes))
        .ok_or_else(|| wrong(values, CACHE, "a size from 1 MiB to 16 GiB, such as 64 MiB"))
}

pub(super) fn rates(values: &Values) -> Result<RateConfig, Fault> {
    Ok(RateConfig {
        address: quota(values, "rate.address")?,
        principal: quota(values, "rate.principal")?,
        workspace: quota(values, "rate.workspace")?,
        route: quota(values, "rate.route")?,
        redis: redis(values)?,
    })
}

fn redis(values: &Values) -> Result<Option<RedisConfig>, Fault> {
    const PASSWORD: &str = "rate.redis_password_file";
    let (address, file) = (text(values, "rate.redis"), text(values, PASSWORD));
    if address.is_empty() {
        return Ok(None);
    }
    let port = address
        .rsplit_once(':')
        .map(|(_, port)| port.parse::<u16>());
    if !matches!(port, Some(Ok(_))) {
        let expected = "a host and port, such as 127.0.0.1:6379";
        return Err(wrong(values, "rate.redis", expected));
    }
    let password = match file.is_empty() {
        true => None,
        false => Some(secret_of_file(PASSWORD, &file)?),
    };
    Ok(Some(RedisConfig {
        address,
        password: password.map(|text| Secret::new(text.trim_end().as_bytes())),
    }))
}

fn quota(values: &Values, key: &'static str) -> Result<Option<Quota>, Fault> {
    let text = text(values, key);
    if text.is_empty() {
        return Ok(None);
    }
    let parts = text.split_once('/');
    let quota = parts.and_then(|(count, window)| {
        let window = units::duration(window)?;
        Quota::new(count.trim().parse().ok()?, window)
    });
    let expected = "a number of calls in a time of at most a day, such as 600/1m";
    quota.map(Some).ok_or_else(|| wrong(values, key, expected))
}

fn count(values: &Values, key: &'static str) -> Result<usize, Fault> {
    let expected = "a number from 1 to 1000000";
    let number: usize = parsed(values, key, expected)?;
    if (1..=1_000_000).contains(&number) {
        Ok(number)
    } else {
        Err(wrong(values, key, expected))
    }
}

pub(super) fn log_format(values: &Values) -> Result<LogFormat, Fault> {
    match text(values, "log.format").as_str() {
        "auto" => Ok(LogFormat::Auto),
        "json" => Ok(LogFormat::Json),
        "text" => Ok(LogFormat::Text),
        _ => Err(wrong(values, "log.format", "`auto`, `json` or `text`")),
    }
}

pub(super) fn is_host_name(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_plain);
    name.len() <= 253 && name.split('.').all(is_label)
}

pub(super) fn host_names(values: &Values) -> Result<Vec<String>, Fault> {
    let mut names = Vec::new();
    for name in text(values, "host_names")
        .split(',')
        .map(str::trim)
        .filter(|n| !n.is_empty())
    {
        let is_address = name.parse::<std::net::IpAddr>().is_ok();
        let is_name = is_host_name(name);
        if !is_address && !is_name {
            let expected = format!("a list of host names and addresses (`{name}` is neither)");
            return Err(wrong(values, "host_names", &expected));
        }
        names.push(name.to_ascii_lowercase());
    }
    Ok(names)
}

/// Where metadata lives. No error repeats the URL, for it may hold a password.
pub(super) fn metadata(values: &Values) -> Result<Metadata, Fault> {
    const FILE: &str = "metadata_url_file";
    let (url, file) = (text(values, METADATA_URL), text(values, FILE));
    let (key, url) = match (url.is_empty(), file.is_empty()) {
        (true, true) => return Ok(Metadata::Embedded),
        (false, false) => {
            let message = format!("settings `{METADATA_URL}` and `{FILE}` are both set");
            return Err(Fault::invalid(message).with_hint("keep one of them"));
        }
        (false, true) => (METADATA_URL, url),
        (true, false) => (FILE, secret_of_file(FILE, &file)?),
    };
    let origin = values
        .get(key)
        .map_or(&Origin::Default, |(_, origin)| origin);
    match url.trim_end().parse::<PostgresUrl>() {
        Ok(url) => Ok(Metadata::Postgres(url)),
        Err(error) => Err(
            Fault::invalid(format!("setting `{key}` ({origin}) holds {error}")).at(Location {
                field: Some(key.to_owned()),
                ..Location::default()
            }),
        ),
    }
}

pub(super) fn secret_of_file(key: &str, path: &str) -> Result<String, Fault> {
    let mut content = String::new();
    let read =
        File::open(path).and_then(|file| file.take(SECRET_BYTES_MAX).read_to_string(&mut content));
    read.map(|_| content).map_err(|error| {
        Fault::invalid(format!("setting `{key}`: {path}: {error}"))
            .with_hint("name a file that holds this and nothing else")
    })
}

pub(super) fn distinct_issuers(issuers: Vec<IssuerConfig>) -> Result<Vec<IssuerConfig>, Fault> {
    if issuers.len() > ISSUERS_MAX {
        return Err(Fault::invalid(format!("more than {ISSUERS_MAX} issuers")));
    }
    let mut seen = BTreeSet::new();
    let mut prefixes = BTreeSet::new();
    let mut names = BTreeSet::new();
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
        if let Some(login) = &issuer.login
            && !names.insert(login.name.as_str())
        {
            let message = format!("two issuers have the login.name `{}`", login.name);
            return Err(Fault::invalid(message));
        }
    }
    Ok(issuers)
}
