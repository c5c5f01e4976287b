//! How people log in through an issuer: the table `[issuers.login]` of an issuer.

use std::{path::PathBuf, time::Duration};

use dataos_model::secret::Secret;
use serde::Deserialize;

use super::{units, values::secret_of_file};

/// Longest name of a provider: it stands in addresses.
const NAME_BYTES_MAX: usize = 32;
/// Longest time since the provider last asked for a password that may be wanted.
const MAX_AGE_MAX: Duration = Duration::from_secs(30 * 86_400);
/// Most `acr` values.
const ACR_VALUES_MAX: usize = 16;

/// How people log in through an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginConfig {
    /// Its name in addresses: `/login/NAME`.
    pub name: String,
    /// What people know it as.
    pub title: String,
    /// What the provider knows us as; ID tokens have it in `aud`.
    pub client_id: String,
    /// How we prove that; a public client has none.
    pub client_secret: Option<Secret>,
    /// Where the provider sends browsers back to, exactly as it is registered there.
    pub redirect_url: String,
    /// What is asked for; always with `openid`.
    pub scopes: Vec<String>,
    /// How long ago the provider may have asked for a password.
    pub max_age: Option<Duration>,
    /// One of these must be the `acr` of an ID token; any or none if empty.
    pub acr_values: Vec<String>,
    /// Whether claims that the ID token lacks are taken from the `UserInfo` endpoint.
    pub userinfo: bool,
    /// Whether a provider that does not say that it takes PKCE is believed to.
    pub assume_pkce: bool,
    /// What `dataos-ctl` logs in as, if it may.
    pub command_line: Option<CommandLine>,
}

/// How `dataos-ctl` logs in at the provider, as a public client of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// What the provider knows it as.
    pub client_id: String,
    /// What it asks for.
    pub scopes: Vec<String>,
    /// What its tokens are for, where the provider wants to be told (RFC 8707).
    pub resource: Option<String>,
}

impl LoginConfig {
    /// `https://HOST[:PORT]` of the redirect address.
    fn origin(&self) -> &str {
        let path = self.callback_path();
        self.redirect_url
            .strip_suffix(path.as_str())
            .unwrap_or(&self.redirect_url)
    }

    /// Where the provider sends browsers that left it.
    pub fn logout_url(&self) -> String {
        format!("{}/login/{}/ended", self.origin(), self.name)
    }

    fn callback_path(&self) -> String {
        format!("/login/{}/callback", self.name)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wire {
    name: String,
    title: Option<String>,
    client_id: String,
    client_secret_file: Option<PathBuf>,
    redirect_url: String,
    #[serde(default)]
    scopes: Vec<String>,
    max_age: Option<String>,
    #[serde(default)]
    acr_values: Vec<String>,
    #[serde(default)]
    userinfo: bool,
    #[serde(default)]
    assume_pkce: bool,
    command_line_client: Option<String>,
    #[serde(default = "default_command_line_scopes")]
    command_line_scopes: Vec<String>,
    command_line_resource: Option<String>,
}

fn default_command_line_scopes() -> Vec<String> {
    ["openid", "offline_access"].map(str::to_owned).to_vec()
}

impl Wire {
    /// What is wrong is told with the name of the field.
    pub(super) fn check(self) -> Result<LoginConfig, (&'static str, String)> {
        self.check_texts()?;
        let max_age = self
            .max_age
            .as_deref()
            .map(|text| {
                units::duration(text)
                    .filter(|age| *age <= MAX_AGE_MAX)
                    .ok_or_else(|| {
                        let problem = format!("`{text}` is not a duration up to 30d");
                        ("login.max_age", problem)
                    })
            })
            .transpose()?;
        let client_secret = self
            .client_secret_file
            .map(|path| {
                let key = "login.client_secret_file";
                secret_of_file(key, &path.to_string_lossy())
                    .map(|text| Secret::new(text.trim_end().as_bytes()))
                    .map_err(|fault| (key, fault.message.clone()))
            })
            .transpose()?;
        let mut scopes = self.scopes;
        if !scopes.iter().any(|scope| scope == "openid") {
            scopes.insert(0, "openid".to_owned());
        }
        let (scopes_of_command_line, resource) =
            (self.command_line_scopes, self.command_line_resource);
        let command_line = self.command_line_client.map(|client_id| CommandLine {
            client_id,
            scopes: scopes_of_command_line,
            resource,
        });
        let login = LoginConfig {
            command_line,
            title: self.title.unwrap_or_else(|| self.name.clone()),
            name: self.name,
            client_id: self.client_id,
            client_secret,
            redirect_url: self.redirect_url,
            scopes,
            max_age,
            acr_values: self.acr_values,
            userinfo: self.userinfo,
            assume_pkce: self.assume_pkce,
        };
        check_redirect(&login)?;
        Ok(login)
    }

    fn check_texts(&self) -> Result<(), (&'static str, String)> {
        let mut bytes = self.name.bytes();
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let is_name = bytes.next().is_some_and(is_plain)
            && bytes.all(|b| is_plain(b) || b == b'-')
            && self.name.len() <= NAME_BYTES_MAX;
        if !is_name {
            let problem = format!(
                "`{}` is not 1 to {NAME_BYTES_MAX} of a-z, 0-9 and `-`",
                self.name
            );
            return Err(("login.name", problem));
        }
        if self.client_id.is_empty() || !self.client_id.bytes().all(|b| b.is_ascii_graphic()) {
            let problem = "client_id is not visible ASCII".to_owned();
            return Err(("login.client_id", problem));
        }
        let is_word =
            |text: &String| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        if !self
            .scopes
            .iter()
            .chain(&self.command_line_scopes)
            .all(is_word)
        {
            return Err(("login.scopes", "a scope is one word".to_owned()));
        }
        if self.acr_values.len() > ACR_VALUES_MAX || !self.acr_values.iter().all(is_word) {
            let problem = format!("at most {ACR_VALUES_MAX} values of one word each");
            return Err(("login.acr_values", problem));
        }
        Ok(())
    }
}

/// The provider compares the address as text, and so do we: nothing of it may be read in two ways.
fn check_redirect(login: &LoginConfig) -> Result<(), (&'static str, String)> {
    let (url, path) = (&login.redirect_url, login.callback_path());
    let authority = url
        .strip_prefix("https://")
        .and_then(|rest| rest.strip_suffix(path.as_str()));
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._:[]".contains(&b);
    if authority.is_some_and(|text| !text.is_empty() && text.bytes().all(is_plain)) {
        return Ok(());
    }
    let problem = format!("`{url}` is not https://HOST{path}, with the host in lower case");
    Err(("login.redirect_url", problem))
}
