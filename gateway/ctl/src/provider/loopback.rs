//! Where a browser of this machine comes back to: a port of 127.0.0.1, for one log-in (RFC 8252 7.3).

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use reqwest::Url;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout, timeout_at},
};

use crate::failure::Failure;

/// How long people may take at the provider.
const WAIT: Duration = Duration::from_secs(300);
/// Time and size of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_BYTES_MAX: usize = 16 << 10;

/// An open port.
#[derive(Debug)]
pub(super) struct Loopback {
    listener: TcpListener,
    /// What the provider sends browsers back to.
    pub(super) address: String,
}

/// Who must send the browser back.
#[derive(Debug)]
pub(super) struct Issuer<'a> {
    pub(super) name: &'a str,
    /// Whether its answers say whose they are (RFC 9207).
    pub(super) is_named: bool,
}

/// What a request on the port is.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Code(String),
    /// The provider did not log in whom we sent.
    Refused(String),
    /// Not what we wait for: anything on this machine can send it.
    Stray,
}

impl Loopback {
    pub(super) async fn open() -> Result<Self, Failure> {
        let failed =
            |error| Failure::failed(format!("no port of 127.0.0.1 to come back to: {error}"));
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        Ok(Self {
            listener,
            address: format!("http://127.0.0.1:{port}/callback"),
        })
    }

    /// The code that the browser brings back with this state.
    pub(super) async fn code(&self, state: &str, issuer: &Issuer<'_>) -> Result<String, Failure> {
        let deadline = Instant::now() + WAIT;
        loop {
            let accepted = timeout_at(deadline, self.listener.accept()).await;
            let accepted = accepted.map_err(|_| {
                let minutes = WAIT.as_secs() / 60;
                Failure::failed(format!(
                    "nobody came back from the provider for {minutes} minutes"
                ))
            })?;
            let Ok((mut stream, _)) = accepted else {
                continue;
            };
            let head = timeout(REQUEST_TIMEOUT, head(&mut stream)).await;
            let came = came(&head.unwrap_or_default(), state, issuer);
            let (status, page) = match &came {
                Came::Code(_) => ("200 OK", "You are logged in. This page can be closed."),
                Came::Refused(_) => ("200 OK", "You are not logged in. This page can be closed."),
                Came::Stray => ("400 Bad Request", "This is not the log-in that is awaited."),
            };
            let answered = timeout(REQUEST_TIMEOUT, answer(&mut stream, status, page));
            // Who does not read the page is logged in all the same.
            let _ = answered.await;
            match came {
                Came::Code(code) => return Ok(code),
                Came::Refused(problem) => {
                    let problem = format!("{} does not log you in: {problem}", issuer.name);
                    return Err(Failure::Denied(problem));
                }
                Came::Stray => {}
            }
        }
    }
}

/// What a request brings.
fn came(head: &str, state: &str, issuer: &Issuer<'_>) -> Came {
    let mut words = head.split(' ');
    let (Some("GET"), Some(target)) = (words.next(), words.next()) else {
        return Came::Stray;
    };
    let Ok(url) = Url::parse(&format!("http://127.0.0.1{target}")) else {
        return Came::Stray;
    };
    let field = |name: &str| {
        let mut pairs = url.query_pairs();
        let found = pairs.find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned())
    };
    let given = field("state").unwrap_or_default();
    let is_ours = verify_slices_are_equal(given.as_bytes(), state.as_bytes()).is_ok();
    let is_issuer = match field("iss") {
        Some(name) => name == issuer.name,
        None => !issuer.is_named,
    };
    if url.path() != "/callback" || !is_ours || !is_issuer {
        return Came::Stray;
    }
    match (field("error"), field("code")) {
        (Some(error), _) => Came::Refused(error),
        (None, Some(code)) => Came::Code(code),
        (None, None) => Came::Stray,
    }
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut part = [0; 2048];
    while head.len() < REQUEST_BYTES_MAX && !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => break,
            Ok(length) => head.extend(part.iter().take(length)),
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

async fn answer(stream: &mut TcpStream, status: &str, page: &str) -> std::io::Result<()> {
    let length = page.len();
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
         Referrer-Policy: no-referrer\r\nConnection: close\r\n\r\n{page}"
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::{Came, Issuer, came};

    #[test]
    fn only_the_awaited_answer_of_the_awaited_provider_ends_the_wait() {
        let named = Issuer {
            name: "https://idp",
            is_named: true,
        };
        let silent = Issuer {
            is_named: false,
            ..named
        };
        let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        let ours = "/callback?state=s&iss=https%3A%2F%2Fidp";
        let code = get(&format!("{ours}&code=c%2F1"));
        assert_eq!(came(&code, "s", &named), Came::Code("c/1".to_owned()));
        assert_eq!(
            came(&get("/callback?state=s&code=c"), "s", &silent),
            Came::Code("c".to_owned())
        );
        let refused = get(&format!("{ours}&error=access_denied"));
        assert_eq!(
            came(&refused, "s", &named),
            Came::Refused("access_denied".to_owned())
        );
        for stray in [
            String::new(),
            "GET".to_owned(),
            get("/"),
            get("/favicon.ico"),
            get(ours),
            code.replace("GET", "POST"),
            code.replace("/callback", "/other"),
            code.replace("state=s", "state=t"),
            code.replace("state=s", "state="),
            code.replace("state=s&", ""),
            code.replace("idp", "evil"),
            get("/callback?state=s&code=c"),
            refused.replace("state=s", "state=t"),
        ] {
            assert_eq!(came(&stray, "s", &named), Came::Stray, "{stray}");
        }
        let other = get("/callback?state=s&code=c&iss=https://evil");
        assert_eq!(came(&other, "s", &silent), Came::Stray);
    }
}
