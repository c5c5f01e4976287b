//! What can go wrong, and the exit code that says so.

use serde_json::Value;

/// A command that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command was wrong before anything was sent.
    #[error("{0}")]
    Usage(String),
    /// Something failed here.
    #[error("{0}")]
    Failed(String),
    /// The server answered with a problem document.
    #[error("{}", summary(.0))]
    Problem(Box<Value>),
    /// A provider does not log in who asked.
    #[error("{0}")]
    Denied(String),
    /// No answer, or none that a DataOS server would give.
    #[error("{0}")]
    Unreachable(String),
}

impl Failure {
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// 1 failed, 2 usage, 3 denied, 4 unreachable.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Problem(problem) => match problem.get("status").and_then(Value::as_u64) {
                Some(401 | 403) => 3,
                Some(502..=504) => 4,
                _ => 1,
            },
            Self::Denied(_) => 3,
            Self::Unreachable(_) => 4,
        }
    }
}

fn text<'a>(problem: &'a Value, field: &str) -> Option<&'a str> {
    problem
        .get(field)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}

/// What happened; where; what to do next.
fn summary(problem: &Value) -> String {
    let mut lines = vec![
        text(problem, "detail")
            .or(text(problem, "title"))
            .unwrap_or("the server refused")
            .to_owned(),
    ];
    if let Some(location) = problem.get("location") {
        let part = |name: &str| location.get(name).filter(|part| !part.is_null());
        let mut place = Vec::new();
        if let Some(line) = part("line") {
            place.push(format!("line {line}"));
        }
        if let Some(column) = part("column") {
            place.push(format!("column {column}"));
        }
        if let Some(field) = part("field").and_then(Value::as_str) {
            place.push(format!("field `{field}`"));
        }
        if !place.is_empty() {
            lines.push(format!("  at: {}", place.join(", ")));
        }
    }
    if let Some(reason) = text(problem, "reason") {
        lines.push(format!("  reason: {reason}"));
    }
    let policies: Vec<&str> = problem
        .get("policies")
        .and_then(Value::as_array)
        .map(|ids| ids.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    if !policies.is_empty() {
        lines.push(format!("  policies: {}", policies.join(", ")));
    }
    if let Some(hint) = text(problem, "hint") {
        lines.push(format!("  next: {hint}"));
    }
    if let Some(instance) = text(problem, "instance") {
        lines.push(format!("  request: {instance}"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_says_what_where_and_what_next() {
        let failure = Failure::Problem(Box::new(json!({
            "status": 403, "detail": "select on crm:main/customers is denied",
            "reason": "no_permit", "policies": ["p1"], "hint": "ask the owner",
            "location": {"line": 1, "column": 15}, "instance": "r-1",
        })));
        assert_eq!(
            failure.to_string(),
            "select on crm:main/customers is denied\n  at: line 1, column 15\n  reason: no_permit\n  \
             policies: p1\n  next: ask the owner\n  request: r-1"
        );
        assert_eq!(failure.exit_code(), 3);
    }

    #[test]
    fn exit_codes_follow_the_situation() {
        for (status, code) in [(400, 1), (401, 3), (403, 3), (404, 1), (500, 1), (503, 4)] {
            let failure = Failure::Problem(Box::new(json!({"status": status})));
            assert_eq!(failure.exit_code(), code, "{status}");
        }
    }
}
