//! Which form of rows a client takes (RFC 9110, 12.5.1).

use dataos_model::{
    fault::{Fault, FaultKind},
    query::RowFormat,
};

/// What is offered, the best first: a type, and the parameters that it has.
const OFFERED: [(RowFormat, &str, &[&str]); 4] = [
    (RowFormat::Json, "application/json", &["charset=utf-8"]),
    (
        RowFormat::NdJson,
        "application/x-ndjson",
        &["charset=utf-8"],
    ),
    (
        RowFormat::Csv,
        "text/csv",
        &["charset=utf-8", "header=present"],
    ),
    (
        RowFormat::ArrowStream,
        "application/vnd.apache.arrow.stream",
        &[],
    ),
];

/// The offered form that the client likes best.
///
/// # Errors
/// It takes none of them.
pub(in crate::handlers) fn format(accept: &str) -> Result<RowFormat, Fault> {
    if accept.trim().is_empty() {
        return Ok(RowFormat::Json);
    }
    let ranges: Vec<Range<'_>> = accept.split(',').filter_map(Range::read).collect();
    let mut best: Option<(u16, RowFormat)> = None;
    for (format, name, parameters) in OFFERED {
        let weight = weight(&ranges, name, parameters);
        if weight > best.map_or(0, |(weight, _)| weight) {
            best = Some((weight, format));
        }
    }
    best.map(|(_, format)| format).ok_or_else(|| {
        let offered: Vec<&str> = OFFERED.iter().map(|(_, name, _)| *name).collect();
        Fault::new(
            FaultKind::NotAcceptable,
            "rows have no form that `Accept` takes",
        )
        .with_reason("accept")
        .with_hint(format!("ask for one of {}", offered.join(", ")))
    })
}

/// What the most specific range that fits says of a type.
fn weight(ranges: &[Range<'_>], name: &str, parameters: &[&str]) -> u16 {
    let fitting = ranges
        .iter()
        .filter_map(|range| Some((range.specificity(name, parameters)?, range.weight)));
    // Of several alike the first counts.
    let most = fitting.rev().max_by_key(|(specificity, _)| *specificity);
    most.map_or(0, |(_, weight)| weight)
}

/// A media range with its weight in thousandths.
struct Range<'a> {
    name: String,
    parameters: Vec<&'a str>,
    weight: u16,
}

impl<'a> Range<'a> {
    /// `None` for what is no range, which fits nothing.
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().filter(|name| name.contains('/'))?;
        let (mut parameters, mut weight) = (Vec::new(), 1000);
        for part in parts {
            match part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")) {
                Some(quality) => weight = thousandths(quality)?,
                None => parameters.push(part),
            }
        }
        Some(Self {
            name: name.to_ascii_lowercase(),
            parameters,
            weight,
        })
    }

    /// How exactly it names a type; `None` if it does not.
    fn specificity(&self, name: &str, offered: &[&str]) -> Option<usize> {
        let has = |parameter: &&str| offered.iter().any(|o| o.eq_ignore_ascii_case(parameter));
        if !self.parameters.iter().all(has) {
            return None;
        }
        let kind = name.split('/').next().unwrap_or_default();
        match self.name.as_str() {
            "*/*" => Some(0),
            range if range.strip_suffix("/*") == Some(kind) => Some(1),
            range if range == name => Some(2 + self.parameters.len()),
            _ => None,
        }
    }
}

/// A quality value: `0`, `0.5`, `1.000`.
fn thousandths(quality: &str) -> Option<u16> {
    let (whole, part) = quality.split_once('.').unwrap_or((quality, ""));
    let is_well_formed = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    let part: u16 = format!("{part:0<3}").parse().ok()?;
    match whole {
        "0" if is_well_formed => Some(part),
        "1" if is_well_formed && part == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RowFormat::{ArrowStream, Csv, Json, NdJson};

    #[test]
    fn the_client_chooses_among_what_is_offered() {
        for (accept, expected) in [
            ("", Some(Json)),
            ("*/*", Some(Json)),
            ("application/*", Some(Json)),
            ("text/*", Some(Csv)),
            ("text/html, */*;q=0.1", Some(Json)),
            ("application/x-ndjson", Some(NdJson)),
            ("APPLICATION/X-NDJSON", Some(NdJson)),
            ("text/csv; charset=utf-8", Some(Csv)),
            ("text/csv;header=present;q=1.0", Some(Csv)),
            ("text/csv;header=absent", None),
            ("text/csv;header=absent, text/csv;q=0.2", Some(Csv)),
            ("application/vnd.apache.arrow.stream", Some(ArrowStream)),
            ("application/json;q=0.5, text/csv", Some(Csv)),
            ("text/csv;q=0.5, application/json;q=0.50", Some(Json)),
            ("application/json;q=0, */*", Some(NdJson)),
            ("application/*;q=0.2, text/csv;q=0.1", Some(Json)),
            (
                "*/*;q=0.9, application/json;q=0.1, application/x-ndjson;q=0, text/*;q=0.8",
                Some(ArrowStream),
            ),
            ("text/csv;q=0.001", Some(Csv)),
            ("text/csv;q=0", None),
            ("text/csv;q=0.0001", None),
            ("text/csv;q=1.001", None),
            ("text/csv;q=2", None),
            ("text/csv;q=", None),
            ("text/html", None),
            ("json", None),
            (",,", None),
        ] {
            let chosen = format(accept);
            match expected {
                Some(expected) => assert_eq!(chosen, Ok(expected), "{accept}"),
                None => {
                    let fault = chosen.unwrap_err();
                    assert_eq!(fault.kind, FaultKind::NotAcceptable, "{accept}");
                }
            }
        }
    }
}
