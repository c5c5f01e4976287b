//! The public API over HTTPS: one function per HTTP verb, problem documents turned into failures.

use std::time::Duration;

use reqwest::{Method, Response, header};
use serde_json::Value;

use crate::{context::Context, failure::Failure};

/// Longest wait for an answer; a query may take as long as the server allows.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(330);
/// Longest time that one stream of events is followed.
const STREAM_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to one server with one credential.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    api_key: String,
}

impl Client {
    pub(crate) fn new(context: &Context) -> Result<Self, Failure> {
        let mut builder = reqwest::Client::builder()
            .https_only(true)
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        if let Some(ca) = &context.ca {
            let certificates =
                reqwest::Certificate::from_pem_bundle(ca.as_bytes()).map_err(|error| {
                    Failure::failed(format!("the CA file is no PEM certificate: {error}"))
                })?;
            builder = builder.tls_certs_only(certificates);
        }
        let http = builder
            .build()
            .map_err(|error| Failure::failed(format!("cannot set up TLS: {error}")))?;
        Ok(Self {
            http,
            url: context.url.trim_end_matches('/').to_owned(),
            api_key: context.api_key.clone(),
        })
    }

    pub(crate) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, Failure> {
        json(self.send(Method::GET, path, query, Body::Empty).await?).await
    }

    pub(crate) async fn get_text(&self, path: &str) -> Result<String, Failure> {
        text(self.send(Method::GET, path, &[], Body::Empty).await?).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        json(self.send(Method::POST, path, &[], Body::Json(body)).await?).await
    }

    /// Posts JSON, for an answer of this form that is read while it comes.
    pub(crate) async fn post_stream(
        &self,
        path: &str,
        body: &Value,
        accept: &'static str,
    ) -> Result<Rows, Failure> {
        let (accept, body) = (("accept", accept.to_owned()), Body::Json(body));
        self.send_if(Method::POST, path, accept, body)
            .await
            .map(Rows)
    }

    /// The same without a body.
    pub(crate) async fn get_stream(
        &self,
        path: &str,
        query: &[(&str, String)],
        accept: &'static str,
    ) -> Result<Rows, Failure> {
        let request = self.request(Method::GET, path).query(query);
        let request = request.header(header::ACCEPT, accept);
        self.dispatch(request).await.map(Rows)
    }

    /// Events from where a client stands, for as long as the connection holds.
    pub(crate) async fn get_events(
        &self,
        path: &str,
        query: &[(&str, String)],
        last_id: Option<&str>,
    ) -> Result<Rows, Failure> {
        let mut request = self.request(Method::GET, path).query(query);
        request = request
            .header(header::ACCEPT, "text/event-stream")
            .timeout(STREAM_TIMEOUT);
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        self.dispatch(request).await.map(Rows)
    }

    /// Posts to an endpoint that takes no body.
    pub(crate) async fn post_nothing(&self, path: &str) -> Result<Value, Failure> {
        json(self.send(Method::POST, path, &[], Body::Empty).await?).await
    }

    pub(crate) async fn post_yaml(
        &self,
        path: &str,
        query: &[(&str, String)],
        body: String,
    ) -> Result<Value, Failure> {
        json(
            self.send(Method::POST, path, query, Body::Yaml(body))
                .await?,
        )
        .await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        json(self.send(Method::PUT, path, &[], Body::Json(body)).await?).await
    }

