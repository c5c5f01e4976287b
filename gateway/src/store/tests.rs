use dataos_store::{Metadata, test_server::TestServer};

use super::{Store, Stored};
use std::sync::Arc;

use crate::accounts::{Account, ApiKey, Revocation, Revoked, Scopes, Session, User};

fn account(user: &str, password_hash: &str) -> Account {
    Account {
        user: User {
            user: user.to_owned(),
            ..User::default()
        },
        password_hash: password_hash.to_owned(),
    }
}

fn key(id: &str, user: &str, expires_at: Option<i64>) -> ApiKey {
    ApiKey {
        id: id.to_owned(),
        user: user.to_owned(),
        name: "a key".to_owned(),
        digest: vec![0, 255],
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
        store.touch_keys(&[("second".to_owned(), 8)]).await.unwrap();
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
