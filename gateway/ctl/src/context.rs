//! Contexts: which server, with which key. Flag > environment > context file.
//!
//! The file is `dataos/contexts.toml` in the user's configuration folder, mode 0600; one that others
//! can read is refused, because it holds API keys.

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use crate::{failure::Failure, provider::LogIn};

/// One server and log-in.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    pub(crate) url: String,
    /// PEM text of the certificate authority.
    pub(crate) ca: Option<String>,
    pub(crate) user: String,
    /// The credential: an API key, or the access token of a provider's log-in.
    pub(crate) api_key: String,
    /// Verifier key of the audit log, as pinned at log-in.
    pub(crate) log_key: Option<String>,
    /// The log-in that the access token is of. A table, hence last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) provider: Option<LogIn>,
}

/// The context file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    pub(crate) current: Option<String>,
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Context>,
}

impl Contexts {
    pub(crate) fn load() -> Result<Self, Failure> {
        let path = path()?;
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => {
                return Err(Failure::failed(format!(
                    "cannot read {}: {error}",
                    path.display()
                )));
            }
        };
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(Failure::failed(format!(
                "{} holds API keys and can be read by others; run: chmod 600 {}",
                path.display(),
                path.display()
            )));
        }
        let text = fs::read_to_string(&path)
            .map_err(|error| Failure::failed(format!("cannot read {}: {error}", path.display())))?;
        toml::from_str(&text)
            .map_err(|error| Failure::failed(format!("{} is damaged: {error}", path.display())))
    }

    /// Written beside and renamed, so that a crash leaves the old file or the new one.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        let path = path()?;
        let failed = |error: std::io::Error| {
            Failure::failed(format!("cannot write {}: {error}", path.display()))
        };
        let text = toml::to_string_pretty(self)
            .map_err(|error| Failure::failed(format!("cannot write contexts: {error}")))?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        let beside = path.with_extension("toml.new");
        let _ = fs::remove_file(&beside);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)
            .map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs::rename(&beside, &path).map_err(failed)
    }

    /// Puts a key into the place of the one with this id, if that is the one in use; says whether.
    pub(crate) fn replace_key(&mut self, name: Option<&str>, id: &str, key: &str) -> bool {
        // One from the environment is in no file.
        if env::var_os("DATAOS_API_KEY").is_some() {
            return false;
        }
        let named = name.or(self.current.as_deref()).map(str::to_owned);
        let context = named.and_then(|name| self.contexts.get_mut(&name));
        match context {
            Some(context) if context.api_key.split('_').nth(1) == Some(id) => {
                key.clone_into(&mut context.api_key);
                true
            }
            _ => false,
        }
    }

    /// Puts other CAs into a context that trusts CAs of its own; says whether anything changed.
    pub(crate) fn replace_ca(&mut self, name: &str, pem: &str) -> bool {
        let trusted = self.contexts.get_mut(name).and_then(|it| it.ca.as_mut());
        match trusted {
            Some(trusted) if trusted != pem && !pem.is_empty() => {
                pem.clone_into(trusted);
                true
            }
            _ => false,
        }
    }

    /// The same when no other command is about to change it: what is loaded stays so until the guard goes.
    pub(crate) fn load_locked() -> Result<(Self, fs::File), Failure> {
        let path = path()?.with_extension("lock");
        let failed = |error: std::io::Error| {
            Failure::failed(format!("cannot lock {}: {error}", path.display()))
        };
        let file = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok((Self::load()?, file))
    }

    /// The name of the context to use, if it is in the file and its credential is not from elsewhere.
    pub(crate) fn chosen_name(&self, name: Option<&str>) -> Option<String> {
        let has_other = env::var_os("DATAOS_API_KEY").is_some();
        let named = name.or(self.current.as_deref()).map(str::to_owned);
        named.filter(|name| !has_other && self.contexts.contains_key(name))
    }

    /// The context to use: by name, else from the environment, else the current one.
    pub(crate) fn choose(&self, name: Option<&str>) -> Result<Context, Failure> {
        let named = name.or(self.current.as_deref());
        let mut context = match named {
            Some(name) => self.contexts.get(name).cloned().ok_or_else(|| {
                Failure::usage(format!(
                    "there is no context `{name}`; known: {}",
                    self.contexts.keys().cloned().collect::<Vec<_>>().join(", ")
                ))
            })?,
            None => Context::default(),
        };
        if let Ok(url) = env::var("DATAOS_URL") {
            context.url = url;
        }
        if let Ok(key) = env::var("DATAOS_API_KEY") {
            context.api_key = key;
            context.provider = None;
        }
        if let Ok(file) = env::var("DATAOS_CA_FILE") {
            context.ca = Some(read_ca(&PathBuf::from(file))?);
        }
        if context.url.is_empty() {
            return Err(Failure::usage(
                "no server is known; run: dataos-ctl login --url https://HOST:PORT --ca ca.pem [--user NAME]",
            ));
        }
        Ok(context)
    }
}

/// The PEM text of a certificate authority file.
pub(crate) fn read_ca(path: &std::path::Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| {
        Failure::failed(format!(
            "cannot read the CA file {}: {error}",
            path.display()
        ))
    })
}

fn path() -> Result<PathBuf, Failure> {
    let folder = env::var_os("XDG_CONFIG_HOME")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))
        .ok_or_else(|| Failure::usage("neither XDG_CONFIG_HOME nor HOME is set"))?;
    Ok(folder.join("dataos").join("contexts.toml"))
}
