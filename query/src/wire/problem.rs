//! Errors as PostgreSQL tells them: the problem of the REST door, with a SQLSTATE and a position.

use bytes::{BufMut, BytesMut};
use dataos_model::fault::{Fault, FaultKind};

use super::{Failed, message::Broken, reply::put_text};

/// Where a statement stands in the text that the peer sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    /// From this character on, unchanged.
    Text(&'a str, usize),
    /// The text was changed, so positions in it mean nothing to the peer.
    Changed,
}

/// The body of an error about a statement.
pub(super) fn fields(body: &mut BytesMut, severity: &str, failed: &Failed, place: &Place<'_>) {
    let Failed { fault, request_id } = failed;
    let message = match fault.kind {
        // What went wrong inside is for our log; the request id joins the two.
        FaultKind::Internal => "the server failed; its log names this request id",
        _ => fault.message.as_str(),
    };
    field_texts(body, severity, state(fault), message);
    let detail = detail(fault, request_id);
    if !detail.is_empty() {
        field(body, b'D', &detail);
    }
    if let Some(hint) = &fault.hint {
        field(body, b'H', hint);
    }
    if let Some(position) = position(fault, place) {
        field(body, b'P', &position.to_string());
    }
    body.put_u8(0);
}

/// The body of the error with which a connection ends.
pub(super) fn fatal(body: &mut BytesMut, broken: &Broken) {
    let (code, hint) = match broken {
        Broken::NotLoggedIn(fault) => (state(fault), fault.hint.as_deref().unwrap_or("")),
        Broken::Refused(state, _, hint) => (*state, *hint),
        Broken::TooLong(..) => ("54000", ""),
        Broken::Late(_) => ("57P05", ""),
        Broken::Malformed(_) | Broken::Closed | Broken::Io(_) => ("08P01", ""),
    };
    field_texts(body, "FATAL", code, &broken.to_string());
    if !hint.is_empty() {
        field(body, b'H', hint);
    }
    body.put_u8(0);
}

/// Severity, SQLSTATE and message.
pub(super) fn field_texts(body: &mut BytesMut, severity: &str, state: &str, message: &str) {
    field(body, b'S', severity);
    field(body, b'V', severity);
    field(body, b'C', state);
    field(body, b'M', message);
}

fn field(body: &mut BytesMut, kind: u8, text: &str) {
    body.put_u8(kind);
    put_text(body, text);
}

fn detail(fault: &Fault, request_id: &str) -> String {
    let mut parts = Vec::new();
    if !fault.reason.is_empty() {
        parts.push(format!("reason {}", fault.reason));
    }
    if !fault.policies.is_empty() {
        parts.push(format!("policies {}", fault.policies.join(", ")));
    }
    if !request_id.is_empty() {
        parts.push(format!("request {request_id}"));
    }
    parts.join("; ")
}

/// One-based, in characters of all that the peer sent.
fn position(fault: &Fault, place: &Place<'_>) -> Option<usize> {
    let Place::Text(text, start) = place else {
        return None;
    };
    let location = fault.location.as_ref()?;
    let line = usize::try_from(location.line?).ok()?.checked_sub(1)?;
    let before = text.split('\n').take(line);
    let before: usize = before.map(|line| line.chars().count() + 1).sum();
    Some(start + before + usize::try_from(location.column?).ok()?)
}

/// The SQLSTATE of a fault: by its reason where that says more than its kind.
pub(super) fn state(fault: &Fault) -> &'static str {
    match (fault.reason.as_str(), fault.kind) {
        ("sql_syntax", _) => "42601",
        ("sql_unknown_name", _) if fault.message.starts_with("column") => "42703",
        ("sql_unknown_name", _) if fault.message.starts_with("function") => "42883",
        ("sql_ambiguous_name", _) if fault.message.starts_with("table") => "42P09",
        ("sql_ambiguous_name", _) => "42702",
        ("sql_invalid", _) => "42000",
        ("types", _) => "42804",
        ("division_by_zero", _) => "22012",
        ("overflow", _) => "22003",
        ("conversion", FaultKind::Invalid) => "22P02",
        ("evaluation", _) => "22000",
        ("many_rows", _) => "21000",
        ("memory_limit", _) => "53200",
        ("busy", _) => "53300",
        ("cancelled", _) => "57014",
        ("unknown_setting", _) => "42704",
        ("setting_value", _) => "22023",
        ("transaction_failed", _) => "25P02",
        ("write_in_transaction", _) => "25001",
        ("unknown_statement", _) => "26000",
        ("unknown_portal", _) => "34000",
        ("login_wrong", _) => "28P01",
        (reason, _) if reason.starts_with("scram_") => "08P01",
        (reason, _) if reason.starts_with("rate_") => "53400",
        (_, FaultKind::Invalid) => "22023",
        (_, FaultKind::Unauthenticated) => "28000",
        (_, FaultKind::Denied) => "42501",
        (_, FaultKind::NotFound) => "42P01",
        (_, FaultKind::Conflict) => "40001",
        (_, FaultKind::PreconditionFailed | FaultKind::PreconditionRequired) => "55000",
        (_, FaultKind::TooLarge) => "54000",
        (_, FaultKind::Unavailable) => "58000",
        (_, FaultKind::Timeout) => "57014",
        (_, FaultKind::Unsupported) => "0A000",
        (_, FaultKind::Damaged) => "XX001",
        _ => "XX000",
    }
}

#[cfg(test)]
mod tests {
    use dataos_model::fault::Location;

    use super::*;

    #[test]
    fn positions_count_characters_of_the_whole_text() {
        let at = |line, column| {
            Fault::invalid("x").at(Location {
                line: Some(line),
                column: Some(column),
                ..Location::default()
            })
        };
        let text = "select é,\n  y";
        assert_eq!(position(&at(1, 1), &Place::Text(text, 0)), Some(1));
        assert_eq!(position(&at(2, 3), &Place::Text(text, 5)), Some(18));
        assert_eq!(position(&at(2, 3), &Place::Changed), None);
        assert_eq!(position(&Fault::invalid("x"), &Place::Text(text, 0)), None);
    }
}
