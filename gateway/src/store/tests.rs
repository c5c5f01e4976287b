use std::sync::Arc;

use dataos_store::{Metadata, test_server::TestServer};
use serde_json::json;

use super::{LastUse, Store, Stored};
use crate::accounts::{
    Account, ApiKey, ProviderSession, Revocation, Revoked, Scopes, Session, User,
};

fn account(user: &str, password_hash: &str) -> Account {
    Account {
        user: User {
            user: user.to_owned(),
            ..User::default()
        },
        password_hash: password_hash.to_owned(),
        verifier: "sealed".to_owned(),
    }
}

fn key(id: &str, user: &str, expires_at: Option<i64>) -> ApiKey {
    ApiKey {
        id: id.to_owned(),
        user: user.to_owned(),
        name: "a key".to_owned(),
        digest: vec![0, 255],
        verifier: "sealed".to_owned(),
        created_at: 1_800_000_000_000,
        expires_at,
        last_used_at: 0,
        scopes: None,
    }
}

fn revocation(revoked: Revoked, revoked_at: i64, expires_at: i64) -> Revocation {
    Revocation {
        issuer: "https://idp.example".to_owned(),
        revoked,
        revoked_at,
        expires_at,
    }
}

fn session(digest: &str, user: &str, expires_at: i64) -> Session {
    Session {
        digest: digest.to_owned(),
        user: user.to_owned(),
        expires_at,
        idle_ms: 1000,
        used_at: 1_800_000_000_000,
    }
}

fn sorted(mut stored: Stored) -> Stored {
    stored
        .accounts
        .sort_by(|a, b| a.user.user.cmp(&b.user.user));
    stored.keys.sort_by(|a, b| a.id.cmp(&b.id));
    stored.sessions.sort_by(|a, b| a.digest.cmp(&b.digest));
    stored
}

#[tokio::test]
async fn what_is_put_is_there_after_a_restart_on_both_engines() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start();
    for metadata in [Metadata::Embedded, server.metadata()] {
        let file = folder.path().join("accounts.db");
        let store = Store::open(&metadata, &file).await.unwrap();
        for user in ["ana", "bob", "eve"] {
            store
                .put_account(&account(user, "old"), false)
                .await
                .unwrap();
            store.put_session(&session(user, user, 9)).await.unwrap();
            store.put_key(&key(user, user, None)).await.unwrap();
        }
        let scopes = ["action:query", "route:GET /api/v1/session"].map(str::to_owned);
        let scopes = Some(Arc::new(Scopes::parse(&scopes).unwrap()));
        let second = ApiKey {
            scopes,
            ..key("second", "ana", Some(7))
        };
        store.put_key(&second).await.unwrap();
        let token = || Revoked::Token("t1".to_owned());
        let subject = || Revoked::Subject("t1".to_owned());
        for revoked in [
            revocation(token(), 1, 4),
            revocation(subject(), 1, 7),
            revocation(subject(), 2, 8),
        ] {
            store.put_revocation(&revoked).await.unwrap();
        }
        store
            .put_session(&session("short", "bob", 5))
            .await
            .unwrap();
        store
            .put_account(&account("ana", "new"), true)
            .await
            .unwrap();
        store
            .put_account(&account("bob", "new"), false)
            .await
            .unwrap();
        let used = LastUse {
            keys: vec![("second".to_owned(), 8)],
            ..LastUse::default()
        };
        store.touch(&used).await.unwrap();
        store.delete_account("eve").await.unwrap();
        store.delete_key("bob").await.unwrap();
        store.put_session(&session("gone", "ana", 9)).await.unwrap();
        store.delete_session("gone").await.unwrap();
        assert!(store.put_key(&key("x", "nobody", None)).await.is_err());
        store.close().await;

        let store = Store::open(&metadata, &file).await.unwrap();
        let stored = sorted(store.load(5).await.unwrap());
        assert_eq!(
            stored.accounts,
            [account("ana", "new"), account("bob", "new")]
        );
        let second = ApiKey {
            last_used_at: 8,
            ..second
        };
        assert_eq!(stored.keys, [key("ana", "ana", None), second]);
        assert_eq!(stored.sessions, [session("bob", "bob", 9)]);
        assert_eq!(stored.revocations, [revocation(subject(), 2, 8)]);
    }
}

#[tokio::test]
async fn sessions_of_providers_are_kept_replaced_and_forgotten_on_both_engines() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start();
    let session = |digest: &str, expires_at| ProviderSession {
        digest: digest.to_owned(),
        issuer: "https://idp.example".to_owned(),
        subject: "carol".to_owned(),
        sid: Some("at-idp".to_owned()),
        token_id: None,
        issued_s: 1_800_000_000,
        claims: [("sub".to_owned(), json!("carol"))].into_iter().collect(),
        tokens: vec![0, 255],
        expires_at,
        idle_ms: 600,
        used_at: 7,
        refresh_at: None,
    };
    for metadata in [Metadata::Embedded, server.metadata()] {
        let file = folder.path().join("sessions.db");
        let store = Store::open(&metadata, &file).await.unwrap();
        for (digest, expires_at) in [("a", 9), ("b", 5), ("c", 9)] {
            let session = session(digest, expires_at);
            store.put_provider_session(&session).await.unwrap();
        }
        let newer = ProviderSession {
            tokens: vec![1],
            refresh_at: Some(8),
            token_id: Some("id-2".to_owned()),
            claims: [("sub".to_owned(), json!("dave"))].into_iter().collect(),
            ..session("a", 9)
        };
        store.put_provider_session(&newer).await.unwrap();
        store.delete_provider_session("c").await.unwrap();
        let used = LastUse {
            provider_sessions: vec![("a".to_owned(), 8)],
            ..LastUse::default()
        };
        store.touch(&used).await.unwrap();
        store.close().await;
        let store = Store::open(&metadata, &file).await.unwrap();
        let expected = ProviderSession {
            used_at: 8,
            ..newer
        };
        assert_eq!(store.load(5).await.unwrap().provider_sessions, [expected]);
    }
}
