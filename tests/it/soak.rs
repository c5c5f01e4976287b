//! All that an operator may do to a platform at work, one after the other under callers that never pause: new
//! policies, new server certificates, a new CA, a new program. Nobody is refused, nothing is cut, each call is
//! decided under one policy set and has its record.
//!
//! `SOAK_REQUESTS` says for how many calls at least; 100 000 unless told otherwise.

use std::{collections::BTreeSet, fs};

use dataos_tests::{
    ctl::Ctl,
    server::{Options, Server},
};

use crate::{
    load::{Held, Load, Speech, recorded, until},
    restart::{signal, times},
};

const REQUESTS: usize = 100_000;
/// Calls between two changes.
const BETWEEN: usize = 4_000;

/// The callers: over both protocols, by key and by certificate.
const SPEECHES: [Speech; 6] = [
    Speech::Http2,
    Speech::Http2,
    Speech::Http1,
    Speech::Http1,
    Speech::Certificate,
    Speech::Certificate,
];

struct Soak {
    server: Server,
    admin: Ctl,
    load: Load,
    folder: tempfile::TempDir,
    policy_sets: BTreeSet<String>,
    restarts: usize,
}

impl Soak {
    fn start() -> Self {
        let server = Server::start(&Options {
            // Old connections end within this time after a new certificate.
            config: Some("[limits]\ndrain_timeout = \"2s\"\n".to_owned()),
            ..Options::default()
        });
        let server = server.unwrap();
        let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let held = Held {
            trusted: fs::read(server.ca()).unwrap(),
            key: admin.key().unwrap(),
            identity: identity(&admin, folder.path(), "shop-0"),
        };
        let load = Load::start(&server, held, &SPEECHES);
        let mut soak = Self {
            server,
            admin,
            load,
            folder,
            policy_sets: BTreeSet::new(),
            restarts: 0,
        };
        soak.note_policy_set();
        soak
    }

    fn run(&self, arguments: &[&str]) {
        let printed = self.admin.run(arguments).unwrap();
        assert_eq!(printed.code, 0, "{arguments:?}: {}", printed.stderr);
    }

    fn note_policy_set(&mut self) {
        let key = self.admin.key().unwrap();
        let (_, policies) = self.server.get(&key, "/api/v1/policies").unwrap();
        self.policy_sets
            .insert(policies["hash"].as_str().unwrap().to_owned());
    }

    /// One more policy, which matters to nobody here.
    fn add_policy(&mut self) {
        let number = self.policy_sets.len();
        let file = self.folder.path().join("soak.cedar");
        let text = format!(
            "@id(\"soak-{number}\")\nforbid (principal == DataOS::User::\"nobody-{number}\", action, resource);\n"
        );
        fs::write(&file, text).unwrap();
        let name = format!("soak-{number}");
        self.run(&["policy", "put", &name, "--file", &file.to_string_lossy()]);
        self.note_policy_set();
    }

    /// A new CA, from which on the old one counts no more; callers take up each step as they should.
    fn roll_over(&mut self) {
        let step = |step: &str| self.run(&["certificate", "roll-over", step]);
        step("announce");
        let trusted = fs::read(self.server.ca()).unwrap();
        self.load.change(|held| held.trusted = trusted);
        self.load.goes_on(BETWEEN);
        step("issue");
        self.load.goes_on(BETWEEN);
        let name = format!("shop-{}", self.restarts + 1);
        let identity = identity(&self.admin, self.folder.path(), &name);
        self.load.change(|held| held.identity = identity);
        // All of them: one that waits for its answer still holds the old one.
        self.load.goes_on(BETWEEN);
        step("finish");
        let trusted = fs::read(self.server.ca()).unwrap();
        self.load.change(|held| held.trusted = trusted);
    }

    fn restart(&mut self) {
        self.restarts += 1;
        let started = |soak: &Self| times(&soak.server, "DataOS kernel listens on");
        signal(&self.server, "USR2");
        until("the next start", || started(self) > self.restarts);
    }
}

/// A certificate and its key, just issued.
fn identity(admin: &Ctl, folder: &std::path::Path, name: &str) -> Vec<u8> {
    let out = folder.to_string_lossy();
    let arguments = ["certificate", "create", "--name", name, "--out", &out];
    let printed = admin.run(&arguments).unwrap();
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    let file = |end: &str| fs::read(folder.join(format!("{name}.{end}"))).unwrap();
    [file("pem"), file("key")].concat()
}

#[test]
fn nothing_that_is_changed_at_work_costs_a_call() {
    let wanted = std::env::var("SOAK_REQUESTS").map_or(REQUESTS, |text| text.parse().unwrap());
    let mut soak = Soak::start();
    let key = soak.admin.key().unwrap();
    while soak.load.answered() < wanted {
        soak.load.goes_on(BETWEEN);
        soak.add_policy();
        soak.load.goes_on(BETWEEN);
        soak.run(&["certificate", "renew"]);
        soak.load.goes_on(BETWEEN);
        soak.roll_over();
        soak.load.goes_on(BETWEEN);
        soak.add_policy();
        soak.restart();
    }
    let Soak {
        server,
        load,
        policy_sets,
        restarts,
        ..
    } = soak;
    let answered = load.end();
    assert!(answered.len() >= wanted);
    let under: BTreeSet<String> = answered.values().cloned().collect();
    assert!(under.is_subset(&policy_sets), "{under:?}");
    assert!(under.len() > restarts, "{under:?}");
    let recorded = recorded(&server, &key);
    let wrong: Vec<_> = answered
        .iter()
        .filter(|(id, policy_set)| recorded.get(*id) != Some(policy_set))
        .take(10)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
