//! Load over HTTP by wrk, and what it costs the server.

use std::{
    fs,
    io::{Error, Result},
    path::Path,
    process::Command,
};

use dataos_tests::peers::succeed;

/// How a server is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load<'a> {
    pub connections: u32,
    pub seconds: u64,
    pub headers: &'a [&'a str],
    /// Lua for wrk that makes the requests; without one it sends GET.
    pub script: Option<&'a Path>,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub requests_per_second: f64,
    pub cpu_us_per_request: f64,
}

impl Load<'_> {
    /// Asks for some seconds; CPU is user + system time of the processes.
    pub(crate) fn measure(&self, url: &str, pids: &[u32]) -> Result<Sample> {
        let before = cpu_ticks(pids)?;
        let mut wrk = Command::new("wrk");
        wrk.args(["-t", "1", "-c", &self.connections.to_string()])
            .args(["-d", &format!("{}s", self.seconds)]);
        for header in self.headers {
            wrk.args(["-H", header]);
        }
        if let Some(script) = self.script {
            wrk.arg("-s").arg(script);
        }
        let printed = succeed(wrk.arg(url))?;
        let ticks = cpu_ticks(pids)?.saturating_sub(before);
        if printed.contains("Non-2xx") {
            return Err(Error::other(format!(
                "{url} answered with errors:\n{printed}"
            )));
        }
        let count: f64 = printed
            .lines()
            .find_map(|line| line.trim().split_once(" requests in "))
            .and_then(|(count, _)| count.parse().ok())
            .ok_or_else(|| Error::other(format!("wrk said:\n{printed}")))?;
        let tick_us = 10_000.0;
        Ok(Sample {
            requests_per_second: count / self.seconds as f64,
            cpu_us_per_request: ticks as f64 * tick_us / count,
        })
    }
}

/// Programs with the Debian package that brings each.
pub(crate) fn require(programs: &[(&str, &str)]) -> Result<()> {
    programs.iter().try_for_each(|(program, package)| {
        let found = succeed(Command::new("which").arg(program));
        found.map(drop).map_err(|_| {
            Error::other(format!(
                "{program} is not installed; run: apt-get install -y {package}"
            ))
        })
    })
}

/// User + system time of the processes, in clock ticks of 10 ms.
pub(crate) fn cpu_ticks(pids: &[u32]) -> Result<u64> {
    pids.iter().try_fold(0, |sum, pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields: Vec<&str> = text
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_whitespace().collect())
            .unwrap_or_default();
        let ticks: u64 = [11, 12]
            .iter()
            .filter_map(|position| fields.get(*position)?.parse::<u64>().ok())
            .sum();
        Ok(sum + ticks)
    })
}

/// Memory of a process that is resident.
pub(crate) fn resident_mib(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    text.lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .and_then(|number| number.trim().parse::<f64>().ok())
        .map(|kib| kib / 1024.0)
        .ok_or_else(|| Error::other("no VmRSS"))
}
