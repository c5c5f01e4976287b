//! The threads on which plans run, and nothing else does.
//!
//! What an operator computes over one batch is not broken off: a sum of a window over all rows of a table, or a
//! function of a long text, keeps its thread until it is done. On the threads that serve callers that would hold up
//! all of them, and with them the cancel that should end it. Here it holds up statements alone.

use std::sync::Arc;

use datafusion::{
    arrow::array::RecordBatch,
    common::Result,
    execution::TaskContext,
    physical_plan::{
        ExecutionPlan, SendableRecordBatchStream, execute_stream,
        stream::RecordBatchReceiverStreamBuilder,
    },
};
use dataos_model::fault::Fault;
use futures::StreamExt as _;
use tokio::runtime::{Builder, Handle, Runtime};

use super::{
    barrier::learn,
    wanted::{Wanted, wanted},
};
use crate::THREAD_STACK_BYTES;

/// Batches that wait for whoever takes the rows.
const BATCHES_WAITING_MAX: usize = 2;

/// See the module.
#[derive(Debug)]
pub(crate) struct Threads {
    handle: Handle,
    /// Until it is dropped.
    runtime: Option<Runtime>,
}

impl Threads {
    /// Starts so many.
    ///
    /// # Errors
    /// Threads that the system does not give.
    pub(crate) fn start(count: usize) -> Result<Self, Fault> {
        let mut threads = Builder::new_multi_thread();
        threads
            .worker_threads(count)
            .thread_name("query-engine")
            .thread_stack_size(THREAD_STACK_BYTES)
            .enable_all();
        let threads = threads.build().map_err(|error| {
            Fault::unavailable(format!("the engine has no threads: {error}"))
                .with_hint("allow the process more threads")
        })?;
        Ok(Self {
            handle: threads.handle().clone(),
            runtime: Some(threads),
        })
    }
}

/// The rows of a plan that runs. Dropped, they end it.
pub(crate) struct Running {
    plan: Arc<dyn ExecutionPlan>,
    batches: SendableRecordBatchStream,
    _wanted: Wanted,
    /// Held as long as they run it.
    _threads: Arc<Threads>,
}

impl Running {
    /// Runs a plan on these threads; once, as copies of a plan share what its joins have built.
    ///
    /// # Errors
    /// A plan that is not whole.
    pub(crate) fn start(
        threads: &Arc<Threads>,
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
    ) -> Result<Self> {
        let (plan, wanted) = wanted(plan)?;
        let mut batches = RecordBatchReceiverStreamBuilder::new(plan.schema(), BATCHES_WAITING_MAX);
        let (to, running) = (batches.tx(), Arc::clone(&plan));
        let run = async move {
            let mut rows = execute_stream(running, context)?;
            while let Some(batch) = rows.next().await {
                let is_last = batch.is_err();
                if to.send(batch).await.is_err() || is_last {
                    break;
                }
            }
            Ok(())
        };
        batches.spawn_on(run, &threads.handle);
        Ok(Self {
            plan,
            batches: batches.build(),
            _wanted: wanted,
            _threads: Arc::clone(threads),
        })
    }

    /// The next batch; none behind the last.
    pub(crate) async fn next(&mut self) -> Option<Result<RecordBatch>> {
        self.batches.next().await
    }

    /// Keeps how many rows came through, now that it has run to its end.
    pub(crate) fn learn(&self) {
        learn(&self.plan);
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Whoever drops them may be one of those that must not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
