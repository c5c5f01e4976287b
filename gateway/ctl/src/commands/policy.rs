//! Policies: those in force, applied texts, and policies as code.
//!
//! Checks and tests of a folder run without a server, in the binary `dataos` beside this one; with
//! `--server` they run in the server of the context, against the datasets and people known there.

use std::{
    ffi::OsString,
    fs,
    io::Read,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Map, Value, json};

use super::{LOCAL_BINARY, items, local_binary, login, plain, rows, shown};
use crate::{
    arguments::{Format, Policy, PolicyCheck, PolicyLink, PolicyPut, PolicyTest},
    client::{Client, segment},
    failure::Failure,
    output::{Answer, Output},
};

/// Longest policy text, in bytes: the server's limit on a body.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// Most bytes of a folder that is sent to a server.
const FOLDER_BYTES_MAX: usize = 1 << 20;
/// Deepest folder below the policies folder.
const FOLDER_DEPTH_MAX: usize = 8;

/// Runs one command, writes its answer and gives the exit code.
pub(crate) async fn run(
    command: &Policy,
    context: Option<&str>,
    output: &mut Output,
) -> Result<u8, Failure> {
    if let Some(arguments) = local_arguments(command) {
        return run_locally(&arguments, output.format());
    }
    let client = login::client(context).await?;
    let (answer, has_failed) = match command {
        Policy::Check(arguments) => check(&client, arguments).await?,
        Policy::Test(arguments) => test(&client, arguments).await?,
        command => (administer(&client, command).await?, false),
    };
    output.answer(&answer)?;
    Ok(u8::from(has_failed))
}

async fn administer(client: &Client, command: &Policy) -> Result<Answer, Failure> {
    match command {
        Policy::List => list(client).await,
        Policy::Show { id } => show(client, id).await,
        Policy::Get { name } => get(client, name.as_deref()).await,
        Policy::Put(arguments) => put(client, arguments).await,
        Policy::Delete { name, etag } => delete(client, name, etag.as_deref()).await,
        Policy::Link(arguments) => link(client, arguments).await,
        Policy::Unlink { id, etag } => unlink(client, id, etag.as_deref()).await,
        Policy::Links => links(client).await,
        _ => Err(Failure::failed("this command needs no server")),
    }
}

async fn list(client: &Client) -> Result<Answer, Failure> {
    let set = client.get("/api/v1/policies", &[]).await?;
    let table = rows(items(&set, "policies"), &["id", "effect", "source"]);
    Ok(Answer::table(&["ID", "EFFECT", "SOURCE"], table, set))
}

async fn show(client: &Client, id: &str) -> Result<Answer, Failure> {
    let set = client.get("/api/v1/policies", &[]).await?;
    let policy = items(&set, "policies")
        .iter()
        .find(|policy| shown(policy, "id") == *id)
        .cloned()
        .ok_or_else(|| Failure::failed(format!("no policy `{id}` is in force")))?;
    let lines = vec![
        format!("// from {}", shown(&policy, "source")),
        shown(&policy, "text"),
    ];
    Ok(Answer::lines(lines, policy))
}

async fn get(client: &Client, name: Option<&str>) -> Result<Answer, Failure> {
    let Some(name) = name else {
        let texts = client.get("/api/v1/policies/texts", &[]).await?;
        let table = rows(items(&texts, "texts"), &["name", "origin", "policies"]);
        return Ok(Answer::table(&["NAME", "ORIGIN", "POLICIES"], table, texts));
    };
    let text = client.get(&address(name), &[]).await?;
    let lines = vec![shown(&text, "cedar").trim_end().to_owned()];
    Ok(Answer::lines(lines, text))
}

async fn put(client: &Client, arguments: &PolicyPut) -> Result<Answer, Failure> {
    let PolicyPut { name, file, etag } = arguments;
    let text = read(file)?;
    let path = address(name);
    let condition = match etag {
        Some(etag) => ("If-Match", quoted(etag)),
        None => ("If-None-Match", "*".to_owned()),
    };
    let answer = client.put_text(&path, condition, text).await?;
    let line = format!(
        "{name}: {} in force, policy set {}",
        plain(answer.get("policies").unwrap_or(&Value::Null)),
        shown(&answer, "policy_set")
    );
    Ok(Answer::lines(vec![line], answer))
}

