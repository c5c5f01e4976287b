use std::sync::Arc;

use dataos_model::{clock::Timestamp, fault::Fault, secret::Secret};

use super::{Accounts, Proved};
use crate::{
    accounts::{User, Wanted, fake_sink::FakeSink},
    authenticate::{
        api_key::Pepper,
        scram::{Exchange, SCRAM, tests::answer},
    },
    store::Store,
};

const NOW: Timestamp = Timestamp(1);

async fn open(folder: &tempfile::TempDir, pepper: u8) -> Accounts {
    let file = folder.path().join("accounts.sqlite");
    let store = Store::open(&dataos_store::Metadata::Embedded, &file).await;
    let pepper = Pepper::new(&Secret::new(vec![pepper; 32]));
    let sink = Arc::new(FakeSink::default());
    Accounts::open(store.unwrap(), sink, pepper, Timestamp(0))
        .await
        .unwrap()
}

fn alice() -> User {
    User {
        user: "alice".to_owned(),
        ..User::default()
    }
}

async fn key(accounts: &Accounts, expires_at: Option<i64>) -> (String, String) {
    let wanted = Wanted {
        name: "a key".to_owned(),
        expires_at,
        scopes: None,
    };
    let key = accounts.create_key("alice", wanted, Timestamp(0)).await;
    let key = key.unwrap();
    (key.id, key.text)
}

/// Logs in as a client would, with both sides' proofs.
fn prove(accounts: &Accounts, user: &str, secret: &str) -> Result<Proved, Fault> {
    let salt = accounts.salt(user);
    let exchange = Exchange::begin(SCRAM, b"n,,n=,r=abc", None, &salt, "def").unwrap();
    let answer = answer(&exchange, b"n,,", secret);
    let proof = exchange.answered(answer.as_bytes()).unwrap();
    let (proved, own) = accounts.check_proof(user, &proof, NOW)?;
    assert!(own.starts_with("v="));
    Ok(proved)
}

fn reason(accounts: &Accounts, user: &str, secret: &str) -> String {
    let fault = prove(accounts, user, secret).unwrap_err();
    assert_eq!(fault.message, "user or password is wrong");
    fault.reason
}

fn is_password(proved: &Result<Proved, Fault>) -> bool {
    matches!(proved, Ok(Proved::Password(account)) if account.user.user == "alice")
}

#[tokio::test]
async fn a_password_and_each_key_are_proved_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = open(&folder, 7).await;
    accounts.create(alice(), "correct horse").await.unwrap();
    let (first, second) = (key(&accounts, None).await, key(&accounts, None).await);
    assert!(is_password(&prove(&accounts, "alice", "correct horse")));
    for (id, text) in [&first, &second] {
        let proved = prove(&accounts, "alice", text).unwrap();
        assert!(matches!(&proved, Proved::Key(proved) if proved == id));
        let caller = accounts.caller_of_proved(&proved, NOW).unwrap();
        assert_eq!(caller.principal.credential_id.as_ref(), Some(id));
    }
    let bob = User {
        user: "bob".to_owned(),
        ..User::default()
    };
    accounts.create(bob, "correct horse").await.unwrap();
    assert_eq!(reason(&accounts, "alice", "wrong"), "login_wrong");
    assert_eq!(reason(&accounts, "bob", &first.1), "login_wrong");
    assert_eq!(reason(&accounts, "nobody", "correct horse"), "login_wrong");
    // Nothing tells a name that there is from one that there is not, nor two asks apart.
    assert_eq!(accounts.salt("nobody"), accounts.salt("nobody"));
    assert_eq!(accounts.salt("nobody").len(), accounts.salt("alice").len());
    assert_ne!(accounts.salt("bob"), accounts.salt("alice"));
    accounts.close().await;
    drop(accounts);
    let accounts = open(&folder, 7).await;
    assert!(is_password(&prove(&accounts, "alice", "correct horse")));
    assert!(prove(&accounts, "alice", &second.1).is_ok());
}

#[tokio::test]
async fn what_a_secret_stands_for_ends_with_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = open(&folder, 7).await;
    accounts.create(alice(), "correct horse").await.unwrap();
    let (_, short) = key(&accounts, Some(10)).await;
    let (id, long) = key(&accounts, None).await;
    let password = prove(&accounts, "alice", "correct horse").unwrap();
    let [short, long] = [short, long].map(|text| prove(&accounts, "alice", &text).unwrap());
    let why = |proved: &Proved, at: i64| accounts.caller_of_proved(proved, Timestamp(at)).err();
    assert_eq!(
        (why(&short, 9), why(&short, 10)),
        (None, Some("api_key_expired"))
    );
    accounts.remove_key("alice", &id).await.unwrap();
    assert_eq!(why(&long, 1), Some("api_key_unknown"));
    assert_eq!(why(&password, 1), None);
    accounts
        .replace(alice(), Some("another horse"))
        .await
        .unwrap();
    assert_eq!(why(&password, 1), Some("password_changed"));
    assert_eq!(reason(&accounts, "alice", "correct horse"), "login_wrong");
    let password = prove(&accounts, "alice", "another horse").unwrap();
    let disabled = User {
        disabled: true,
        ..alice()
    };
    accounts.replace(disabled, None).await.unwrap();
    assert_eq!(why(&password, 1), Some("account_disabled"));
    assert_eq!(why(&short, 1), Some("account_disabled"));
    assert_eq!(
        reason(&accounts, "alice", "another horse"),
        "account_disabled"
    );
}

#[tokio::test]
async fn verifiers_are_worth_nothing_without_the_pepper_and_come_back_with_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = open(&folder, 7).await;
    accounts.create(alice(), "correct horse").await.unwrap();
    let before = accounts.read().accounts["alice"].clone();
    accounts.close().await;
    drop(accounts);
    let accounts = open(&folder, 8).await;
    assert_eq!(reason(&accounts, "alice", "correct horse"), "login_wrong");
    let wrong = accounts.check_password("alice", "wrong", NOW).await;
    assert_eq!(wrong.unwrap_err().reason, "login_wrong");
    assert_eq!(reason(&accounts, "alice", "correct horse"), "login_wrong");
    assert!(is_password(
        &accounts.check_password("alice", "correct horse", NOW).await
    ));
    assert!(is_password(&prove(&accounts, "alice", "correct horse")));
    let after = accounts.read().accounts["alice"].clone();
    assert_eq!(after.password_hash, before.password_hash);
    assert_ne!(after.verifier, before.verifier);
    // One that is there stays.
    assert!(
        accounts
            .check_password("alice", "correct horse", NOW)
            .await
            .is_ok()
    );
    assert_eq!(accounts.read().accounts["alice"].verifier, after.verifier);
}

#[tokio::test]
async fn an_account_rests_from_wrong_proofs_and_its_keys_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = open(&folder, 7).await;
    accounts.create(alice(), "correct horse").await.unwrap();
    let (_, key) = key(&accounts, None).await;
    for _ in 0..10 {
        assert_eq!(reason(&accounts, "alice", "wrong"), "login_wrong");
    }
    assert_eq!(reason(&accounts, "alice", "correct horse"), "login_resting");
    let asked = accounts.check_password("alice", "correct horse", NOW).await;
    assert_eq!(asked.unwrap_err().reason, "login_resting");
    assert!(prove(&accounts, "alice", &key).is_ok());
}
