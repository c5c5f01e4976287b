//! Results as JSON: the same over REST and from the command line.

use dataos_model::fault::Location;
use dataos_pdp::analysis::{Difference, Finding, Matrix, Report, TestReport};
use serde_json::{Value, json};

/// `CheckReport` of docs/api.md.
pub(crate) fn report(report: &Report) -> Value {
    json!({
        "policies": report.policies,
        "datasets": report.datasets,
        "errors": report.errors(),
        "warnings": report.warnings(),
        "untold": report.untold,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

/// `TestReport` of docs/api.md.
pub(crate) fn test_report(report: &TestReport) -> Value {
    let cases: Vec<Value> = report
        .cases
        .iter()
        .map(|case| {
            placed(
                json!({"name": case.name, "passed": case.failures.is_empty(), "failures": case.failures}),
                &case.location,
            )
        })
        .collect();
    let uncovered: Vec<Value> = report
        .uncovered
        .iter()
        .map(|(id, location)| placed(json!({"id": id}), location))
        .collect();
    json!({
        "passed": report.cases.len() - report.failed(),
        "failed": report.failed(),
        "policies": report.policies,
        "uncovered": uncovered,
        "cases": cases,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

/// All cells.
pub(super) fn matrix(matrix: &Matrix) -> Value {
    let cells = matrix.cells.iter().map(|cell| {
        json!({
            "subject": cell.subject,
            "action": cell.action.name(),
            "resource": cell.resource.name(),
            "verdict": cell.verdict.to_string(),
            "policies": cell.policies,
        })
    });
    json!({"cells": cells.collect::<Vec<_>>()})
}

/// Policies and cells that differ.
pub(super) fn difference(difference: &Difference) -> Value {
    let changes = difference.changes.iter().map(|change| {
        placed(
            json!({
                "id": change.id,
                "kind": change.kind(),
                "before": change.before,
                "after": change.after,
            }),
            &change.location,
        )
    });
    let flips = difference.flips.iter().map(|flip| {
        json!({
            "subject": flip.subject,
            "action": flip.action.name(),
            "resource": flip.resource.name(),
            "before": flip.before.to_string(),
            "after": flip.after.to_string(),
            "policies": flip.policies,
        })
    });
    json!({
        "schema_changed": difference.is_schema_changed,
        "policies": changes.collect::<Vec<_>>(),
        "flips": flips.collect::<Vec<_>>(),
    })
}

/// `Finding` of docs/api.md.
pub(super) fn finding(finding: &Finding) -> Value {
    placed(
        json!({
            "rule": finding.rule.name(),
            "severity": finding.severity().name(),
            "policy": finding.policy,
            "message": finding.message,
            "hint": finding.hint,
        }),
        &finding.location,
    )
}

fn placed(mut value: Value, location: &Location) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.insert("file".to_owned(), json!(location.file));
        fields.insert("line".to_owned(), json!(location.line));
        fields.insert("column".to_owned(), json!(location.column));
    }
    value
}
