//! One person of the demo: talks HTTPS to the public API like any client, and keeps every receipt.

use std::sync::{Arc, Mutex};

use dataos_model::fault::Fault;
use reqwest::{Method, header};
use serde_json::{Value, json};

/// Receipts of all answers, in the order of arrival.
pub(super) type Receipts = Arc<Mutex<Vec<String>>>;

/// A person with an API key.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) name: String,
    http: reqwest::Client,
    url: String,
    key: String,
    receipts: Receipts,
}

/// An answer of the server.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn text(&self, field: &str) -> String {
        match self.body.get(field) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }
}

/// A client that trusts the demo's own CA and nothing else.
pub(super) fn http(ca_pem: &str) -> Result<reqwest::Client, Fault> {
    let ca = reqwest::Certificate::from_pem(ca_pem.as_bytes()).map_err(failed)?;
    reqwest::Client::builder()
        .https_only(true)
        .no_proxy()
        .tls_certs_only([ca])
        .build()
        .map_err(failed)
}

fn failed(error: impl std::error::Error) -> Fault {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Fault::internal(format!("demo client: {cause}"))
}

impl Person {
    /// Logs in with a password and makes an API key, as `dataos-ctl login` does.
    pub(super) async fn log_in(
        http: &reqwest::Client,
        url: &str,
        name: &str,
        password: &str,
        receipts: &Receipts,
    ) -> Result<Self, Fault> {
        let response = http
            .post(format!("{url}/api/v1/session"))
            .json(&json!({"user": name, "password": password}))
            .send()
            .await
            .map_err(failed)?;
        let cookie = response
            .headers()
            .get(header::SET_COOKIE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .map(str::to_owned)
            .ok_or_else(|| Fault::internal(format!("log-in of {name} gave no cookie")))?;
        let response = http
            .post(format!("{url}/api/v1/apikeys"))
            .header(header::COOKIE, cookie)
            .header("X-DataOS-CSRF", "1")
            .json(&json!({"name": "demo", "expires_in_seconds": 86_400}))
            .send()
            .await
            .map_err(failed)?;
        let body: Value = response.json().await.map_err(failed)?;
        let key = body
            .get("key")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        Ok(Self {
            name: name.to_owned(),
            http: http.clone(),
            url: url.to_owned(),
            key,
            receipts: receipts.clone(),
        })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Answer, Fault> {
        self.send(
            self.http
                .request(Method::GET, format!("{}{path}", self.url)),
        )
        .await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Answer, Fault> {
        self.send(self.http.post(format!("{}{path}", self.url)).json(body))
            .await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Answer, Fault> {
        self.send(self.http.put(format!("{}{path}", self.url)).json(body))
            .await
    }

    pub(super) async fn apply(&self, manifests: String) -> Result<Answer, Fault> {
        let request = self
            .http
            .post(format!("{}/api/v1/resources?workspace=public", self.url))
            .header(header::CONTENT_TYPE, "application/yaml")
            .body(manifests);
        self.send(request).await
    }

    pub(super) async fn query(&self, sql: &str) -> Result<Answer, Fault> {
        self.post("/api/v1/query", &json!({"sql": sql})).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, Fault> {
        let response = request
            .bearer_auth(&self.key)
            .send()
            .await
            .map_err(failed)?;
        let status = response.status().as_u16();
        let receipt = response
            .headers()
            .get("DataOS-Receipt")
            .and_then(|text| text.to_str().ok());
        let receipt = receipt.map(str::to_owned).ok_or_else(|| {
            Fault::internal(format!("an answer of status {status} has no receipt"))
        })?;
        let text = response.text().await.map_err(failed)?;
        let body: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let certificate = body.pointer("/certificate/receipt").and_then(Value::as_str);
        if let Ok(mut receipts) = self.receipts.lock() {
            receipts.push(receipt);
            receipts.extend(certificate.map(str::to_owned));
        }
        Ok(Answer { status, body })
    }
}
