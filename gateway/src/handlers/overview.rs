//! Live figures and health.

use std::sync::Arc;

use bytes::Bytes;
use dataos_model::{
    action::Action,
    clock::Timestamp,
    fault::Fault,
    query::QueryFigures,
    record::{EntryKind, RecordQuery},
};
use http::StatusCode;
use serde_json::{Value, json};

use super::wire;
use crate::{
    decide,
    respond::Answer,
    serve::{Call, Gateway},
};

/// Most recent entries shown.
const RECENT_MAX: usize = 50;
/// Most principals shown with their denials.
const TOP_DENIED_MAX: usize = 10;

pub(crate) async fn overview(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let figures = &gateway.figures;
    let (allow, deny, errors) = figures.counts();
    let (rates, denials) = figures.minute();
    let info = gateway.seams.policies.info();
    let log = gateway.seams.records.status();
    let uptime = figures.uptime();
    let started_ms = gateway.seams.clock.now().0 - i64::try_from(uptime.as_millis()).unwrap_or(0);
    // Who was denied what is the audit log's to tell, so those two parts follow its policy.
    let may_search = may_search_audit(&gateway, &call).await;
    let (recent, top_denied) = if may_search {
        (recent(&gateway).await?, figures.top_denied(TOP_DENIED_MAX))
    } else {
        (Vec::new(), Vec::new())
    };
    let top_denied: Vec<Value> = top_denied
        .into_iter()
        .map(|(principal, count)| json!({"principal": principal, "count": count}))
        .collect();
    Ok(Answer::ok(&json!({
        "started_at": wire::time(Timestamp(started_ms)),
        "uptime_seconds": uptime.as_secs(),
        "version": env!("CARGO_PKG_VERSION"),
        "policy_set": {
            "hash": info.hash.to_string(),
            "count": info.count,
            "load_error": info.load_error.map(|fault| fault.to_string()),
        },
        "log": {
            "size": log.size,
            "checkpoint_at": wire::time(log.checkpoint_at),
            "stopped": log.stopped,
            "full": log.full,
        },
        "counts": {"allow": allow, "deny": deny, "errors": errors},
        "rates_per_second": rates,
        "denials_per_second": denials,
        "latency_us": {"p50": figures.latency_us(0.5), "p99": figures.latency_us(0.99)},
        "top_denied": top_denied,
        "recent": recent,
        "health": health(&gateway).await,
    })))
}

async fn may_search_audit(gateway: &Gateway, call: &Call) -> bool {
    let target = decide::audit_log();
    let request = decide::request(&call.principal, Action::SearchAudit, target, &call.context);
    decide::ask(&gateway.seams.decide, &request)
        .await
        .is_allowed()
}

async fn recent(gateway: &Gateway) -> Result<Vec<Value>, Fault> {
    let query = RecordQuery {
        kind: Some(EntryKind::Decision),
        limit: RECENT_MAX,
        ..RecordQuery::default()
    };
    let page = gateway.seams.records.search(&query).await?;
    Ok(page.entries.iter().map(wire::audit_entry).collect())
}

async fn health(gateway: &Gateway) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut row = |component: &str, is_well: bool, detail: String| {
        let state = if is_well { "ok" } else { "degraded" };
        rows.push(json!({"component": component, "state": state, "detail": detail}));
    };
    let info = gateway.seams.policies.info();
    match info.load_error {
        Some(fault) => row("policies", false, fault.to_string()),
        None => row("policies", true, format!("{} policies", info.count)),
    }
    let log = gateway.seams.records.status();
    match log.refuses() {
        Some(reason) => row("audit log", false, reason.to_owned()),
        None => row("audit log", true, format!("{} entries", log.size)),
    }
    match gateway.seams.assets.snapshot().await {
        Ok(snapshot) => {
            let (depots, datasets) = (snapshot.depots.len(), snapshot.datasets.len());
            row(
                "catalog",
                true,
                format!("{depots} depots, {datasets} datasets"),
            );
        }
        Err(fault) => row("catalog", false, fault.to_string()),
    }
    for link in &gateway.links {
        let away = link.away();
        let detail = away.as_deref().unwrap_or("there").to_owned();
        row(&format!("role {}", link.peer()), away.is_none(), detail);
    }
    for (issuer, is_well, detail) in gateway
        .authenticator
        .issuer_health(gateway.seams.clock.now())
    {
        row(&format!("issuer {issuer}"), is_well, detail);
    }
    rows
}

