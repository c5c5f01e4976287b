//! The commands: arguments in, what to print and the exit code out.

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueEnum};
use dataos_model::fault::{Fault, FaultKind};
use dataos_pdp::analysis::{self, MATRIX_FILE, Matrix, Texts};
use serde_json::Value;

use super::{git, junit, sarif, statements::FixtureStatements, text, wire};
use crate::data_directory::write_atomic;

/// Exit code: something was found, failed or differs.
const FAILED: u8 = 1;
/// Mode of files that are written.
const FILE_MODE: u32 = 0o644;

/// Policies as code, without a server.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Check a policies folder: syntax, types on each dataset, lints, layout.
    Check(Check),
    /// Run the tests of a policies folder and say which policies no test covers.
    Test(Test),
    /// Print who may do what, or compare it with the committed snapshot.
    Matrix(MatrixArguments),
    /// Show which policies and which cells of the matrix differ between two git revisions.
    Diff(Diff),
    /// Lay policy files out.
    Format(Format),
}

/// Where the policies are and how the result is told.
#[derive(Debug, Args)]
struct Common {
    /// The policies folder.
    #[arg(default_value = "policies")]
    folder: PathBuf,
    /// Form of the result.
    #[arg(long, value_enum, default_value = "table")]
    output: Form,
}

/// Forms of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Lines for a person.
    Table,
    /// One JSON document.
    Json,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    common: Common,
    /// Fail on warnings too.
    #[arg(long)]
    deny_warnings: bool,
    /// Also write the findings as SARIF 2.1.0.
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
}

/// Arguments of `test`.
#[derive(Debug, Args)]
pub struct Test {
    #[command(flatten)]
    common: Common,
    /// Fail if a policy decides no case.
    #[arg(long)]
    require_coverage: bool,
    /// Also write the results as JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// Arguments of `matrix`.
#[derive(Debug, Args)]
pub struct MatrixArguments {
    #[command(flatten)]
    common: Common,
    /// Fail if the snapshot in the folder (`matrix.txt`) differs.
    #[arg(long, conflicts_with = "write")]
    check: bool,
    /// Write the snapshot.
    #[arg(long)]
    write: bool,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// `BASE..HEAD`; `BASE..` compares with the files as they are.
    revisions: String,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `format`.
#[derive(Debug, Args)]
pub struct Format {
    #[command(flatten)]
    common: Common,
    /// Change nothing; fail if a file would change.
    #[arg(long)]
    check: bool,
}

/// What a command has to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// For standard output.
    pub output: String,
    /// For standard error.
    pub notes: String,
    /// The exit code.
    pub code: u8,
}

impl Done {
    fn new(form: Form, text: impl FnOnce() -> String, json: impl FnOnce() -> Value) -> Self {
        let output = match form {
            Form::Table => text(),
            Form::Json => format!("{:#}\n", json()),
        };
        Self {
            output,
            ..Self::default()
        }
    }

    fn failing_if(mut self, has_failed: bool) -> Self {
        if has_failed {
            self.code = FAILED;
        }
        self
    }

