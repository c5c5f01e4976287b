//! Masks that keep a part of a text, without a key. `None` is NULL: the text is not of the kind.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value as Json};

/// `*@` and the domain of an address.
pub(super) fn email_domain(text: &str) -> Option<String> {
    let (name, domain) = text.rsplit_once('@')?;
    (!name.is_empty() && !domain.is_empty()).then(|| format!("*@{domain}"))
}

/// The network of an address; an address of IPv4 written as one of IPv6 is one of IPv4.
pub(super) fn truncated_ip(text: &str, v4: u32, v6: u32) -> Option<String> {
    let address: IpAddr = text.trim().parse().ok()?;
    Some(match address.to_canonical() {
        IpAddr::V4(address) => {
            let kept = u32::MAX
                .checked_shl(32_u32.saturating_sub(v4))
                .unwrap_or_default();
            Ipv4Addr::from_bits(address.to_bits() & kept).to_string()
        }
        IpAddr::V6(address) => {
            let kept = u128::MAX
                .checked_shl(128_u32.saturating_sub(v6))
                .unwrap_or_default();
            Ipv6Addr::from_bits(address.to_bits() & kept).to_string()
        }
    })
}

/// Scheme and host of a URL: no user, port, path or query.
pub(super) fn url_host(text: &str) -> Option<String> {
    let (scheme, rest) = text.trim().split_once("://")?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let host_and_port = authority.rsplit('@').next()?;
    let host = match host_and_port.strip_prefix('[') {
        Some(address) => format!("[{}]", address.split_once(']')?.0),
        None => host_and_port.split(':').next()?.to_owned(),
    };
    let is_scheme = |letter: char| letter.is_ascii_alphanumeric() || "+-.".contains(letter);
    let is_sound = !scheme.is_empty() && scheme.chars().all(is_scheme) && !host.is_empty();
    is_sound.then(|| format!("{}://{}", scheme.to_lowercase(), host.to_lowercase()))
}

/// The first characters.
pub(super) fn shortened(text: &str, length: usize) -> &str {
    // In ASCII, as most texts are, characters are bytes.
    let end = match text.as_bytes().get(..length) {
        None => text.len(),
        Some(first) if first.is_ascii() => length,
        Some(_) => text
            .char_indices()
            .nth(length)
            .map_or(text.len(), |(at, _)| at),
    };
    text.get(..end).unwrap_or_default()
}

/// The first character of each word, with a point behind it.
pub(super) fn initials(text: &str) -> String {
    let words = text.split_whitespace();
    let letters = words.filter_map(|word| word.chars().next());
    let letters: Vec<String> = letters.map(|letter| format!("{letter}.")).collect();
    letters.join(" ")
}

/// `X`, `x` and `9` for capitals, other letters and digits.
pub(super) fn shape(text: &str) -> String {
    text.chars()
        .map(|sign| match sign {
            sign if sign.is_uppercase() => 'X',
            sign if sign.is_alphabetic() => 'x',
            sign if sign.is_numeric() => '9',
            other => other,
        })
        .collect()
}

/// JSON with null at the paths.
pub(super) fn json_redacted(text: &str, paths: &[String]) -> Option<String> {
    let mut json: Json = serde_json::from_str(text).ok()?;
    for path in paths {
        redact(&mut json, path);
    }
    Some(json.to_string())
}

/// Lists are looked through: a path means each of their items.
fn redact(json: &mut Json, path: &str) {
    match json {
        Json::Array(items) => items.iter_mut().for_each(|item| redact(item, path)),
        Json::Object(fields) => match path.split_once('.') {
            Some((name, rest)) => {
                if let Some(field) = fields.get_mut(name) {
                    redact(field, rest);
                }
            }
            None => {
                if let Some(field) = fields.get_mut(path) {
                    *field = Json::Null;
                }
            }
        },
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

/// JSON with nothing but the paths; what is no object has none.
pub(super) fn json_kept(text: &str, paths: &[String]) -> Option<String> {
    let json: Json = serde_json::from_str(text).ok()?;
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    Some(kept(&json, &paths).to_string())
}

fn kept(json: &Json, paths: &[&str]) -> Json {
    match json {
        Json::Array(items) => items.iter().map(|item| kept(item, paths)).collect(),
        Json::Object(fields) => {
            let mut left = Map::new();
            for (name, value) in fields {
                let mut inner = Vec::new();
                for path in paths {
                    match path.split_once('.') {
                        None if path == name => {
                            left.insert(name.clone(), value.clone());
                        }
                        Some((first, rest)) if first == name => inner.push(rest),
                        _ => {}
                    }
                }
                if !inner.is_empty() && !left.contains_key(name) {
                    left.insert(name.clone(), kept(value, &inner));
                }
            }
            Json::Object(left)
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Json::Null,
    }
}
