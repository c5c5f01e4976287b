//! Accounts, API keys and sessions at rest; every change durable.
//!
//! What is read on the request path lives in memory (`accounts`); this is its journal.

use std::{path::Path, sync::Arc};

use dataos_model::fault::Fault;
use dataos_store::{Metadata, Row, Schema, StoreError, Value};

use crate::accounts::{
    Account, ApiKey, ProviderSession, Revocation, Revoked, Scopes, Session, User,
};

/// Kinds of revocations.
const TOKEN: &str = "token";
const SUBJECT: &str = "subject";

/// The tables. `user` is a word of SQL, hence the quotes.
const SCHEMA: Schema = Schema {
    name: "accounts",
    application_id: 0,
    migrations: &[
        "
CREATE TABLE users (
    \"user\" {text} PRIMARY KEY,
    profile {text} NOT NULL,
    password_hash {text} NOT NULL
){strict};
CREATE TABLE api_keys (
    id {text} PRIMARY KEY,
    \"user\" {text} NOT NULL REFERENCES users (\"user\") ON DELETE CASCADE,
    name {text} NOT NULL,
    digest {bytes} NOT NULL,
    created_at {integer} NOT NULL,
    expires_at {integer},
    last_used_at {integer}
){strict};
CREATE TABLE sessions (
    digest {text} PRIMARY KEY,
    \"user\" {text} NOT NULL REFERENCES users (\"user\") ON DELETE CASCADE,
    expires_at {integer} NOT NULL
){strict};
",
        "
ALTER TABLE api_keys ADD COLUMN scopes {text} NOT NULL DEFAULT '';
CREATE TABLE revocations (
    issuer {text} NOT NULL,
    kind {text} NOT NULL,
    name {text} NOT NULL,
    revoked_at {integer} NOT NULL,
    expires_at {integer} NOT NULL,
    PRIMARY KEY (issuer, kind, name)
){strict};
",
        "
ALTER TABLE sessions ADD COLUMN idle_ms {integer} NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN used_at {integer} NOT NULL DEFAULT 0;
CREATE TABLE provider_sessions (
    digest {text} PRIMARY KEY,
    issuer {text} NOT NULL,
    subject {text} NOT NULL,
    sid {text} NOT NULL,
    token_id {text} NOT NULL,
    issued_s {integer} NOT NULL,
    claims {text} NOT NULL,
    tokens {bytes} NOT NULL,
    expires_at {integer} NOT NULL,
    idle_ms {integer} NOT NULL,
    used_at {integer} NOT NULL,
    refresh_at {integer}
){strict};
",
        "
ALTER TABLE users ADD COLUMN verifier {text} NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN verifier {text} NOT NULL DEFAULT '';
",
    ],
};

/// Everything that is stored.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) accounts: Vec<Account>,
    pub(crate) keys: Vec<ApiKey>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) provider_sessions: Vec<ProviderSession>,
    pub(crate) revocations: Vec<Revocation>,
}

/// When what was last used: keys by id, sessions by digest.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LastUse {
    pub(crate) keys: Vec<(String, i64)>,
    pub(crate) sessions: Vec<(String, i64)>,
    pub(crate) provider_sessions: Vec<(String, i64)>,
}

/// The tables.
#[derive(Debug)]
pub(crate) struct Store {
    tables: dataos_store::Store,
}

impl Store {
    /// Opens or creates the tables, in `file` if `metadata` is embedded.
    ///
    /// # Errors
    /// What is there cannot be opened, is damaged, in use, or of a newer version.
    pub(crate) async fn open(metadata: &Metadata, file: &Path) -> Result<Self, Fault> {
        let tables = dataos_store::Store::open(&SCHEMA, metadata, file).await?;
        Ok(Self { tables })
    }