async fn delete(client: &Client, name: &str, etag: Option<&str>) -> Result<Answer, Failure> {
    let etag = etag.map_or_else(|| "*".to_owned(), quoted);
    client.delete_if(&address(name), ("If-Match", etag)).await?;
    let line = format!("{name} is not in force any more");
    Ok(Answer::lines(vec![line], json!({"deleted": name})))
}

async fn link(client: &Client, arguments: &PolicyLink) -> Result<Answer, Failure> {
    let condition = match &arguments.etag {
        Some(etag) => ("If-Match", quoted(etag)),
        None => ("If-None-Match", "*".to_owned()),
    };
    let mut body = json!({"template": arguments.template});
    let values = [
        ("principal", &arguments.principal),
        ("resource", &arguments.resource),
    ];
    for (slot, value) in values {
        if let (Some(value), Some(fields)) = (value, body.as_object_mut()) {
            fields.insert(slot.to_owned(), json!(value));
        }
    }
    let path = link_address(&arguments.id);
    let answer = client.put_if(&path, condition, &body).await?;
    let line = format!(
        "{} in force, policy set {}",
        arguments.id,
        shown(&answer, "policy_set")
    );
    Ok(Answer::lines(vec![line], answer))
}

async fn unlink(client: &Client, id: &str, etag: Option<&str>) -> Result<Answer, Failure> {
    let etag = etag.map_or_else(|| "*".to_owned(), quoted);
    let path = link_address(id);
    client.delete_if(&path, ("If-Match", etag)).await?;
    let line = format!("{id} is not in force any more");
    Ok(Answer::lines(vec![line], json!({"deleted": id})))
}

async fn links(client: &Client) -> Result<Answer, Failure> {
    let links = client.get("/api/v1/policy-links", &[]).await?;
    let fields = ["id", "template", "principal", "resource"];
    let table = rows(items(&links, "links"), &fields);
    let header = ["ID", "TEMPLATE", "PRINCIPAL", "RESOURCE"];
    Ok(Answer::table(&header, table, links))
}

fn link_address(id: &str) -> String {
    format!("/api/v1/policy-links/{}", segment(id))
}

async fn check(client: &Client, arguments: &PolicyCheck) -> Result<(Answer, bool), Failure> {
    let folder = &arguments.folder;
    let report = client
        .post("/api/v1/policies/check", &folder_body(folder)?)
        .await?;
    let count = |name: &str| report.get(name).and_then(Value::as_u64).unwrap_or(0);
    let has_failed = count("errors") > 0 || (arguments.deny_warnings && count("warnings") > 0);
    let mut lines = findings(folder, &report);
    lines.push(format!(
        "{} policies, {} datasets: {} errors, {} warnings",
        count("policies"),
        count("datasets"),
        count("errors"),
        count("warnings")
    ));
    Ok((Answer::lines(lines, report), has_failed))
}

async fn test(client: &Client, arguments: &PolicyTest) -> Result<(Answer, bool), Failure> {
    let folder = &arguments.folder;
    let report = client
        .post("/api/v1/policies/test", &folder_body(folder)?)
        .await?;
    let mut lines = findings(folder, &report);
    for case in items(&report, "cases") {
        let failures = items(case, "failures");
        if failures.is_empty() {
            continue;
        }
        lines.push(format!(
            "{}failed: {}",
            placed(folder, case),
            shown(case, "name")
        ));
        lines.extend(
            failures
                .iter()
                .map(|failure| format!("  {}", plain(failure))),
        );
    }
    let uncovered = items(&report, "uncovered");
    for policy in uncovered {
        let place = placed(folder, policy);
        let id = shown(policy, "id");
        lines.push(format!("{place}not covered: policy `{id}` decides no case"));
    }
    lines.push(format!(
        "{} passed, {} failed, {} policies not covered",
        shown(&report, "passed"),
        shown(&report, "failed"),
        uncovered.len()
    ));
    let has_failed = shown(&report, "failed") != "0"
        || !items(&report, "findings").is_empty()
        || (arguments.require_coverage && !uncovered.is_empty());
    Ok((Answer::lines(lines, report), has_failed))
}

