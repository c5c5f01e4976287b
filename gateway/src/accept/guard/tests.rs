//! Calls of HTTP/2 end on other threads while their connection looks how long it may wait.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
};

use super::Guarded;
use crate::{accept::wire::Wire, respond::AnswerBody, serve::tests::fakes::limits};

/// Far more often than it took to meet a call that ended between two looks at it.
const LOOKS: usize = 2_000_000;

/// Says that it is over, also if the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_call_that_ends_meanwhile_ends_no_connection() {
    let wire = Arc::new(Wire::new(Arc::default()));
    let (stream, _peer) = tokio::io::duplex(64);
    let tell = Box::new(|reason| panic!("{reason}"));
    let mut guarded = Guarded::new(stream, true, Arc::clone(&wire), limits(), tell);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let (call, _) = wire.begin();
                drop(call.answered(AnswerBody::default()));
            }
        });
        let _over = Over(&is_over);
        let mut context = Context::from_waker(Waker::noop());
        let late = (0..LOOKS).any(|_| guarded.poll_late(&mut context).is_ready());
        assert!(!late, "nothing waits for as long as that");
    });
}
