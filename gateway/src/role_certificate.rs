//! `dataos certificate issue`: the first certificate of a role, from the built-in CA in the gateway's data
//! directory. Whoever can read that directory is the platform, so nobody else is asked.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use dataos_model::{clock::Clock, fault::Fault};

use crate::{
    app::SystemClock,
    certificates::role::{LIFE_S, RoleIssuer},
    config::{Config, Flags},
    roles::{Role, identity},
};

/// Longest life in hours: long enough to carry a certificate to where it is used, too short to be kept.
const HOURS_MAX: i64 = 24 * 7;

/// Commands over certificates of roles.
#[derive(Debug, Subcommand)]
pub enum CertificateCommand {
    /// Write the identity of a role (certificate, key, CA) into a folder; the role renews it while it runs.
    Issue {
        /// The role.
        #[arg(long)]
        role: String,
        /// Folder to write `identity.pem` and `ca.pem` into.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// The gateway's data directory.
        #[arg(long, value_name = "FOLDER")]
        data_dir: Option<PathBuf>,
        /// The gateway's configuration file (TOML).
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Hours until it ends, unless a running role renews it.
        #[arg(long, default_value_t = LIFE_S / 3600)]
        hours: i64,
    },
}

/// Runs a command; what it says.
///
/// # Errors
/// An unknown role, a data directory without CA, or a folder that cannot be written.
pub async fn run(command: &CertificateCommand) -> Result<String, Fault> {
    let CertificateCommand::Issue {
        role,
        out,
        data_dir,
        config,
        hours,
    } = command;
    let role = Role::named(role).ok_or_else(|| {
        let names: Vec<&str> = Role::ALL.iter().map(|role| role.name()).collect();
        Fault::invalid(format!("`{role}` is no role"))
            .with_hint(format!("name one of {}", names.join(", ")))
    })?;
    if !(1..=HOURS_MAX).contains(hours) {
        return Err(Fault::invalid(format!(
            "--hours is not from 1 to {HOURS_MAX}"
        )));
    }
    let flags = Flags {
        config: config.clone(),
        data_dir: data_dir.clone(),
        ..Flags::default()
    };
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let config = Config::load(&flags, environment)?;
    issue(&config, role, out, hours * 3600).await
}

async fn issue(config: &Config, role: Role, out: &Path, life_s: i64) -> Result<String, Fault> {
    let trust_domain = &config.asked_of_clients.trust_domain;
    let issuer = RoleIssuer::of_directory(&config.data_dir, trust_domain).await?;
    let pem = issuer.issue(role, life_s, SystemClock.now())?;
    identity::write(out, &pem)?;
    Ok(format!(
        "{} in {}, for {} h; `dataos serve --role {role}` renews it while it runs",
        role.uri(trust_domain),
        out.display(),
        life_s / 3600
    ))
}
