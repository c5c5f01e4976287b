//! Roles as processes of their own, as an operator starts them.

use std::{
    fs,
    io::{Error, Result},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    binaries::{binary, free_port},
    server::{Options, Server},
};

/// Longest wait until processes have found each other; a debug build on a busy machine is slow.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// A process of one role; killed when dropped.
#[derive(Debug)]
pub struct RoleProcess {
    role: String,
    /// The port of its door for the gateway.
    pub port: u16,
    /// Where the gateway's door for roles is.
    gateway: u16,
    /// Folder with its identity.
    pub identity: PathBuf,
    data_dir: PathBuf,
    log: PathBuf,
    process: Option<Child>,
}

impl RoleProcess {
    /// A process that is not started yet.
    ///
    /// # Errors
    /// No free port.
    pub fn new(role: &str, gateway: u16, folder: &Path) -> Result<Self> {
        Ok(Self {
            role: role.to_owned(),
            port: free_port()?,
            gateway,
            identity: folder.join(role).join("identity"),
            data_dir: folder.join(role),
            log: folder.join(format!("{role}.log")),
            process: None,
        })
    }

    /// Starts it; it may find its gateway later.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(&mut self) -> Result<()> {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)?;
        let process = Command::new(binary("dataos"))
            .args(["serve", "--role", &self.role, "--data-dir"])
            .arg(&self.data_dir)
            .env("DATAOS_ROLES_LISTEN", format!("127.0.0.1:{}", self.port))
            .env(
                "DATAOS_ROLES_GATEWAY",
                format!("127.0.0.1:{}", self.gateway),
            )
            .env("DATAOS_ROLES_IDENTITY", &self.identity)
            .env("DATAOS_LOG_LEVEL", "debug")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.process = Some(process);
        Ok(())
    }

    /// Kills it at once (SIGKILL).
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// Asks it to stop (SIGTERM) and waits.
    ///
    /// # Errors
    /// It ends with another code than 0.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        let pid = process.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        let status = process.wait()?;
        if status.success() {
            return Ok(());
        }
        let printed = self.printed();
        Err(Error::other(format!("{status}:\n{printed}")))
    }

    /// Waits until it ends by itself; what it printed.
    ///
    /// # Errors
    /// It does not, or ends well.
    pub fn refused(&mut self) -> Result<String> {
        let deadline = Instant::now() + READY_TIMEOUT;
        while let Some(process) = &mut self.process {
            match process.try_wait()? {
                Some(status) if !status.success() => return Ok(self.printed()),
                None if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                status => return Err(Error::other(format!("{status:?}: {}", self.printed()))),
            }
        }
        Err(Error::other("it was not started"))
    }

    /// All that it printed so far.
    pub fn printed(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for RoleProcess {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// A gateway, and the other roles as processes beside it.
#[derive(Debug)]
pub struct Platform {
    /// The gateway.
    pub gateway: Server,
    /// The port of its door for roles.
    pub port: u16,
    /// The other roles.
    pub roles: Vec<RoleProcess>,
    folder: tempfile::TempDir,
}

impl Platform {
    /// Starts a gateway on these options, and `roles` with certificates of its built-in CA.
    ///
    /// # Errors
    /// A process does not start, or they do not find each other.
    pub fn start(roles: &[&str], options: Options) -> Result<Self> {
        let mut platform = Self::begin(roles, options)?;
        for role in &mut platform.roles {
            issue(&role.role, &role.identity, &platform.gateway.data_dir)?;
            role.start()?;
        }
        platform.wait_until_whole()?;
        Ok(platform)
    }

    /// Starts the gateway alone, which may not be ready without the others; the other roles have no identity yet. The options' configuration goes on in the
    /// table `roles`.
    ///
    /// # Errors
    /// It does not start.
    pub fn begin(roles: &[&str], options: Options) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = free_port()?;
        let make = |role: &&str| RoleProcess::new(role, port, folder.path());
        let roles: Vec<RoleProcess> = roles.iter().map(make).collect::<Result<_>>()?;
        let endpoints = roles.iter();
        let endpoints = endpoints.map(|one| format!("{} = \"127.0.0.1:{}\"\n", one.role, one.port));
        let config = format!(
            "role = \"gateway\"\n[roles]\nlisten = \"127.0.0.1:{port}\"\n{}{}",
            endpoints.collect::<String>(),
            options.config.clone().unwrap_or_default(),
        );
        let options = Options {
            config: Some(config),
            ..options
        };
        Ok(Self {
            gateway: Server::begin(&options)?,
            port,
            roles,
            folder,
        })
    }

    /// Kills the gateway and starts it on the same directory and port; does not wait until it is ready.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart_gateway(&mut self) -> Result<()> {
        self.gateway.kill()?;
        self.gateway.start_again()
    }

    /// A folder for what belongs to this platform.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process of a role.
    ///
    /// # Panics
    /// There is none.
    #[expect(clippy::panic, reason = "a test names the roles that it started")]
    pub fn role(&mut self, name: &str) -> &mut RoleProcess {
        let found = self.roles.iter_mut().find(|one| one.role == name);
        found.unwrap_or_else(|| panic!("no process of the role {name}"))
    }

    /// What `/readyz` answers.
    ///
    /// # Errors
    /// No answer.
    pub fn ready(&self) -> Result<(u16, String)> {
        let (status, _, body) = self.gateway.request(&[], "/readyz")?;
        Ok((status, body))
    }

    /// Waits until the gateway says this of its roles.
    ///
    /// # Errors
    /// It does not in time; the message holds what all printed.
    pub fn wait_for_ready(&self, expected: &str) -> Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let ready = self.ready();
            if let Ok((200, body)) = &ready
                && body == expected
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                let printed = self.roles.iter().map(RoleProcess::printed);
                return Err(Error::other(format!(
                    "/readyz answers {ready:?}, not {expected:?}\n{}\n{}",
                    self.gateway.printed(),
                    printed.collect::<String>()
                )));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until no role is away.
    ///
    /// # Errors
    /// One is for too long.
    pub fn wait_until_whole(&self) -> Result<()> {
        self.wait_for_ready("ok\n")
    }
}

/// Issues the identity of a role from a gateway's data directory.
///
/// # Errors
/// What the command said.
pub fn issue(role: &str, folder: &Path, data_dir: &Path) -> Result<()> {
    let issued = Command::new(binary("dataos"))
        .args(["certificate", "issue", "--role", role, "--out"])
        .arg(folder)
        .arg("--data-dir")
        .arg(data_dir)
        .output()?;
    if issued.status.success() {
        return Ok(());
    }
    Err(Error::other(
        String::from_utf8_lossy(&issued.stderr).into_owned(),
    ))
}
