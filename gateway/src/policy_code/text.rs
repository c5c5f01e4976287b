//! Results for a person.

use std::{
    fmt::{Display, Write},
    path::Path,
};

use dataos_model::fault::Location;
use dataos_pdp::analysis::{Difference, Finding, Report, TestReport};

/// Findings and their count.
pub(super) fn report(folder: &Path, report: &Report) -> String {
    let mut text = findings(folder, &report.findings);
    if report.untold > 0 {
        line(
            &mut text,
            format_args!("and {} more findings", report.untold),
        );
    }
    line(
        &mut text,
        format_args!(
            "{} policies, {} datasets: {} errors, {} warnings",
            report.policies,
            report.datasets,
            report.errors(),
            report.warnings()
        ),
    );
    text
}

/// Failed cases, policies that no case covers, and the counts.
pub(super) fn test_report(folder: &Path, report: &TestReport) -> String {
    let mut text = findings(folder, &report.findings);
    for case in report.cases.iter().filter(|case| !case.failures.is_empty()) {
        let place = placed(folder, &case.location);
        line(&mut text, format_args!("{place}failed: {}", case.name));
        for failure in &case.failures {
            line(&mut text, format_args!("  {failure}"));
        }
    }
    for (id, location) in &report.uncovered {
        let place = placed(folder, location);
        line(
            &mut text,
            format_args!("{place}not covered: policy `{id}` decides no case"),
        );
    }
    line(
        &mut text,
        format_args!(
            "{} cases: {} passed, {} failed; {} of {} policies covered",
            report.cases.len(),
            report.cases.len() - report.failed(),
            report.failed(),
            report.policies.saturating_sub(report.uncovered.len()),
            report.policies
        ),
    );
    text
}

/// Policies and cells that differ.
pub(super) fn difference(folder: &Path, difference: &Difference) -> String {
    let mut text = String::new();
    if difference.is_schema_changed {
        line(&mut text, "the schema means something else");
    }
    for change in &difference.changes {
        let place = placed(folder, &change.location);
        line(
            &mut text,
            format_args!("{place}{} policy `{}`", change.kind(), change.id),
        );
    }
    for flip in &difference.flips {
        let by = if flip.policies.is_empty() {
            String::new()
        } else {
            format!(" by {}", flip.policies.join(", "))
        };
        line(
            &mut text,
            format_args!(
                "{}: {} {}: {} -> {}{by}",
                flip.subject,
                flip.action,
                flip.resource.name(),
                flip.before,
                flip.after
            ),
        );
    }
    line(
        &mut text,
        format_args!(
            "{} policies differ, {} cells of the matrix flip",
            difference.changes.len(),
            difference.flips.len()
        ),
    );
    text
}

/// One line per finding, and what to do below it.
pub(super) fn findings(folder: &Path, findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        line(
            &mut text,
            format_args!(
                "{}{}[{}]: {}",
                placed(folder, &finding.location),
                finding.severity().name(),
                finding.rule.name(),
                finding.message
            ),
        );
        if let Some(hint) = &finding.hint {
            line(&mut text, format_args!("  next: {hint}"));
        }
    }
    text
}

fn placed(folder: &Path, location: &Location) -> String {
    let file = location.file.as_ref();
    let file = file.map(|file| folder.join(file).display().to_string());
    let location = Location {
        file,
        ..location.clone()
    };
    location.to_string()
}

fn line(text: &mut String, line: impl Display) {
    // Writing to a text cannot fail.
    let _ = writeln!(text, "{line}");
}
