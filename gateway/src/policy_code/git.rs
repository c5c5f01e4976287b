//! The texts of a policies folder at a git revision.

use std::{
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
    process::{Command, Stdio},
};

use dataos_model::fault::{Fault, FaultKind};
use dataos_pdp::{
    FILES_MAX, SCHEMA_FILE, TEXT_BYTES_MAX,
    analysis::{TESTS_MAX, Texts},
};

/// Most bytes of all texts of one revision.
const TOTAL_BYTES_MAX: usize = 4 * TEXT_BYTES_MAX;

/// The texts of `folder` as they were committed in `revision`.
///
/// # Errors
/// No such revision, no git, a bound, or a text that is not UTF-8.
pub(super) fn texts_at(folder: &Path, revision: &str) -> Result<Texts, Fault> {
    let commit = commit(folder, revision)?;
    let listed = git(
        folder,
        &["ls-tree", "-r", "-z", &commit, "--", "."],
        Stdio::null(),
    )?;
    let listed = String::from_utf8(listed)
        .map_err(|_| Fault::invalid(format!("{revision}: a file name that is not UTF-8")))?;
    let blobs: Vec<(&str, &str)> = listed
        .split('\0')
        .filter_map(|entry| {
            let (facts, path) = entry.split_once('\t')?;
            let id = facts.split(' ').nth(2)?;
            is_wanted(path).then_some((id, path))
        })
        .collect();
    if blobs.len() > FILES_MAX + TESTS_MAX {
        return Err(Fault::new(
            FaultKind::TooLarge,
            format!("{revision} holds more than {FILES_MAX} files (FILES_MAX)"),
        ));
    }
    let mut texts = Texts::default();
    let mut has_schema = false;
    for ((_, path), text) in blobs.iter().zip(read(folder, &blobs)?) {
        if *path == SCHEMA_FILE {
            has_schema = true;
            texts.schema = text;
        } else if Texts::is_test(path) {
            texts.tests.insert((*path).to_owned(), text);
        } else if Texts::is_fragment(path) {
            texts.fragments.insert((*path).to_owned(), text);
        } else if Texts::is_entities(path) {
            texts.entities.insert((*path).to_owned(), text);
        } else {
            texts.files.insert((*path).to_owned(), text);
        }
    }
    if has_schema {
        return Ok(texts);
    }
    Err(Fault::not_found(format!(
        "{revision} has no {SCHEMA_FILE} in {}",
        folder.display()
    ))
    .with_hint("name the policies folder, and a revision in which it was there"))
}

fn is_wanted(path: &str) -> bool {
    let is_hidden = path.split('/').any(|part| part.starts_with('.'));
    let is_policy = Path::new(path)
        .extension()
        .is_some_and(|end| end == "cedar");
    let is_schema = path == SCHEMA_FILE || Texts::is_fragment(path);
    !is_hidden && (is_schema || is_policy || Texts::is_test(path) || Texts::is_entities(path))
}

fn commit(folder: &Path, revision: &str) -> Result<String, Fault> {
    let unknown = || {
        Fault::not_found(format!("`{revision}` is no revision of the git repository of {}", folder.display()))
            .with_hint("name two revisions as BASE..HEAD, such as main..HEAD; `BASE..` compares with the files as they are")
    };
    if revision.is_empty() || revision.starts_with('-') {
        return Err(unknown());
    }
    let wanted = format!("{revision}^{{commit}}");
    let arguments = [
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        &wanted,
    ];
    let found = git(folder, &arguments, Stdio::null()).map_err(|fault| match fault.kind {
        FaultKind::Unavailable => fault,
        _ => unknown(),
    })?;
    Ok(String::from_utf8_lossy(&found).trim().to_owned())
}

/// The contents of blobs, in order. The ids go through a file, so that neither side waits for the
/// other with a full pipe.
fn read(folder: &Path, blobs: &[(&str, &str)]) -> Result<Vec<String>, Fault> {
    let failed = |error: std::io::Error| Fault::internal(format!("a temporary file: {error}"));
    let mut ids = tempfile::tempfile().map_err(failed)?;
    for (id, _) in blobs {
        writeln!(ids, "{id}").map_err(failed)?;
    }
    ids.seek(SeekFrom::Start(0)).map_err(failed)?;
    let content = git(folder, &["cat-file", "--batch"], Stdio::from(ids))?;
    let damaged = || Fault::internal("git gave something else than was asked for");
    let mut rest = content.as_slice();
    let mut texts = Vec::with_capacity(blobs.len());
    for (_, path) in blobs {
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or_else(damaged)?;
        let (head, body) = rest.split_at_checked(end).ok_or_else(damaged)?;
        let head = String::from_utf8_lossy(head);
        let size: usize = head
            .rsplit(' ')
            .next()
            .and_then(|size| size.parse().ok())
            .ok_or_else(damaged)?;
        let body = body.get(1..).ok_or_else(damaged)?;
        let (text, behind) = body.split_at_checked(size).ok_or_else(damaged)?;
        let text = std::str::from_utf8(text)
            .map_err(|_| Fault::invalid(format!("{path} is not UTF-8")))?;
        texts.push(text.to_owned());
        rest = behind.get(1..).ok_or_else(damaged)?;
    }
    Ok(texts)
}

fn git(folder: &Path, arguments: &[&str], input: Stdio) -> Result<Vec<u8>, Fault> {
    let failed = |error: std::io::Error| {
        Fault::unavailable(format!("git cannot be run: {error}"))
            .with_hint("install git, or compare folders that are checked out")
    };
    let mut child = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let mut content = Vec::new();
    if let Some(output) = child.stdout.take() {
        let mut output = output.take(TOTAL_BYTES_MAX as u64 + 1);
        output.read_to_end(&mut content).map_err(failed)?;
    }
    if content.len() > TOTAL_BYTES_MAX {
        // It would wait for a reader for ever.
        let _ = child.kill();
        let _ = child.wait();
        return Err(Fault::new(
            FaultKind::TooLarge,
            format!("more than {TOTAL_BYTES_MAX} bytes (TOTAL_BYTES_MAX)"),
        ));
    }
    let status = child.wait().map_err(failed)?;
    if status.success() {
        return Ok(content);
    }
    Err(Fault::invalid(format!(
        "git {} failed in {}",
        arguments.first().copied().unwrap_or_default(),
        folder.display()
    ))
    .with_hint("run it in a git repository that holds the policies folder"))
}
