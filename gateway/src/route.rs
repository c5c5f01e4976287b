//! The route table: the one place that says what a request is called, what it is decided on, how
//! its answer is held, and who makes it. A path that is not here does not exist.

pub(crate) mod openapi;
pub(crate) mod reference;
mod table;

use std::{
    pin::Pin,
    sync::{Arc, LazyLock},
};

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
    for (route, pattern) in ROUTES.iter().zip(&*PATTERNS) {
        if let Some(parameters) = pattern.matches(segments) {
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

/// The patterns of the table, in its order.
static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    ROUTES
        .iter()
        .map(|route| Pattern::of(route.pattern))
        .collect()
});

/// A pattern, taken apart.
#[derive(Debug)]
struct Pattern {
    parts: Vec<Part>,
    /// What the segments behind the parts are called together, if there may be any.
    rest: Option<&'static str>,
}

/// What stands for one segment.
#[derive(Clone, Copy, Debug)]
enum Part {
    Literal(&'static str),
    Parameter(&'static str),
}

impl Pattern {
    fn of(text: &'static str) -> Self {
        let (mut parts, mut rest) = (Vec::new(), None);
        for part in text.split('/').skip(1) {
            let name = part
                .strip_prefix('{')
                .and_then(|name| name.strip_suffix('}'));
            match name {
                Some(name) if name.ends_with("...") => rest = Some(name.trim_end_matches("...")),
                Some(name) => parts.push(Part::Parameter(name)),
                None => parts.push(Part::Literal(part)),
            }
        }
        Self { parts, rest }
    }

    fn matches(&self, segments: &[String]) -> Option<Parameters> {
        let (here, behind) = segments.split_at_checked(self.parts.len())?;
        if self.rest.is_none() && !behind.is_empty() {
            return None;
        }
        // From the end: most patterns begin alike.
        let mut pairs = self.parts.iter().zip(here).rev();
        let fits = pairs.all(|(part, segment)| match part {
            Part::Literal(literal) => literal == segment,
            Part::Parameter(_) => !segment.is_empty(),
        });
        if !fits {
            return None;
        }
        let mut captured = Vec::new();
        for (part, segment) in self.parts.iter().zip(here) {
            if let Part::Parameter(name) = part {
                captured.push((*name, segment.clone()));
            }
        }
        captured.extend(self.rest.map(|name| (name, behind.join("/"))));
        Some(Parameters(captured))
    }
}

#[cfg(test)]
mod tests;
