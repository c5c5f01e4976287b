//! A process that answers lines: a line of JSON in, a line of JSON out.

use std::{
    io::{BufRead as _, BufReader, Error, ErrorKind, Result, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};

/// Longest wait for an answer.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Stopped when dropped.
pub(super) struct Answering {
    process: Child,
    to: ChildStdin,
    answers: Receiver<String>,
}

impl Answering {
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let (to, from) = (process.stdin.take(), process.stdout.take());
        let (Some(to), Some(from)) = (to, from) else {
            return Err(Error::other("a peer has no pipes"));
        };
        let (send, answers) = channel();
        // Ends when the process does.
        thread::spawn(move || {
            let lines = BufReader::new(from).lines();
            lines
                .map_while(Result::ok)
                .try_for_each(|line| send.send(line))
        });
        Ok(Self {
            process,
            to,
            answers,
        })
    }

    /// A line that has no answer.
    pub(super) fn tell(&mut self, line: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.to, line)?;
        self.to.write_all(b"\n")
    }

    /// Fails with [`ErrorKind::TimedOut`] if there is no answer within [`ANSWER_MAX`]: it is of no use any more then.
    pub(super) fn ask<T: DeserializeOwned>(&mut self, line: &impl Serialize) -> Result<T> {
        self.tell(line)?;
        match self.answers.recv_timeout(ANSWER_MAX) {
            Ok(answer) => Ok(serde_json::from_str(&answer)?),
            Err(RecvTimeoutError::Timeout) => {
                let message = format!("no answer in {} s", ANSWER_MAX.as_secs());
                Err(Error::new(ErrorKind::TimedOut, message))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(Error::other("a peer stopped; its message is above"))
            }
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
