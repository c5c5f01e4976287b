//! Doubts about the policies in force, looked for in the background: after they were loaded, and when
//! datasets changed. Loading never waits for it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use dataos_model::fault::Fault;

use crate::{analysis, version::Version};

/// Most doubts that are kept and told.
pub const WARNINGS_MAX: usize = 100;
/// Quiet time before a look: datasets come one after the other.
const QUIET: Duration = Duration::from_millis(500);
/// After a look it rests for so many times as long: it takes a twentieth of a core while datasets
/// keep changing.
const REST: u32 = 20;
/// Longest rest.
const REST_MAX: Duration = Duration::from_secs(600);

/// Looks at the newest version that it is given.
pub(crate) struct Doubts {
    wake: SyncSender<()>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    newest: Mutex<Option<Arc<Version>>>,
    found: ArcSwap<Vec<Fault>>,
}

impl Doubts {
    /// Starts to look.
    pub(crate) fn start() -> Self {
        let (wake, woken) = sync_channel(1);
        let shared = Arc::<Shared>::default();
        let looking = Arc::clone(&shared);
        let started = thread::Builder::new()
            .name("dataos-doubts".to_owned())
            .spawn(move || looking.run(&woken));
        if let Err(error) = started {
            tracing::error!(%error, "policies are not looked at once they are in force");
        }
        Self { wake, shared }
    }

    /// Nothing is looked at.
    pub(crate) fn none() -> Self {
        Self {
            wake: sync_channel(1).0,
            shared: Arc::default(),
        }
    }

    /// Has a version looked at, and no longer one that is waiting.
    pub(crate) fn look(&self, version: Arc<Version>) {
        *self.shared.newest() = Some(version);
        // Full means that it wakes anyway.
        self.wake.try_send(()).unwrap_or_default();
    }

    /// What was found at the last look.
    pub(crate) fn found(&self) -> Vec<Fault> {
        self.shared.found.load().to_vec()
    }
}

impl Shared {
    fn newest(&self) -> std::sync::MutexGuard<'_, Option<Arc<Version>>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, woken: &Receiver<()>) {
        while woken.recv().is_ok() {
            thread::sleep(QUIET);
            let version = self.newest().take();
            let started = Instant::now();
            if let Some(version) = version {
                self.look(&version);
            }
            thread::sleep((started.elapsed() * REST).min(REST_MAX));
        }
    }

    fn look(&self, version: &Version) {
        let mut found: Vec<Fault> = analysis::doubts(version)
            .into_iter()
            .map(Fault::from)
            .collect();
        if found.len() > WARNINGS_MAX {
            let (told, all) = (WARNINGS_MAX, found.len());
            tracing::warn!("{all} policies are doubtful, {told} are told (WARNINGS_MAX)");
            found.truncate(WARNINGS_MAX);
        }
        let former = self.found.load();
        for doubt in found.iter().filter(|doubt| !former.contains(doubt)) {
            tracing::warn!(%doubt, "a policy that is in force may not say what was meant");
        }
        self.found.store(Arc::new(found));
    }
}

impl fmt::Debug for Doubts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doubts")
            .field("found", &self.shared.found.load().len())
            .finish_non_exhaustive()
    }
}