/// What we can do without, and have to.
fn degraded(gateway: &Gateway) -> String {
    let name = "dataos_degraded";
    let dependencies = [
        ("redis", gateway.rates.is_redis_away()),
        ("otlp", gateway.spans.is_away()),
    ];
    let known = dependencies
        .iter()
        .filter_map(|(name, away)| Some(((*name).to_owned(), (*away)?)));
    let roles = gateway.links.iter();
    let roles = roles.map(|link| (format!("role_{}", link.peer()), link.away().is_some()));
    let known = known
        .chain(roles)
        .map(|(name, away)| (name, u8::from(away)));
    let lines: String = known
        .map(|(dependency, away)| format!("{name}{{dependency=\"{dependency}\"}} {away}\n"))
        .collect();
    if lines.is_empty() {
        return lines;
    }
    format!("# TYPE {name} gauge\n{lines}")
}

/// When certificates end, as Prometheus writes times.
fn expiries(gateway: &Gateway) -> String {
    let Ok(certificates) = gateway.certificates() else {
        return String::new();
    };
    let name = "dataos_certificate_expiry_timestamp_seconds";
    let lines = certificates.expiries().into_iter().map(|(which, end)| {
        let end_s = end.0 / 1000;
        format!("{name}{{certificate=\"{which}\"}} {end_s}\n")
    });
    format!("# TYPE {name} gauge\n{}", lines.collect::<String>())
}

/// How statements fare.
fn queries(figures: &QueryFigures) -> String {
    let mut text = String::new();
    for (name, value) in [
        ("dataos_queries_running", figures.running),
        ("dataos_queries_kept", figures.kept),
        ("dataos_queries_kept_bytes", figures.kept_bytes),
        ("dataos_queries_cached", figures.cached),
        ("dataos_queries_cached_bytes", figures.cached_bytes),
    ] {
        text.push_str(&format!("# TYPE {name} gauge\n{name} {value}\n"));
    }
    for (name, value) in [
        ("dataos_query_cache_hits_total", figures.cache_hits),
        ("dataos_query_cache_misses_total", figures.cache_misses),
    ] {
        text.push_str(&format!("# TYPE {name} counter\n{name} {value}\n"));
    }
    for (name, label, counts) in [
        ("dataos_queries_ended_total", "outcome", &figures.ended),
        (
            "dataos_query_bounds_hit_total",
            "bound",
            &figures.bounds_hit,
        ),
    ] {
        text.push_str(&format!("# TYPE {name} counter\n"));
        for (value, count) in counts {
            text.push_str(&format!("{name}{{{label}=\"{value}\"}} {count}\n"));
        }
    }
    text
}

pub(crate) async fn metrics(gateway: Arc<Gateway>, _call: Arc<Call>) -> Result<Answer, Fault> {
    let mut text = gateway.figures.prometheus()
        + &gateway.rates.prometheus()
        + &gateway.spans.prometheus()
        + &degraded(&gateway)
        + &expiries(&gateway)
        + &queries(&gateway.seams.query.figures());
    let log = gateway.seams.records.status();
    let info = gateway.seams.policies.info();
    for (name, value) in [
        ("dataos_log_entries", log.size),
        ("dataos_log_bytes", log.bytes),
        ("dataos_log_stopped", u64::from(log.stopped.is_some())),
        ("dataos_log_full", u64::from(log.full.is_some())),
        ("dataos_policies", info.count as u64),
        ("dataos_calls_under_way", gateway.load.taken() as u64),
        ("dataos_event_streams_open", gateway.streams.open() as u64),
        (
            "dataos_policies_load_failed",
            u64::from(info.load_error.is_some()),
        ),
    ] {
        text.push_str(&format!("# TYPE {name} gauge\n{name} {value}\n"));
    }
    Ok(Answer::bytes(
        StatusCode::OK,
        "text/plain; version=0.0.4",
        Bytes::from(text),
    ))
}
