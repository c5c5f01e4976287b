//! Reads manifests: files, folders, standard input; `$NAME` and `${NAME}` from the environment.
//!
//! Interpolation works on scalars: a value is put in as a quoted YAML text unless it stands alone as
//! a plain scalar of safe characters, so that it cannot inject structure. An undefined variable
//! stays as it is.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use crate::failure::Failure;

/// Most bytes of all manifests together; the server's limit on a body.
const MANIFEST_BYTES_MAX: usize = 1 << 20;
/// Deepest folder below the one named.
const FOLDER_DEPTH_MAX: usize = 16;

/// Looks a variable up by name.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The text of all manifests, as one stream of YAML documents.
pub(crate) fn read(
    path: &Path,
    is_recursive: bool,
    variables: Option<Variables<'_>>,
) -> Result<String, Failure> {
    let mut documents = Vec::new();
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .take(MANIFEST_BYTES_MAX as u64 + 1)
            .read_to_string(&mut text)
            .map_err(|error| Failure::failed(format!("cannot read standard input: {error}")))?;
        documents.push(text);
    } else if path.is_dir() {
        if !is_recursive {
            return Err(Failure::usage(format!(
                "{} is a folder; add -R",
                path.display()
            )));
        }
        let mut files = Vec::new();
        collect(path, 0, &mut files)?;
        files.sort();
        for file in &files {
            documents.push(read_file(file)?);
        }
        if documents.is_empty() {
            return Err(Failure::failed(format!(
                "{} holds no .yaml or .yml file",
                path.display()
            )));
        }
    } else {
        documents.push(read_file(path)?);
    }
    let text = documents.join("\n---\n");
    if text.len() > MANIFEST_BYTES_MAX {
        return Err(Failure::failed(format!(
            "the manifests exceed {MANIFEST_BYTES_MAX} bytes"
        )));
    }
    Ok(match variables {
        Some(variables) => interpolate(&text, variables),
        None => text,
    })
}

fn read_file(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error| Failure::failed(format!("cannot read {}: {error}", path.display())))
}

fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if depth > FOLDER_DEPTH_MAX {
        return Err(Failure::failed(format!(
            "{} is nested deeper than {FOLDER_DEPTH_MAX} folders",
            folder.display()
        )));
    }
    let unreadable = |error| Failure::failed(format!("cannot read {}: {error}", folder.display()));
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            collect(&path, depth + 1, files)?;
        } else if path
            .extension()
            .is_some_and(|kind| kind == "yaml" || kind == "yml")
        {
            files.push(path);
        }
    }
    Ok(())
}

/// Replaces variables; values that are more than a word are put in as a YAML double-quoted scalar
/// when they stand alone, and escaped when they stand inside quotes.
fn interpolate(text: &str, variables: Variables<'_>) -> String {
    text.split_inclusive('\n')
        .map(|line| interpolate_line(line, variables))
        .collect()
}

fn interpolate_line(line: &str, variables: Variables<'_>) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let Some((name, tail)) = variable(after) else {
            out.push('$');
            rest = after;
            continue;
        };
        match variables(name) {
            Some(value) => out.push_str(&quoted(&value, &out, tail)),
            None => {
                out.push('$');
                rest = after;
                continue;
            }
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// The name behind a `$` and what follows it.
fn variable(text: &str) -> Option<(&str, &str)> {
    if let Some(braced) = text.strip_prefix('{') {
        return braced.split_once('}').filter(|(name, _)| is_name(name));
    }
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let (name, tail) = text.split_at_checked(end)?;
    is_name(name).then_some((name, tail))
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn quoted(value: &str, before: &str, after: &str) -> String {
    let opened = |quote: char| before.matches(quote).count() % 2 == 1;
    if opened('"') {
        return value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
    }
    if opened('\'') {
        return value.replace('\'', "''").replace('\n', " ");
    }
    let is_plain = value
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_./@".contains(c));
    let stands_alone = before.ends_with([' ', '\t']) && after.trim().is_empty();
    if !is_plain && stands_alone {
        let escaped = value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        return format!("\"{escaped}\"");
    }
    value.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_cannot_inject_structure() {
        let variables = |name: &str| match name {
            "N" => Some("3".to_owned()),
            "EVIL" => Some("x\nowner: root".to_owned()),
            _ => None,
        };
        let check = |text: &str, expected: &str| {
            assert_eq!(interpolate(text, &variables), expected);
        };
        check("replicas: ${N}\n", "replicas: 3\n");
        check("name: a-$N-b\n", "name: a-3-b\n");
        check("password: $EVIL\n", "password: \"x\\nowner: root\"\n");
        check("password: \"$EVIL\"\n", "password: \"x\\nowner: root\"\n");
        check("replacement: $1$UNKNOWN\n", "replacement: $1$UNKNOWN\n");
    }
}
