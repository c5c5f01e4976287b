//! Log-in at an `OpenID` provider as a client of its own: by the browser of this machine (RFC 8252, with PKCE)
//! or with a code typed in on another (RFC 8628). The server then takes the provider's access token.
//!
//! Enters: what the server says of its provider. Leaves: tokens. The provider's own description says where
//! everything is; addresses are `https://`, or of this machine.

mod device;
mod loopback;
mod wire;

use aws_lc_rs::{digest, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::Failure;
pub(crate) use device::Code;
use loopback::Loopback;
pub(crate) use wire::now_s;

/// A provider's log-in as kept in a context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogIn {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) scope: String,
    /// What the token is for, where the provider wants to be told (RFC 8707).
    pub(crate) resource: Option<String>,
    pub(crate) refresh_token: Option<String>,
    /// When the access token ends, Unix seconds.
    pub(crate) expires_at: u64,
}

/// A provider that was asked where it does what.
#[derive(Debug)]
pub(crate) struct Provider {
    http: reqwest::Client,
    log_in: LogIn,
    description: Value,
}

/// Tokens of a provider.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) access_token: String,
    pub(crate) log_in: LogIn,
}

impl LogIn {
    /// What the server says of one of its providers, if people may log in to it from a command line.
    pub(crate) fn of(told: &Value) -> Option<Self> {
        let told = told.get("command_line")?;
        let text = |name: &str| Some(told.get(name)?.as_str()?.to_owned());
        Some(Self {
            issuer: text("issuer")?,
            client_id: text("client_id")?,
            scope: text("scope")?,
            resource: text("resource"),
            refresh_token: None,
            expires_at: 0,
        })
    }

    /// Whether the access token ends within the time that a command may take to use it.
    pub(crate) fn is_ending(&self, now_s: u64) -> bool {
        const MARGIN_S: u64 = 30;
        self.expires_at <= now_s.saturating_add(MARGIN_S)
    }
}

impl Provider {
    /// Asks the provider where it does what.
    pub(crate) async fn discover(log_in: LogIn) -> Result<Self, Failure> {
        let http = wire::client()?;
        let issuer = log_in.issuer.trim_end_matches('/');
        let url = format!("{issuer}/.well-known/openid-configuration");
        let (status, description) = wire::get(&http, &url).await?;
        if status != 200
            || description.get("issuer").and_then(Value::as_str) != Some(&log_in.issuer)
        {
            let problem = format!("{url} does not describe the provider {}", log_in.issuer);
            return Err(Failure::failed(problem));
        }
        Ok(Self {
            http,
            log_in,
            description,
        })
    }

    /// Tokens for whom the provider knows in the browser that opens the address that is shown.
    pub(crate) async fn by_browser(&self, show: impl Fn(&str)) -> Result<Granted, Failure> {
        let loopback = Loopback::open().await?;
        let (state, verifier) = (random()?, random()?);
        let challenge = digest::digest(&digest::SHA256, verifier.as_bytes());
        let challenge = URL_SAFE_NO_PAD.encode(challenge);
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", &self.log_in.client_id),
            ("redirect_uri", &loopback.address),
            ("scope", &self.log_in.scope),
            ("state", &state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        // Without it, a provider need not give a refresh token (OpenID Connect Core 11).
        if self
            .log_in
            .scope
            .split(' ')
            .any(|scope| scope == "offline_access")
        {
            pairs.push(("prompt", "consent"));
        }
        pairs.extend(self.resource());
        let mut address = self.place("authorization_endpoint")?;
        address.query_pairs_mut().extend_pairs(&pairs);
        show(address.as_str());
        let names_itself = "authorization_response_iss_parameter_supported";
        let issuer = loopback::Issuer {
            name: &self.log_in.issuer,
            is_named: self.description.get(names_itself) == Some(&Value::Bool(true)),
        };
        let code = loopback.code(&state, &issuer).await?;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", &loopback.address),
            ("code_verifier", &verifier),
        ];
        form.extend(self.resource());
        self.granted(&self.post("token_endpoint", form).await?)
    }

    /// New tokens for a refresh token.
    pub(crate) async fn refreshed(&self, refresh_token: &str) -> Result<Granted, Failure> {
        let mut form = vec![
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
        ];
        form.extend(self.resource());
        self.granted(&self.post("token_endpoint", form).await?)
    }

    /// Takes a refresh token back, where the provider has a place for that (RFC 7009); says whether.
    pub(crate) async fn revoke(&self, refresh_token: &str) -> Result<bool, Failure> {
        if self.description.get("revocation_endpoint").is_none() {
            return Ok(false);
        }
        let form = vec![
            ("token", refresh_token),
            ("token_type_hint", "refresh_token"),
        ];
        let (status, told) = self.post("revocation_endpoint", form).await?;
        match status {
            200 => Ok(true),
            _ => Err(self.refused(&told)),
        }
    }

    fn resource(&self) -> Option<(&'static str, &str)> {
        let resource = self.log_in.resource.as_deref()?;
        Some(("resource", resource))
    }

    /// Status and document of a form that the client sends in its own name.
    async fn post<'a>(
        &'a self,
        name: &str,
        mut form: Vec<(&'a str, &'a str)>,
    ) -> Result<(u16, Value), Failure> {
        form.push(("client_id", &self.log_in.client_id));
        wire::post(&self.http, self.place(name)?, &form).await
    }

    /// An address of the description.
    fn place(&self, name: &str) -> Result<Url, Failure> {
        let issuer = &self.log_in.issuer;
        let url = self.description.get(name).and_then(Value::as_str);
        let url = url.ok_or_else(|| Failure::failed(format!("{issuer} has no {name}")))?;
        wire::safe(url)
    }

    fn granted(&self, (status, told): &(u16, Value)) -> Result<Granted, Failure> {
        let text = |name: &str| told.get(name).and_then(Value::as_str).map(str::to_owned);
        let access_token = text("access_token").filter(|_| *status == 200);
        let access_token = access_token.ok_or_else(|| self.refused(told))?;
        let lives_s = told.get("expires_in").and_then(Value::as_u64).unwrap_or(0);
        Ok(Granted {
            access_token,
            log_in: LogIn {
                // One that gives no new one goes on taking the old one.
                refresh_token: text("refresh_token").or_else(|| self.log_in.refresh_token.clone()),
                expires_at: wire::now_s().saturating_add(lives_s),
                ..self.log_in.clone()
            },
        })
    }

    /// What the provider says against it.
    fn refused(&self, told: &Value) -> Failure {
        let text = |name: &str| told.get(name).and_then(Value::as_str);
        let error = text("error").unwrap_or("no tokens");
        let more = text("error_description").map(|more| format!(" ({more})"));
        let (issuer, more) = (&self.log_in.issuer, more.unwrap_or_default());
        Failure::Denied(format!("{issuer} does not log you in: {error}{more}"))
    }
}

/// 256 random bits as text.
fn random() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes)
        .map_err(|_| Failure::failed("the operating system gives no randomness"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