    /// Puts a text if a condition holds.
    pub(crate) async fn put_text(
        &self,
        path: &str,
        condition: (&'static str, String),
        body: String,
    ) -> Result<Value, Failure> {
        let body = Body::Text(body);
        json(self.send_if(Method::PUT, path, condition, body).await?).await
    }

    /// Puts JSON as it was written if a condition holds: what is wrong with it is for the server to say.
    pub(crate) async fn put_json_text(
        &self,
        path: &str,
        condition: (&'static str, String),
        body: String,
    ) -> Result<Value, Failure> {
        let body = Body::JsonText(body);
        json(self.send_if(Method::PUT, path, condition, body).await?).await
    }

    /// Puts if a condition holds.
    pub(crate) async fn put_if(
        &self,
        path: &str,
        condition: (&'static str, String),
        body: &Value,
    ) -> Result<Value, Failure> {
        let body = Body::Json(body);
        json(self.send_if(Method::PUT, path, condition, body).await?).await
    }

    /// Deletes if a condition holds.
    pub(crate) async fn delete_if(
        &self,
        path: &str,
        condition: (&'static str, String),
    ) -> Result<Value, Failure> {
        json(
            self.send_if(Method::DELETE, path, condition, Body::Empty)
                .await?,
        )
        .await
    }

    async fn send_if(
        &self,
        method: Method,
        path: &str,
        (name, value): (&'static str, String),
        body: Body<'_>,
    ) -> Result<Response, Failure> {
        let request = self.request(method, path).header(name, value);
        self.dispatch(body.attach(request)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        json(self.send(Method::DELETE, path, &[], Body::Empty).await?).await
    }

    /// Logs in with a password and returns a client that holds the session cookie.
    pub(crate) async fn session(&self, user: &str, password: &str) -> Result<Session<'_>, Failure> {
        let body = serde_json::json!({"user": user, "password": password});
        let response = self
            .send(Method::POST, "/api/v1/session", &[], Body::Json(&body))
            .await?;
        let cookie = response
            .headers()
            .get(header::SET_COOKIE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .map(str::to_owned)
            .ok_or_else(|| self.strange("log-in gave no session cookie"))?;
        Ok(Session {
            client: self,
            cookie,
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Body<'_>,
    ) -> Result<Response, Failure> {
        let request = self.request(method, path).query(query);
        self.dispatch(body.attach(request)).await
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        if self.api_key.is_empty() {
            request
        } else {
            request.bearer_auth(&self.api_key)
        }
    }

    async fn dispatch(&self, request: reqwest::RequestBuilder) -> Result<Response, Failure> {
        let response = self.sent(request).await.map_err(|error| {
            let mut cause: &dyn std::error::Error = &error;
            while let Some(source) = cause.source() {
                cause = source;
            }
            Failure::Unreachable(format!(
                "{} does not answer: {cause}\n  next: check the address and that the server runs; for an unknown \
                 issuer give its CA with `dataos-ctl login --ca FILE`",
                self.url
            ))
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = text(response).await?;
        match serde_json::from_str::<Value>(&body) {
            Ok(problem) if problem.get("type").is_some() => {
                Err(Failure::Problem(Box::new(problem)))
            }
            _ => Err(self.strange(&format!(
                "status {status}, first line: {}",
                body.lines().next().unwrap_or("(empty)")
            ))),
        }
    }

    /// Sends; once more where the connection ended before there was an answer and asking twice does no harm
    /// (RFC 9110, 9.2.2).
    async fn sent(&self, request: reqwest::RequestBuilder) -> reqwest::Result<Response> {
        let request = request.build()?;
        let again = request.try_clone().filter(may_be_repeated);
        let sent = self.http.execute(request).await;
        match (sent, again) {
            (Err(error), Some(again)) if ended_before_an_answer(&error) => {
                self.http.execute(again).await
            }
            (sent, _) => sent,
        }
    }

    fn strange(&self, what: &str) -> Failure {
        Failure::Unreachable(format!("{} is not a DataOS server: {what}", self.url))
    }
}

/// Whether the answer to a second request says the same as that to the first would have. A deletion would find
/// nothing, and a change on a condition that it does not hold.
fn may_be_repeated(request: &reqwest::Request) -> bool {
    let is_idempotent = matches!(*request.method(), Method::GET | Method::PUT);
    let conditions = [header::IF_MATCH, header::IF_NONE_MATCH];
    let is_conditional = conditions
        .iter()
        .any(|name| request.headers().contains_key(name));
    is_idempotent && !is_conditional
}

/// Whether there was a connection, and it ended; not that none could be made, or that time was up.
fn ended_before_an_answer(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout()
}

/// An answer that is read while it comes.
#[derive(Debug)]
pub(crate) struct Rows(Response);

impl Rows {
    /// The next bytes; `None` at the end of all.
    ///
    /// # Errors
    /// The server cut the answer off, or is gone.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let request_id = self.0.headers().get("dataos-request-id");
        let request_id = request_id.and_then(|id| id.to_str().ok()).unwrap_or("");
        let cut_off = format!(
            "the answer was cut off: what was printed is not all of it\n  next: `dataos-ctl audit show {request_id}` \
             says why, if you may read the log; else run the statement again"
        );
        let bytes = self.0.chunk().await;
        let bytes = bytes.map_err(|_| Failure::failed(cut_off))?;
        Ok(bytes.map(|bytes| bytes.to_vec()))
    }
}

/// A logged-in session: used once, to make an API key.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    client: &'a Client,
    cookie: String,
}

impl Session<'_> {
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let request = self.client.http.post(format!("{}{path}", self.client.url));
        json(
            self.client
                .dispatch(self.with_cookie(request.json(body)))
                .await?,
        )
        .await
    }

    pub(crate) async fn end(self) -> Result<(), Failure> {
        let request = self
            .client
            .http
            .delete(format!("{}/api/v1/session", self.client.url));
        self.client
            .dispatch(self.with_cookie(request))
            .await
            .map(|_| ())
    }

    fn with_cookie(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request
            .header(header::COOKIE, &self.cookie)
            .header("X-DataOS-CSRF", "1")
    }
}

enum Body<'a> {
    Empty,
    Json(&'a Value),
    Yaml(String),
    Text(String),
    JsonText(String),
}

impl Body<'_> {
    fn attach(self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match self {
            Self::Empty => request,
            Self::Json(value) => request.json(value),
            Self::Yaml(text) => request
                .header(header::CONTENT_TYPE, "application/yaml")
                .body(text),
            Self::Text(text) => request
                .header(header::CONTENT_TYPE, "text/plain")
                .body(text),
            Self::JsonText(text) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(text),
        }
    }
}

async fn text(response: Response) -> Result<String, Failure> {
    response
        .text()
        .await
        .map_err(|error| Failure::Unreachable(format!("the answer was cut off: {error}")))
}

async fn json(response: Response) -> Result<Value, Failure> {
    let body = text(response).await?;
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&body)
        .map_err(|error| Failure::Unreachable(format!("the answer is no JSON: {error}")))
}

/// Escapes one path segment.
pub(crate) fn segment(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