    /// Reads everything; sessions and revocations that ended before `now_ms` are deleted.
    ///
    /// # Errors
    /// Damaged storage.
    pub(crate) async fn load(&self, now_ms: i64) -> Result<Stored, Fault> {
        let tables = &self.tables;
        for statement in [
            "DELETE FROM sessions WHERE expires_at <= $1",
            "DELETE FROM provider_sessions WHERE expires_at <= $1",
        ] {
            tables.execute(statement, &[now_ms.into()]).await?;
        }
        self.forget_revocations(now_ms).await?;
        let users = tables
            .query("SELECT profile, password_hash, verifier FROM users", &[])
            .await?;
        let keys = tables.query("SELECT * FROM api_keys", &[]).await?;
        let sessions = tables.query("SELECT * FROM sessions", &[]).await?;
        let provider_sessions = tables.query("SELECT * FROM provider_sessions", &[]).await?;
        let revocations = tables.query("SELECT * FROM revocations", &[]).await?;
        let damaged = |problem: String| tables.damaged(problem);
        Ok(Stored {
            accounts: every(&users, account).map_err(damaged)?,
            keys: every(&keys, key).map_err(damaged)?,
            sessions: every(&sessions, session).map_err(damaged)?,
            provider_sessions: every(&provider_sessions, provider_session).map_err(damaged)?,
            revocations: every(&revocations, revocation).map_err(damaged)?,
        })
    }

