//! Peers that are slow, silent, or too many.

use std::time::{Duration, Instant};

use super::front;
use crate::{config::Limits, serve::tests::fakes::limits};

const SECOND: Duration = Duration::from_secs(1);
const GET: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn short() -> Limits {
    Limits {
        head_timeout: SECOND,
        idle_timeout: 4 * SECOND,
        send_timeout: SECOND,
        body_timeout: SECOND,
        ..limits()
    }
}

#[tokio::test]
async fn a_head_has_its_time_however_it_trickles() {
    let front = front(Limits {
        head_timeout: 3 * SECOND,
        ..limits()
    })
    .await;
    let mut client = front.connect("http/1.1").await;
    client.send(GET).await;
    assert_eq!(client.reply().await.unwrap().status, 200);
    let started = Instant::now();
    for byte in GET.iter().take(15) {
        client.send(&[*byte]).await;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let reply = client.reply().await.unwrap();
    assert_eq!(
        (reply.status, reply.reason().as_str()),
        (408, "head_timeout")
    );
    assert!(client.is_ended().await);
    assert!(started.elapsed() >= 3 * SECOND);
    front.until_recorded(1).await;
    assert_eq!(front.refused("head_timeout"), 1);
}

#[tokio::test]
async fn silence_ends_a_connection_and_a_call_does_not() {
    let first = front(short()).await;
    for protocol in ["http/1.1", "h2"] {
        let started = Instant::now();
        let mut silent = first.connect(protocol).await;
        while silent.more().await {}
        // Only the client's own patience is above: the machine may be busy.
        assert!(started.elapsed() >= SECOND, "{protocol}");
    }
    let front = front(Limits {
        idle_timeout: 6 * SECOND,
        ..limits()
    })
    .await;
    let mut client = front.connect("http/1.1").await;
    client.send(GET).await;
    client.reply().await.unwrap();
    // Before the time is up it may be used again, and has its time anew.
    tokio::time::sleep(2 * SECOND).await;
    client.send(GET).await;
    client.reply().await.unwrap();
    let started = Instant::now();
    assert!(client.is_ended().await);
    assert!(started.elapsed() >= 5 * SECOND, "{:?}", started.elapsed());
    assert_eq!((first.recorded(), front.recorded()), (0, 0));
}

#[tokio::test]
async fn a_body_has_its_time() {
    let front = front(short()).await;
    let mut client = front.connect("http/1.1").await;
    let head = b"POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    client.send(head).await;
    let reply = client.reply().await.unwrap();
    assert_eq!(
        (reply.status, reply.reason().as_str()),
        (408, "body_timeout")
    );
    assert!(client.is_ended().await);
    assert_eq!(front.refused("body_timeout"), 1);
}

#[tokio::test]
async fn whoever_does_not_read_is_cut_off() {
    let front = front(short()).await;
    let mut client = front.connect("http/1.1").await;
    let request = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    // Far more than the buffers between us hold.
    for _ in 0..20 {
        let sent = tokio::time::timeout(SECOND / 4, client.send(&request)).await;
        if sent.is_err() {
            break;
        }
    }
    front.until_refused("send_timeout", 1).await;
}

#[tokio::test]
async fn one_peer_has_so_many_connections() {
    let front = front(Limits {
        connections_per_peer_max: 3,
        ..limits()
    })
    .await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(front.connect("http/1.1").await);
    }
    let mut more = tokio::net::TcpStream::connect(front.address).await.unwrap();
    let mut space = [0; 1];
    let read = tokio::io::AsyncReadExt::read(&mut more, &mut space).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    front.until_refused("connections_per_peer", 1).await;
    for client in &mut open {
        client.send(GET).await;
        assert_eq!(client.reply().await.unwrap().status, 200);
    }
    open.pop();
    // Its place is given back when its end was seen.
    for _ in 0..1500 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let before = front.refused("connections_per_peer");
        let stream = tokio::net::TcpStream::connect(front.address).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        if front.refused("connections_per_peer") == before {
            return;
        }
        drop(stream);
    }
    panic!("no place was given back");
}
