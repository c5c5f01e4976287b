//! A thread with a big stack, for code that recurses as deep as a policy is nested.
//!
//! Cedar's parser aborts the process when its stack ends, and its evaluator turns the end of the
//! stack into an error of the policy, which would disable a forbid. Neither may happen: texts are
//! bounded before they are parsed (`scan`), and what those bounds allow fits this stack.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

/// Stack of such a thread, in bytes; memory is only used as deep as the recursion goes.
const STACK_BYTES: usize = 512 * 1024 * 1024;

/// Runs `work` on a big stack. `None` if it panicked or the thread could not be started.
pub(crate) fn on_big_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let handle = thread::Builder::new()
            .name("dataos-pdp".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .ok()?;
        handle.join().ok()
    })
}

/// Runs `work` on a big stack if it `is_deep`, else here. `None` if it panicked there.
pub(crate) fn on_fitting_stack<T: Send>(
    is_deep: bool,
    work: impl FnOnce() -> T + Send,
) -> Option<T> {
    if is_deep {
        on_big_stack(work)
    } else {
        Some(work())
    }
}

/// Runs `work` here; `None` if it panicked.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
