use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dataos_model::{
    clock::Timestamp,
    entity::EntityType,
    fault::FaultKind,
    hash::Hash,
    principal::{Authentication, Principal},
    seams::Identities,
    secret::Secret,
};

use super::{Accounts, Scopes, SessionLife, User, Wanted, fake_sink::FakeSink};
use crate::{authenticate::api_key::Pepper, store::Store};

/// An hour, all of which a session may be left unused.
const LIFE: SessionLife = SessionLife {
    whole: Duration::from_secs(3600),
    idle: Duration::from_secs(3600),
};

async fn open(folder: &tempfile::TempDir) -> Accounts {
    open_with(folder, Arc::default()).await
}

async fn store(folder: &tempfile::TempDir) -> Store {
    let file = folder.path().join("accounts.sqlite");
    let store = Store::open(&dataos_store::Metadata::Embedded, &file);
    store.await.unwrap()
}

async fn open_with(folder: &tempfile::TempDir, sink: Arc<FakeSink>) -> Accounts {
    let store = store(folder).await;
    let pepper = Pepper::new(&Secret::new(vec![7; 32]));
    Accounts::open(store, sink, pepper, Timestamp(0))
        .await
        .unwrap()
}

fn principal_of_key(
    accounts: &Accounts,
    text: &str,
    now: Timestamp,
) -> Result<Arc<Principal>, &'static str> {
    accounts
        .caller_of_key(text, now)
        .map(|caller| caller.principal)
}

/// A well-formed key of this id and secret.
fn assembled(id: &str, secret: &str) -> String {
    let body = format!("dok_{id}_{secret}");
    let checksum: String = Hash::of(&body).to_string().chars().take(8).collect();
    format!("{body}{checksum}")
}

fn wanted(name: &str, expires_at: Option<i64>) -> Wanted {
    Wanted {
        name: name.to_owned(),
        expires_at,
        scopes: None,
    }
}

fn alice() -> User {
    User {
        user: "alice".to_owned(),
        roles: vec!["analyst".to_owned()],
        attributes: BTreeMap::from([("region".to_owned(), "emea".to_owned())]),
        ..User::default()
    }
}

#[tokio::test]
async fn sessions_open_with_the_right_pair_only_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = open(&folder).await;
    accounts.create(alice(), "correct horse").await.unwrap();
    for (user, password) in [("alice", "wrong"), ("bob", "correct horse"), ("alice", "")] {
        let fault = accounts
            .log_in(user, password, Timestamp(0), LIFE)
            .await
            .err()
            .unwrap();
        assert_eq!(fault.kind, FaultKind::Unauthenticated);
        assert_eq!(fault.message, "user or password is wrong");
    }
    let session = accounts
        .log_in("alice", "correct horse", Timestamp(0), LIFE)
        .await
        .unwrap();
    let principal = accounts
        .principal_of_session(&session.cookie, Timestamp(1))
        .unwrap();
    assert_eq!(principal.uid.id, "alice");
    assert_eq!(principal.roles, ["analyst"]);
    assert_eq!(principal.authentication, Authentication::Session);
    assert!(
        !session
            .cookie
            .starts_with(principal.credential_id.as_deref().unwrap())
    );
    let late = accounts.principal_of_session(&session.cookie, Timestamp(3_600_000));
    assert_eq!(late.unwrap_err(), "session_expired");
    accounts.log_out(&session.cookie).await.unwrap();
    let gone = accounts.principal_of_session(&session.cookie, Timestamp(1));
    assert_eq!(gone.unwrap_err(), "session_unknown");
}

