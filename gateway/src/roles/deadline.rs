//! Until when the caller of what runs now waits. Calls to other roles get no longer than that.

use std::time::Duration;

use tokio::time::Instant;

tokio::task_local! {
    static UNTIL: Instant;
}

/// Runs `work` for a caller who waits so long, and no longer than the one around it.
pub(crate) async fn within<F: Future>(time_max: Duration, work: F) -> F::Output {
    UNTIL.scope(Instant::now() + left(time_max), work).await
}

/// What is left of the caller's patience, `time_max` at most.
pub(crate) fn left(time_max: Duration) -> Duration {
    let until = UNTIL.try_with(|until| until.saturating_duration_since(Instant::now()));
    until.map_or(time_max, |left| left.min(time_max))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{left, within};

    #[tokio::test]
    async fn the_shorter_patience_counts() {
        let second = Duration::from_secs(1);
        assert_eq!(left(2 * second), 2 * second);
        within(30 * second, async {
            let outer = left(100 * second);
            assert!(outer <= 30 * second && outer > 20 * second);
            within(50 * second, async { assert!(left(100 * second) <= outer) }).await;
            within(second, async { assert!(left(100 * second) <= second) }).await;
            assert_eq!(left(second), second);
        })
        .await;
        within(Duration::ZERO, async { assert!(left(second).is_zero()) }).await;
    }
}
