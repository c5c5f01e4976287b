//! Which core the contenders run on, and which one those who ask them: without that they take turns on all cores,
//! and a request costs what the scheduler makes of it.

use std::{
    fs,
    io::{Error, Result},
    process::{self, Command},
};

use dataos_tests::peers::succeed;

use crate::load::require;

/// Of whoever asks, and of the plain server behind the proxies.
const CLIENT: u32 = 0;
/// Of the contenders, who are measured one at a time.
const SERVER: u32 = 1;

/// Where processes run that are started from now on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cores {
    are_apart: bool,
}

impl Cores {
    /// With `are_apart` this process moves to the client's core, and all that it starts with it.
    pub(super) fn new(are_apart: bool) -> Result<Self> {
        if are_apart {
            require(&[("taskset", "util-linux")])?;
            move_to(CLIENT)?;
        }
        Ok(Self { are_apart })
    }

    /// What `start` starts runs on the server's core. A server has as many workers as it has cores.
    pub(super) fn servers<T>(self, start: impl FnOnce() -> Result<T>) -> Result<T> {
        if !self.are_apart {
            return start();
        }
        move_to(SERVER)?;
        let started = start();
        move_to(CLIENT)?;
        started
    }

    /// Share of the server's core that `work` left unused; none where servers have no core of their own.
    pub(super) fn idle<T>(self, work: impl FnOnce() -> Result<T>) -> Result<(T, Option<f64>)> {
        if !self.are_apart {
            return Ok((work()?, None));
        }
        let [idle, all] = server_ticks()?;
        let done = work()?;
        let [idle_after, all_after] = server_ticks()?;
        let share = (idle_after - idle) as f64 / (all_after - all).max(1) as f64;
        Ok((done, Some(share)))
    }
}

fn move_to(core: u32) -> Result<()> {
    let mut program = Command::new("taskset");
    program.args(["-cp", &core.to_string(), &process::id().to_string()]);
    succeed(&mut program).map(drop)
}

/// Ticks of the server's core: idle ones, and all.
fn server_ticks() -> Result<[u64; 2]> {
    let text = fs::read_to_string("/proc/stat")?;
    let name = format!("cpu{SERVER} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    let line = line.ok_or_else(|| Error::other("the machine has one core; two are needed"))?;
    let ticks: Vec<u64> = line.split(' ').filter_map(|n| n.parse().ok()).collect();
    // user, nice, system, idle, waiting for a disk, ..
    let idle = ticks.iter().skip(3).take(2).sum();
    Ok([idle, ticks.iter().sum()])
}
