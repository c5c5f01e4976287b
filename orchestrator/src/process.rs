//! Local processes: each step in a process group of its own, its output kept within a bound, its end
//! committed by write, sync and rename.

use std::{
    fs,
    io::{self, Write},
    os::unix::{
        fs::{DirBuilderExt, OpenOptionsExt},
        process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use dataos_model::secret::Secret;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe::Receiver,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::engine::Files;

/// Wait for output after the whole group is gone: only a process that left the group can hold it.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// What to start.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) files: Files,
    /// Program and arguments.
    pub(crate) command: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// File name and value; readable by this user alone, gone when the step ends.
    pub(crate) secrets: Vec<(String, Secret)>,
    pub(crate) output_bytes_max: u64,
}

/// Bounds of a running step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) timeout: Duration,
    pub(crate) stop_grace: Duration,
}

/// A started process.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pid: Pid,
    /// Ready once the leader of the group has ended. It is not reaped by that, so nobody else can get
    /// its number and signals to the group are safe until `child` is waited for.
    ended: JoinHandle<io::Result<()>>,
    output: JoinHandle<io::Result<()>>,
    files: Files,
    /// Boot id, process id and start time: what proves later that a process is this one.
    pub(crate) identity: String,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By a signal that was not ours.
    Signal(i32),
    /// We killed it: too long.
    TimedOut,
    /// We killed it: asked to stop.
    Stopped,
}

/// Starts a process.
///
/// # Errors
/// The program cannot be started, or its folder cannot be made.
pub(crate) fn start(launch: Launch) -> io::Result<Running> {
    let files = launch.files;
    for folder in [Some(files.work.as_path()), files.output.parent()]
        .into_iter()
        .flatten()
    {
        create_folder(folder)?;
    }
    write_secrets(&files.secrets, &launch.secrets)?;
    let output = private_file(&files.output)?;
    let (reader, writer) = io::pipe()?;
    let mut words = launch.command.iter();
    let program = words.next().ok_or_else(|| io::Error::other("no program"))?;
    let mut command = Command::new(program);
    command
        .args(words)
        .env_clear()
        .envs(launch.environment)
        .current_dir(&files.work)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0);
    let mut child = command.spawn()?;
    // Our own ends of the pipe go with it, so that its end is seen.
    drop(command);
    match watch(&child) {
        Ok((pid, ended, identity)) => {
            let reader = Receiver::from_owned_fd(reader.into())?;
            let output = tokio::fs::File::from_std(output);
            let output = tokio::spawn(copy(reader, output, launch.output_bytes_max));
            Ok(Running {
                child,
                pid,
                ended,
                output,
                files,
                identity,
            })
        }
        Err(error) => {
            // Not waited for yet, so the number is still its own.
            child.kill()?;
            child.wait()?;
            Err(error)
        }
    }
}

fn watch(child: &Child) -> io::Result<(Pid, JoinHandle<io::Result<()>>, String)> {
    let pid = Pid::from_child(child);
    let ticks = start_ticks(pid).ok_or_else(|| io::Error::other("its start time is not known"))?;
    let identity = format!("{} {} {ticks}", boot_id()?, pid.as_raw_nonzero());
    // One thread per running step, of which there are few.
    let ended = tokio::task::spawn_blocking(move || {
        loop {
            match waitid(
                WaitId::Pid(pid),
                WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
            ) {
                Err(rustix::io::Errno::INTR) => {}
                done => return Ok(done.map(|_| ())?),
            }
        }
    });
    Ok((pid, ended, identity))
}

