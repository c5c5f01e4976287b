//! What can be set.

use std::{path::PathBuf, time::Duration};

use dataos_store::Metadata;

/// Settings of the orchestrator; checked when it opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrchestratorConfig {
    /// Where the run folders (`runs/`) live, and `orchestrator.db` if `metadata` is embedded; created
    /// if absent.
    pub directory: PathBuf,
    /// Where the tables are.
    pub metadata: Metadata,
    /// Most steps of all workflows that run at one time.
    pub steps_parallel_max: usize,
    /// Longest time of one attempt of a step; it is killed with its whole group after that.
    pub step_timeout: Duration,
    /// Time between SIGTERM and SIGKILL.
    pub stop_grace: Duration,
    /// Most bytes kept of the output of one attempt; what comes after is dropped, and said so.
    pub output_bytes_max: u64,
    /// Runs kept of each workflow, the newest first.
    pub runs_kept: usize,
    /// `PATH` of local processes.
    pub path: String,
    /// Wait before a resource in error is tried again; doubles up to `retry_wait_max`.
    pub retry_wait: Duration,
    /// Longest such wait.
    pub retry_wait_max: Duration,
    /// Longest scan of a depot that apply and retries wait for.
    pub scan_timeout: Duration,
}

impl OrchestratorConfig {
    /// The defaults, in this directory.
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            metadata: Metadata::default(),
            steps_parallel_max: 4,
            step_timeout: Duration::from_secs(24 * 60 * 60),
            stop_grace: Duration::from_secs(5),
            output_bytes_max: 8 * 1024 * 1024,
            runs_kept: 10,
            path: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            retry_wait: Duration::from_secs(5),
            retry_wait_max: Duration::from_secs(300),
            scan_timeout: Duration::from_secs(60),
        }
    }
}