    /// Adds or replaces an account. With `ends_sessions` its sessions are deleted with it.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) async fn put_account(
        &self,
        account: &Account,
        ends_sessions: bool,
    ) -> Result<(), Fault> {
        let profile = serde_json::to_string(&account.user)
            .map_err(|error| Fault::internal(format!("a user cannot be encoded: {error}")))?;
        let user = &account.user.user;
        let write = async {
            let mut transaction = self.tables.begin().await?;
            transaction
                .execute(
                    "INSERT INTO users (\"user\", profile, password_hash, verifier)
                     VALUES ($1, $2, $3, $4)
                     ON CONFLICT (\"user\") DO UPDATE SET
                         profile = excluded.profile, password_hash = excluded.password_hash,
                         verifier = excluded.verifier",
                    &[
                        user.into(),
                        profile.into(),
                        account.password_hash.as_str().into(),
                        account.verifier.as_str().into(),
                    ],
                )
                .await?;
            if ends_sessions {
                transaction
                    .execute("DELETE FROM sessions WHERE \"user\" = $1", &[user.into()])
                    .await?;
            }
            transaction.commit().await
        };
        write.await.map_err(unavailable)
    }

    /// Deletes an account with its keys and sessions.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) async fn delete_account(&self, user: &str) -> Result<(), Fault> {
        self.tables
            .execute("DELETE FROM users WHERE \"user\" = $1", &[user.into()])
            .await
            .map_err(unavailable)
    }

    /// Adds a key.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) async fn put_key(&self, key: &ApiKey) -> Result<(), Fault> {
        let (statement, values) = inserted(key);
        let done = self.tables.execute(statement, &values).await;
        done.map_err(unavailable)
    }

    /// Adds a key, and sets the end of the one that it replaces.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) async fn replace_key(
        &self,
        old: &str,
        old_expires_at: i64,
        key: &ApiKey,
    ) -> Result<(), Fault> {
        let write = async {
            let mut transaction = self.tables.begin().await?;
            let (statement, values) = inserted(key);
            transaction.execute(statement, &values).await?;
            transaction
                .execute(
                    "UPDATE api_keys SET expires_at = $1 WHERE id = $2",
                    &[old_expires_at.into(), old.into()],
                )
                .await?;
            transaction.commit().await
        };
        write.await.map_err(unavailable)
    }

    /// Notes when keys and sessions were last used.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) async fn touch(&self, used: &LastUse) -> Result<(), Fault> {
        let tables = [
            (
                "UPDATE api_keys SET last_used_at = $1 WHERE id = $2",
                &used.keys,
            ),
            (
                "UPDATE sessions SET used_at = $1 WHERE digest = $2",
                &used.sessions,
            ),
            (
                "UPDATE provider_sessions SET used_at = $1 WHERE digest = $2",
                &used.provider_sessions,
            ),
        ];
        let write = async {
            let mut transaction = self.tables.begin().await?;
            for (statement, used) in tables {
                for (name, at) in used {
                    let values = [(*at).into(), name.into()];
                    transaction.execute(statement, &values).await?;
                }
            }
            transaction.commit().await
        };
        write.await.map_err(unavailable)
    }

    /// Deletes a key.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) async fn delete_key(&self, id: &str) -> Result<(), Fault> {
        self.tables
            .execute("DELETE FROM api_keys WHERE id = $1", &[id.into()])
            .await
            .map_err(unavailable)
    }

    /// Adds a session.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) async fn put_session(&self, session: &Session) -> Result<(), Fault> {
        self.tables
            .execute(
                "INSERT INTO sessions (digest, \"user\", expires_at, idle_ms, used_at)
                 VALUES ($1, $2, $3, $4, $5)",
                &[
                    (&session.digest).into(),
                    (&session.user).into(),
                    session.expires_at.into(),
                    session.idle_ms.into(),
                    session.used_at.into(),
                ],
            )
            .await
            .map_err(unavailable)
    }

    /// Deletes a session.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) async fn delete_session(&self, digest: &str) -> Result<(), Fault> {
        self.tables
            .execute("DELETE FROM sessions WHERE digest = $1", &[digest.into()])
            .await
            .map_err(unavailable)
    }

    /// Adds a session of a provider, or replaces it.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) async fn put_provider_session(
        &self,
        session: &ProviderSession,
    ) -> Result<(), Fault> {
        let claims = serde_json::to_string(&session.claims)
            .map_err(|error| Fault::internal(format!("claims cannot be encoded: {error}")))?;
        self.tables
            .execute(
                "INSERT INTO provider_sessions (digest, issuer, subject, sid, token_id, issued_s,
                     claims, tokens, expires_at, idle_ms, used_at, refresh_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
                 ON CONFLICT (digest) DO UPDATE SET
                     token_id = excluded.token_id, claims = excluded.claims,
                     tokens = excluded.tokens, refresh_at = excluded.refresh_at",
                &[
                    (&session.digest).into(),
                    (&session.issuer).into(),
                    (&session.subject).into(),
                    session.sid.as_deref().unwrap_or_default().into(),
                    session.token_id.as_deref().unwrap_or_default().into(),
                    session.issued_s.into(),
                    claims.into(),
                    session.tokens.as_slice().into(),
                    session.expires_at.into(),
                    session.idle_ms.into(),
                    session.used_at.into(),
                    session.refresh_at.into(),
                ],
            )
            .await
            .map_err(unavailable)
    }

    /// Deletes a session of a provider.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) async fn delete_provider_session(&self, digest: &str) -> Result<(), Fault> {
        self.tables
            .execute(
                "DELETE FROM provider_sessions WHERE digest = $1",
                &[digest.into()],
            )
            .await
            .map_err(unavailable)
    }

    /// Adds a revocation, or renews it.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) async fn put_revocation(&self, revocation: &Revocation) -> Result<(), Fault> {
        let (kind, name) = match &revocation.revoked {
            Revoked::Token(name) => (TOKEN, name),
            Revoked::Subject(name) => (SUBJECT, name),
        };
        self.tables
            .execute(
                "INSERT INTO revocations (issuer, kind, name, revoked_at, expires_at)
                 VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (issuer, kind, name) DO UPDATE SET
                     revoked_at = excluded.revoked_at, expires_at = excluded.expires_at",
                &[
                    (&revocation.issuer).into(),
                    kind.into(),
                    name.into(),
                    revocation.revoked_at.into(),
                    revocation.expires_at.into(),
                ],
            )
            .await
            .map_err(unavailable)
    }

    /// Deletes revocations that ended before `now_ms`.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) async fn forget_revocations(&self, now_ms: i64) -> Result<(), Fault> {
        self.tables
            .execute(
                "DELETE FROM revocations WHERE expires_at <= $1",
                &[now_ms.into()],
            )
            .await
            .map_err(unavailable)
    }

    /// Closes the tables.
    pub(crate) async fn close(&self) {
        self.tables.close().await;
    }
}