impl Running {
    /// Waits for the end, kills the group on timeout or when asked to stop, and commits the exit.
    ///
    /// # Errors
    /// The end cannot be waited for or committed.
    pub(crate) async fn finish(
        mut self,
        stop: &CancellationToken,
        limits: Limits,
    ) -> io::Result<Exit> {
        let killed = tokio::select! {
            ended = &mut self.ended => { ended??; None }
            () = stop.cancelled() => Some(Exit::Stopped),
            () = tokio::time::sleep(limits.timeout) => Some(Exit::TimedOut),
        };
        if killed.is_some() {
            self.signal(Signal::TERM);
            let grace = tokio::time::timeout(limits.stop_grace, &mut self.ended).await;
            if grace.is_err() {
                self.signal(Signal::KILL);
                (&mut self.ended).await??;
            }
        }
        // What the leader left behind in its group ends with it.
        self.signal(Signal::KILL);
        let status = self.child.wait()?;
        if tokio::time::timeout(DRAIN_TIMEOUT, &mut self.output)
            .await
            .is_err()
        {
            self.output.abort();
        }
        let exit = killed.unwrap_or_else(|| exit_of(status));
        remove_secrets(&self.files.secrets);
        // A stop is no end of the step: it is tried again, so nothing is committed.
        if exit != Exit::Stopped {
            commit(&self.files.exit, &exit)?;
        }
        Ok(exit)
    }

    fn signal(&self, signal: Signal) {
        // It fails only if nothing of the group is left.
        let _ = kill_process_group(self.pid, signal);
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or(0)),
    }
}

/// Copies what a step writes, up to a bound; what comes after is read and dropped, so that the step
/// does not stand still.
async fn copy(mut from: Receiver, mut to: tokio::fs::File, most: u64) -> io::Result<()> {
    let mut buffer = vec![0; 8192];
    let mut left = most;
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.flush().await;
        }
        let kept = usize::try_from(left).unwrap_or(usize::MAX).min(count);
        if kept > 0 {
            to.write_all(buffer.get(..kept).unwrap_or_default()).await?;
            left -= kept as u64;
            if left == 0 {
                to.write_all(format!("\n[output cut after {most} bytes]\n").as_bytes())
                    .await?;
            }
            to.flush().await?;
        }
    }
}

/// Whether an attempt whose end nobody saw has committed one.
pub(crate) fn committed(files: &Files) -> Option<Exit> {
    let text = fs::read_to_string(&files.exit).ok()?;
    match text.trim().split_once(' ')? {
        ("code", value) => value.parse().ok().map(Exit::Code),
        ("signal", value) => value.parse().ok().map(Exit::Signal),
        ("timeout", _) => Some(Exit::TimedOut),
        _ => None,
    }
}

fn commit(path: &Path, exit: &Exit) -> io::Result<()> {
    let text = match exit {
        Exit::Code(code) => format!("code {code}\n"),
        Exit::Signal(signal) => format!("signal {signal}\n"),
        Exit::TimedOut | Exit::Stopped => "timeout 1\n".to_owned(),
    };
    let draft = path.with_extension("draft");
    let mut file = private_file(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    let folder = path.parent().unwrap_or(path);
    fs::File::open(folder)?.sync_all()
}

/// Kills what is left of a process of an earlier life, if the number still is that process; and
/// takes its secrets away. Says whether something was killed.
pub(crate) fn kill_leftover(identity: &str, files: &Files) -> bool {
    remove_secrets(&files.secrets);
    let mut words = identity.split(' ');
    let (Some(boot), Some(pid), Some(ticks)) = (words.next(), words.next(), words.next()) else {
        return false;
    };
    let is_this_boot = boot_id().is_ok_and(|now| now == boot);
    let pid = pid.parse().ok().and_then(Pid::from_raw);
    let (Some(pid), true) = (pid, is_this_boot) else {
        return false;
    };
    // While its leader has the start time that we noted, the group is the one that we made.
    start_ticks(pid).is_some_and(|now| now == ticks)
        && kill_process_group(pid, Signal::KILL).is_ok()
}

/// Start time in clock ticks since boot, as the kernel tells it.
fn start_ticks(pid: Pid) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name of the program may hold anything, so fields are counted from its closing bracket:
    // the state is the third field, the start time the twenty-second.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19).map(str::to_owned)
}

fn boot_id() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned())
}

fn create_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn private_file(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

fn write_secrets(folder: &Path, secrets: &[(String, Secret)]) -> io::Result<()> {
    if secrets.is_empty() {
        return Ok(());
    }
    create_folder(folder)?;
    for (name, value) in secrets {
        private_file(&folder.join(name))?.write_all(value.expose())?;
    }
    Ok(())
}

fn remove_secrets(folder: &PathBuf) {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::error!(folder = %folder.display(), %error, "secret files cannot be removed");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
