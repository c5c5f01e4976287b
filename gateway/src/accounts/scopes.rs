//! What an API key is limited to: actions of routes, or routes themselves.

use std::{fmt, str::FromStr};

use dataos_model::{
    action::Action,
    fault::{Fault, Location},
};

use crate::limits::Verb;

/// Most scopes of one key.
const SCOPES_MAX: usize = 32;
/// Longest path of a scope.
const PATH_BYTES_MAX: usize = 256;
/// What stands for any method.
const ANY: &str = "*";
/// The end of a path that stands for all below it.
const BELOW: &str = "/...";

/// The scopes of one key, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scopes(Vec<Scope>);

/// `action:NAME`, or `route:METHOD PATH`, where `*` is any method and `/...` ends what is a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Scope {
    Action(Action),
    Route {
        verb: Option<Verb>,
        path: String,
        is_prefix: bool,
    },
}

impl Scopes {
    /// Reads a list of scopes.
    ///
    /// # Errors
    /// None or too many, or one that is malformed or names no action.
    pub(crate) fn parse(texts: &[String]) -> Result<Self, Fault> {
        if texts.is_empty() || texts.len() > SCOPES_MAX {
            return Err(fault(format!(
                "1 to {SCOPES_MAX} scopes; leave `scopes` out for a key without limits"
            )));
        }
        texts
            .iter()
            .map(|text| text.parse().map_err(fault))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// As they are stored and shown.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// Whether they allow what a route with this action does.
    pub(crate) fn allow(&self, action: Action, verb: Verb, path: &str) -> bool {
        self.0.iter().any(|scope| match scope {
            Scope::Action(named) => *named == action,
            Scope::Route {
                verb: named,
                path: prefix,
                is_prefix,
            } => {
                let rest = path.strip_prefix(prefix.as_str());
                let is_below = rest.is_some_and(|rest| *is_prefix && rest.starts_with('/'));
                named.is_none_or(|named| named == verb) && (rest == Some("") || is_below)
            }
        })
    }

    /// Whether they allow an action by its name, where there is no route.
    pub(crate) fn allow_action(&self, name: &str) -> bool {
        let names = |scope: &Scope| matches!(scope, Scope::Action(named) if named.name() == name);
        self.0.iter().any(names)
    }

    /// Whether a key of `other` can do nothing that a key of these cannot.
    pub(crate) fn cover(&self, other: Option<&Self>) -> bool {
        other.is_some_and(|other| other.0.iter().all(|scope| self.0.contains(scope)))
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |problem: &str| format!("scope `{text:.300}`: {problem}");
        if let Some(name) = text.strip_prefix("action:") {
            // Of a policy folder's own actions no route asks.
            let action = Action::ALL.iter().find(|action| action.name() == name);
            let action = action.ok_or_else(|| wrong("there is no such action"))?;
            return Ok(Self::Action(*action));
        }
        let route = text.strip_prefix("route:").and_then(|r| r.split_once(' '));
        let (verb, path) =
            route.ok_or_else(|| wrong("write `action:NAME` or `route:METHOD PATH`"))?;
        let known = [Verb::Get, Verb::Post, Verb::Put, Verb::Delete];
        let named = known.into_iter().find(|known| known.name() == verb);
        if named.is_none() && verb != ANY {
            return Err(wrong("the method is GET, POST, PUT, DELETE or `*`"));
        }
        let (prefix, is_prefix) = match path.strip_suffix(BELOW) {
            Some(prefix) => (prefix, true),
            None => (path, false),
        };
        let is_plain = prefix.bytes().all(|b| b.is_ascii_graphic());
        if !path.starts_with('/') || !is_plain || path.len() > PATH_BYTES_MAX {
            return Err(wrong("the path starts with `/` and has no spaces"));
        }
        Ok(Self::Route {
            verb: named,
            path: prefix.to_owned(),
            is_prefix,
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Action(action) => write!(f, "action:{action}"),
            Self::Route {
                verb,
                path,
                is_prefix,
            } => {
                let verb = verb.map_or(ANY, Verb::name);
                let below = if *is_prefix { BELOW } else { "" };
                write!(f, "route:{verb} {path}{below}")
            }
        }
    }
}

fn fault(problem: String) -> Fault {
    Fault::invalid(problem).at(Location {
        field: Some("scopes".to_owned()),
        ..Location::default()
    })
}

#[cfg(test)]
mod tests {
    use dataos_model::action::Action;

    use super::Scopes;
    use crate::limits::Verb;

    fn scopes(texts: &[&str]) -> Result<Scopes, String> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let parsed = Scopes::parse(&texts).map_err(|fault| fault.message)?;
        assert_eq!(parsed.texts(), texts, "texts come back as they were given");
        Ok(parsed)
    }

    #[test]
    fn scopes_allow_what_they_name_and_nothing_beside() {
        let query = (Action::Query, Verb::Post, "/api/v1/query");
        let entries = (Action::SearchAudit, Verb::Get, "/api/v1/audit/entries");
        let entry = (Action::SearchAudit, Verb::Get, "/api/v1/audit/entries/7");
        let beside = (Action::SearchAudit, Verb::Get, "/api/v1/audit/entriesx");
        let deleted = (Action::Call, Verb::Delete, "/api/v1/audit/entries/7");
        let all = [query, entries, entry, beside, deleted];
        for (given, allowed) in [
            ("action:query", &[0][..]),
            ("action:search_audit", &[1, 2, 3]),
            ("route:GET /api/v1/audit/entries", &[1]),
            ("route:GET /api/v1/audit/entries/...", &[1, 2]),
            ("route:* /api/v1/audit/entries/...", &[1, 2, 4]),
            ("route:* /...", &[0, 1, 2, 3, 4]),
            ("route:DELETE /api/v1/query", &[]),
        ] {
            let scopes = scopes(&[given]).unwrap();
            let found: Vec<usize> = (0..all.len())
                .filter(|at| scopes.allow(all[*at].0, all[*at].1, all[*at].2))
                .collect();
            assert_eq!(found, allowed, "{given}");
        }
    }

    #[test]
    fn malformed_scopes_are_refused_by_name() {
        let long = format!("route:GET /{}", "a".repeat(300));
        for (given, expected) in [
            ("", "action:NAME"),
            ("query", "action:NAME"),
            ("action:", "no such action"),
            ("action:fly", "no such action"),
            ("action:QUERY", "no such action"),
            ("route:/api", "action:NAME"),
            ("route:PATCH /api", "the method is"),
            ("route:get /api", "the method is"),
            ("route:GET api", "starts with"),
            ("route:GET /a b", "starts with"),
            (long.as_str(), "starts with"),
        ] {
            let problem = scopes(&[given]).unwrap_err();
            assert!(problem.contains(expected), "{given}: {problem}");
        }
        assert!(scopes(&[]).unwrap_err().contains("1 to 32"));
        assert!(
            scopes(&["action:query"; 33])
                .unwrap_err()
                .contains("1 to 32")
        );
    }

    #[test]
    fn a_key_covers_only_keys_of_its_own_scopes() {
        let both = scopes(&["action:query", "action:call"]).unwrap();
        let one = scopes(&["action:call"]).unwrap();
        assert!(both.cover(Some(&one)) && both.cover(Some(&both)));
        assert!(!one.cover(Some(&both)) && !one.cover(None));
    }
}
