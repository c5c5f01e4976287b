//! What the platform tells of itself: traces to the OpenTelemetry Collector, figures to Prometheus.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use dataos_tests::{
    collector::Collector,
    ctl::Ctl,
    server::{Options, Server},
};
use serde_json::Value;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A server that sends traces there, and its administrator.
fn server(otlp: &str) -> (Server, Ctl) {
    let server = Server::start(&Options {
        config: Some(format!("[telemetry]\notlp = \"{otlp}\"\n")),
        ..Options::default()
    })
    .unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    (server, admin)
}

/// The spans of a trace as the collector writes them: name and lines.
fn spans<'a>(told: &'a str, trace: &str) -> Vec<(&'a str, Vec<&'a str>)> {
    let spans = told.split("\nSpan #").skip(1).map(|span| {
        let lines: Vec<&str> = span.lines().map(str::trim).collect();
        let name = lines.iter().find_map(|line| field(line, "Name"));
        (name.unwrap_or_default(), lines)
    });
    let is_of = |lines: &[&str]| {
        lines
            .iter()
            .any(|line| field(line, "Trace ID") == Some(trace))
    };
    spans.filter(|(_, lines)| is_of(lines)).collect()
}

/// The value in `Trace ID       : 4bf9...`.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (found, value) = line.split_once(':')?;
    (found.trim() == name).then(|| value.trim())
}

fn metrics(server: &Server, key: &str) -> String {
    let bearer = format!("Authorization: Bearer {key}");
    let (status, _, text) = server.request(&["-H", &bearer], "/metrics").unwrap();
    assert_eq!(status, 200, "{text}");
    text
}

