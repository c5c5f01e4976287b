//! However the server ends a connection, it says so: in HTTP where there is a word for it, and in TLS.

use std::time::Duration;

use super::{Front, client::Client, front};
use crate::{config::Limits, serve::tests::fakes::limits};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const GET: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Nothing ends an idle connection but what a test does.
fn patient() -> Limits {
    Limits {
        head_timeout: HOUR,
        idle_timeout: HOUR,
        drain_timeout: Duration::ZERO,
        ..limits()
    }
}

impl Front {
    /// Connections on which nothing is under way, of both versions.
    async fn idle(&self) -> [Client; 2] {
        let mut http1 = self.connect("http/1.1").await;
        http1.send(GET).await;
        assert_eq!(http1.reply().await.unwrap().status, 200);
        let mut http2 = self.connect("h2").await;
        http2.send(PREFACE).await;
        // Its settings, the acknowledgement of ours included.
        let acknowledged = b"\0\0\0\x04\x01\0\0\0\0";
        while !http2.has_read(acknowledged) {
            assert!(http2.more().await);
        }
        [http1, http2]
    }
}

/// Answers the question by which a server of HTTP/2 learns that its goodbye was heard.
async fn answer_ping(client: &mut Client) {
    if let Some(question) = client.behind(b"\0\0\x08\x06\0\0\0\0\0", 8) {
        client.send(b"\0\0\x08\x06\x01\0\0\0\0").await;
        client.send(&question).await;
    }
}

async fn end_in_order(clients: [Client; 2]) {
    for (mut client, version) in clients.into_iter().zip(["HTTP/1.1", "HTTP/2"]) {
        while client.more().await {
            answer_ping(&mut client).await;
        }
        assert!(client.has_ended_in_order(), "{version}");
    }
}

#[tokio::test]
async fn idle_connections_end_when_another_certificate_is_served() {
    let front = front(patient()).await;
    let idle = front.idle().await;
    front.tls.note_served();
    end_in_order(idle).await;
    // Those that begin with it stay.
    let [mut client, _] = front.idle().await;
    client.send(GET).await;
    assert!(!client.reply().await.unwrap().says_close());
}

#[tokio::test]
async fn idle_connections_end_when_the_program_does() {
    let front = front(patient()).await;
    let idle = front.idle().await;
    front.stop.send_replace(true);
    end_in_order(idle).await;
}

#[tokio::test]
async fn idle_connections_end_when_their_time_is_up() {
    let front = front(Limits {
        head_timeout: SECOND,
        idle_timeout: SECOND,
        ..limits()
    })
    .await;
    end_in_order(front.idle().await).await;
    let silent = [front.connect("http/1.1").await, front.connect("h2").await];
    end_in_order(silent).await;
}

#[tokio::test]
async fn the_last_answer_is_followed_by_the_end_of_tls() {
    let front = front(patient()).await;
    for request in [
        &b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"[..],
        b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\nHost: localhost\r\n\r\nwhat nobody reads",
    ] {
        let mut client = front.connect("http/1.1").await;
        client.send(request).await;
        client.reply().await.unwrap();
        assert!(client.is_ended().await);
        assert!(client.has_ended_in_order(), "{}", request.escape_ascii());
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_off_has_no_end_that_could_be_taken_for_its_own() {
    let front = front(patient()).await;
    for version in ["1.0", "1.1"] {
        let mut client = front.connect("http/1.1").await;
        let (bearer, body) = (&front.scene.bearer, r#"{"sql":"fails"}"#);
        let request = format!(
            "POST /api/v1/query HTTP/{version}\r\nHost: localhost\r\nAccept: text/csv\r\n\
             Content-Type: application/json\r\nAuthorization: {bearer}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        client.send(request.as_bytes()).await;
        while client.more().await {}
        // What was not sent yet when it failed is not sent at all.
        let read = client.unread();
        assert!(!read.ends_with("0\r\n\r\n"), "{read}");
        assert!(!client.has_ended_in_order(), "HTTP/{version}");
    }
}
