use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Frame;

use super::{
    CanonicalPath, Peer, Query, check, discard, path::PathProblem, read_body, request_id,
    trace::TraceParent,
};

#[test]
fn canonical_paths_pass_and_decode_once() {
    let cases = [
        ("/", "/"),
        ("/healthz", "/healthz"),
        ("/console/", "/console/"),
        ("/api/v1/users", "/api/v1/users"),
        ("/api/v1/users/alice", "/api/v1/users/alice"),
        ("/api/v1/users/Alice", "/api/v1/users/Alice"),
        ("/API/v1", "/API/v1"),
        ("/a/b-c_d~e.f", "/a/b-c_d~e.f"),
        ("/a/%41", "/a/A"),
        ("/a/%20b", "/a/ b"),
        ("/a/%C3%A9", "/a/é"),
        ("/a/%c3%a9", "/a/é"),
        ("/a/...", "/a/..."),
        ("/a/..b", "/a/..b"),
        ("/a/b..", "/a/b.."),
        ("/a/.b", "/a/.b"),
        ("/a/b;v=1", "/a/b;v=1"),
        ("/a/%25", "/a/%"),
        ("/a/100%25", "/a/100%"),
        ("/a/%25zz", "/a/%zz"),
        ("/a/%2541", "/a/%41"),
        ("/a/b:c:d", "/a/b:c:d"),
        ("/a/b@c", "/a/b@c"),
        ("/a/b+c", "/a/b+c"),
        ("/a/b%2Bc", "/a/b+c"),
        ("/a/%3Fx", "/a/?x"),
        ("/tile/0/x001/067.p/3", "/tile/0/x001/067.p/3"),
    ];
    for (raw, expected) in cases {
        assert_eq!(CanonicalPath::parse(raw).unwrap().text(), expected, "{raw}");
    }
}

const REFUSED: &[(&str, PathProblem)] = &[
    ("", PathProblem::NotAbsolute),
    ("*", PathProblem::NotAbsolute),
    ("api", PathProblem::NotAbsolute),
    ("//", PathProblem::EmptySegment),
    ("//api", PathProblem::EmptySegment),
    ("//evil.example/api", PathProblem::EmptySegment),
    ("/api//v1", PathProblem::EmptySegment),
    ("/api/v1//", PathProblem::EmptySegment),
    ("/a/%00", PathProblem::Control),
    ("/a/b%00.json", PathProblem::Control),
    ("/a/%0a", PathProblem::Control),
    ("/a/%0d%0aX:1", PathProblem::Control),
    ("/a/%7f", PathProblem::Control),
    ("/a/%C2%85", PathProblem::Control),
    ("/a#b", PathProblem::Fragment),
    ("/a/#", PathProblem::Fragment),
    ("/a%", PathProblem::BadEscape),
    ("/a%2", PathProblem::BadEscape),
    ("/a%zz", PathProblem::BadEscape),
    ("/a%2g", PathProblem::BadEscape),
    ("/a%u002e", PathProblem::BadEscape),
    ("/a%%32e", PathProblem::BadEscape),
    ("/a/%ff", PathProblem::NotUtf8),
    ("/a/%c0%ae", PathProblem::NotUtf8),
    ("/a/%c0%af", PathProblem::NotUtf8),
    ("/a/%e0%80%ae", PathProblem::NotUtf8),
    ("/a/%f0%80%80%ae", PathProblem::NotUtf8),
    ("/a/%c1%9c", PathProblem::NotUtf8),
    ("/a/%ed%a0%80", PathProblem::NotUtf8),
    ("/a\\b", PathProblem::Separator),
    ("/a/..\\b", PathProblem::Separator),
    ("/a%2fb", PathProblem::Separator),
    ("/a%2Fb", PathProblem::Separator),
    ("/a%5cb", PathProblem::Separator),
    ("/a%5Cb", PathProblem::Separator),
    ("/v1/..%2fadmin", PathProblem::Separator),
    ("/v1/%2e%2e%2fadmin", PathProblem::Separator),
    ("/v1/%2e%2e%5cadmin", PathProblem::Separator),
];

#[test]
fn paths_that_two_readers_could_read_differently_are_refused() {
    for (raw, expected) in REFUSED {
        assert_eq!(CanonicalPath::parse(raw), Err(*expected), "{raw}");
    }
    // Every spelling of a dot segment, in every position, with and without path parameters.
    let dots = [".", "..", "%2e", "%2E", "%2e%2e", "%2E%2e", ".%2e", "%2e."];
    let parameters = ["", ";", ";x", ";x=1", "%3b", "%3Bx"];
    for dot in dots {
        for parameter in parameters {
            for raw in [
                format!("/{dot}{parameter}"),
                format!("/{dot}{parameter}/admin"),
                format!("/v1/{dot}{parameter}/admin"),
                format!("/v1/{dot}{parameter}"),
            ] {
                assert_eq!(
                    CanonicalPath::parse(&raw),
                    Err(PathProblem::DotSegment),
                    "{raw}"
                );
            }
        }
    }
    // Every character that means something in a path, encoded twice.
    for twice in [
        "%252e",
        "%252E%252e",
        "%252f",
        "%252F",
        "%255c",
        "%2500",
        "%253b",
        "%2523",
        "%253f",
        "%2525",
        "%250a",
        "%25ff",
    ] {
        for raw in [
            format!("/a/{twice}"),
            format!("/a/b{twice}c"),
            format!("/{twice}/b"),
        ] {
            assert_eq!(
                CanonicalPath::parse(&raw),
                Err(PathProblem::DoubleEncoding),
                "{raw}"
            );
        }
    }
}

