//! The `dataos` binary: command line in, exit code out.

use std::{fmt::Display, io::Write, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use dataos_gateway::{
    app::{App, Attached, RunningApp},
    audit_check::{self, AuditCommand},
    config::{Config, Flags, LogFormat},
    demo::DemoOptions,
    observe,
    policy_code::{self, PolicyCommand},
};
use dataos_model::fault::Fault;
use tokio::signal::unix::{SignalKind, signal};

/// Takes less of each request and of memory than glibc's: see docs/decisions/0002-allocator.md.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Exit code: could not do what was asked.
const FAILED: u8 = 1;
/// Exit code: interrupted before everything was done.
const INTERRUPTED: u8 = 130;
/// Most datasets that are printed one by one.
const DATASETS_SHOWN_MAX: usize = 50;

#[derive(Parser)]
#[command(
    name = "dataos",
    version,
    about = "DataOS kernel: policy-centric data governance"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the platform on this machine.
    Serve(Settings),
    /// Show the whole path on generated data in a fresh temporary directory.
    Demo(Demo),
    /// Check, test, compare and lay out policies; needs neither server nor data directory.
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Verify the folder of an audit log; needs no server.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Questions about the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print the REST API as OpenAPI 3.1.
    Openapi,
    /// Print the version.
    Version,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print every setting with its value and where it came from.
    Explain(Settings),
}

#[derive(Args)]
struct Demo {
    /// Stop after the scenario; exit 0 only if each check held.
    #[arg(long)]
    exit: bool,
    /// TPC-H scale factor.
    #[arg(long, default_value_t = 0.1)]
    scale: f64,
    /// Address and port to listen on; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8443")]
    listen: std::net::SocketAddr,
}

#[derive(Args)]
struct Settings {
    /// Address and port to listen on.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Folder that holds everything; made at the first start.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of your own Parquet, CSV and JSON files: registered as a depot and scanned.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

impl Settings {
    fn load(self) -> Result<Config, Fault> {
        let flags = Flags {
            config: self.config,
            listen: self.listen,
            data_dir: self.data_dir,
            data: self.data,
        };
        // A variable that is not UTF-8 cannot be a setting of ours.
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Config::load(&flags, environment)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Serve(settings) => settings.load().and_then(serve),
        Command::Demo(options) => demo(&options),
        Command::Policy { command } => policy_code::run(&command).map(show_done),
        Command::Audit { command } => audit_check::run(&command).map(|found| {
            say(found);
            ExitCode::SUCCESS
        }),
        Command::Config {
            command: ConfigCommand::Explain(settings),
        } => settings.load().map(|config| explain(&config)),
        Command::Openapi => {
            say(format_args!("{}", dataos_gateway::openapi()));
            Ok(ExitCode::SUCCESS)
        }
        Command::Version => {
            say(format_args!("dataos {}", env!("CARGO_PKG_VERSION")));
            Ok(ExitCode::SUCCESS)
        }
    };
    done.unwrap_or_else(|fault| {
        // Nothing is left to tell it to if stderr is closed.
        let _ = writeln!(std::io::stderr(), "dataos: {fault}");
        ExitCode::from(FAILED)
    })
}

/// Prints a line; a closed stdout is no reason to stop serving.
fn say(line: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

/// Prints what a command over policies has to say.
fn show_done(done: policy_code::Done) -> ExitCode {
    // A closed pipe ends quietly.
    let _ = std::io::stdout().lock().write_all(done.output.as_bytes());
    let _ = std::io::stderr().lock().write_all(done.notes.as_bytes());
    ExitCode::from(done.code)
}

fn explain(config: &Config) -> ExitCode {
    for (key, value, origin, meaning) in config.explain() {
        say(format_args!(
            "{key} = {value:?}\n    from {origin}: {meaning}"
        ));
    }
    for issuer in &config.issuers {
        say(format_args!(
            "issuer {} for audience {}",
            issuer.issuer, issuer.audience
        ));
    }
    ExitCode::SUCCESS
}

fn serve(config: Config) -> Result<ExitCode, Fault> {
    let _log = observe::init_log(&config.log_level, config.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::internal(format!("no runtime: {error}")))?;
    runtime.block_on(async {
        let app = App::start(config, greet).await?;
        // A folder that cannot be read must not take the rest down.
        match app.attach_data().await {
            Ok(Some(attached)) => show(&attached),
            Ok(None) => {}
            Err(fault) => say(format_args!("--data was not attached: {fault}")),
        }
        until_told_to_stop().await?;
        say("stopping: open calls may finish");
        tokio::select! {
            () = app.shutdown() => Ok(ExitCode::SUCCESS),
            told = until_told_to_stop() => told.map(|()| ExitCode::from(INTERRUPTED)),
        }
    })
}

fn demo(options: &Demo) -> Result<ExitCode, Fault> {
    let _log = observe::init_log("warn", LogFormat::Text)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::internal(format!("no runtime: {error}")))?;
    let options = DemoOptions {
        exits: options.exit,
        scale: options.scale,
        listen: options.listen,
    };
    let has_held = runtime.block_on(dataos_gateway::demo::run(&options))?;
    Ok(if has_held {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

fn greet(app: &RunningApp) {
    let url = format!("https://{}", app.address());
    say(format_args!("DataOS kernel listens on {url}"));
    say(format_args!("  data:     {}", app.data_dir().display()));
    if let Some(address) = app.postgres_address() {
        say(format_args!("  postgres: {address}, database `dataos`"));
    }
    if !app.ca_pem().is_empty() {
        say(format_args!(
            "  CA:       {}",
            app.data_dir().join("ca.pem").display()
        ));
    }
    if let Some((user, password)) = app.first_login() {
        say("First start. This log-in is shown once (roles: admin, auditor):");
        say(format_args!("  console:  {url}/console/"));
        say(format_args!("  user:     {user}"));
        say(format_args!("  password: {password}"));
    }
}

fn show(attached: &Attached) {
    say(format_args!(
        "depot `{}`: {} datasets, open to the administrator alone",
        attached.depot,
        attached.datasets.len()
    ));
    for (address, columns) in attached.datasets.iter().take(DATASETS_SHOWN_MAX) {
        say(format_args!("  {address}  {columns} columns"));
    }
    if attached.datasets.len() > DATASETS_SHOWN_MAX {
        say(format_args!(
            "  and {} more",
            attached.datasets.len() - DATASETS_SHOWN_MAX
        ));
    }
    for (name, reason) in &attached.report.unreadable {
        say(format_args!("  not readable: {name}: {reason}"));
    }
}

async fn until_told_to_stop() -> Result<(), Fault> {
    let failed = |error: std::io::Error| Fault::internal(format!("no signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
