//! What the demo prints: headings, tables, checks.

use std::io::Write;

use serde_json::Value;

/// Widest cell of a table; a pseudonym is 64 characters.
const CELL_CHARS_MAX: usize = 24;

/// Standard output, and the count of checks.
#[derive(Debug, Default)]
pub(super) struct Screen {
    passed: u32,
    failed: u32,
}

impl Screen {
    pub(super) fn line(&self, text: &str) {
        // A reader that went away must not stop the demo.
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }

    pub(super) fn heading(&self, text: &str) {
        self.line(&format!("\n== {text}"));
    }

    /// States a fact that must hold.
    pub(super) fn check(&mut self, what: &str, holds: bool) {
        let mark = if holds { "ok  " } else { "FAIL" };
        self.line(&format!("   [{mark}] {what}"));
        if holds {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
    }

    pub(super) fn counts(&self) -> (u32, u32) {
        (self.passed, self.failed)
    }

    /// A result of the query API as a table, masked columns marked with `~`.
    pub(super) fn result(&self, body: &Value) {
        let header: Vec<String> = array(body, "columns")
            .iter()
            .map(|column| {
                let mark = if at(column, "/masked") == &Value::Bool(true) {
                    "~"
                } else {
                    ""
                };
                format!("{mark}{}", text(at(column, "/name")))
            })
            .collect();
        let rows: Vec<Vec<String>> = array(body, "rows")
            .iter()
            .map(|row| row.as_array().into_iter().flatten().map(text).collect())
            .collect();
        self.table(&header, &rows);
    }

    pub(super) fn table(&self, header: &[String], rows: &[Vec<String>]) {
        let short = |cell: &String| {
            if cell.chars().count() > CELL_CHARS_MAX {
                cell.chars()
                    .take(CELL_CHARS_MAX - 1)
                    .chain(['…'])
                    .collect::<String>()
            } else {
                cell.clone()
            }
        };
        let all: Vec<Vec<String>> = std::iter::once(header)
            .chain(rows.iter().map(Vec::as_slice))
            .map(|row| row.iter().map(short).collect())
            .collect();
        for row in &all {
            let line: Vec<String> = row
                .iter()
                .enumerate()
                .map(|(column, cell)| {
                    let width = all
                        .iter()
                        .filter_map(|row| row.get(column))
                        .map(|cell| cell.chars().count())
                        .max()
                        .unwrap_or(0);
                    format!("{cell:<width$}")
                })
                .collect();
            self.line(format!("   {}", line.join("  ")).trim_end());
        }
    }

    /// What was enforced, from the certificate of a query.
    pub(super) fn enforced(&self, body: &Value) {
        for table in array(at(body, "/certificate"), "tables") {
            let rows = text(at(table, "/rows"));
            if rows != "TRUE" {
                self.line(&format!(
                    "   rows where {rows}   by {}",
                    list(at(table, "/row_policies"))
                ));
            }
            for column in array(table, "columns") {
                let outcome = text(at(column, "/outcome"));
                if outcome != "plain" {
                    self.line(&format!(
                        "   {} is {outcome}   by {}",
                        text(at(column, "/name")),
                        list(at(column, "/policies"))
                    ));
                }
            }
        }
    }
}

/// What lies at a JSON pointer, null if nothing does.
pub(super) fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// The items of an array field.
pub(super) fn array<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value
        .get(field)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn list(value: &Value) -> String {
    value
        .as_array()
        .into_iter()
        .flatten()
        .map(text)
        .collect::<Vec<_>>()
        .join(", ")
}
