//! A running platform and a client that trusts its CA.

use std::{path::Path, time::Duration};

use dataos_gateway::{
    app::{App, RunningApp},
    config::{Config, Flags},
};
use dataos_model::fault::Fault;
use serde_json::{Value, json};

/// Longest wait for something that happens by itself; a debug build on a busy machine is slow.
const WAIT: Duration = Duration::from_secs(60);

pub(crate) struct Scene {
    pub(crate) app: RunningApp,
    pub(crate) client: reqwest::Client,
    pub(crate) key: String,
}

/// Starts on a fresh directory and makes an API key for the administrator.
pub(crate) async fn first(folder: &Path) -> Scene {
    let app = start(folder, None).await.unwrap();
    let (user, password) = app.first_login().unwrap();
    let (user, password) = (user.to_owned(), password.to_owned());
    let mut scene = Scene {
        client: client(&app),
        app,
        key: String::new(),
    };
    let response = scene
        .client
        .post(scene.url("/api/v1/session"))
        .json(&json!({"user": user, "password": password}))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let cookie = response.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .to_owned();
    let made: Value = scene
        .client
        .post(scene.url("/api/v1/apikeys"))
        .header("cookie", cookie.split(';').next().unwrap())
        .header("x-dataos-csrf", "1")
        .json(&json!({"name": "test", "expires_in_seconds": 3600}))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    scene.key = made["key"].as_str().unwrap().to_owned();
    scene
}

pub(crate) async fn start(folder: &Path, data: Option<&Path>) -> Result<RunningApp, Fault> {
    let flags = Flags {
        listen: Some("127.0.0.1:0".to_owned()),
        role: None,
        data_dir: Some(folder.to_owned()),
        data: data.map(Path::to_owned),
        config: None,
    };
    App::start(Config::load(&flags, std::iter::empty())?, |_| ()).await
}

pub(crate) fn client(app: &RunningApp) -> reqwest::Client {
    let ca = reqwest::Certificate::from_pem(app.ca_pem().as_bytes()).unwrap();
    reqwest::Client::builder()
        .tls_certs_only([ca])
        .no_proxy()
        .build()
        .unwrap()
}

impl Scene {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.app.address())
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        self.client
            .get(self.url(path))
            .bearer_auth(&self.key)
            .send()
            .await
            .unwrap()
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        self.get(path).await.json().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
        let request = self
            .client
            .post(self.url(path))
            .bearer_auth(&self.key)
            .json(body);
        request.send().await.unwrap()
    }

    /// Asks again until the answer has this status.
    pub(crate) async fn until(&self, path: &str, status: u16) -> reqwest::Response {
        let deadline = tokio::time::Instant::now() + WAIT;
        loop {
            let response = self.get(path).await;
            if response.status() == status {
                return response;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{path} stays {}",
                response.status()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
