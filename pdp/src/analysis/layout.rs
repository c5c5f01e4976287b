//! Layout of policy files, as Cedar's formatter has it.

use std::collections::BTreeMap;

use cedar_policy_formatter::{Config, policies_str_to_pretty};
use dataos_model::fault::Fault;

use crate::{
    problem::Problem,
    scan::{position, statements},
    stack::on_big_stack,
};

use super::finding::{Finding, Rule};

/// Longest line that the formatter aims at.
const LINE_WIDTH: usize = 100;
/// Spaces of one step.
const INDENT_WIDTH: isize = 4;

/// The text of one file as the formatter lays it out; comments stay.
///
/// # Errors
/// A text that does not parse.
pub fn format(file: &str, text: &str) -> Result<String, Fault> {
    Ok(laid_out(file, text)?)
}

fn laid_out(file: &str, text: &str) -> Result<String, Problem> {
    // The formatter parses too, so the same bounds stand before it.
    let found = statements(text)
        .map_err(|refused| Problem::at(file, text, refused.at, refused.problem.to_string()))?;
    if found.is_empty() {
        return Ok(text.to_owned());
    }
    let (heading, rest) = split_heading(text);
    let config = Config {
        line_width: LINE_WIDTH,
        indent_width: INDENT_WIDTH,
    };
    on_big_stack(|| policies_str_to_pretty(rest, &config).map_err(|error| error.to_string()))
        .unwrap_or_else(|| Err("the file could not be formatted".to_owned()))
        .map(|formatted| format!("{heading}{formatted}"))
        .map_err(|message| Problem::whole(file, message))
}

/// Comments that an empty line sets off from the first policy are about the file; the formatter
/// would join them to that policy.
fn split_heading(text: &str) -> (&str, &str) {
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        end += line.len();
        match line.trim() {
            "" if end > line.len() => return text.split_at_checked(end).unwrap_or(("", text)),
            comment if comment.starts_with("//") => {}
            _ => break,
        }
    }
    ("", text)
}

/// Files that the formatter would change. One that does not parse is told by the loader.
pub(super) fn findings(files: &BTreeMap<String, String>) -> Vec<Finding> {
    let differing = files.iter().filter_map(|(file, text)| {
        let formatted = laid_out(file, text).ok()?;
        let at = first_difference(text, &formatted)?;
        let (line, column) = position(text, at);
        let mut finding = Finding::of_file(
            Rule::Unformatted,
            file,
            "the formatter lays this out differently from here on",
        )
        .with_hint("run `dataos-ctl policy format`");
        finding.location.line = Some(line);
        finding.location.column = Some(column);
        Some(finding)
    });
    differing.collect()
}

fn first_difference(left: &str, right: &str) -> Option<usize> {
    if left == right {
        return None;
    }
    let same = left
        .bytes()
        .zip(right.bytes())
        .take_while(|(left, right)| left == right);
    Some(same.count())
}
