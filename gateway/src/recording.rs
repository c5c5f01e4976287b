//! How much of a call is recorded beside its decision: policies say it, routes bound it.
//!
//! A policy that determines the decision says `@obligation("record(level = 'request')")`; of several
//! the one that records most counts. The record of the decision itself cannot be turned off.

use dataos_model::{
    annotation::{Call as Annotation, Literal},
    decision::Decision,
};

use crate::{respond::AnswerBody, route::Bodies};

/// The operator.
const OPERATOR: &str = "record";
/// Its one parameter.
const LEVEL: &str = "level";
/// Most bytes of a body that are recorded; of a longer one only the size is.
pub(crate) const BODY_RECORDED_BYTES_MAX: usize = 1 << 20;

/// What is recorded; each level has what is above it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// The decision alone: no outcome, nothing about the call.
    None,
    /// Method, path, peer, credential; how the call ended.
    #[default]
    Metadata,
    /// The body of the request.
    Request,
    /// The body of the answer.
    Response,
}

impl Level {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "none" => Self::None,
            "metadata" => Self::Metadata,
            "request" => Self::Request,
            "response" => Self::Response,
            _ => return None,
        })
    }

    /// The level that an obligation sets, if it is one of ours and well formed.
    fn of(obligation: &Annotation) -> Option<Self> {
        let mut parameters = obligation.parameters.iter();
        match (parameters.next(), parameters.next()) {
            (Some((name, Literal::Text(level))), None)
                if obligation.operator == OPERATOR && name == LEVEL =>
            {
                Self::named(level)
            }
            _ => None,
        }
    }

    /// The level of a decision.
    pub(crate) fn of_decision(decision: &Decision) -> Self {
        let levels = decision.obligations.iter().filter_map(Self::of);
        levels.max().unwrap_or_default()
    }
}

/// Whether the gateway can carry out an obligation.
pub(crate) fn is_known(obligation: &Annotation) -> bool {
    Level::of(obligation).is_some()
}

/// The facts of a request's body.
pub(crate) fn request(level: Level, bodies: Bodies, body: &[u8]) -> Option<Fact> {
    if level < Level::Request || body.is_empty() {
        return None;
    }
    Some(match bodies {
        Bodies::Recorded | Bodies::RequestAlone => shown("request_body", body),
        Bodies::Withheld => withheld("request_body", body.len()),
    })
}

/// The facts of an answer's body.
pub(crate) fn response(level: Level, bodies: Bodies, body: &AnswerBody) -> Option<Fact> {
    let bytes = usize::try_from(body.len_bytes()).unwrap_or(usize::MAX);
    if level < Level::Response || bytes == 0 {
        return None;
    }
    Some(match bodies {
        Bodies::Recorded if bytes <= BODY_RECORDED_BYTES_MAX => shown(
            "response_body",
            &body
                .parts()
                .flat_map(|part| part.iter().copied())
                .collect::<Vec<_>>(),
        ),
        Bodies::Recorded | Bodies::RequestAlone | Bodies::Withheld => {
            withheld("response_body", bytes)
        }
    })
}

/// A fact of a record: name and value.
pub(crate) type Fact = (&'static str, String);

fn shown(name: &'static str, body: &[u8]) -> Fact {
    match std::str::from_utf8(body) {
        Ok(text) if body.len() <= BODY_RECORDED_BYTES_MAX => (name, text.to_owned()),
        _ => withheld(name, body.len()),
    }
}

/// What stands for a body that may hold secrets or governed data, is not text, or is too long; the
/// request digest commits to it all the same.
fn withheld(name: &'static str, bytes: usize) -> Fact {
    (name, format!("({bytes} bytes, not recorded)"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn level(text: &str) -> Option<Level> {
        Level::of(&Annotation::parse(text).unwrap())
    }

    #[test]
    fn levels_are_ordered_and_nothing_else_is_known() {
        assert_eq!(level("record(level = 'none')"), Some(Level::None));
        assert_eq!(level("record(level = 'response')"), Some(Level::Response));
        assert!(Level::None < Level::Metadata && Level::Request < Level::Response);
        for unknown in [
            "record",
            "record(level = 'all')",
            "record(level = 1)",
            "record(depth = 'request')",
            "record(level = 'request', of = 'body')",
            "notify(level = 'request')",
        ] {
            assert_eq!(level(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn what_a_route_withholds_is_not_shown_at_any_level() {
        let body = AnswerBody::new([Bytes::from_static(b"{\"key\""), Bytes::from_static(b":1}")]);
        let shown = |level, bodies| {
            let request = request(level, bodies, b"{\"password\":1}");
            let fact = |fact: Option<Fact>| fact.map(|(_, value)| value);
            (fact(request), fact(response(level, bodies, &body)))
        };
        assert_eq!(shown(Level::Metadata, Bodies::Recorded), (None, None));
        let both = shown(Level::Response, Bodies::Recorded);
        let both = (both.0.unwrap(), both.1.unwrap());
        assert_eq!(
            (both.0.as_str(), both.1.as_str()),
            ("{\"password\":1}", "{\"key\":1}")
        );
        let withheld = shown(Level::Response, Bodies::Withheld);
        assert_eq!(withheld.0.unwrap(), "(14 bytes, not recorded)");
        assert_eq!(withheld.1.unwrap(), "(9 bytes, not recorded)");
        assert!(
            shown(Level::Response, Bodies::RequestAlone)
                .1
                .unwrap()
                .contains("not recorded")
        );
    }
}
