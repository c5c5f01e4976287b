use http::StatusCode;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn spans(otlp: &str, share: f64) -> Spans {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = TelemetryConfig {
        otlp: otlp.to_owned(),
        share,
        ca_file: None,
        headers_file: None,
    };
    Spans::new(Some(&config)).unwrap()
}

fn call() -> CallFigures<'static> {
    CallFigures {
        route: "/api/v1/me",
        method: "GET",
        status: StatusCode::BAD_GATEWAY,
        is_denied: false,
        principal: None,
        request_id: "r1",
        bytes: 7,
        took: Duration::from_millis(3),
    }
}

fn parent(is_sampled: bool) -> TraceParent {
    TraceParent {
        trace_id: TRACE.to_owned(),
        span_id: "00f067aa0ba902b7".to_owned(),
        is_sampled,
    }
}

/// Answers one request after the other with these, and gives what it was sent.
async fn collector(answers: Vec<&'static str>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let mut bodies = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = String::new();
            let body = loop {
                let mut piece = vec![0; 64 << 10];
                let read = stream.read(&mut piece).await.unwrap();
                request.push_str(std::str::from_utf8(&piece[..read]).unwrap());
                let Some((head, body)) = request.split_once("\r\n\r\n") else {
                    continue;
                };
                let length = head.lines().find_map(|line| {
                    let line = line.to_ascii_lowercase();
                    line.strip_prefix("content-length: ")?.parse::<usize>().ok()
                });
                if Some(body.len()) == length {
                    break body.to_owned();
                }
            };
            bodies.push(body);
            let answer = format!("HTTP/1.1 {answer}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        bodies
    });
    (url, served)
}

const DONE: &str = "200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";

#[test]
fn a_client_decides_whether_its_call_is_traced_else_chance_does() {
    let none = Spans::default();
    assert!(none.begin(Some(&parent(true))).is_none());
    for share in [0.0, 1.0] {
        let spans = spans("http://127.0.0.1:1", share);
        let traced = spans.begin(Some(&parent(true))).unwrap();
        assert_eq!(traced.trace_id(), TRACE);
        assert!(spans.begin(Some(&parent(false))).is_none());
        assert_eq!(spans.begin(None).is_some(), share == 1.0);
    }
    let spans = spans("http://127.0.0.1:1", 0.25);
    let traced = (0..10_000).filter(|_| spans.begin(None).is_some()).count();
    assert!((2_000..3_000).contains(&traced), "{traced}");
}

#[test]
fn what_waits_is_bounded_and_what_is_dropped_is_counted() {
    let spans = spans("http://127.0.0.1:1", 1.0);
    let span = spans.begin(None).unwrap();
    for _ in 0..WAITING_MAX + 3 {
        span.end(&call(), None);
    }
    let told = spans.prometheus();
    assert!(told.contains("{result=\"dropped\"} 3\n"), "{told}");
}

#[tokio::test]
async fn a_batch_is_sent_again_when_the_collector_says_later() {
    let later = "503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (url, served) = collector(vec![later, DONE]).await;
    let spans = spans(&url, 1.0);
    let span = spans.begin(Some(&parent(true))).unwrap();
    drop(Step::of(Some(&span), "decide"));
    span.end(&call(), Some(9));
    spans.end().await;
    let bodies = served.await.unwrap();
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!(spans.is_away(), Some(false));
    let told = spans.prometheus();
    assert!(told.contains("{result=\"sent\"} 2\n"), "{told}");
    let body: serde_json::Value = serde_json::from_str(&bodies[1]).unwrap();
    let sent = &body["resourceSpans"][0]["scopeSpans"][0]["spans"];
    let (step, whole) = (&sent[0], &sent[1]);
    for span in [step, whole] {
        assert_eq!(span["traceId"], TRACE);
        let nanoseconds = |key: &str| span[key].as_str().unwrap().parse::<u128>().unwrap();
        assert!(nanoseconds("endTimeUnixNano") >= nanoseconds("startTimeUnixNano"));
    }
    assert_eq!(step["name"], "decide");
    assert_eq!(step["parentSpanId"], whole["spanId"]);
    assert_eq!(whole["parentSpanId"], "00f067aa0ba902b7");
    assert_eq!(whole["name"], "GET /api/v1/me");
    assert_eq!(whole["status"]["code"], 2);
    let attributes = whole["attributes"].as_array().unwrap();
    let record = attributes.iter().find(|one| one["key"] == "dataos.record");
    assert_eq!(record.unwrap()["value"]["intValue"], "9");
}

#[tokio::test]
async fn what_the_collector_does_not_take_is_counted_and_told() {
    let partly = "200 OK\r\ncontent-length: 40\r\nconnection: close\r\n\r\n\
                  {\"partialSuccess\":{\"rejectedSpans\":\"1\"}}";
    let wrong = "400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (url, served) = collector(vec![partly, wrong, DONE]).await;
    let spans = spans(&url, 1.0);
    let span = spans.begin(None).unwrap();
    span.end(&call(), None);
    span.end(&call(), None);
    spans.end().await;
    assert_eq!(spans.is_away(), Some(false));
    span.end(&call(), None);
    spans.end().await;
    assert_eq!(spans.is_away(), Some(true));
    span.end(&call(), None);
    spans.end().await;
    assert_eq!(spans.is_away(), Some(false));
    assert_eq!(served.await.unwrap().len(), 3);
    let told = spans.prometheus();
    for (result, count) in [("sent", 2), ("dropped", 1), ("rejected", 1)] {
        assert!(
            told.contains(&format!("{{result=\"{result}\"}} {count}\n")),
            "{told}"
        );
    }
}
