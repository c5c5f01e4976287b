//! Test results in the XML that continuous integration systems read.

use std::fmt::Write;

use dataos_pdp::analysis::TestReport;

/// The report as JUnit XML: one suite per test file.
pub(super) fn document(report: &TestReport) -> String {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"{}\" failures=\"{}\" errors=\"{}\">\n",
        report.cases.len(),
        report.failed(),
        report.findings.len()
    );
    let file_of = |at: &dataos_model::fault::Location| at.file.clone().unwrap_or_default();
    for cases in report
        .cases
        .chunk_by(|left, right| left.location.file == right.location.file)
    {
        let file = cases
            .first()
            .map(|case| file_of(&case.location))
            .unwrap_or_default();
        let failed = cases
            .iter()
            .filter(|case| !case.failures.is_empty())
            .count();
        let _ = writeln!(
            text,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\">",
            escaped(&file),
            cases.len()
        );
        for case in cases {
            let line = case.location.line.unwrap_or_default();
            let _ = write!(
                text,
                "    <testcase name=\"{}\" classname=\"{}\" file=\"{}\" line=\"{line}\"",
                escaped(&case.name),
                escaped(&file),
                escaped(&file)
            );
            match case.failures.as_slice() {
                [] => text.push_str("/>\n"),
                failures => {
                    let all = escaped(&failures.join("\n"));
                    let _ = writeln!(text, "><failure message=\"{all}\"/></testcase>");
                }
            }
        }
        text.push_str("  </testsuite>\n");
    }
    if !report.findings.is_empty() {
        let count = report.findings.len();
        let _ = writeln!(
            text,
            "  <testsuite name=\"policies\" tests=\"{count}\" errors=\"{count}\">"
        );
        for finding in &report.findings {
            let file = escaped(&file_of(&finding.location));
            let shown = escaped(&finding.to_string());
            let _ = writeln!(
                text,
                "    <testcase name=\"loads\" classname=\"{file}\"><error message=\"{shown}\"/></testcase>"
            );
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

/// A text inside an attribute; characters that XML cannot hold are replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            other if other.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use dataos_model::fault::Location;
    use dataos_pdp::analysis::{CaseResult, TestReport};

    #[test]
    fn names_and_failures_are_escaped() {
        let case = |name: &str, failures: &[&str]| CaseResult {
            name: name.to_owned(),
            location: Location {
                file: Some("tests/a.yaml".to_owned()),
                line: Some(3),
                ..Location::default()
            },
            failures: failures.iter().map(ToString::to_string).collect(),
        };
        let report = TestReport {
            cases: vec![case("a < b", &[]), case("c", &["got \"x\"\nand & y\u{1}"])],
            ..TestReport::default()
        };
        assert_eq!(
            super::document(&report),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <testsuites tests=\"2\" failures=\"1\" errors=\"0\">\n  \
             <testsuite name=\"tests/a.yaml\" tests=\"2\" failures=\"1\">\n    \
             <testcase name=\"a &lt; b\" classname=\"tests/a.yaml\" file=\"tests/a.yaml\" line=\"3\"/>\n    \
             <testcase name=\"c\" classname=\"tests/a.yaml\" file=\"tests/a.yaml\" line=\"3\">\
             <failure message=\"got &quot;x&quot;&#10;and &amp; y\u{fffd}\"/></testcase>\n  \
             </testsuite>\n</testsuites>\n"
        );
    }
}