#[test]
fn canonical_paths_are_fixed_points_of_their_own_spelling() {
    for raw in ["/", "/a/b", "/api/v1/users/alice", "/console/", "/a/b;v=1"] {
        let once = CanonicalPath::parse(raw).unwrap();
        assert_eq!(CanonicalPath::parse(once.text()).unwrap(), once);
    }
}

#[test]
fn queries_hold_each_name_once() {
    let query = Query::parse("q=a+b%20c&limit=10&empty=").unwrap();
    assert_eq!(query.get("q"), Some("a b c"));
    assert_eq!(query.get("limit"), Some("10"));
    assert_eq!(query.get("empty"), None);
    assert_eq!(query.unknown(&["q", "limit"]), Some("empty"));
    for bad in ["a=1&a=2", "a=%", "a=%zz", "a=%ff", "a=%00", "a=1&%61=2"] {
        assert!(Query::parse(bad).is_err(), "{bad}");
    }
    let many: Vec<String> = (0..65).map(|n| format!("k{n}=1")).collect();
    assert!(Query::parse(&many.join("&")).is_err());
    assert_ne!(
        Query::parse("a=1b&c=2").unwrap().canonical(),
        Query::parse("a=1&bc=2").unwrap().canonical()
    );
}

fn refusal(
    build: impl FnOnce(http::request::Builder) -> http::request::Builder,
) -> (u16, &'static str) {
    let builder = Request::builder()
        .uri("/api/v1/users")
        .header("host", "localhost:8443");
    refusal_of(build(builder))
}

fn refusal_of(builder: http::request::Builder) -> (u16, &'static str) {
    let peer = Peer {
        server_name: Some("localhost".to_owned()),
        ..Peer::new("127.0.0.1:5000".parse().unwrap())
    };
    let (parts, ()) = builder.body(()).unwrap().into_parts();
    match check(&parts, &peer) {
        Ok(_) => (200, ""),
        Err(refusal) => (refusal.status.as_u16(), refusal.reason),
    }
}

#[test]
fn heads_are_refused_with_their_own_reason() {
    assert_eq!(refusal(|b| b), (200, ""));
    assert_eq!(
        refusal(|b| b.header("host", "other")),
        (400, "header_repeated")
    );
    for name in [
        "authorization",
        "content-type",
        "dpop",
        "x-request-id",
        "x-dataos-csrf",
    ] {
        assert_eq!(
            refusal(|b| b.header(name, "a").header(name, "b")),
            (400, "header_repeated")
        );
    }
    assert_eq!(
        refusal(|b| b.header("transfer-encoding", "gzip, chunked")),
        (400, "transfer_encoding")
    );
    assert_eq!(
        refusal(|b| b.header("transfer-encoding", "Chunked")),
        (400, "transfer_encoding")
    );
    assert_eq!(
        refusal(|b| b
            .header("transfer-encoding", "chunked")
            .header("content-length", "1")),
        (400, "framing_ambiguous")
    );
    for length in ["1, 1", "+1", "-1", "0x1", ""] {
        assert_eq!(
            refusal(|b| b.header("content-length", length)),
            (400, "content_length")
        );
    }
    assert_eq!(refusal(|b| b.header("upgrade", "h2c")), (400, "upgrade"));
    assert_eq!(
        refusal(|b| b.header("expect", "200-ok")),
        (417, "expectation")
    );
    assert_eq!(
        refusal(|b| b.header("connection", "close, Authorization")),
        (400, "connection_nominates")
    );
    assert_eq!(
        refusal(|b| b.header("connection", "X-Forwarded-For")),
        (400, "connection_nominates")
    );
    assert_eq!(refusal(|b| b.header("connection", "keep-alive")), (200, ""));
    for method in ["TRACE", "CONNECT", "OPTIONS", "PATCH", "HEAD", "BREW"] {
        assert_eq!(refusal(|b| b.method(method)), (405, "method_not_allowed"));
    }
    assert_eq!(
        refusal(|b| b.version(Version::HTTP_09)),
        (505, "http_version")
    );
    let long = format!("/{}", "a".repeat(9000));
    assert_eq!(refusal(|b| b.uri(long)), (414, "target_too_long"));
    assert_eq!(
        refusal(|b| b.uri("/a?x=1&x=2")),
        (400, "query_not_canonical")
    );
    assert_eq!(refusal(|b| b.uri("/a/../b")), (400, "path_not_canonical"));
    let cookie = "__Host-dataos-session=a; __Host-dataos-session=b";
    assert_eq!(
        refusal(|b| b.header("cookie", cookie)),
        (400, "cookie_repeated")
    );
}

