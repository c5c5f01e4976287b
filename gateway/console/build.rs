//! Finds or builds the console and writes the table that `lib.rs` includes.
//!
//! In order: `DATAOS_CONSOLE_DIST`, or `web/dist` if its stamp matches the sources; else `npm ci` and
//! `vite build` into `OUT_DIR`; else one page that says how to get the console. A missing or failing
//! npm never fails the build unless `DATAOS_CONSOLE=require` asks for it; `DATAOS_CONSOLE=skip` takes
//! the page at once. `web/embed.ts` compresses and lists the files at the end of `vite build`, and
//! computes the same stamp.

use std::{
    env, fmt,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// What the console is built from, below `web/`. `embed.ts` hashes the same list.
const SOURCES: &[&str] = &[
    "embed.ts",
    "index.html",
    "package-lock.json",
    "package.json",
    "public",
    "src",
    "tsconfig.json",
    "vite.config.ts",
];

/// Written last into a finished `dist`, and into a finished `node_modules`.
const STAMP: &str = ".dataos-stamp";

/// Lines of a failed command's output that are worth a warning each.
const WARNING_LINES_MAX: usize = 12;

type Outcome<T> = Result<T, Failure>;

/// Why there is no console, in words for a cargo warning.
struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

fn main() -> ExitCode {
    let Some(out) = env::var_os("OUT_DIR").map(PathBuf::from) else {
        println!("cargo::error=OUT_DIR is not set: this file is run by cargo");
        return ExitCode::FAILURE;
    };
    let root = env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .unwrap_or_default();
    let web = root.join("web");
    println!("cargo::rerun-if-env-changed=DATAOS_CONSOLE");
    println!("cargo::rerun-if-env-changed=DATAOS_CONSOLE_DIST");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/placeholder.html");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", web.join(source).display());
    }
    let mode = env::var("DATAOS_CONSOLE").unwrap_or_default();
    let built = match mode.as_str() {
        "skip" => Ok(None),
        "" | "auto" | "require" => {
            find_or_build(&web, &out).and_then(|dist| table(&dist).map(Some))
        }
        other => Err(Failure(format!(
            "DATAOS_CONSOLE={other} is not one of auto, skip, require"
        ))),
    };
    let text = match built {
        Ok(Some(text)) => text,
        Ok(None) => placeholder(&root),
        Err(failure) if mode == "require" => {
            println!("cargo::error=the console cannot be built: {failure}");
            return ExitCode::FAILURE;
        }
        Err(failure) => {
            for line in failure.to_string().lines().take(WARNING_LINES_MAX) {
                println!("cargo::warning=console left out: {line}");
            }
            // A path that does not exist makes cargo look again at each build, so that the page
            // does not stay once npm is there.
            println!(
                "cargo::rerun-if-changed={}",
                out.join("look-again").display()
            );
            placeholder(&root)
        }
    };
    if let Err(error) = fs::write(out.join("assets.rs"), text) {
        println!("cargo::error=cannot write the table of the console: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The folder of a finished build.
fn find_or_build(web: &Path, out: &Path) -> Outcome<PathBuf> {
    if let Some(dist) = env::var_os("DATAOS_CONSOLE_DIST").map(PathBuf::from) {
        println!("cargo::rerun-if-changed={}", dist.join(STAMP).display());
        return Ok(dist);
    }
    let stamp = stamp(web, SOURCES)?;
    let ready = web.join("dist");
    if has_stamp(&ready, &stamp) {
        println!("cargo::rerun-if-changed={}", ready.join(STAMP).display());
        return Ok(ready);
    }
    let dist = out.join("dist");
    if !has_stamp(&dist, &stamp) {
        install_and_build(web, &dist)?;
    }
    if has_stamp(&dist, &stamp) {
        return Ok(dist);
    }
    Err(Failure(
        "web/ changed while it was built, or embed.ts hashes another list".to_owned(),
    ))
}

/// `npm ci` unless done already, then `vite build`; one at a time over all cargo processes.
fn install_and_build(web: &Path, dist: &Path) -> Outcome<()> {
    let lock = fs::File::create(web.join(".build.lock"))?;
    lock.lock()?;
    let modules = web.join("node_modules");
    let installed = stamp(web, &["package-lock.json"])?;
    if !has_stamp(&modules, &installed) {
        let flags = [
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--prefer-offline",
        ];
        npm(
            web,
            Command::new("npm")
                .args(flags)
                .args(["--fetch-retries", "2"]),
        )?;
        fs::write(modules.join(STAMP), installed)?;
    }
    let vite = modules.join("vite").join("bin").join("vite.js");
    let arguments = ["build", "--emptyOutDir", "--logLevel", "warn", "--outDir"];
    npm(
        web,
        Command::new("node").arg(vite).args(arguments).arg(dist),
    )
}

/// Runs one command in `web/`; its output matters only if it fails.
fn npm(web: &Path, command: &mut Command) -> Outcome<()> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let hint = "the console needs Node.js 20.19 or newer with npm";
    let output = command
        .current_dir(web)
        .output()
        .map_err(|error| Failure(format!("cannot run {shown}: {error}; {hint}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Failure(format!(
        "{shown} failed ({}); {hint}\n{said}",
        output.status
    )))
}

/// A cache key over files and folders: FNV-1a over path and content of each, in order of path.
fn stamp(web: &Path, sources: &[&str]) -> Outcome<String> {
    let mut files = Vec::new();
    for source in sources {
        list(&web.join(source), source, &mut files)?;
    }
    files.sort();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut feed = |bytes: &[u8]| {
        for byte in bytes.iter().chain(&[0]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for (name, path) in files {
        feed(name.as_bytes());
        let content = fs::read(&path)
            .map_err(|error| Failure(format!("cannot read {}: {error}", path.display())))?;
        feed(&content);
    }
    Ok(format!("{hash:016x}"))
}

/// Adds `path`, or the files below it, as (name with slashes, path).
fn list(path: &Path, name: &str, files: &mut Vec<(String, PathBuf)>) -> Outcome<()> {
    if !path.is_dir() {
        files.push((name.to_owned(), path.to_owned()));
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        list(&entry.path(), &name, files)?;
    }
    Ok(())
}

fn has_stamp(folder: &Path, stamp: &str) -> bool {
    fs::read_to_string(folder.join(STAMP)).is_ok_and(|found| found.trim() == stamp)
}

/// Rust text of the table, from the list that `embed.ts` wrote.
fn table(dist: &Path) -> Outcome<String> {
    let list = dist.join("assets.tsv");
    let text = fs::read_to_string(&list)
        .map_err(|error| Failure(format!("cannot read {}: {error}", list.display())))?;
    let dist = fs::canonicalize(dist)?;
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let mut entries = String::new();
    for line in lines {
        let fields: Vec<&str> = line.split('\t').collect();
        let [path, stored, encoding, content_type, digest] = fields.as_slice() else {
            return Err(Failure(format!(
                "{}: not five fields: {line}",
                list.display()
            )));
        };
        let encoding = if *encoding == "br" {
            "Some(\"br\")"
        } else {
            "None"
        };
        let bytes = format!("include_bytes!({:?})", dist.join(stored));
        entry(&mut entries, path, &bytes, encoding, content_type, digest);
    }
    Ok(format!(
        "const IS_PLACEHOLDER: bool = false;\nconst ENTRIES: &[Entry] = &[\n{entries}];\n"
    ))
}

/// Rust text of a table with the one page that says how to get the console.
fn placeholder(root: &Path) -> String {
    let mut entries = String::new();
    let page = root.join("src").join("placeholder.html");
    let bytes = format!("include_bytes!({page:?})");
    entry(
        &mut entries,
        "index.html",
        &bytes,
        "None",
        "text/html; charset=utf-8",
        "placeholder",
    );
    format!("const IS_PLACEHOLDER: bool = true;\nconst ENTRIES: &[Entry] = &[\n{entries}];\n")
}

/// Adds the Rust text of one row.
fn entry(
    entries: &mut String,
    path: &str,
    bytes: &str,
    encoding: &str,
    content_type: &str,
    digest: &str,
) {
    let etag = format!("\"{digest}\"");
    let is_immutable = path.starts_with("assets/");
    let row = format!(
        "Entry {{ path: {path:?}, asset: Asset {{ bytes: {bytes}, encoding: {encoding}, \
         content_type: {content_type:?}, etag: {etag:?}, is_immutable: {is_immutable} }} }},"
    );
    // Writing to a string does not fail.
    let _ = writeln!(entries, "{row}");
}
