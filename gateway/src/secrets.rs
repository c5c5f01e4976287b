//! The sealed secrets file: AES-256-GCM under a key that lies beside it with mode 0600.
//!
//! All secrets are one sealed document, rewritten whole and atomically. The file is authenticated:
//! a changed byte is found when it is opened, and nothing of it is used.

use std::{
    collections::BTreeMap,
    fmt,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use dataos_model::{
    fault::{Fault, FaultKind},
    seams::Secrets,
    secret::{Secret, SecretName},
};

use crate::data_directory::write_atomic;

/// First line of the file; authenticated with the content.
const MAGIC: &[u8] = b"dataos-secrets 1\n";
const KEY_BYTES: usize = 32;
/// Largest sealed file: secrets are credentials, not data.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Most secrets.
const SECRETS_MAX: usize = 10_000;
/// Largest single secret.
const SECRET_BYTES_MAX: usize = 64 << 10;

/// Secrets in one sealed file.
pub(crate) struct SealedSecrets {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    key: LessSafeKey,
    /// Held over rewriting the file, so that writers follow each other.
    values: Mutex<BTreeMap<String, Secret>>,
}

impl fmt::Debug for SealedSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedSecrets")
            .field("path", &self.shared.path)
            .finish_non_exhaustive()
    }
}

impl SealedSecrets {
    /// Opens `secrets.sealed` under `secrets.key` in `folder`, or makes both.
    ///
    /// # Errors
    /// A file without its key, a key that others may read, or a file that does not open under it.
    pub(crate) fn open(folder: &Path) -> Result<Self, Fault> {
        let path = folder.join("secrets.sealed");
        let key = open_key(&folder.join("secrets.key"), path.exists())?;
        let values = match std::fs::metadata(&path) {
            Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
                return Err(damaged(&path, "is larger than any that was written"));
            }
            Ok(_) => {
                let sealed = std::fs::read(&path).map_err(|error| unreadable(&path, &error))?;
                unseal(&path, &key, &sealed)?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(unreadable(&path, &error)),
        };
        Ok(Self {
            shared: Arc::new(Shared {
                path,
                key,
                values: Mutex::new(values),
            }),
        })
    }

    /// The secret of this name, or a new random one of 32 bytes that is kept from now on.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) async fn get_or_create(&self, name: &str) -> Result<Secret, Fault> {
        let name = SecretName(name.to_owned());
        match self.get(&name).await {
            Err(fault) if fault.kind == FaultKind::NotFound => {
                let mut bytes = vec![0; 32];
                rand::fill(&mut bytes).map_err(|_| no_randomness())?;
                let secret = Secret::new(bytes);
                self.put(&name, secret.clone()).await?;
                Ok(secret)
            }
            other => other,
        }
    }

    async fn change(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, Secret>) -> Result<(), Fault> + Send + 'static,
    ) -> Result<(), Fault> {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || shared.change(change))
            .await
            .map_err(|_| Fault::internal("the writer of secrets was stopped"))?
    }
}

impl Shared {
    fn change(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, Secret>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = values.clone();
        change(&mut next)?;
        let sealed = seal(&self.key, &next)?;
        write_atomic(&self.path, &sealed, 0o600).map_err(|error| {
            Fault::unavailable(format!(
                "{} cannot be written: {error}",
                self.path.display()
            ))
        })?;
        *values = next;
        Ok(())
    }
}

#[async_trait]
impl Secrets for SealedSecrets {
    async fn get(&self, name: &SecretName) -> Result<Secret, Fault> {
        let values = self
            .shared
            .values
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        values
            .get(&name.0)
            .cloned()
            .ok_or_else(|| Fault::not_found(format!("there is no secret `{name}`")))
    }

    async fn put(&self, name: &SecretName, secret: Secret) -> Result<(), Fault> {
        if secret.expose().len() > SECRET_BYTES_MAX {
            let message = format!("secret `{name}` is above {SECRET_BYTES_MAX} bytes");
            return Err(Fault::new(FaultKind::TooLarge, message));
        }
        let name = name.0.clone();
        self.change(move |values| {
            values.insert(name, secret);
            if values.len() > SECRETS_MAX {
                let message = format!("there are {SECRETS_MAX} secrets already");
                return Err(Fault::new(FaultKind::TooLarge, message));
            }
            Ok(())
        })
        .await
    }

    async fn remove(&self, name: &SecretName) -> Result<(), Fault> {
        let name = name.0.clone();
        self.change(move |values| {
            values.remove(&name);
            Ok(())
        })
        .await
    }
}

fn open_key(path: &Path, must_exist: bool) -> Result<LessSafeKey, Fault> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => {
            let mode = std::fs::metadata(path)
                .map_err(|error| unreadable(path, &error))?
                .permissions()
                .mode();
            if mode & 0o077 != 0 {
                let message = format!("{} can be read by others", path.display());
                return Err(Fault::new(FaultKind::Damaged, message)
                    .with_hint(format!("run `chmod 600 {}`", path.display())));
            }
            bytes
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => {
            let mut bytes = vec![0; KEY_BYTES];
            rand::fill(&mut bytes).map_err(|_| no_randomness())?;
            create_key(path, &bytes).map_err(|error| unreadable(path, &error))?;
            bytes
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(damaged(
                path,
                "is missing, and the secrets cannot be opened without it",
            ));
        }
        Err(error) => return Err(unreadable(path, &error)),
    };
    UnboundKey::new(&AES_256_GCM, &bytes)
        .map(LessSafeKey::new)
        .map_err(|_| damaged(path, "is not a key of 32 bytes"))
}

