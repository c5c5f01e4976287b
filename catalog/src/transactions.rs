//! The one writer: each change is written, seen by the PDP, durable and published, or none of it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use dataos_model::{
    clock::Clock, depot::AssetSnapshot, entity::EntityChange, fault::Fault, seams::EntitySink,
};

use crate::{
    change::Mutation,
    entities::{Touched, difference},
    state::{Published, State},
    store::Tables,
};

/// What a transaction decided on the state it found: its changes, and what to tell the caller.
pub(crate) type Planned<T> = Result<(Vec<Mutation>, T), Fault>;

/// Runs transactions one after the other and publishes what they lead to.
#[derive(Debug)]
pub(crate) struct Transactions {
    sink: Arc<dyn EntitySink>,
    clock: Arc<dyn Clock>,
    published: ArcSwap<Published>,
    /// Held across a whole transaction: there is one writer.
    writer: tokio::sync::Mutex<Writer>,
}

#[derive(Debug)]
struct Writer {
    store: Tables,
    state: State,
    /// Why no more changes are taken: state and store may differ. Set for as long as a transaction
    /// runs too, so that one that is torn out by a panic leaves it set.
    stopped: Option<Fault>,
    /// Set after a failed transaction whose end is not known yet: what the PDP has seen, and where it
    /// may differ from the store. The next change finds out first.
    unsettled: Option<(Arc<AssetSnapshot>, Touched)>,
}

impl Transactions {
    /// Loads the store and hands all entities to the sink.
    pub(crate) async fn open(
        store: Tables,
        sink: Arc<dyn EntitySink>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Fault> {
        let state = State::load(store.load().await?);
        let published = ArcSwap::from_pointee(state.published().clone());
        let writer = tokio::sync::Mutex::new(Writer {
            store,
            state,
            stopped: None,
            unsettled: None,
        });
        let transactions = Self {
            sink,
            clock,
            published,
            writer,
        };
        let snapshot = Arc::clone(&transactions.published().snapshot);
        let everything = Touched::all(&snapshot);
        transactions.feed(difference(
            &AssetSnapshot::default(),
            &snapshot,
            &everything,
        ))?;
        Ok(transactions)
    }

    /// Closes the store when the transaction that runs has ended.
    pub(crate) async fn close(&self) {
        let mut writer = self.writer.lock().await;
        writer.stopped = Some(stopped("it is closed"));
        writer.store.close().await;
    }

    /// What readers see now.
    pub(crate) fn published(&self) -> Arc<Published> {
        self.published.load_full()
    }

    /// Runs one transaction: `plan` decides on the newest state, no other change comes between. The
    /// caller must not drop the future half-way.
    pub(crate) async fn run<T>(
        &self,
        cause: &'static str,
        plan: impl FnOnce(&State) -> Planned<T>,
    ) -> Result<T, Fault> {
        let mut writer = self.writer.lock().await;
        self.settle(&mut writer).await;
        if let Some(fault) = &writer.stopped {
            return Err(fault.clone());
        }
        let (mutations, answer) = plan(&writer.state)?;
        if mutations.is_empty() {
            return Ok(answer);
        }
        writer.stopped = Some(stopped("a change was interrupted; restart to go on"));
        let outcome = self.commit(&mut writer, cause, &mutations).await;
        match outcome {
            Ok(()) => {
                writer.stopped = None;
                Ok(answer)
            }
            Err(fault) => {
                tracing::error!(cause, %fault, "catalog transaction failed");
                Err(fault)
            }
        }
    }

    /// Writes, lets the PDP see, makes durable, publishes. The PDP comes before durability so that
    /// what it refuses is never durable; a failure after it is undone there too.
    async fn commit(
        &self,
        writer: &mut Writer,
        cause: &str,
        mutations: &[Mutation],
    ) -> Result<(), Fault> {
        let Writer { store, state, .. } = writer;
        let number = state.transaction + 1;
        let pending = match store
            .write(number, self.clock.now(), cause, mutations)
            .await
        {
            Ok(pending) => pending,
            Err(fault) => {
                // Nothing but the store has seen the change, and it rolls back what it has not committed.
                writer.stopped = None;
                return Err(fault);
            }
        };
        let old = Arc::clone(&state.published().snapshot);
        let touched = state.apply(number, mutations);
        let new = Arc::clone(&state.published().snapshot);
        let (seen, outcome) = match self.feed(difference(&old, &new, &touched)) {
            Err(fault) => {
                let undone = pending.roll_back().await;
                (old, Err(undone.err().unwrap_or(fault)))
            }
            Ok(()) => (new, pending.commit().await),
        };
        match outcome {
            Ok(()) => self.published.store(Arc::new(state.published().clone())),
            Err(_) => {
                writer.unsettled = Some((seen, touched));
                self.settle(writer).await;
            }
        }
        outcome
    }

    /// After a failed transaction: what is durable counts, for us and for the PDP. A store that cannot
    /// be read is asked again at the next change.
    async fn settle(&self, writer: &mut Writer) {
        let Some((seen, touched)) = writer.unsettled.take() else {
            return;
        };
        match self.recover(writer, &seen, &touched).await {
            Ok(()) => writer.stopped = None,
            Err(fault) => {
                writer.stopped = Some(stopped(&fault.message));
                writer.unsettled = Some((seen, touched));
            }
        }
    }

    async fn recover(
        &self,
        writer: &mut Writer,
        seen: &AssetSnapshot,
        touched: &Touched,
    ) -> Result<(), Fault> {
        let stored = writer.store.load().await?;
        let written = std::mem::take(&mut writer.state.written);
        writer.state = State::load(stored);
        writer.state.written = written;
        let published = writer.state.published().clone();
        self.feed(difference(seen, &published.snapshot, touched))?;
        self.published.store(Arc::new(published));
        Ok(())
    }

    fn feed(&self, changes: Vec<EntityChange>) -> Result<(), Fault> {
        if changes.is_empty() {
            return Ok(());
        }
        self.sink.apply(changes).map(|_| ())
    }
}

fn stopped(why: &str) -> Fault {
    Fault::unavailable(format!("the catalog takes no more changes: {why}"))
        .with_reason("catalog_stopped")
        .with_hint("reads go on; mend the cause and try again")
}