fn waits_for_metric(server: &Server, key: &str, line: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let text = metrics(server, key);
        if text.lines().any(|found| found == line) {
            return text;
        }
        assert!(Instant::now() < deadline, "`{line}` is not in\n{text}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_call_is_one_trace_that_its_record_names_and_that_names_its_record() {
    let collector = Collector::start().unwrap();
    let (server, admin) = server(&collector.url);
    let key = admin.key().unwrap();
    let bearer = format!("Authorization: Bearer {key}");
    let parent = format!("traceparent: 00-{TRACE}-{PARENT}-01");
    let headers = ["-H", &bearer, "-H", &parent];
    let (status, _, _) = server.request(&headers, "/api/v1/policies").unwrap();
    assert_eq!(status, 200);

    let told = collector
        .wait_for("Name           : GET /api/v1/policies")
        .unwrap();
    let trace = spans(&told, TRACE);
    let (_, whole) = trace
        .iter()
        .find(|(name, _)| name.starts_with("GET "))
        .unwrap();
    let of = |lines: &[&str], name: &str| {
        let value = lines.iter().find_map(|line| field(line, name));
        value
            .unwrap_or_else(|| panic!("no {name} in {lines:#?}"))
            .to_owned()
    };
    assert_eq!(of(whole, "Parent ID"), PARENT);
    assert_eq!(of(whole, "Kind"), "Server");
    assert_eq!(of(whole, "-> http.response.status_code"), "Int(200)");
    assert_eq!(of(whole, "-> user.id"), "Str(admin)");
    for step in ["decide", "handle", "record"] {
        let (_, lines) = trace.iter().find(|(name, _)| *name == step).unwrap();
        assert_eq!(of(lines, "Parent ID"), of(whole, "ID"), "{step}");
    }
    let record = of(whole, "-> dataos.record");
    let index = record.trim_start_matches("Int(").trim_end_matches(')');
    let entry = admin.json(&["audit", "show", index]).unwrap();
    let facts = &entry["entries"][0]["facts"];
    assert_eq!(facts["trace_id"], TRACE, "{entry:#}");
    assert!(!told.contains(&key), "the collector was told a key");
}

#[test]
fn a_call_whose_client_says_nothing_begins_a_trace() {
    let collector = Collector::start().unwrap();
    let (server, admin) = server(&collector.url);
    let key = admin.key().unwrap();
    let (status, _) = server.get(&key, "/api/v1/overview").unwrap();
    assert_eq!(status, 200);
    let told = collector
        .wait_for("Name           : GET /api/v1/overview")
        .unwrap();
    let found = admin
        .json(&["audit", "search", "--text", "/api/v1/overview"])
        .unwrap();
    let entry = &found["entries"][0];
    let trace = entry["facts"]["trace_id"].as_str().unwrap();
    let names: BTreeSet<&str> = spans(&told, trace).iter().map(|(name, _)| *name).collect();
    assert!(names.contains("GET /api/v1/overview"), "{trace}: {names:?}");
    // One whose client does not keep the trace is not traced here either.
    let bearer = format!("Authorization: Bearer {key}");
    let unkept = format!("traceparent: 00-{TRACE}-{PARENT}-00");
    let headers = ["-H", &bearer, "-H", &unkept];
    let (status, _, _) = server.request(&headers, "/api/v1/policies").unwrap();
    assert_eq!(status, 200);
    server.get(&key, "/api/v1/session").unwrap();
    let told = collector
        .wait_for("Name           : GET /api/v1/session")
        .unwrap();
    assert!(!told.contains(TRACE));
}

#[test]
fn without_a_collector_calls_are_answered_and_spans_are_counted() {
    let (server, admin) = server("http://127.0.0.1:1");
    let key = admin.key().unwrap();
    let text = waits_for_metric(&server, &key, "dataos_degraded{dependency=\"otlp\"} 1");
    assert!(
        text.contains("dataos_spans_total{result=\"dropped\"}"),
        "{text}"
    );
}

/// Names such as `dataos_log_bytes`, without what Prometheus adds to those of histograms.
fn names(text: &str) -> BTreeSet<String> {
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = text.split(|character| !is_name(character));
    let ours = words.filter(|word| word.starts_with("dataos_"));
    let plain = ours.map(|word| {
        let parts = ["_bucket", "_sum", "_count"];
        let base = parts.iter().find_map(|part| word.strip_suffix(part));
        base.unwrap_or(word).to_owned()
    });
    plain.collect()
}

#[test]
fn dashboard_alerts_and_page_name_the_figures_that_there_are() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let read = |name: &str| fs::read_to_string(docs.join(name)).unwrap();
    let (server, admin) = server("http://127.0.0.1:1");
    let text = waits_for_metric(
        &server,
        &admin.key().unwrap(),
        "dataos_degraded{dependency=\"otlp\"} 1",
    );
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let there_are: BTreeSet<String> = kinds
        .filter_map(|kind| Some(kind.split_once(' ')?.0.to_owned()))
        .collect();
    let page = read("observability.md");
    assert_eq!(names(&page), there_are);
    let dashboard = read("observability/grafana.json");
    let board: Value = serde_json::from_str(&dashboard).unwrap();
    assert!(
        board["panels"]
            .as_array()
            .is_some_and(|panels| panels.len() > 8)
    );
    for text in [&dashboard, &read("observability/alerts.yaml")] {
        let missing: Vec<_> = names(text).difference(&there_are).cloned().collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}

#[test]
fn each_alert_fires_when_it_should() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/observability/alerts.yaml");
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/telemetry/alerts_test.yaml");
    let folder = tempfile::tempdir().unwrap();
    let here = |name: &str| -> PathBuf { folder.path().join(name) };
    fs::copy(&rules, here("alerts.yaml")).unwrap();
    fs::copy(&cases, here("cases.yaml")).unwrap();
    for (what, file) in [("check", "alerts.yaml"), ("test", "cases.yaml")] {
        let output = Command::new("promtool")
            .args([what, "rules"])
            .arg(here(file))
            .output()
            .expect("promtool; apt-get install -y prometheus");
        assert!(output.status.success(), "{output:?}");
    }
    // No rule is without a case.
    let (rules, cases) = (
        fs::read_to_string(rules).unwrap(),
        fs::read_to_string(cases).unwrap(),
    );
    for rule in rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        assert!(cases.contains(&format!("alertname: {rule}\n")), "{rule}");
    }
}