fn findings(folder: &Path, report: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for finding in items(report, "findings") {
        lines.push(format!(
            "{}{}[{}]: {}",
            placed(folder, finding),
            shown(finding, "severity"),
            shown(finding, "rule"),
            shown(finding, "message")
        ));
        let hint = shown(finding, "hint");
        if !hint.is_empty() {
            lines.push(format!("  next: {hint}"));
        }
    }
    lines
}

fn placed(folder: &Path, value: &Value) -> String {
    let file = folder.join(shown(value, "file")).display().to_string();
    match (shown(value, "line"), shown(value, "column")) {
        (line, _) if line.is_empty() => format!("{file}: "),
        (line, column) => format!("{file}:{line}:{column}: "),
    }
}

/// Arguments for the binary beside this one; `None` if the command is for a server.
fn local_arguments(command: &Policy) -> Option<Vec<OsString>> {
    let mut arguments: Vec<OsString> = vec!["policy".into()];
    let mut add =
        |name: &str, folder: &Path, flags: &[(&str, bool)], file: Option<(&str, &Path)>| {
            arguments.push(name.into());
            let set = flags.iter().filter(|(_, is_set)| *is_set);
            arguments.extend(set.map(|(flag, _)| flag.into()));
            if let Some((flag, file)) = file {
                arguments.extend([flag.into(), file.into()]);
            }
            arguments.extend(["--".into(), folder.into()]);
        };
    match command {
        Policy::Check(check) if !check.server => {
            let sarif = check.sarif.as_deref().map(|file| ("--sarif", file));
            let flags = [("--deny-warnings", check.deny_warnings)];
            add("check", &check.folder, &flags, sarif);
        }
        Policy::Test(test) if !test.server => {
            let junit = test.junit.as_deref().map(|file| ("--junit", file));
            let flags = [("--require-coverage", test.require_coverage)];
            add("test", &test.folder, &flags, junit);
        }
        Policy::Matrix {
            folder,
            check,
            write,
        } => add(
            "matrix",
            folder,
            &[("--check", *check), ("--write", *write)],
            None,
        ),
        Policy::Format { folder, check } => add("format", folder, &[("--check", *check)], None),
        Policy::Diff { revisions, folder } => {
            arguments.extend(["diff".into(), "--".into(), revisions.into(), folder.into()]);
        }
        _ => return None,
    }
    Some(arguments)
}

/// Runs a command in the binary beside this one; its exit code is the answer.
fn run_locally(arguments: &[OsString], format: Format) -> Result<u8, Failure> {
    let binary = local_binary();
    let form = match format {
        Format::Table => "table",
        Format::Json => "json",
    };
    let status = Command::new(&binary)
        .args(arguments.iter().take(2))
        .args(["--output", form])
        .args(arguments.iter().skip(2))
        .stdin(Stdio::null())
        .status()
        .map_err(|error| {
            Failure::failed(format!(
                "cannot run {}: {error}\n  next: put the binary `{LOCAL_BINARY}` beside this one or on the path, \
                 or give --server",
                binary.display()
            ))
        })?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.unwrap_or(1))
}

fn address(name: &str) -> String {
    let segments: Vec<String> = name.split('/').map(segment).collect();
    format!("/api/v1/policies/texts/{}", segments.join("/"))
}

/// An entity tag as headers carry it.
pub(super) fn quoted(etag: &str) -> String {
    if etag == "*" || etag.starts_with('"') {
        etag.to_owned()
    } else {
        format!("\"{etag}\"")
    }
}