#[tokio::test]
async fn everything_survives_reopening_and_nothing_usable_is_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = open(&folder).await;
    accounts.create(alice(), "correct horse").await.unwrap();
    let key = accounts
        .create_key("alice", wanted("ci", Some(1000)), Timestamp(0))
        .await
        .unwrap();
    let session = accounts
        .log_in("alice", "correct horse", Timestamp(0), LIFE)
        .await
        .unwrap();
    accounts.close().await;
    drop(accounts);
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for secret in [
            key.text.as_bytes(),
            session.cookie.as_bytes(),
            b"correct horse",
        ] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }
    let accounts = open(&folder).await;
    assert!(
        accounts
            .principal_of_session(&session.cookie, Timestamp(1))
            .is_ok()
    );
    let principal = principal_of_key(&accounts, &key.text, Timestamp(1)).unwrap();
    assert_eq!(principal.credential_id.as_deref(), Some(key.id.as_str()));
    assert_eq!(accounts.keys("alice")[0].last_used_at, Some(1));
    let late = principal_of_key(&accounts, &key.text, Timestamp(1000));
    assert_eq!(late.unwrap_err(), "api_key_expired");
    assert_eq!(
        accounts.remove_key("bob", &key.id).await.unwrap_err().kind,
        FaultKind::NotFound
    );
    accounts.remove_key("alice", &key.id).await.unwrap();
    let gone = principal_of_key(&accounts, &key.text, Timestamp(1));
    assert_eq!(gone.unwrap_err(), "api_key_unknown");
}

#[tokio::test]
async fn changes_of_a_user_reach_open_sessions_and_keys_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = open(&folder).await;
    let (key, session) = alice_with_key_and_session(&accounts).await;
    accounts
        .replace(
            User {
                roles: vec![],
                ..alice()
            },
            None,
        )
        .await
        .unwrap();
    let now = Timestamp(1);
    assert!(
        accounts
            .principal_of_session(&session, now)
            .unwrap()
            .roles
            .is_empty()
    );
    assert!(
        principal_of_key(&accounts, &key, now)
            .unwrap()
            .roles
            .is_empty()
    );
    accounts
        .replace(alice(), Some("another horse"))
        .await
        .unwrap();
    let ended = accounts.principal_of_session(&session, now).unwrap_err();
    assert_eq!(ended, "session_unknown");
    assert!(principal_of_key(&accounts, &key, now).is_ok());
    assert!(
        accounts
            .log_in("alice", "correct horse", now, LIFE)
            .await
            .is_err()
    );
    assert!(
        accounts
            .log_in("alice", "another horse", now, LIFE)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_disabled_or_removed_user_is_out_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = open(&folder).await;
    let (key, session) = alice_with_key_and_session(&accounts).await;
    let now = Timestamp(1);
    accounts
        .replace(
            User {
                disabled: true,
                ..alice()
            },
            None,
        )
        .await
        .unwrap();
    let ended = accounts.principal_of_session(&session, now).unwrap_err();
    assert_eq!(ended, "session_unknown");
    assert_eq!(
        principal_of_key(&accounts, &key, now).unwrap_err(),
        "account_disabled"
    );
    assert!(accounts.principal("alice").await.is_err());
    let fault = accounts
        .log_in("alice", "correct horse", now, LIFE)
        .await
        .err()
        .unwrap();
    assert_eq!(fault.reason, "account_disabled");
    accounts.replace(alice(), None).await.unwrap();
    assert_eq!(
        accounts.principal("alice").await.unwrap().roles,
        ["analyst"]
    );
    accounts.remove("alice").await.unwrap();
    assert_eq!(
        principal_of_key(&accounts, &key, now).unwrap_err(),
        "api_key_unknown"
    );
    assert_eq!(
        accounts.remove("alice").await.unwrap_err().kind,
        FaultKind::NotFound
    );
}

