//! Waiting for what a server does behind its answers.

use std::time::{Duration, Instant};

/// Longest wait; far above what any machine takes.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Waits until it is so.
///
/// # Panics
/// It is not within two minutes.
pub fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !done() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