    fn noting(mut self, note: impl Into<String>) -> Self {
        self.notes.push_str(&note.into());
        self.notes.push('\n');
        self
    }
}

/// Runs a command.
///
/// # Errors
/// What keeps it from being run: a folder that cannot be read, a revision that is not there, a file
/// that cannot be written.
pub fn run(command: &PolicyCommand) -> Result<Done, Fault> {
    match command {
        PolicyCommand::Check(arguments) => check(arguments),
        PolicyCommand::Test(arguments) => test(arguments),
        PolicyCommand::Matrix(arguments) => matrix(arguments),
        PolicyCommand::Diff(arguments) => diff(arguments),
        PolicyCommand::Format(arguments) => format(arguments),
    }
}

fn check(arguments: &Check) -> Result<Done, Fault> {
    let Common { folder, output } = &arguments.common;
    let report = analysis::check(&Texts::read(folder)?, &[]);
    if let Some(file) = &arguments.sarif {
        write(file, &format!("{:#}\n", sarif::document(folder, &report)))?;
    }
    let has_failed = report.errors() > 0 || (arguments.deny_warnings && report.warnings() > 0);
    let done = Done::new(
        *output,
        || text::report(folder, &report),
        || wire::report(&report),
    );
    Ok(done.failing_if(has_failed))
}

fn test(arguments: &Test) -> Result<Done, Fault> {
    let Common { folder, output } = &arguments.common;
    let texts = Texts::read(folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::internal(format!("no runtime: {error}")))?;
    let statements = FixtureStatements::new(runtime.handle().clone());
    let report = analysis::test(&texts, &[], Some(&statements));
    if let Some(file) = &arguments.junit {
        write(file, &junit::document(&report))?;
    }
    let lacks_coverage = arguments.require_coverage && !report.uncovered.is_empty();
    let done = Done::new(
        *output,
        || text::test_report(folder, &report),
        || wire::test_report(&report),
    );
    Ok(done.failing_if(!report.has_passed() || lacks_coverage))
}

fn matrix(arguments: &MatrixArguments) -> Result<Done, Fault> {
    let Common { folder, output } = &arguments.common;
    let made = match analysis::matrix(&Texts::read(folder)?) {
        Ok(made) => made,
        Err(findings) => return Ok(unusable(folder, &findings)),
    };
    let snapshot = folder.join(MATRIX_FILE);
    if arguments.write {
        write(&snapshot, &made.to_string())?;
        return Ok(Done::default().noting(format!("written: {}", snapshot.display())));
    }
    if arguments.check {
        return compare_snapshot(&snapshot, &made);
    }
    Ok(Done::new(
        *output,
        || made.to_string(),
        || wire::matrix(&made),
    ))
}

/// Lines of the snapshot that differ, with the subject that they are about.
fn compare_snapshot(snapshot: &Path, made: &Matrix) -> Result<Done, Fault> {
    let committed = match fs::read_to_string(snapshot) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(Fault::invalid(format!("{}: {error}", snapshot.display())));
        }
    };
    let made = made.to_string();
    if committed == made {
        return Ok(Done::default().noting(format!("{} is up to date", snapshot.display())));
    }
    let (before, after) = (by_subject(&committed), by_subject(&made));
    let mut output = String::new();
    for line in before.difference(&after) {
        // Writing to a text cannot fail.
        let _ = writeln!(output, "- {line}");
    }
    for line in after.difference(&before) {
        let _ = writeln!(output, "+ {line}");
    }
    let done = Done {
        output,
        ..Done::default()
    };
    Ok(done
        .noting(format!(
            "{} differs from what the policies say\n  next: review the lines above, then run `dataos-ctl \
             policy matrix --write` and commit the file",
            snapshot.display()
        ))
        .failing_if(true))
}

fn by_subject(text: &str) -> BTreeSet<String> {
    let mut subject = "";
    let mut lines = BTreeSet::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if line.starts_with('[') {
            subject = line;
        } else {
            lines.insert(format!("{subject} {line}"));
        }
    }
    lines
}

fn diff(arguments: &Diff) -> Result<Done, Fault> {
    let Common { folder, output } = &arguments.common;
    let (base, head) = arguments.revisions.split_once("..").ok_or_else(|| {
        Fault::invalid(format!("`{}` is not BASE..HEAD", arguments.revisions)).with_hint(
            "name two revisions such as main..HEAD; `main..` compares with the files as they are",
        )
    })?;
    let before = git::texts_at(folder, base)?;
    let after = match head {
        "" => Texts::read(folder)?,
        head => git::texts_at(folder, head)?,
    };
    match analysis::compare(&before, &after) {
        Ok(difference) => Ok(Done::new(
            *output,
            || text::difference(folder, &difference),
            || wire::difference(&difference),
        )),
        Err(findings) => Ok(unusable(folder, &findings)),
    }
}

fn format(arguments: &Format) -> Result<Done, Fault> {
    let Common { folder, output } = &arguments.common;
    let mut changed = Vec::new();
    for (file, text) in &Texts::read(folder)?.files {
        let formatted = analysis::format(file, text)?;
        if formatted == *text {
            continue;
        }
        let path = folder.join(file);
        if !arguments.check {
            write(&path, &formatted)?;
        }
        changed.push(path.display().to_string());
    }
    let word = if arguments.check {
        "would change"
    } else {
        "changed"
    };
    let lines = || {
        changed
            .iter()
            .map(|path| format!("{word}: {path}\n"))
            .collect()
    };
    let done = Done::new(*output, lines, || serde_json::json!({"changed": changed}));
    Ok(done.failing_if(arguments.check && !changed.is_empty()))
}

/// Texts that do not load: their findings are the answer.
fn unusable(folder: &Path, findings: &[analysis::Finding]) -> Done {
    Done {
        output: String::new(),
        notes: text::findings(folder, findings),
        code: FAILED,
    }
}

fn write(path: &Path, content: &str) -> Result<(), Fault> {
    write_atomic(path, content.as_bytes(), FILE_MODE).map_err(|error| {
        Fault::new(
            FaultKind::Unavailable,
            format!("{}: {error}", path.display()),
        )
        .with_hint("name a file that can be written")
    })
}