#[tokio::test]
async fn the_pdp_knows_every_account_that_can_act_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Arc::new(FakeSink::default());
    let accounts = open_with(&folder, Arc::clone(&sink)).await;
    accounts.create(alice(), "correct horse").await.unwrap();
    let known = sink.user("alice").unwrap();
    assert_eq!(known.parents, [EntityType::ROLE.id("analyst")]);
    assert_eq!(known.tags["region"], "emea".into());
    assert_eq!(known, accounts.principal("alice").await.unwrap().entity());

    let plain = User {
        roles: vec![],
        ..alice()
    };
    accounts.replace(plain, None).await.unwrap();
    assert!(sink.user("alice").unwrap().parents.is_empty());
    let disabled = User {
        disabled: true,
        ..alice()
    };
    accounts.replace(disabled, None).await.unwrap();
    assert_eq!(sink.user("alice"), None);
    accounts.close().await;
    drop(accounts);

    let sink = Arc::new(FakeSink::default());
    let accounts = open_with(&folder, Arc::clone(&sink)).await;
    assert_eq!(sink.user("alice"), None, "disabled before the start");
    accounts.replace(alice(), None).await.unwrap();
    assert!(sink.user("alice").is_some());
    accounts.close().await;
    drop(accounts);

    let sink = Arc::new(FakeSink::default());
    let accounts = open_with(&folder, Arc::clone(&sink)).await;
    assert!(sink.user("alice").is_some(), "known from the start");
    accounts.remove("alice").await.unwrap();
    assert_eq!(sink.user("alice"), None);
}

#[tokio::test]
async fn an_account_that_the_pdp_refuses_is_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Arc::new(FakeSink::default());
    let accounts = open_with(&folder, Arc::clone(&sink)).await;
    sink.refuse(true);
    assert!(accounts.create(alice(), "correct horse").await.is_err());
    assert!(accounts.users().is_empty());
    sink.refuse(false);
    let (key, _) = alice_with_key_and_session(&accounts).await;
    sink.refuse(true);
    let plain = User {
        roles: vec![],
        ..alice()
    };
    assert!(accounts.replace(plain, None).await.is_err());
    assert!(accounts.remove("alice").await.is_err());
    let principal = principal_of_key(&accounts, &key, Timestamp(1)).unwrap();
    assert_eq!(principal.roles, ["analyst"]);
    accounts.close().await;
    drop(accounts);
    let accounts = open(&folder).await;
    assert_eq!(accounts.users(), [alice()], "nothing reached the store");
}

/// Makes alice; gives her API key and her session's cookie.
async fn alice_with_key_and_session(accounts: &Accounts) -> (String, String) {
    accounts.create(alice(), "correct horse").await.unwrap();
    let key = accounts
        .create_key("alice", wanted("ci", None), Timestamp(0))
        .await
        .unwrap();
    let session = accounts
        .log_in("alice", "correct horse", Timestamp(0), LIFE)
        .await
        .unwrap();
    (key.text, session.cookie)
}

#[tokio::test]
async fn an_account_rests_after_many_wrong_passwords() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = open(&folder).await;
    accounts.create(alice(), "correct horse").await.unwrap();
    for _ in 0..10 {
        accounts
            .log_in("alice", "wrong", Timestamp(0), LIFE)
            .await
            .err()
            .unwrap();
    }
    let fault = accounts
        .log_in("alice", "correct horse", Timestamp(1), LIFE)
        .await
        .err()
        .unwrap();
    assert_eq!(fault.reason, "login_resting");
    assert!(
        accounts
            .log_in("alice", "correct horse", Timestamp(30_000), LIFE)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn malformed_users_are_refused_with_the_field() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = open(&folder).await;
    let long = "a".repeat(64);
    for user in [
        "",
        "Alice",
        "-a",
        "a b",
        "a/b",
        "anonymous",
        "dataos",
        "é",
        &long,
    ] {
        let fault = accounts
            .create(
                User {
                    user: user.to_owned(),
                    ..User::default()
                },
                "correct horse",
            )
            .await
            .unwrap_err();
        assert_eq!(
            fault.location.unwrap().field.as_deref(),
            Some("user"),
            "{user}"
        );
    }
    let roles = User {
        roles: vec!["a\nb".to_owned()],
        ..alice()
    };
    let fault = accounts.create(roles, "correct horse").await.unwrap_err();
    assert_eq!(fault.location.unwrap().field.as_deref(), Some("roles"));
    let fault = accounts.create(alice(), "short").await.unwrap_err();
    assert_eq!(fault.location.unwrap().field.as_deref(), Some("password"));
    accounts.create(alice(), "correct horse").await.unwrap();
    let fault = accounts.create(alice(), "correct horse").await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Conflict);
}