fn create_key(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn seal(key: &LessSafeKey, values: &BTreeMap<String, Secret>) -> Result<Vec<u8>, Fault> {
    let document: BTreeMap<&str, String> = values
        .iter()
        .map(|(name, secret)| (name.as_str(), STANDARD.encode(secret.expose())))
        .collect();
    let mut content = serde_json::to_vec(&document)
        .map_err(|error| Fault::internal(format!("secrets cannot be encoded: {error}")))?;
    let mut nonce = [0; NONCE_LEN];
    rand::fill(&mut nonce).map_err(|_| no_randomness())?;
    key.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(MAGIC),
        &mut content,
    )
    .map_err(|_| Fault::internal("secrets cannot be sealed"))?;
    Ok([MAGIC, &nonce, &content].concat())
}

fn unseal(
    path: &Path,
    key: &LessSafeKey,
    sealed: &[u8],
) -> Result<BTreeMap<String, Secret>, Fault> {
    let rest = sealed
        .strip_prefix(MAGIC)
        .ok_or_else(|| damaged(path, "does not start as a sealed file of this version"))?;
    let (nonce, content) = rest
        .split_first_chunk::<NONCE_LEN>()
        .ok_or_else(|| damaged(path, "is cut off"))?;
    let mut content = content.to_vec();
    let plain = key
        .open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(MAGIC),
            &mut content,
        )
        .map_err(|_| damaged(path, "was changed, or belongs to another key"))?;
    let document: BTreeMap<String, String> =
        serde_json::from_slice(plain).map_err(|_| damaged(path, "holds no list of secrets"))?;
    document
        .into_iter()
        .map(|(name, value)| {
            let bytes = STANDARD
                .decode(value)
                .map_err(|_| damaged(path, "holds a malformed secret"))?;
            Ok((name, Secret::new(bytes)))
        })
        .collect()
}

fn damaged(path: &Path, problem: &str) -> Fault {
    Fault::new(FaultKind::Damaged, format!("{} {problem}", path.display()))
        .with_hint("nothing was changed; restore secrets.sealed and secrets.key from one backup")
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::unavailable(format!("{}: {error}", path.display()))
}

fn no_randomness() -> Fault {
    Fault::internal("the operating system gives no randomness")
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use dataos_model::{
        fault::FaultKind,
        seams::Secrets,
        secret::{Secret, SecretName},
    };

    use super::SealedSecrets;

    fn name(text: &str) -> SecretName {
        SecretName(text.to_owned())
    }

    #[tokio::test]
    async fn secrets_survive_reopening_and_stay_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = SealedSecrets::open(folder.path()).unwrap();
        secrets
            .put(&name("public/db/password"), Secret::new(*b"canary-17"))
            .await
            .unwrap();
        let made = secrets.get_or_create("dataos/pepper").await.unwrap();
        secrets
            .put(&name("gone"), Secret::new(*b"x"))
            .await
            .unwrap();
        secrets.remove(&name("gone")).await.unwrap();
        drop(secrets);
        let secrets = SealedSecrets::open(folder.path()).unwrap();
        assert_eq!(
            secrets
                .get(&name("public/db/password"))
                .await
                .unwrap()
                .expose(),
            b"canary-17"
        );
        assert_eq!(secrets.get_or_create("dataos/pepper").await.unwrap(), made);
        assert_eq!(
            secrets.get(&name("gone")).await.unwrap_err().kind,
            FaultKind::NotFound
        );
        let sealed = fs::read(folder.path().join("secrets.sealed")).unwrap();
        for plain in [b"canary-17".as_slice(), b"public/db", b"Y2FuYXJ5"] {
            assert!(!sealed.windows(plain.len()).any(|window| window == plain));
        }
        assert!(!format!("{secrets:?}").contains("canary"));
        for file in ["secrets.sealed", "secrets.key"] {
            let mode = fs::metadata(folder.path().join(file))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }

    #[tokio::test]
    async fn any_changed_byte_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = SealedSecrets::open(folder.path()).unwrap();
        secrets.put(&name("a"), Secret::new(*b"b")).await.unwrap();
        drop(secrets);
        let path = folder.path().join("secrets.sealed");
        let good = fs::read(&path).unwrap();
        for index in 0..good.len() {
            let mut bad = good.clone();
            bad[index] ^= 1;
            fs::write(&path, &bad).unwrap();
            let fault = SealedSecrets::open(folder.path()).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Damaged, "byte {index}");
        }
        for length in 0..good.len() {
            fs::write(&path, &good[..length]).unwrap();
            let fault = SealedSecrets::open(folder.path()).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Damaged, "length {length}");
        }
        fs::write(&path, &good).unwrap();
        assert!(SealedSecrets::open(folder.path()).is_ok());
    }

    #[tokio::test]
    async fn the_key_must_be_there_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = SealedSecrets::open(folder.path()).unwrap();
        secrets.put(&name("a"), Secret::new(*b"b")).await.unwrap();
        drop(secrets);
        let key = folder.path().join("secrets.key");
        let bytes = fs::read(&key).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let fault = SealedSecrets::open(folder.path()).unwrap_err();
        assert!(fault.to_string().contains("chmod 600"), "{fault}");
        fs::remove_file(&key).unwrap();
        let fault = SealedSecrets::open(folder.path()).unwrap_err();
        assert!(fault.to_string().contains("is missing"), "{fault}");
        assert!(!key.exists());
        for bad in [&bytes[..31], &[7; 32]] {
            fs::write(&key, bad).unwrap();
            fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(
                SealedSecrets::open(folder.path()).unwrap_err().kind,
                FaultKind::Damaged
            );
        }
    }
}
