//! The `dataos` binary: command line in, exit code out.

use std::{fmt::Display, io::Write, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use dataos_gateway::{
    app::{App, Attached, RunningApp, RunningRole},
    audit_check::{self, AuditCommand},
    config::{Config, Flags, LogFormat},
    demo::DemoOptions,
    listeners::{Listeners, Program},
    observe,
    policy_code::{self, PolicyCommand},
    role_certificate::{self, CertificateCommand},
    roles::Role,
};
use dataos_model::fault::Fault;
use tokio::signal::unix::{Signal, SignalKind, signal};

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
    /// Certificates of roles, from the gateway's data directory.
    Certificate {
        #[command(subcommand)]
        command: CertificateCommand,
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
    /// What this process does: all, or one role of a platform of several processes.
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
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
            role: self.role,
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
    let listeners = Listeners::take();
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Serve(settings) => settings.load().and_then(|config| serve(config, listeners)),
        Command::Demo(options) => demo(&options),
        Command::Policy { command } => policy_code::run(&command).map(show_done),
        Command::Audit { command } => audit_check::run(&command).map(|found| {
            say(found);
            ExitCode::SUCCESS
        }),
        Command::Certificate { command } => certificate(&command),
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

fn serve(config: Config, listeners: Listeners) -> Result<ExitCode, Fault> {
    let program = Program::current()
        .map_err(|error| Fault::unavailable(format!("this program has no file: {error}")))?;
    let log = observe::init_log(&config.log_level, config.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(dataos_query::THREAD_STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|error| Fault::internal(format!("no runtime: {error}")))?;
    let ended = match config.roles.role {
        Some(role) if role != Role::Gateway => runtime.block_on(run_role(config, role)),
        _ => runtime.block_on(run(config, listeners, &program)),
    };
    drop(runtime);
    // What follows does not return: lines that wait are written before.
    drop(log);
    match ended? {
        Ended::Stopped(code) => Ok(code),
        Ended::HandedOver(listeners) => {
            let error = program.replace(&listeners);
            let message = format!("the program cannot be started again: {error}");
            Err(Fault::unavailable(message))
        }
    }
}

/// How the platform ended.
enum Ended {
    Stopped(ExitCode),
    /// The program that follows gets these.
    HandedOver(Listeners),
}

async fn run(config: Config, listeners: Listeners, program: &Program) -> Result<Ended, Fault> {
    // Before anything else, since the default is to end.
    let mut signals = Signals::new()?;
    let app = App::start_on(config, listeners, greet).await?;
    // A folder that cannot be read must not take the rest down.
    match app.attach_data().await {
        Ok(Some(attached)) => show(&attached),
        Ok(None) => {}
        Err(fault) => say(format_args!("--data was not attached: {fault}")),
    }
    while signals.next().await == Told::Restart {
        let checked = program.clone();
        let checked = tokio::task::spawn_blocking(move || checked.check()).await;
        if let Ok(Err(why)) = checked {
            tracing::error!(why, "not restarted: the program does not take its settings");
            continue;
        }
        say("restarting: open calls may finish, new ones wait");
        return Ok(tokio::select! {
            listeners = app.hand_over() => Ended::HandedOver(listeners),
            () = signals.stop() => Ended::Stopped(ExitCode::from(INTERRUPTED)),
        });
    }
    say("stopping: open calls may finish");
    Ok(Ended::Stopped(tokio::select! {
        () = app.shutdown() => ExitCode::SUCCESS,
        () = signals.stop() => ExitCode::from(INTERRUPTED),
    }))
}

/// Runs one role that is not the gateway.
async fn run_role(config: Config, role: Role) -> Result<Ended, Fault> {
    let mut signals = Signals::new()?;
    let mut running = RunningRole::start(config, role).await?;
    say(format_args!(
        "DataOS kernel, role `{}`, listens on {}",
        running.role(),
        running.address()
    ));
    loop {
        tokio::select! {
            told = signals.next() => match told {
                Told::Stop => break,
                Told::Restart => say("a role restarts by stop and start"),
            },
            fault = running.failed() => return Err(fault),
        }
    }
    say("stopping: open calls may finish");
    Ok(Ended::Stopped(tokio::select! {
        () = running.shutdown() => ExitCode::SUCCESS,
        () = signals.stop() => ExitCode::from(INTERRUPTED),
    }))
}

fn certificate(command: &CertificateCommand) -> Result<ExitCode, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| Fault::internal(format!("no runtime: {error}")))?;
    say(runtime.block_on(role_certificate::run(command))?);
    Ok(ExitCode::SUCCESS)
}

fn demo(options: &Demo) -> Result<ExitCode, Fault> {
    let _log = observe::init_log("warn", LogFormat::Text)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(dataos_query::THREAD_STACK_BYTES)
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
    if let Some(address) = app.roles_address() {
        say(format_args!("  roles:    {address}"));
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

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// SIGTERM, SIGINT.
    Stop,
    /// SIGUSR2.
    Restart,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    restart: Signal,
}

impl Signals {
    fn new() -> Result<Self, Fault> {
        let catch = |kind| {
            let failed = |error| Fault::internal(format!("no signals: {error}"));
            signal(kind).map_err(failed)
        };
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            restart: catch(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.restart.recv() => Told::Restart,
        }
    }

    async fn stop(&mut self) {
        while self.next().await != Told::Stop {}
    }
}
