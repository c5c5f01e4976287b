//! Why nobody is logged in, or out: each with its own reason code, of which docs/authentication.md has
//! all.

use dataos_model::fault::Fault;

use crate::authenticate::{AuthenticationFault, jws::TokenFault};

/// What a provider or browser brought that is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The stable code.
    pub(crate) code: &'static str,
    told: &'static str,
}

/// Why a step was not taken.
#[derive(Debug)]
pub(crate) enum LogInFault {
    /// It must not be.
    Refused(Refusal),
    /// A token of the provider is not valid.
    Token(TokenFault),
    /// The provider does not answer as one does; for the log.
    Away(String),
    /// We cannot.
    Ours(Fault),
}

const fn refusal(code: &'static str, told: &'static str) -> Refusal {
    Refusal { code, told }
}

pub(super) const PROVIDER_UNKNOWN: Refusal = refusal(
    "login_provider_unknown",
    "there is no provider of this name to log in with",
);
pub(super) const RETURN_REFUSED: Refusal = refusal(
    "login_return_refused",
    "`return` is not a plain path of this server",
);
pub(super) const DESCRIPTION_REFUSED: Refusal = refusal(
    "login_description_refused",
    "the provider's description cannot be believed",
);
pub(super) const PKCE_MISSING: Refusal = refusal(
    "login_pkce_missing",
    "the provider does not say that it takes PKCE with S256",
);
pub(super) const STATE_MISSING: Refusal =
    refusal("login_state_missing", "the provider's answer has no state");
pub(super) const COOKIE_MISSING: Refusal = refusal(
    "login_cookie_missing",
    "this browser has begun no log-in, or too long ago",
);
pub(super) const COOKIE_INVALID: Refusal = refusal(
    "login_cookie_invalid",
    "the cookie of the log-in is not one that this server gave",
);
pub(super) const PROVIDER_OTHER: Refusal = refusal(
    "login_provider_other",
    "this log-in was begun with another provider",
);
pub(super) const EXPIRED: Refusal = refusal("login_expired", "this log-in was begun too long ago");
pub(super) const STATE_WRONG: Refusal = refusal(
    "login_state_wrong",
    "the answer belongs to another log-in than the one this browser began",
);
pub(super) const STATE_REUSED: Refusal =
    refusal("login_state_reused", "this answer was taken before");
pub(super) const ISSUER_MISSING: Refusal =
    refusal("login_issuer_missing", "the provider's answer has no `iss`");
pub(super) const ISSUER_WRONG: Refusal =
    refusal("login_issuer_wrong", "the answer is of another provider");
pub(super) const PROVIDER_ERROR: Refusal = refusal(
    "login_provider_error",
    "the provider did not let you log in",
);
pub(super) const CODE_MISSING: Refusal =
    refusal("login_code_missing", "the provider's answer has no code");
pub(super) const CODE_REFUSED: Refusal =
    refusal("login_code_refused", "the provider does not take its code");
pub(super) const EXCHANGE_REFUSED: Refusal = refusal(
    "login_exchange_refused",
    "the provider gives no tokens for its code",
);
pub(super) const ANSWER_MALFORMED: Refusal = refusal(
    "login_answer_malformed",
    "the provider's tokens are not such an answer",
);
pub(super) const ID_TOKEN_MISSING: Refusal =
    refusal("login_id_token_missing", "the provider gave no ID token");
pub(super) const NONCE_WRONG: Refusal = refusal(
    "login_nonce_wrong",
    "the ID token was made for another log-in",
);
pub(super) const AT_HASH_WRONG: Refusal = refusal(
    "login_at_hash_wrong",
    "the ID token belongs to another access token",
);
pub(super) const C_HASH_WRONG: Refusal =
    refusal("login_c_hash_wrong", "the ID token belongs to another code");
pub(super) const AUTH_TIME_MISSING: Refusal = refusal(
    "login_auth_time_missing",
    "the ID token does not say when the provider asked for a password",
);
pub(super) const AUTH_TOO_OLD: Refusal = refusal(
    "login_auth_too_old",
    "the provider asked for a password too long ago",
);
pub(super) const ACR_WRONG: Refusal = refusal(
    "login_acr_wrong",
    "the provider did not check who you are as strictly as is wanted",
);
pub(super) const USERINFO_REFUSED: Refusal = refusal(
    "login_userinfo_refused",
    "the provider does not tell about its user",
);
pub(super) const USERINFO_SUBJECT: Refusal = refusal(
    "login_userinfo_subject",
    "the provider tells about another user",
);

pub(super) const SUBJECT_OTHER: Refusal = refusal(
    "refresh_subject_other",
    "the provider renews the session of another user",
);
pub(super) const REFRESH_MISSING: Refusal = refusal(
    "refresh_token_missing",
    "there is nothing to renew this session with",
);
pub(super) const LEAVING_MISSING: Refusal = refusal(
    "logout_cookie_missing",
    "this browser has not logged out here, or too long ago",
);
pub(super) const LEAVING_WRONG: Refusal = refusal(
    "logout_cookie_invalid",
    "this browser did not log out of this provider, or too long ago",
);
pub(super) const LEAVING_STATE: Refusal = refusal(
    "logout_state_wrong",
    "the answer belongs to another log-out than the one of this browser",
);
pub(super) const LOGOUT_TOKEN_MISSING: Refusal = refusal(
    "logout_token_missing",
    "the body is no form with one `logout_token`",
);
pub(super) const LOGOUT_EVENT: Refusal = refusal(
    "logout_event_missing",
    "the token does not say that somebody logged out",
);
pub(super) const LOGOUT_NONCE: Refusal = refusal(
    "logout_nonce_present",
    "a token with a nonce logs nobody out",
);
pub(super) const LOGOUT_OLD: Refusal =
    refusal("logout_token_old", "the token was issued too long ago");
pub(super) const LOGOUT_SUBJECT: Refusal = refusal(
    "logout_subject_missing",
    "the token names neither a subject nor a session",
);
pub(super) const LOGOUT_ID: Refusal = refusal("logout_id_missing", "the token has no `jti`");
pub(super) const LOGOUT_REUSED: Refusal =
    refusal("logout_token_reused", "the token was taken before");

impl From<Refusal> for LogInFault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<TokenFault> for LogInFault {
    fn from(fault: TokenFault) -> Self {
        Self::Token(fault)
    }
}

impl From<Fault> for LogInFault {
    fn from(fault: Fault) -> Self {
        Self::Ours(fault)
    }
}

impl From<AuthenticationFault> for LogInFault {
    fn from(fault: AuthenticationFault) -> Self {
        Self::Away(fault.code().to_owned())
    }
}

impl LogInFault {
    /// As the caller and the record see it.
    pub(crate) fn shown(self) -> Fault {
        match self {
            Self::Refused(PROVIDER_UNKNOWN) => {
                Fault::not_found(PROVIDER_UNKNOWN.told).with_reason(PROVIDER_UNKNOWN.code)
            }
            Self::Refused(refusal) => Fault::invalid(refusal.told).with_reason(refusal.code),
            Self::Token(fault) => {
                Fault::invalid("the provider's token is not valid").with_reason(fault.code())
            }
            Self::Away(problem) => {
                tracing::warn!(%problem, "a provider cannot be used");
                Fault::unavailable("the provider does not answer as one does")
                    .with_reason("login_provider_away")
            }
            Self::Ours(fault) => fault,
        }
    }
}
