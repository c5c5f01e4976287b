//! Findings as SARIF 2.1.0, which code hosts show beside the lines of a change.

use std::path::Path;

use dataos_pdp::analysis::{Finding, Report, Rule, Severity};
use serde_json::{Value, json};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The report as one SARIF run; paths are relative to where the command runs.
pub(super) fn document(folder: &Path, report: &Report) -> Value {
    let rules: Vec<Value> = Rule::ALL
        .iter()
        .map(|rule| {
            json!({
                "id": rule.name(),
                "shortDescription": {"text": rule.description()},
                "defaultConfiguration": {"level": level(rule.severity())},
            })
        })
        .collect();
    let results: Vec<Value> = report.findings.iter().map(|f| result(folder, f)).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "dataos policy check",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "results": results,
        }],
    })
}

fn result(folder: &Path, finding: &Finding) -> Value {
    let location = &finding.location;
    let text = match &finding.hint {
        Some(hint) => format!("{}; {hint}", finding.message),
        None => finding.message.clone(),
    };
    let file = folder.join(location.file.as_deref().unwrap_or_default());
    let mut physical = json!({"artifactLocation": {"uri": file.display().to_string()}});
    if let (Some(line), Some(fields)) = (location.line, physical.as_object_mut()) {
        let region = json!({"startLine": line, "startColumn": location.column.unwrap_or(1)});
        fields.insert("region".to_owned(), region);
    }
    json!({
        "ruleId": finding.rule.name(),
        "level": level(finding.severity()),
        "message": {"text": text},
        "locations": [{"physicalLocation": physical}],
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}