pub(super) fn read(file: &Path) -> Result<String, Failure> {
    let failed = |error| Failure::failed(format!("cannot read {}: {error}", file.display()));
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin()
            .take(TEXT_BYTES_MAX + 1)
            .read_to_string(&mut text)
            .map_err(failed)?;
    } else {
        text = fs::read_to_string(file).map_err(failed)?;
    }
    if text.len() as u64 > TEXT_BYTES_MAX {
        let shown = file.display();
        return Err(Failure::failed(format!(
            "{shown} exceeds {TEXT_BYTES_MAX} bytes"
        )));
    }
    Ok(text)
}

/// All texts of a policies folder, as the server takes them.
fn folder_body(folder: &Path) -> Result<Value, Failure> {
    let mut texts = FolderTexts::default();
    texts.collect(folder, "", 0)?;
    let schema = texts.schema.take().ok_or_else(|| {
        Failure::failed(format!("{} holds no schema.cedarschema", folder.display()))
    })?;
    if texts.bytes > FOLDER_BYTES_MAX {
        return Err(Failure::failed(format!(
            "{} holds more than {FOLDER_BYTES_MAX} bytes; leave --server out",
            folder.display()
        )));
    }
    Ok(json!({
        "schema": schema,
        "fragments": texts.fragments,
        "files": texts.files,
        "entities": texts.entities,
        "tests": texts.tests,
    }))
}

#[derive(Default)]
struct FolderTexts {
    schema: Option<String>,
    fragments: Map<String, Value>,
    files: Map<String, Value>,
    entities: Map<String, Value>,
    tests: Map<String, Value>,
    bytes: usize,
}

impl FolderTexts {
    fn collect(&mut self, path: &Path, prefix: &str, depth: usize) -> Result<(), Failure> {
        let failed = |error| Failure::failed(format!("cannot read {}: {error}", path.display()));
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                continue;
            };
            if name.starts_with('.') {
                continue;
            }
            let inner = format!("{prefix}{name}");
            if entry.path().is_dir() {
                if depth < FOLDER_DEPTH_MAX {
                    self.collect(&entry.path(), &format!("{inner}/"), depth + 1)?;
                }
                continue;
            }
            let is_test =
                inner.starts_with("tests/") && (name.ends_with(".yaml") || name.ends_with(".yml"));
            let is_schema = name.ends_with(".cedarschema");
            let is_entities = inner.starts_with("entities/") && name.ends_with(".json");
            if !is_schema && !name.ends_with(".cedar") && !is_test && !is_entities {
                continue;
            }
            let text = read(&entry.path())?;
            self.bytes += text.len();
            if inner == "schema.cedarschema" {
                self.schema = Some(text);
            } else if is_schema {
                self.fragments.insert(inner, Value::String(text));
            } else if is_entities {
                self.entities.insert(inner, Value::String(text));
            } else if is_test {
                self.tests.insert(inner, Value::String(text));
            } else {
                self.files.insert(inner, Value::String(text));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::local_arguments;
    use crate::arguments::{Arguments, Command};

    fn local(line: &str) -> Option<String> {
        let words = std::iter::once("dataos-ctl").chain(line.split(' '));
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Policy(command) => {
                let arguments = local_arguments(&command)?;
                let words = arguments
                    .iter()
                    .map(|word| word.to_string_lossy().into_owned());
                Some(words.collect::<Vec<_>>().join(" "))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_needs_no_server_is_handed_to_the_other_binary() {
        for (line, expected) in [
            ("policy check", Some("policy check -- policies")),
            (
                "policy check p --deny-warnings --sarif out.json",
                Some("policy check --deny-warnings --sarif out.json -- p"),
            ),
            ("policy check --server", None),
            (
                "policy test p --junit out.xml",
                Some("policy test --junit out.xml -- p"),
            ),
            ("policy test p --server", None),
            (
                "policy matrix --check",
                Some("policy matrix --check -- policies"),
            ),
            (
                "policy diff main..HEAD p",
                Some("policy diff -- main..HEAD p"),
            ),
            (
                "policy format --check",
                Some("policy format --check -- policies"),
            ),
            ("policy list", None),
            ("policy delete x", None),
        ] {
            assert_eq!(local(line).as_deref(), expected, "{line}");
        }
    }
}