fn every<T>(rows: &[Row], read: impl Fn(&Row) -> Result<T, String>) -> Result<Vec<T>, String> {
    rows.iter().map(read).collect()
}

fn account(row: &Row) -> Result<Account, String> {
    let user: User = serde_json::from_str(&row.text("profile")?)
        .map_err(|error| format!("a user cannot be read: {error}"))?;
    Ok(Account {
        user,
        password_hash: row.text("password_hash")?,
        verifier: row.text("verifier")?,
    })
}

fn key(row: &Row) -> Result<ApiKey, String> {
    Ok(ApiKey {
        id: row.text("id")?,
        user: row.text("user")?,
        name: row.text("name")?,
        digest: row.bytes("digest")?,
        verifier: row.text("verifier")?,
        created_at: row.integer("created_at")?,
        expires_at: row.integer_or_null("expires_at")?,
        last_used_at: row.integer_or_null("last_used_at")?.unwrap_or(0),
        scopes: scopes(&row.text("scopes")?)?,
    })
}

/// Scopes stand in one text, one a line; a key without limits has none.
fn scopes(text: &str) -> Result<Option<Arc<Scopes>>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let texts: Vec<String> = text.lines().map(str::to_owned).collect();
    let scopes = Scopes::parse(&texts).map_err(|fault| fault.message)?;
    Ok(Some(Arc::new(scopes)))
}

fn revocation(row: &Row) -> Result<Revocation, String> {
    let name = row.text("name")?;
    let revoked = match row.text("kind")?.as_str() {
        TOKEN => Revoked::Token(name),
        SUBJECT => Revoked::Subject(name),
        other => return Err(format!("a revocation of the unknown kind `{other}`")),
    };
    Ok(Revocation {
        issuer: row.text("issuer")?,
        revoked,
        revoked_at: row.integer("revoked_at")?,
        expires_at: row.integer("expires_at")?,
    })
}

fn session(row: &Row) -> Result<Session, String> {
    Ok(Session {
        digest: row.text("digest")?,
        user: row.text("user")?,
        expires_at: row.integer("expires_at")?,
        idle_ms: row.integer("idle_ms")?,
        used_at: row.integer("used_at")?,
    })
}

fn provider_session(row: &Row) -> Result<ProviderSession, String> {
    let claims = serde_json::from_str(&row.text("claims")?)
        .map_err(|error| format!("claims cannot be read: {error}"))?;
    // Where the provider gave none, the column is empty.
    let given = |name: &str| {
        row.text(name)
            .map(|text| Some(text).filter(|t| !t.is_empty()))
    };
    Ok(ProviderSession {
        digest: row.text("digest")?,
        issuer: row.text("issuer")?,
        subject: row.text("subject")?,
        sid: given("sid")?,
        token_id: given("token_id")?,
        issued_s: row.integer("issued_s")?,
        claims,
        tokens: row.bytes("tokens")?,
        expires_at: row.integer("expires_at")?,
        idle_ms: row.integer("idle_ms")?,
        used_at: row.integer("used_at")?,
        refresh_at: row.integer_or_null("refresh_at")?,
    })
}

/// Who logs in learns nothing about the store; the log says all.
fn unavailable(error: StoreError) -> Fault {
    tracing::error!(%error, "the store of accounts failed");
    Fault::unavailable("the store of accounts cannot be used")
        .with_reason("accounts_unavailable")
        .with_hint("the log of the process says why; try again when that is mended")
}

/// The statement that adds a key.
fn inserted(key: &ApiKey) -> (&'static str, [Value; 8]) {
    let statement =
        "INSERT INTO api_keys (id, \"user\", name, digest, created_at, expires_at, scopes,
             verifier)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let scopes = key.scopes.as_ref().map(|scopes| scopes.texts().join("\n"));
    let scopes = scopes.unwrap_or_default();
    let values = [
        (&key.id).into(),
        (&key.user).into(),
        (&key.name).into(),
        key.digest.as_slice().into(),
        key.created_at.into(),
        key.expires_at.into(),
        scopes.into(),
        (&key.verifier).into(),
    ];
    (statement, values)
}

#[cfg(test)]
mod tests;
