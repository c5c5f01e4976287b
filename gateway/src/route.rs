//! The route table: the one place that says what a request is called, what it is decided on, how
//! its answer is held, and who makes it. A path that is not here does not exist.

pub(crate) mod openapi;
pub(crate) mod reference;
mod table;

use std::{pin::Pin, sync::Arc};

use dataos_model::{action::Action, fault::Fault};

use crate::{
    decide::Subject,
    limits::Verb,
    load::Priority,
    respond::Answer,
    rpc,
    serve::{Call, Gateway},
};

pub(crate) use table::ROUTES;

/// What a handler's future is.
pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = Result<Answer, Fault>> + Send>>;
/// Makes the answer to a call.
pub(crate) type Handler = fn(Arc<Gateway>, Arc<Call>) -> HandlerFuture;

/// How an answer relates to its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Not governed: neither decided nor recorded. A fixed list; a test keeps it.
    Open,
    /// Not decided by policy, and recorded: who comes in or goes out.
    Entrance(Entrance),
    /// The handler only reads. Decision and outcome are one entry if it answers at once; else the
    /// decision is written while it runs. The answer waits until its decision is durable.
    Read,
    /// The same, but for a handler that records more itself: its decision is queued before it starts.
    Ask,
    /// The handler starts when its decision is durable.
    Change,
    /// The same, but it stops when its client goes away; what must not be left half-way goes on by itself.
    Statement,
}

/// A way in or out, whose caller is nobody yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// A local account's log-in.
    Password,
    /// To a provider; recorded where it is refused.
    Begin,
    /// Back from one.
    Callback,
    /// To a provider, to leave it too; recorded where it is refused.
    Leave,
    /// Back from there, likewise.
    Left,
    /// A provider says that somebody left it.
    BackChannel,
}

/// What of a call's bodies may go into the log, where a policy wants them there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bodies {
    /// Both.
    Recorded,
    /// The request's: the answer holds rows of governed data, or entries of the log itself.
    RequestAlone,
    /// Neither: there are secrets in them.
    Withheld,
}

/// One route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    pub(crate) verb: Verb,
    /// Literal segments, `{name}` for one segment, `{name...}` for the rest.
    pub(crate) pattern: &'static str,
    /// What is decided, and on what; absent for what is not governed.
    pub(crate) governed: Option<(Action, Subject)>,
    /// What a key's scopes must hold where the decided action is less than what the handler does.
    pub(crate) in_scope_of: Option<Action>,
    pub(crate) hold: Hold,
    /// What is refused first when there are too many calls.
    pub(crate) priority: Priority,
    /// Whether a denial answers 404, like an absent thing.
    pub(crate) hides_denied: bool,
    /// Names of query parameters; any other is refused.
    pub(crate) query: &'static [&'static str],
    /// Content type of the body that is taken, if one is.
    pub(crate) takes: Option<&'static str>,
    pub(crate) bodies: Bodies,
    /// One line for the OpenAPI document.
    pub(crate) summary: &'static str,
    pub(crate) handler: Handler,
}

impl Route {
    /// Whether it is a method of a gRPC service, which takes client certificates alone.
    pub(crate) fn is_rpc(&self) -> bool {
        self.takes == Some(rpc::CONTENT_TYPE)
    }
}

/// Segments that a pattern captured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters(Vec<(&'static str, String)>);

impl Parameters {
    /// A parameter that the pattern has.
    pub(crate) fn get(&self, name: &str) -> Result<&str, Fault> {
        self.0
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.as_str())
            .ok_or_else(|| Fault::internal(format!("the route has no parameter `{name}`")))
    }
}

/// What the table says about a method and path.
#[derive(Debug)]
pub(crate) enum Found {
    /// This route.
    Route(&'static Route, Parameters),
    /// The path exists for other methods.
    WrongMethod(Vec<&'static str>),
    /// Nothing.
    Nothing,
}

/// Looks a request up.
pub(crate) fn find(verb: Verb, segments: &[String]) -> Found {
    let mut others = Vec::new();
    for route in ROUTES {
        if let Some(parameters) = matches(route.pattern, segments) {
            if route.verb == verb {
                return Found::Route(route, parameters);
            }
            others.push(route.verb.name());
        }
    }
    if others.is_empty() {
        Found::Nothing
    } else {
        Found::WrongMethod(others)
    }
}

/// The route of a call that did not come over HTTP.
pub(crate) fn of(verb: Verb, pattern: &str) -> Result<&'static Route, Fault> {
    let mut routes = ROUTES.iter();
    routes
        .find(|route| route.verb == verb && route.pattern == pattern)
        .ok_or_else(|| Fault::internal(format!("there is no route {pattern}")))
}

fn matches(pattern: &'static str, segments: &[String]) -> Option<Parameters> {
    let mut captured = Vec::new();
    let mut rest = segments.iter();
    for part in pattern.split('/').skip(1) {
        let name = part
            .strip_prefix('{')
            .and_then(|name| name.strip_suffix('}'));
        match name {
            Some(name) if name.ends_with("...") => {
                let tail: Vec<&str> = rest.map(String::as_str).collect();
                captured.push((name.trim_end_matches("..."), tail.join("/")));
                return Some(Parameters(captured));
            }
            Some(name) => {
                let segment = rest.next().filter(|segment| !segment.is_empty())?;
                captured.push((name, segment.clone()));
            }
            None if rest.next()? == part => {}
            None => return None,
        }
    }
    rest.next().is_none().then_some(Parameters(captured))
}

#[cfg(test)]
mod tests;
