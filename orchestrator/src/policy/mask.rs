//! `mask` of a data policy to the model's typed mask.

use std::collections::BTreeMap;

use dataos_model::{
    annotation::{Call, Literal},
    fault::Fault,
    mask::Mask,
};

use crate::{
    fields::{Fields, expected, not_supported, text_of, wrong},
    yaml::{Content, Node},
};

/// Largest compiled pattern, in bytes, so that no policy makes the query layer run out of memory.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// The parameters of each operator.
const OPERATORS: &[(&str, &[&str])] = &[
    ("null", &[]),
    ("redact", &["replacement"]),
    ("constant", &["value"]),
    ("hash", &["algo"]),
    ("regex_replace", &["pattern", "replacement"]),
    ("partial", &["first", "last", "fill"]),
    ("bucket_number", &["buckets"]),
    ("bucket_date", &["precision"]),
    ("pass_through", &[]),
    ("rand_pattern", &["pattern"]),
    ("rand_regexify", &["pattern"]),
    ("token", &["length"]),
    ("format_preserving", &[]),
    ("noise", &["amount"]),
    ("round", &["to"]),
    ("clamp", &["low", "high"]),
    ("truncate", &["digits"]),
    ("shift_date", &["days"]),
    ("email_domain", &[]),
    ("truncate_ip", &["v4", "v6"]),
    ("url_host", &[]),
    ("shorten", &["length"]),
    ("initials", &[]),
    ("shape", &[]),
    ("json_redact", &["paths"]),
    ("json_keep", &["paths"]),
];

/// Reads the `mask` section.
pub(super) fn read(fields: &Fields<'_>) -> Result<Mask, Fault> {
    let operator = fields.required_text("operator")?;
    let Some((name, known)) = OPERATORS.iter().find(|(name, _)| *name == operator) else {
        let names: Vec<&str> = OPERATORS.iter().map(|(name, _)| *name).collect();
        return Err(fields
            .fault("operator", format!("unknown mask operator `{operator}`"))
            .with_hint(format!("known: {}", names.join(", "))));
    };
    let mut parameters = BTreeMap::new();
    if let Some(section) = fields.fields(name)? {
        if *name == "bucket_number" && section.node("under").is_some() {
            let problem = "`under` is recognised and not supported yet: below the first is NULL";
            return Err(not_supported(section.fault("under", problem)));
        }
        for parameter in *known {
            if let Some(node) = section.node(parameter) {
                let path = section.path(parameter);
                parameters.insert((*parameter).to_owned(), literal(node, &path, parameter)?);
            }
        }
        section.finish()?;
    }
    let written = parameters.get("buckets").cloned();
    let call = Call {
        operator: operator.to_owned(),
        parameters,
    };
    let mask = Mask::from_call(&call).map_err(|error| {
        fields
            .fault(name, error.to_string())
            .with_hint(format!("write `{name}: {{...}}` beside `operator`"))
    })?;
    match &mask {
        Mask::BucketNumber(bounds) if written.as_ref() != Some(&Literal::List(bounds.clone())) => {
            fields
                .warnings()
                .add("mask bucket_number: the bounds were sorted and made distinct");
        }
        Mask::RegexReplace { pattern, .. } => check_pattern(fields, "regex_replace", pattern)?,
        Mask::RandRegexify(pattern) => check_pattern(fields, "rand_regexify", pattern)?,
        _ => {}
    }
    Ok(mask)
}

fn check_pattern(fields: &Fields<'_>, operator: &str, pattern: &str) -> Result<(), Fault> {
    match regex::RegexBuilder::new(pattern)
        .size_limit(PATTERN_BYTES_MAX)
        .build()
    {
        Ok(_) => Ok(()),
        Err(error) => {
            let problem = error.to_string();
            let last = problem.lines().last().unwrap_or_default().trim();
            Err(fields
                .fault(operator, format!("the pattern is refused: {last}"))
                .with_hint("patterns are linear-time: no look-around, no back-reference"))
        }
    }
}

fn literal(node: &Node, path: &str, parameter: &str) -> Result<Literal, Fault> {
    // Text stays text, even if it looks like a number: `replacement: 000`.
    let is_text = matches!(
        parameter,
        "replacement" | "pattern" | "fill" | "precision" | "algo"
    );
    match &node.content {
        Content::List(items) => items
            .iter()
            .map(|item| {
                if parameter == "paths" {
                    text_of(item, path).map(|text| Literal::Text(text.to_owned()))
                } else {
                    number(item, path)
                }
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Literal::List),
        _ if is_text => text_of(node, path).map(|text| Literal::Text(text.to_owned())),
        Content::Text(text) => Ok(Literal::Text(text.clone())),
        Content::Bool(value) => Ok(Literal::Bool(*value)),
        Content::Number(_) => number(node, path),
        _ => Err(expected(node, path, "a value")),
    }
}

fn number(node: &Node, path: &str) -> Result<Literal, Fault> {
    let Content::Number(text) = &node.content else {
        return Err(expected(node, path, "a number"));
    };
    if let Ok(value) = text.parse() {
        return Ok(Literal::Integer(value));
    }
    // The annotation grammar has no exponents.
    let is_plain = text
        .chars()
        .all(|c| c.is_ascii_digit() || matches!(c, '.' | '-'))
        && !text.starts_with('.')
        && !text.ends_with('.');
    if is_plain {
        Ok(Literal::Decimal(text.clone()))
    } else {
        Err(wrong(
            node.place,
            path,
            format!("`{text}`: write the number without exponent"),
        ))
    }
}
