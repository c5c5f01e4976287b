//! The only place that writes: results to stdout, everything else to stderr.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::{
    arguments::{Format, Global},
    failure::Failure,
};

/// What a command returns: the same facts for a person and for a program.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) human: Human,
    pub(crate) json: Value,
    /// Useful next commands, shown on a terminal only.
    pub(crate) hints: Vec<String>,
}

/// The form for a person.
#[derive(Debug)]
pub(crate) enum Human {
    /// Columns with a header.
    Table {
        header: Vec<String>,
        rows: Vec<Vec<String>>,
        notes: Vec<String>,
    },
    /// Lines.
    Lines(Vec<String>),
}

impl Answer {
    pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>, json: Value) -> Self {
        let header = header.iter().map(|name| (*name).to_owned()).collect();
        Self {
            human: Human::Table {
                header,
                rows,
                notes: Vec::new(),
            },
            json,
            hints: Vec::new(),
        }
    }

    pub(crate) fn lines(lines: Vec<String>, json: Value) -> Self {
        Self {
            human: Human::Lines(lines),
            json,
            hints: Vec::new(),
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

/// Standard output and error, with the format chosen.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
    has_hints: bool,
}

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        let format = if global.json {
            Format::Json
        } else {
            global.output
        };
        Self {
            format,
            has_hints: !global.no_hints && io::stderr().is_terminal(),
        }
    }

    /// The form that was asked for.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Another form than was asked for in general.
    pub(crate) fn set_format(&mut self, format: Format) {
        self.format = format;
    }

    /// Writes a part of a result that comes as bytes; false once nobody reads them.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        write(bytes)
    }

    /// Writes one of several results that come over time, a line each; false once nobody reads them.
    pub(crate) fn line(&mut self, text: &str, json: &Value) -> Result<bool, Failure> {
        match self.format {
            Format::Json => write(format!("{json}\n").as_bytes()),
            Format::Table => write(format!("{}\n", printable(text, false)).as_bytes()),
        }
    }

    /// Writes a result. A closed pipe ends quietly.
    pub(crate) fn answer(&mut self, answer: &Answer) -> Result<(), Failure> {
        let text = match (self.format, &answer.human) {
            (Format::Json, _) => format!("{:#}\n", answer.json),
            (Format::Table, Human::Lines(lines)) => lines
                .iter()
                .map(|line| format!("{}\n", printable(line, true)))
                .collect(),
            (Format::Table, Human::Table { header, rows, .. }) => table(header, rows),
        };
        if !write(text.as_bytes())? {
            return Ok(());
        }
        if let (Format::Table, Human::Table { notes, .. }) = (self.format, &answer.human) {
            notes.iter().for_each(|note| self.note(note));
        }
        if self.has_hints {
            answer
                .hints
                .iter()
                .for_each(|hint| self.note(&format!("hint: {hint}")));
        }
        Ok(())
    }

    /// Writes a remark to stderr.
    pub(crate) fn note(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{}", printable(text, true));
    }

    /// Writes an error and gives its exit code.
    pub(crate) fn failure(&self, failure: &Failure) -> ExitCode {
        let code = failure.exit_code();
        let text = match (self.format, failure) {
            (Format::Json, Failure::Problem(problem)) => {
                let mut problem = problem.as_ref().clone();
                if let Some(fields) = problem.as_object_mut() {
                    fields.insert("exit_code".to_owned(), code.into());
                }
                problem.to_string()
            }
            (Format::Json, other) => {
                serde_json::json!({"detail": other.to_string(), "exit_code": code}).to_string()
            }
            (Format::Table, other) => format!("error: {other}"),
        };
        self.note(&text);
        ExitCode::from(code)
    }
}

/// Writes to stdout; false if its reader is gone.
fn write(bytes: &[u8]) -> Result<bool, Failure> {
    match io::stdout().lock().write_all(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::failed(format!("cannot write the result: {error}"))),
    }
}

/// Control characters of server text never reach the terminal.
fn printable(text: &str, keeps_lines: bool) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && !(keeps_lines && (c == '\n' || c == '\t')) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

fn table(header: &[String], rows: &[Vec<String>]) -> String {
    let cells: Vec<Vec<String>> = std::iter::once(header)
        .chain(rows.iter().map(Vec::as_slice))
        .map(|row| row.iter().map(|cell| printable(cell, false)).collect())
        .collect();
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            cells
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.width())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in &cells {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width())));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_control_characters_vanish() {
        let header = vec!["NAME".to_owned(), "OWNER".to_owned()];
        let rows = vec![
            vec!["a\u{1b}[31m".to_owned(), "x".to_owned()],
            vec!["日本".to_owned(), "y".to_owned()],
        ];
        assert_eq!(
            table(&header, &rows),
            "NAME    OWNER\na\u{fffd}[31m  x\n日本    y\n"
        );
    }
}
