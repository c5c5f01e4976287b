//! What decisions are made from goes into the log, so that they can be made again from it.
//!
//! At the start all of it, then each change in the order of the PDP: an entry is queued before the first
//! decision that is made from what it says, and the log keeps the order. If the log refuses one, the next
//! change would have nothing to go on from; then all is written again as soon as the log takes entries.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dataos_model::{
    fault::Fault,
    record::{Entry, Receipt},
    seams::Record,
    state::{StateChange, StateOf},
};
use dataos_pdp::{Pdp, State, StateStep};
use tokio::runtime::Handle;

/// How often it is looked whether all has to be written again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// Writes it.
#[derive(Debug)]
pub(crate) struct History {
    record: Arc<dyn Record>,
    /// Set when an entry was refused.
    is_broken: AtomicBool,
}

impl History {
    /// Queues all that decisions are made from now, and from now on each change.
    ///
    /// # Errors
    /// Somebody else listens.
    pub(crate) fn start(pdp: &Pdp, record: Arc<dyn Record>) -> Result<Arc<Self>, Fault> {
        let history = Arc::new(Self {
            record,
            is_broken: AtomicBool::new(false),
        });
        let (listening, runtime) = (Arc::clone(&history), Handle::current());
        pdp.on_state_change(move |step| listening.tell(&runtime, step))?;
        Ok(history)
    }

    /// Writes all again whenever a change was refused, for as long as the process runs.
    pub(crate) async fn keep_whole(self: Arc<Self>, pdp: Arc<Pdp>) {
        let mut tick = tokio::time::interval(RETRY_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if !self.is_broken.swap(false, Ordering::SeqCst) {
                continue;
            }
            let state = pdp.state();
            let written = self.write_whole(&state).await;
            // A change in between may stand in the log before what it goes on from.
            let now = pdp.state();
            let is_same = |of| now.hash(of) == state.hash(of);
            if written.is_err() || !is_same(StateOf::Policies) || !is_same(StateOf::Entities) {
                self.is_broken.store(true, Ordering::SeqCst);
            }
        }
    }

    async fn write_whole(&self, state: &State) -> Result<(), Fault> {
        for of in [StateOf::Policies, StateOf::Entities] {
            for part in state.entries(of) {
                self.append(part).await?;
            }
        }
        Ok(())
    }

    /// Queues a step; called where decisions wait for it, so it waits for nothing.
    fn tell(self: &Arc<Self>, runtime: &Handle, step: StateStep) {
        for change in step.into_entries() {
            // The entry is queued by this call.
            let appended = self.append(change);
            let history = Arc::clone(self);
            runtime.spawn(async move {
                if let Err(fault) = appended.await {
                    tracing::warn!(%fault, "a change of policies or entities was not recorded");
                    history.is_broken.store(true, Ordering::SeqCst);
                }
            });
        }
    }

    fn append(
        &self,
        change: StateChange,
    ) -> impl Future<Output = Result<Receipt, Fault>> + use<> + Send {
        let entry: Entry = change.entry(crate::limits::new_request_id());
        self.record.append(entry)
    }
}
