//! What a provider says of itself: the addresses of a log-in, checked before anyone is sent there.

use std::sync::Arc;

use dataos_model::clock::Timestamp;
use serde_json::Value;

use super::refusals::{DESCRIPTION_REFUSED, LogInFault, PKCE_MISSING, Refusal};
use crate::authenticate::token::fetch::{Fetcher, Problem};

/// Age at which a description is fetched anew.
const REFRESH_MS: i64 = 300_000;
/// Least time between two fetches, however many people want to log in.
const REFRESH_PAUSE_MS: i64 = 10_000;
/// Age at which a description that cannot be fetched anew is no longer believed.
const STALE_MS: i64 = 3_600_000;

/// Where a provider does what.
#[derive(Debug)]
pub(super) struct Description {
    pub(super) authorization: String,
    pub(super) token: String,
    pub(super) userinfo: Option<String>,
    pub(super) end_session: Option<String>,
    /// Whether its answers to browsers say whose they are (RFC 9207).
    pub(super) names_itself: bool,
    /// Whether it takes a client's secret in the form alone.
    pub(super) takes_secret_in_form: bool,
}

/// The newest description, and how the last fetch went.
#[derive(Debug, Default)]
pub(super) struct Kept {
    good: Option<(i64, Arc<Description>)>,
    tried_at: Option<i64>,
    problem: Option<Unusable>,
}

#[derive(Clone, Debug)]
enum Unusable {
    Refused(Refusal),
    Away(String),
}

impl From<Unusable> for LogInFault {
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::Refused(refusal) => Self::Refused(refusal),
            Unusable::Away(problem) => Self::Away(problem),
        }
    }
}

impl Kept {
    /// A description that is fresh enough. A provider that is away is believed for an hour, one that
    /// describes itself wrongly not at all.
    pub(super) async fn get(
        &mut self,
        fetcher: &Fetcher,
        assume_pkce: bool,
        now: Timestamp,
    ) -> Result<Arc<Description>, LogInFault> {
        let believed = |age_ms_max: i64| {
            let (at, description) = self.good.as_ref()?;
            (0..=age_ms_max)
                .contains(&(now.0 - at))
                .then(|| Arc::clone(description))
        };
        if let Some(description) = believed(REFRESH_MS) {
            return Ok(description);
        }
        let stale = believed(STALE_MS);
        let is_paused = |tried: i64| (now.0 - tried).abs() < REFRESH_PAUSE_MS;
        if !self.tried_at.is_some_and(is_paused) {
            self.tried_at = Some(now.0);
            match Description::fetch(fetcher, assume_pkce).await {
                Ok(description) => {
                    let description = Arc::new(description);
                    self.good = Some((now.0, Arc::clone(&description)));
                    self.problem = None;
                    return Ok(description);
                }
                Err(problem) => self.problem = Some(problem),
            }
        }
        match (&self.problem, stale) {
            (Some(Unusable::Away(_)), Some(description)) => Ok(description),
            (Some(problem), _) => Err(problem.clone().into()),
            (None, Some(description)) => Ok(description),
            (None, None) => Err(LogInFault::Away("no description yet".to_owned())),
        }
    }
}

impl Description {
    async fn fetch(fetcher: &Fetcher, assume_pkce: bool) -> Result<Self, Unusable> {
        let metadata = fetcher.metadata().await.map_err(|problem| match problem {
            Problem::Away(problem) => Unusable::Away(problem),
            Problem::Refused(problem) => refused(&problem),
        })?;
        check_pkce(&metadata, assume_pkce)?;
        let place = |name: &str| match metadata.get(name) {
            None => Ok(None),
            Some(Value::String(url)) => {
                let checked = fetcher.check_place(name, url);
                checked.map_err(|problem| refused(&problem))?;
                Ok(Some(url.clone()))
            }
            Some(_) => Err(refused(&format!("{name} is no text"))),
        };
        let needed = |name: &str| {
            place(name)?.ok_or_else(|| refused(&format!("the description has no {name}")))
        };
        Ok(Self {
            authorization: needed("authorization_endpoint")?,
            token: needed("token_endpoint")?,
            userinfo: place("userinfo_endpoint")?,
            end_session: place("end_session_endpoint")?,
            names_itself: metadata.get("authorization_response_iss_parameter_supported")
                == Some(&Value::Bool(true)),
            takes_secret_in_form: !lists(
                &metadata,
                "token_endpoint_auth_methods_supported",
                "client_secret_basic",
            )
            .unwrap_or(true),
        })
    }
}

/// A provider that would take a code without its verifier gives it to whoever stole it (RFC 9700 2.1.1).
fn check_pkce(metadata: &Value, assume_pkce: bool) -> Result<(), Unusable> {
    let lists_it = lists(metadata, "code_challenge_methods_supported", "S256");
    let is_taken = lists_it.unwrap_or(assume_pkce);
    is_taken
        .then_some(())
        .ok_or(Unusable::Refused(PKCE_MISSING))
}

/// Whether a list of the description has a word, if there is such a list.
fn lists(metadata: &Value, name: &str, word: &str) -> Option<bool> {
    let list = metadata.get(name)?;
    let words = list.as_array().map_or(&[][..], Vec::as_slice);
    Some(words.iter().any(|item| item == word))
}

fn refused(problem: &str) -> Unusable {
    tracing::warn!(%problem, "the description of a provider is refused");
    Unusable::Refused(DESCRIPTION_REFUSED)
}
