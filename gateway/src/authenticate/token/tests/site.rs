//! The web site of an issuer, of as few lines as may be, that does what it is told.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What a path answers.
#[derive(Clone, Debug)]
pub(in crate::authenticate) enum Answer {
    /// 200 with this JSON.
    Document(String),
    /// This head (without its last line end) and body.
    Raw(&'static str, String),
    /// Bytes until the client has enough.
    Endless,
    /// The head at once, then a byte now and then.
    Dripping,
    /// The document, after a while.
    Late(Duration, String),
}

#[derive(Clone, Debug)]
pub(in crate::authenticate) struct Site {
    pub(in crate::authenticate) url: String,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    asked: Arc<AtomicUsize>,
    /// Heads and bodies of what was asked.
    requests: Arc<Mutex<Vec<String>>>,
    sent_bytes: Arc<AtomicUsize>,
}

impl Site {
    pub(in crate::authenticate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let site = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            answers: Arc::default(),
            asked: Arc::default(),
            requests: Arc::default(),
            sent_bytes: Arc::default(),
        };
        let serving = site.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let site = serving.clone();
                tokio::spawn(async move { site.serve(stream).await });
            }
        });
        site
    }

    pub(in crate::authenticate) fn set(&self, path: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// Requests so far.
    pub(in crate::authenticate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// What was asked last of a path: head and body.
    pub(in crate::authenticate) fn last(&self, path: &str) -> String {
        let requests = self.requests.lock().unwrap();
        let mut of_path = requests
            .iter()
            .filter(|text| text.split(' ').nth(1) == Some(path));
        of_path.next_back().unwrap().clone()
    }

    /// Bytes that clients took of endless answers.
    pub(in crate::authenticate) fn sent_bytes(&self) -> usize {
        self.sent_bytes.load(Ordering::SeqCst)
    }

    async fn serve(&self, mut stream: TcpStream) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let request = read(&mut stream).await;
        self.requests.lock().unwrap().push(request.clone());
        let path = request.split(' ').nth(1).unwrap_or("").to_owned();
        let answer = self.answers.lock().unwrap().get(&path).cloned();
        match answer {
            Some(Answer::Document(text)) => send(&mut stream, "HTTP/1.1 200 OK", &text).await,
            Some(Answer::Raw(head, text)) => send(&mut stream, head, &text).await,
            Some(Answer::Late(pause, text)) => {
                tokio::time::sleep(pause).await;
                send(&mut stream, "HTTP/1.1 200 OK", &text).await;
            }
            Some(Answer::Endless) => self.send_without_end(stream).await,
            Some(Answer::Dripping) => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                while stream.write_all(b" ").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            None => send(&mut stream, "HTTP/1.1 404 Not Found", "").await,
        }
    }

    async fn send_without_end(&self, mut stream: TcpStream) {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        let spaces = vec![b' '; 16 << 10];
        while let Ok(sent) = stream.write(&spaces).await {
            self.sent_bytes.fetch_add(sent, Ordering::SeqCst);
        }
    }
}

/// A request with the body that its head announces.
async fn read(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut part = vec![0; 4096];
    loop {
        let length = stream.read(&mut part).await.unwrap_or(0);
        request.extend_from_slice(&part[..length]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let announced = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.parse().unwrap())
            });
            body.len() >= announced.unwrap_or(0)
        });
        if length == 0 || whole {
            return text;
        }
    }
}

async fn send(stream: &mut TcpStream, head: &str, body: &str) {
    let length = body.len();
    let answer = format!("{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    let _ = stream.write_all(answer.as_bytes()).await;
}
