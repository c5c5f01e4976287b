//! Streams of events over real connections: what does not cut them, and how they end.

use std::time::{Duration, Instant};

use super::{Front, client::Client, front};
use crate::{config::Limits, serve::tests::fakes::limits};

const SECOND: Duration = Duration::from_secs(1);

impl Front {
    /// A stream of the log over HTTP/1.1 that has begun.
    async fn follow(&self) -> Client {
        let mut client = self.connect("http/1.1").await;
        let bearer = &self.scene.bearer;
        let request = format!(
            "GET /api/v1/audit/stream HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\
             Accept-Encoding: gzip, br\r\nAuthorization: {bearer}\r\n\r\n"
        );
        client.send(request.as_bytes()).await;
        let reply = client.reply().await.unwrap();
        assert_eq!(reply.status, 200);
        assert!(!reply.head.contains("content-encoding"), "{}", reply.head);
        assert!(
            reply.head.contains("\r\ntransfer-encoding: chunked\r\n"),
            "{}",
            reply.head
        );
        client
    }
}

/// Reads until the text has come so often.
async fn until(client: &mut Client, text: &str, times: usize) {
    while client.unread().matches(text).count() < times {
        assert!(client.more().await, "ended: {}", client.unread());
    }
}

#[tokio::test]
async fn silence_of_the_log_cuts_no_stream() {
    let front = front(Limits {
        idle_timeout: SECOND,
        send_timeout: 6 * SECOND,
        answer_timeout: SECOND,
        ..limits()
    })
    .await;
    let mut client = front.follow().await;
    let started = Instant::now();
    // The first place, and one for each third of the time in which a client must take something.
    until(&mut client, ":\nid: 0\n\n", 5).await;
    assert!(started.elapsed() >= 6 * SECOND, "{:?}", started.elapsed());
    assert_eq!(front.refused("send_timeout"), 0);
}

#[tokio::test]
async fn a_stream_ends_in_order_when_the_program_does() {
    let front = front(Limits {
        drain_timeout: 30 * SECOND,
        ..limits()
    })
    .await;
    let mut client = front.follow().await;
    until(&mut client, "id: 0", 1).await;
    front.stop.send_replace(true);
    until(&mut client, "\"reason\":\"stopping\"", 1).await;
    // The last chunk, then the end of TLS and not of TCP alone.
    while client.more().await {}
    assert!(
        client.unread().ends_with("\r\n0\r\n\r\n"),
        "{}",
        client.unread()
    );
    assert!(client.has_ended_in_order());
}