#[tokio::test]
async fn a_rotated_key_works_on_for_a_while_and_its_successor_as_long_as_it_would_have() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = open(&folder).await;
    accounts.create(alice(), "correct horse").await.unwrap();
    let life = Some(10_000);
    let old = accounts.create_key("alice", wanted("ci", life), Timestamp(0));
    let old = old.await.unwrap();
    let rotated = accounts.rotate_key("alice", &old.id, 500, None, Timestamp(1000));
    let rotated = rotated.await.unwrap();
    assert_eq!(
        (rotated.old_expires_at, rotated.expires_at),
        (1500, Some(11_000))
    );
    assert_eq!(rotated.name, "ci");
    let works = |accounts: &Accounts, text: &str, at| {
        principal_of_key(accounts, text, Timestamp(at)).map(|_| ())
    };
    // The same before and after a restart.
    let check = |accounts: &Accounts| {
        assert_eq!(works(accounts, &old.text, 1499), Ok(()));
        assert_eq!(works(accounts, &old.text, 1500), Err("api_key_expired"));
        assert_eq!(works(accounts, &rotated.new.text, 1000), Ok(()));
        assert_eq!(
            works(accounts, &rotated.new.text, 11_000),
            Err("api_key_expired")
        );
    };
    check(&accounts);
    let ended = accounts.rotate_key("alice", &old.id, 500, None, Timestamp(1500));
    assert_eq!(ended.await.unwrap_err().kind, FaultKind::Conflict);
    for (user, id) in [("alice", "0000"), ("bob", rotated.new.id.as_str())] {
        let foreign = accounts.rotate_key(user, id, 500, None, Timestamp(1000));
        assert_eq!(foreign.await.unwrap_err().kind, FaultKind::NotFound);
    }
    // An overlap never makes a key live longer than it was to.
    let again = accounts.rotate_key("alice", &rotated.new.id, 100_000, None, Timestamp(1000));
    assert_eq!(again.await.unwrap().old_expires_at, 11_000);
    accounts.close().await;
    drop(accounts);
    check(&open(&folder).await);
}

#[tokio::test]
async fn each_bad_key_has_its_reason_and_only_good_ones_are_noted_as_used() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = open(&folder).await;
    accounts.create(alice(), "correct horse").await.unwrap();
    let make = async |expires_at| {
        let made = accounts.create_key("alice", wanted("ci", expires_at), Timestamp(0));
        made.await.unwrap()
    };
    let (good, short) = (make(None).await, make(Some(1000)).await);
    let reason = |text: &str, at| principal_of_key(&accounts, text, Timestamp(at)).err();
    assert_eq!(reason(&good.text, i64::MAX), None, "without an end");
    assert_eq!(reason(&short.text, 999), None);
    assert_eq!(reason(&short.text, 1000), Some("api_key_expired"));
    // Another's secret under this id, with a right checksum.
    let secret: String = short.text.chars().skip(4 + 16 + 1).take(64).collect();
    let mixed = assembled(&good.id, &secret);
    assert_eq!(reason(&mixed, 1), Some("api_key_wrong"));
    let unknown = crate::authenticate::api_key::generate().unwrap();
    assert_eq!(reason(&unknown.text, 1), Some("api_key_unknown"));
    let longer = format!("{}0", good.text);
    assert_eq!(reason(&longer, 1), Some("api_key_malformed"));
    let last_used = |id: &str| {
        let keys = accounts.keys("alice");
        let key = keys.into_iter().find(|key| key.id == id).unwrap();
        key.last_used_at
    };
    assert_eq!(last_used(&short.id), Some(999), "a refused use is none");
    accounts.remove_key("alice", &short.id).await.unwrap();
    assert_eq!(reason(&short.text, 1), Some("api_key_unknown"), "revoked");
}

