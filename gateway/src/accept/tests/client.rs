//! A client that sends what it is told, byte by byte.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use rustls::ClientConfig;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Longest wait for anything; the machine may be busy.
const WAIT: Duration = Duration::from_secs(60);

pub(super) struct Client {
    stream: TlsStream<TcpStream>,
    read: Vec<u8>,
    /// How the other side ended, once it did.
    end: Option<io::Result<()>>,
}

/// An answer of HTTP/1.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(super) fn reason(&self) -> String {
        self.json()["reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    pub(super) fn says_close(&self) -> bool {
        self.head.contains("\r\nconnection: close\r\n")
    }
}

impl Client {
    pub(super) async fn connect(address: SocketAddr, config: ClientConfig) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = "localhost".try_into().unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, stream).await.unwrap();
        Self {
            stream,
            read: Vec::new(),
            end: None,
        }
    }

    /// Sends; that the other side closed already shows when its answer is read.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        match timeout(WAIT, self.stream.write_all(bytes))
            .await
            .expect("the peer reads")
        {
            Ok(()) => {}
            Err(error) => assert!(is_closed(error.kind()), "{error}"),
        }
        let _ = self.stream.flush().await;
    }

    /// Reads more; false at the end.
    pub(super) async fn more(&mut self) -> bool {
        let mut space = vec![0; 16 << 10];
        let read = timeout(WAIT, self.stream.read(&mut space))
            .await
            .expect("the peer answers");
        match read {
            Ok(0) => {
                self.end = Some(Ok(()));
                false
            }
            Ok(bytes) => {
                self.read.extend_from_slice(&space[..bytes]);
                true
            }
            Err(error) => {
                assert!(is_closed(error.kind()), "{error}");
                self.end = Some(Err(error));
                false
            }
        }
    }

    /// Whether these bytes were read and not taken yet.
    pub(super) fn has_read(&self, bytes: &[u8]) -> bool {
        self.read.windows(bytes.len()).any(|read| read == bytes)
    }

    /// So many bytes behind these, if they were read; all of it is forgotten.
    pub(super) fn behind(&mut self, bytes: &[u8], count: usize) -> Option<Vec<u8>> {
        let at = self
            .read
            .windows(bytes.len())
            .position(|read| read == bytes)?;
        let start = at + bytes.len();
        let found = self.read.get(start..start + count)?.to_vec();
        self.read.clear();
        Some(found)
    }

    /// What was read and not taken yet.
    pub(super) fn unread(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }

    /// Whether the other side said in TLS that it ends (close_notify).
    pub(super) fn has_ended_in_order(&self) -> bool {
        match self.end.as_ref().expect("it is read to its end") {
            Ok(()) => true,
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::InvalidData, "{error}");
                false
            }
        }
    }

    /// The next so many bytes, if they come.
    pub(super) async fn take(&mut self, bytes: usize) -> Option<Vec<u8>> {
        while self.read.len() < bytes {
            if !self.more().await {
                return None;
            }
        }
        Some(self.read.drain(..bytes).collect())
    }

    /// The next answer.
    pub(super) async fn reply(&mut self) -> Option<Reply> {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.more().await {
                return None;
            }
        };
        let head = String::from_utf8(self.take(end).await?)
            .unwrap()
            .to_lowercase();
        let status = head.split(' ').nth(1)?.parse().unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().unwrap());
        let body = self.take(length).await?;
        Some(Reply { status, head, body })
    }

    /// Whether the other side ends the connection and sends nothing more.
    pub(super) async fn is_ended(&mut self) -> bool {
        self.read.is_empty() && !self.more().await
    }
}

fn is_closed(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof
    )
}
