//! What sites of others can make a browser do with a session.

use http::Response;
use serde_json::json;

use super::{
    fakes::{Scene, scene},
    json_of, request, send,
};
use crate::respond::AnswerBody;

const PAIR: &str = r#"{"user":"admin","password":"correct horse"}"#;

impl Scene {
    async fn log_in(&self, headers: &[(&str, &str)], body: &str) -> Response<AnswerBody> {
        send(
            &self.gateway,
            request("POST", "/api/v1/session", headers, body),
        )
        .await
    }

    async fn who(&self, cookie: &str) -> u16 {
        let headers = [("cookie", cookie)];
        let call = request("GET", "/api/v1/session", &headers, "");
        send(&self.gateway, call).await.status().as_u16()
    }
}

fn cookie_of(response: &Response<AnswerBody>) -> String {
    let set = response.headers()["set-cookie"].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_log_in_makes_a_session_of_its_own_whatever_cookie_came_with_it() {
    let scene = scene().await;
    let json = ("content-type", "application/json");
    let planted = format!("__Host-dataos-session={}", "ab".repeat(32));
    let response = scene.log_in(&[json, ("cookie", &planted)], PAIR).await;
    assert_eq!(response.status(), 200);
    let first = cookie_of(&response);
    assert_ne!(first, planted);
    assert_eq!(
        scene.who(&planted).await,
        401,
        "the planted one was not taken over"
    );
    let response = scene.log_in(&[json, ("cookie", &first)], PAIR).await;
    let second = cookie_of(&response);
    assert_ne!(second, first);
    assert_eq!(scene.who(&second).await, 200);
    // A cookie without the prefix, which another host of the domain could set, is nobody's.
    let tossed = first.replace("__Host-", "");
    assert_eq!(scene.who(&tossed).await, 401);
    let both = format!("{second}; {planted}");
    assert_eq!(
        scene.who(&both).await,
        400,
        "which one counts would be a guess"
    );
}

#[tokio::test]
async fn forms_of_other_sites_log_nobody_in_and_nobody_out() {
    let scene = scene().await;
    for kind in [
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "",
    ] {
        let headers = [("content-type", kind)];
        let headers = if kind.is_empty() {
            &[][..]
        } else {
            &headers[..]
        };
        let response = scene.log_in(headers, PAIR).await;
        assert_eq!(response.status(), 400, "{kind}");
        assert!(!response.headers().contains_key("set-cookie"), "{kind}");
        assert_eq!(json_of(response).await["reason"], "content_type", "{kind}");
    }
    let json = ("content-type", "application/json");
    let cookie = cookie_of(&scene.log_in(&[json], PAIR).await);
    for method in ["POST", "PUT", "DELETE"] {
        let headers = [("cookie", cookie.as_str()), json];
        let path = if method == "DELETE" {
            "/api/v1/session"
        } else {
            "/api/v1/users/admin"
        };
        let call = request(method, path, &headers, &json!({}).to_string());
        let response = send(&scene.gateway, call).await;
        assert_eq!(
            json_of(response).await["reason"],
            "csrf_header_missing",
            "{method}"
        );
    }
    assert_eq!(scene.who(&cookie).await, 200, "still logged in");
}