#[tokio::test]
async fn a_dump_of_the_whole_store_yields_no_usable_key() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = open(&folder).await;
    accounts.create(alice(), "correct horse").await.unwrap();
    let key = accounts.create_key("alice", wanted("ci", None), Timestamp(0));
    let key = key.await.unwrap();
    accounts.close().await;
    drop(accounts);
    let tables = store(&folder).await;
    let stored = tables.load(0).await.unwrap().keys.remove(0);
    tables.close().await;
    // What a thief can make of all that is there: the id, the digest for a secret, in each form.
    let digest = hex::encode(&stored.digest);
    let forged = assembled(&stored.id, &digest);
    let accounts = open(&folder).await;
    let reason = principal_of_key(&accounts, &forged, Timestamp(1)).unwrap_err();
    assert_eq!(reason, "api_key_wrong");
    for part in [digest.as_str(), &stored.id, &stored.name] {
        assert!(
            principal_of_key(&accounts, part, Timestamp(1)).is_err(),
            "{part}"
        );
    }
    assert!(principal_of_key(&accounts, &key.text, Timestamp(1)).is_ok());
    // Nor is the digest a hash that could be tried out: without the pepper no key matches it.
    accounts.close().await;
    drop(accounts);
    let other = Pepper::new(&Secret::new(vec![8; 32]));
    let sink = Arc::new(FakeSink::default());
    let accounts = Accounts::open(store(&folder).await, sink, other, Timestamp(0));
    let accounts = accounts.await.unwrap();
    let reason = principal_of_key(&accounts, &key.text, Timestamp(1)).unwrap_err();
    assert_eq!(reason, "api_key_wrong");
}

#[tokio::test]
async fn scopes_survive_rotation_and_restart_and_bound_what_a_key_makes() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = open(&folder).await;
    accounts.create(alice(), "correct horse").await.unwrap();
    let scopes = |texts: &[&str]| {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Arc::new(Scopes::parse(&texts).unwrap())
    };
    let own = scopes(&["action:query"]);
    let narrow = Wanted {
        scopes: Some(Arc::clone(&own)),
        ..wanted("narrow", None)
    };
    let narrow = accounts.create_key("alice", narrow, Timestamp(0)).await;
    let narrow = narrow.unwrap();
    let wide = accounts.create_key("alice", wanted("wide", None), Timestamp(0));
    let wide = wide.await.unwrap();
    // A key with scopes cannot have itself a wider one by rotating that.
    let within = Some(own.as_ref());
    let beyond = accounts.rotate_key("alice", &wide.id, 0, within, Timestamp(1));
    let fault = beyond.await.unwrap_err();
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Denied, "out_of_scope")
    );
    let rotated = accounts.rotate_key("alice", &narrow.id, 0, within, Timestamp(1));
    let rotated = rotated.await.unwrap();
    assert_eq!(rotated.scopes, Some(Arc::clone(&own)));
    accounts.close().await;
    drop(accounts);
    let accounts = open(&folder).await;
    let of = |text: &str| accounts.caller_of_key(text, Timestamp(1)).unwrap().scopes;
    assert_eq!(of(&rotated.new.text), Some(own));
    assert_eq!(of(&wide.text), None);
}

#[tokio::test]
async fn a_session_that_is_left_unused_ends_and_each_use_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = open(&folder).await;
    accounts.create(alice(), "correct horse").await.unwrap();
    let life = SessionLife {
        whole: Duration::from_secs(3600),
        idle: Duration::from_secs(600),
    };
    let opened = accounts.log_in("alice", "correct horse", Timestamp(0), life);
    let cookie = opened.await.unwrap().cookie;
    let asked = |accounts: &Accounts, at_s: i64| {
        let asked = accounts.principal_of_session(&cookie, Timestamp(at_s * 1000));
        asked.map(drop)
    };
    for at_s in [599, 1198, 1797] {
        assert_eq!(asked(&accounts, at_s), Ok(()), "{at_s}");
    }
    accounts.close().await;
    let accounts = open(&folder).await;
    assert_eq!(asked(&accounts, 2396), Ok(()), "the use was written down");
    assert_eq!(asked(&accounts, 2996), Err("session_idle"));
    assert_eq!(asked(&accounts, 3600), Err("session_expired"));
}
