//! Who logs in, and how: by a proof, or by a token that is sent.

use dataos_tests::{
    ctl::Ctl,
    provider::Provider,
    server::{Options, Server},
    wait::until,
};

use super::{House, PASSWORD, port};

const WHO: &[&str] = &["SELECT current_user"];

impl House {
    /// Logs in, and gives the mechanism that the log has of it.
    fn logs_in(&self, user: &str, secret: &str, parameters: &str) -> String {
        let printed = self.psql_with(user, secret, parameters, WHO);
        assert_eq!(printed.stdout, format!("{user}\n"), "{}", printed.stderr);
        self.mechanisms(user, "allow").swap_remove(0)
    }

    /// What the log has of an attempt that fails with these words. Nobody waits for the record of a
    /// refusal, but this.
    fn is_refused(&self, user: &str, secret: &str, parameters: &str, says: &str) -> String {
        let refusals = || self.mechanisms(user, "deny");
        let before = refusals().len();
        let printed = self.psql_with(user, secret, parameters, WHO);
        assert!(
            !printed.is_well && printed.stderr.contains(says),
            "{}",
            printed.stderr
        );
        until("the refusal in the log", || refusals().len() > before);
        refusals().swap_remove(0)
    }

    /// The mechanisms of the attempts at this door so far, newest first.
    fn mechanisms(&self, user: &str, effect: &str) -> Vec<String> {
        let mut entries = self.entries(user);
        entries
            .retain(|entry| entry["facts"]["door"] == "postgresql" && entry["action"] == "log_in");
        entries.retain(|entry| entry["effect"] == effect);
        let mechanism =
            |entry: &serde_json::Value| entry["facts"]["mechanism"].as_str().unwrap().to_owned();
        entries.iter().map(mechanism).collect()
    }
}

#[test]
fn a_secret_is_proved_and_bound_to_the_certificate_and_never_sent() {
    let house = House::new();
    let key = house.ana.key().unwrap();
    for secret in [PASSWORD, &key] {
        for (parameters, mechanism) in [
            (
                "sslmode=require channel_binding=require",
                "SCRAM-SHA-256-PLUS",
            ),
            ("sslmode=verify-full", "SCRAM-SHA-256-PLUS"),
            ("sslmode=require channel_binding=disable", "SCRAM-SHA-256"),
        ] {
            assert_eq!(house.logs_in("ana", secret, parameters), mechanism);
        }
    }
    let bound = "sslmode=require channel_binding=require";
    let mechanism = house.is_refused(
        "ana",
        "not-the-password",
        bound,
        "user or password is wrong",
    );
    assert_eq!(mechanism, "SCRAM-SHA-256-PLUS");
    let sent = "sslmode=require options='-c dataos.credential=token'";
    let mechanism = house.is_refused("ana", PASSWORD, sent, "proved here, and not sent");
    assert_eq!(mechanism, "cleartext");
    assert_eq!(house.logs_in("ana", &key, sent), "cleartext");
    let other = "sslmode=require options='-c dataos.credential=password'";
    let printed = house.psql_with("ana", PASSWORD, other, WHO);
    assert!(
        printed.stderr.contains("its one value is `token`"),
        "{}",
        printed.stderr
    );
}

#[test]
fn a_new_certificate_is_the_one_that_log_ins_are_bound_to() {
    let house = House::new();
    let bound = "sslmode=verify-full channel_binding=require";
    assert_eq!(house.logs_in("ana", PASSWORD, bound), "SCRAM-SHA-256-PLUS");
    for step in ["announce", "issue"] {
        house
            .admin
            .json(&["certificate", "roll-over", step])
            .unwrap();
    }
    assert_eq!(house.logs_in("ana", PASSWORD, bound), "SCRAM-SHA-256-PLUS");
}

#[test]
fn a_new_password_is_proved_at_once_and_the_old_one_no_more() {
    let house = House::new();
    let bound = "sslmode=require channel_binding=require";
    assert_eq!(house.logs_in("ana", PASSWORD, bound), "SCRAM-SHA-256-PLUS");
    let changed = "another-long-password";
    let command = ["user", "update", "--id", "ana", "--set-password"];
    let variables = [("DATAOS_NEW_PASSWORD", changed)];
    let printed = house.admin.run_with(&command, &variables, "").unwrap();
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    house.is_refused("ana", PASSWORD, bound, "user or password is wrong");
    assert_eq!(house.logs_in("ana", changed, bound), "SCRAM-SHA-256-PLUS");
}

#[test]
fn where_it_is_asked_for_the_secret_is_sent() {
    let house = House::with("login = \"clear\"\n");
    let plain = "sslmode=verify-full";
    assert_eq!(house.logs_in("ana", PASSWORD, plain), "cleartext");
    assert_eq!(
        house.logs_in("ana", &house.ana.key().unwrap(), plain),
        "cleartext"
    );
    let bound = "sslmode=require channel_binding=require";
    let printed = house.psql_with("ana", PASSWORD, bound, WHO);
    assert!(
        printed.stderr.contains("channel binding required"),
        "{}",
        printed.stderr
    );
}

#[test]
fn an_access_token_is_sent_by_who_says_so() {
    let provider = Provider::start().unwrap();
    let config = format!(
        "{}[postgres]\nlisten = \"127.0.0.1:0\"\n",
        crate::credentials::config(&provider)
    );
    let options = Options {
        config: Some(config),
        ..Options::default()
    };
    let server = Server::start(&options).unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    let house = House {
        port: port(&server),
        ana: Ctl::new().unwrap(),
        server,
        admin,
        _files: tempfile::tempdir().unwrap(),
    };
    let token = provider.token("shop", "dataos", "ES256").unwrap();
    let sent = "sslmode=verify-full options='-c dataos.credential=token'";
    assert_eq!(house.logs_in("idp-shop", &token, sent), "cleartext");
    house.is_refused("ana", &token, sent, "the credential is not valid");
    // It is proved by nobody: what the server knows of it comes with it.
    let proved = house.is_refused(
        "idp-shop",
        &token,
        "sslmode=verify-full",
        "password is wrong",
    );
    assert_eq!(proved, "SCRAM-SHA-256-PLUS");
}
