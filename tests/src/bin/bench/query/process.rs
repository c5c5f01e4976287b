//! A process that answers lines: a line of JSON in, a line of JSON out.

use std::{
    io::{BufRead as _, BufReader, Error, Result, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde::{Serialize, de::DeserializeOwned};

/// Stopped when dropped.
pub(super) struct Answering {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Answering {
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let (to, from) = (process.stdin.take(), process.stdout.take());
        let (Some(to), Some(from)) = (to, from) else {
            return Err(Error::other("a peer has no pipes"));
        };
        let from = BufReader::new(from);
        Ok(Self { process, to, from })
    }

    /// A line that has no answer.
    pub(super) fn tell(&mut self, line: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.to, line)?;
        self.to.write_all(b"\n")
    }

    pub(super) fn ask<T: DeserializeOwned>(&mut self, line: &impl Serialize) -> Result<T> {
        self.tell(line)?;
        let mut answer = String::new();
        self.from.read_line(&mut answer)?;
        serde_json::from_str(&answer)
            .map_err(|_| Error::other("a peer stopped; its message is above"))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