#[test]
fn the_host_is_said_once_and_alike() {
    let with_host = |host: &str| refusal_of(Request::builder().uri("/x").header("host", host));
    assert_eq!(with_host("LOCALHOST"), (200, ""));
    assert_eq!(with_host("localhost:1"), (200, ""));
    for bad in [
        "user@localhost",
        "localhost/x",
        "local host",
        "",
        ":1",
        "localhost:",
        "localhost:port",
        "localhost:65536",
        "localhost:+1",
        "localhost:1:2",
        "localhost?x",
        "localhost#x",
        "localhost,other",
        "[::1",
        "[::1]x",
        "[localhost]",
        "::1",
    ] {
        assert_eq!(with_host(bad), (400, "host"), "{bad}");
    }
    let without_name = |host: &str| {
        let peer = Peer::new("[::1]:5000".parse().unwrap());
        let request = Request::builder()
            .uri("/x")
            .header("host", host)
            .body(())
            .unwrap();
        check(&request.into_parts().0, &peer).is_ok()
    };
    for good in ["[::1]", "[::1]:8443", "127.0.0.1:8443", "my_host.example"] {
        assert!(without_name(good), "{good}");
    }
    assert_eq!(with_host("other"), (421, "misdirected"));
    assert_eq!(
        refusal_of(Request::builder().uri("/x")),
        (400, "host_missing")
    );
    let absolute = Request::builder().uri("https://localhost/x");
    assert_eq!(refusal_of(absolute.header("host", "localhost")), (200, ""));
    let absolute = Request::builder().uri("https://localhost/x");
    assert_eq!(
        refusal_of(absolute.header("host", "elsewhere")),
        (421, "misdirected")
    );
    let absolute = Request::builder().uri("https://localhost/x");
    assert_eq!(refusal_of(absolute), (400, "host_missing"));
    let two = Request::builder()
        .version(Version::HTTP_2)
        .uri("https://localhost/x");
    assert_eq!(refusal_of(two), (200, ""));
}

#[test]
fn request_ids_of_clients_are_bounded() {
    let given = |id: &str| {
        let mut headers = http::HeaderMap::new();
        headers.insert("x-request-id", id.parse().unwrap());
        request_id(&headers)
    };
    assert_eq!(given("abc-1.2_3"), "abc-1.2_3");
    for bad in ["", "a b", "a\"b", &"a".repeat(65)] {
        assert_eq!(given(bad).len(), 36, "{bad}");
    }
}

#[tokio::test]
async fn bodies_are_read_up_to_the_bound() {
    let wait = Duration::from_secs(1);
    let read = |n: usize| read_body(Full::new(Bytes::from(vec![b'a'; n])), 10, wait);
    assert_eq!(read(10).await.unwrap().len(), 10);
    assert_eq!(
        read(11).await.unwrap_err().status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert!(read(0).await.unwrap().is_empty());
}

/// A body of endless frames, or of none that ever comes.
struct Endless<'a> {
    read: &'a std::cell::Cell<usize>,
    comes: bool,
}

impl hyper::body::Body for Endless<'_> {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if !self.comes {
            return Poll::Pending;
        }
        self.read.set(self.read.get() + 1024);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'a'; 1024])))))
    }
}

#[tokio::test]
async fn what_nobody_wants_of_a_body_is_read_up_to_a_bound() {
    let read = &std::cell::Cell::new(0);
    discard(Endless { read, comes: true }).await;
    assert_eq!(read.get(), super::DISCARDED_BYTES_MAX + 1024);
    let comes = false;
    discard(Endless { read, comes }).await;
}

#[test]
fn a_trace_id_comes_from_one_well_formed_traceparent() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let id = |values: &[&str]| {
        let mut headers = http::HeaderMap::new();
        for value in values {
            headers.append("traceparent", value.parse().unwrap());
        }
        TraceParent::read(&headers).map(|trace| trace.trace_id)
    };
    let parent = |version: &str, rest: &str| format!("{version}-{TRACE}-00f067aa0ba902b7-01{rest}");
    assert_eq!(id(&[&parent("00", "")]).as_deref(), Some(TRACE));
    assert_eq!(id(&[&parent("01", "-later")]).as_deref(), Some(TRACE));
    let refused = [
        parent("ff", ""),
        parent("00", "-more"),
        parent("00", "").to_uppercase(),
        parent("00", "").replace(TRACE, &"0".repeat(32)),
        parent("00", "").replace("00f067aa0ba902b7", &"0".repeat(16)),
        parent("00", "").replace(TRACE, "4bf9"),
        TRACE.to_owned(),
        String::new(),
    ];
    for text in &refused {
        assert_eq!(id(&[text]), None, "{text}");
    }
    assert_eq!(id(&[&parent("00", ""), &parent("00", "")]), None);
    assert_eq!(id(&[]), None);
}
