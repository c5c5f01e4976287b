//! What we ask a provider without the browser: tokens for a code, and what it knows of its user.

use base64::{Engine, engine::general_purpose::STANDARD};
use dataos_model::json::{self, Bounds};
use reqwest::{StatusCode, Url};
use serde_json::{Map, Value};

use super::{
    Provider,
    description::Description,
    refusals::{
        ANSWER_MALFORMED, CODE_REFUSED, EXCHANGE_REFUSED, LogInFault, USERINFO_REFUSED,
        USERINFO_SUBJECT,
    },
};
use crate::authenticate::token::fetch::Fetcher;

/// Tokens as a provider gives them.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) access_token: String,
    pub(super) id_token: Option<String>,
    pub(super) refresh_token: Option<String>,
    /// How long the access token lives.
    pub(super) lives_s: Option<i64>,
}

impl Provider {
    /// Tokens for a grant; the client's own proof is added here.
    pub(super) async fn tokens(
        &self,
        description: &Description,
        grant: &[(&str, &str)],
    ) -> Result<Granted, LogInFault> {
        let (mut form, mut authorization) = (grant.to_vec(), None);
        let id = self.login.client_id.as_str();
        let secret = self.login.client_secret.as_ref();
        let secret = secret.map(|secret| String::from_utf8_lossy(secret.expose()));
        match &secret {
            Some(secret) if !description.takes_secret_in_form => {
                let pair = format!("{}:{}", encoded(id), encoded(secret));
                authorization = Some(format!("Basic {}", STANDARD.encode(pair)));
            }
            Some(secret) => form.extend([("client_id", id), ("client_secret", secret)]),
            None => form.push(("client_id", id)),
        }
        let place = ("token_endpoint", description.token.as_str());
        let answer = self
            .fetcher()?
            .post_form(place, encoded_form(&form), authorization);
        let (status, document) = answer.await.map_err(LogInFault::Away)?;
        let answer = json::parse(&document, &Bounds::SMALL);
        match status {
            StatusCode::OK => {}
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED => {
                let told = answer.ok();
                let told = told.as_ref().and_then(|told| told.get("error")?.as_str());
                tracing::warn!(provider = %self.login.name, error = ?told, "no tokens were given");
                let is_grant = told == Some("invalid_grant");
                return Err(if is_grant {
                    CODE_REFUSED
                } else {
                    EXCHANGE_REFUSED
                }
                .into());
            }
            other => {
                let problem = format!("{} answers {other}", description.token);
                return Err(LogInFault::Away(problem));
            }
        }
        granted(&answer.map_err(|_| ANSWER_MALFORMED)?)
    }

    /// The claims of the `UserInfo` endpoint, which must be about this subject.
    pub(super) async fn userinfo(
        &self,
        description: &Description,
        access_token: &str,
        subject: &str,
    ) -> Result<Map<String, Value>, LogInFault> {
        let url = description.userinfo.as_deref().ok_or(USERINFO_REFUSED)?;
        let place = ("userinfo_endpoint", url);
        let answer = self.fetcher()?.get_with_token(place, access_token).await;
        let (status, document) = answer.map_err(LogInFault::Away)?;
        if status != StatusCode::OK {
            return Err(USERINFO_REFUSED.into());
        }
        let Ok(Value::Object(claims)) = json::parse(&document, &Bounds::SMALL) else {
            return Err(USERINFO_REFUSED.into());
        };
        // OpenID Connect Core 5.3.2: an access token of another user must not lend its claims.
        if claims.get("sub").and_then(Value::as_str) == Some(subject) {
            Ok(claims)
        } else {
            Err(USERINFO_SUBJECT.into())
        }
    }

    pub(super) fn fetcher(&self) -> Result<&Fetcher, LogInFault> {
        let fetcher = self.issuer.fetcher();
        fetcher.ok_or_else(|| LogInFault::Away("the issuer is not discovered".to_owned()))
    }
}

fn granted(answer: &Value) -> Result<Granted, LogInFault> {
    let text = |name: &str| match answer.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(LogInFault::from(ANSWER_MALFORMED)),
    };
    let is_bearer = text("token_type")?.is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
    if !is_bearer {
        return Err(ANSWER_MALFORMED.into());
    }
    Ok(Granted {
        access_token: text("access_token")?.ok_or(ANSWER_MALFORMED)?,
        id_token: text("id_token")?,
        refresh_token: text("refresh_token")?,
        lives_s: answer.get("expires_in").and_then(Value::as_i64),
    })
}

/// Pairs as a form, and as the query of an address.
pub(super) fn encoded_form(pairs: &[(&str, &str)]) -> String {
    let encode = |(name, value): &(&str, &str)| format!("{}={}", encoded(name), encoded(value));
    pairs.iter().map(encode).collect::<Vec<_>>().join("&")
}

/// Everything but letters, digits and `-._~` by its bytes.
fn encoded(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into a text does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

/// An address of the provider with more parameters.
pub(super) fn with_query(url: &str, pairs: &[(&str, &str)]) -> Result<String, LogInFault> {
    let mut url = Url::parse(url).map_err(|error| LogInFault::Away(error.to_string()))?;
    let more = encoded_form(pairs);
    let query = match url.query() {
        Some(own) if !own.is_empty() => format!("{own}&{more}"),
        _ => more,
    };
    url.set_query(Some(&query));
    Ok(url.into())
}
