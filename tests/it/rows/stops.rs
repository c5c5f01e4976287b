//! A client that goes away: its statement stops, and the log says so.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use dataos_tests::wait::until;

use super::House;

const ENDLESS: &str = "SELECT count(*) FROM local.main.numbers a, local.main.numbers b, \
    local.main.numbers c WHERE a.n + b.n + c.n < 0";
const LONG: &str = "SELECT a.text, b.text FROM local.main.numbers a, local.main.numbers b";

/// Kills a client at once, as a lost network would, and waits for it.
fn kill(mut client: Child) {
    client.kill().unwrap();
    client.wait().unwrap();
}

impl House {
    fn starts(&self, path: &str, sql: &str, more: &[&str]) -> Child {
        let mut curl = Command::new("curl");
        curl.args(self.posting(path, sql, more));
        curl.stdout(Stdio::null()).spawn().unwrap()
    }

    fn runs(&self, count: u64) {
        until("queries run", || {
            self.figure("dataos_queries_running") == count
        });
    }

    /// Processor time of the server so far, in ticks of 10 ms.
    fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.server.pid())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let fields: Vec<&str> = fields.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// Nothing of a statement works on.
    fn is_idle(&self, what: &str) {
        self.runs(0);
        until(what, || {
            let before = self.ticks();
            std::thread::sleep(Duration::from_secs(1));
            self.ticks() - before < 30
        });
    }

    fn is_recorded_as_cancelled(&self, id: &str) {
        let facts = |name: &str| {
            let entries = self.entries(id);
            let outcomes = entries.iter().filter(|entry| entry["kind"] == "outcome");
            let facts = outcomes.map(|entry| entry["facts"][name].as_str().map(str::to_owned));
            facts.flatten().collect::<Vec<String>>()
        };
        until(id, || {
            facts("status").contains(&"cancelled".to_owned())
                && facts("problem").contains(&"cancelled".to_owned())
        });
    }
}

#[test]
fn a_statement_ends_with_its_client_over_both_versions_of_http() {
    let house = House::new();
    for version in ["--http1.1", "--http2"] {
        for (form, sql) in [("application/json", ENDLESS), ("text/csv", LONG)] {
            let id = format!("left-{}-{}", version.len(), form.len());
            let (name, accept) = (format!("X-Request-Id: {id}"), format!("Accept: {form}"));
            // It reads slowly, so that rows wait for it.
            let more = [version, "-H", &name, "-H", &accept, "--limit-rate", "10k"];
            let client = house.starts("/api/v1/query", sql, &more);
            house.runs(1);
            kill(client);
            house.is_idle(&id);
            house.is_recorded_as_cancelled(&id);
        }
    }
    // One stream of a connection that others go on over.
    assert_eq!(
        house.figure("dataos_queries_ended_total{outcome=\"cancelled\"}"),
        4
    );
}

#[test]
fn psql_cancels_and_disconnects() {
    let house = House::new();
    let place = format!(
        "host=127.0.0.1 port={} dbname=dataos user=admin sslmode=verify-full sslrootcert={}",
        house.port,
        house.server.ca().display()
    );
    let psql = || {
        Command::new("psql")
            .args(["-X", "-d", &place, "-c", ENDLESS])
            .env("PGPASSWORD", house.admin.key().unwrap())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("psql is not installed; run: apt-get install -y postgresql-client")
    };
    let mut client = psql();
    house.runs(1);
    let pid = client.id().to_string();
    // As Ctrl-C does: libpq sends a cancel request.
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    client.wait().unwrap();
    house.is_idle("cancelled");
    let client = psql();
    house.runs(1);
    kill(client);
    house.is_idle("disconnected");
    assert_eq!(
        house.figure("dataos_queries_ended_total{outcome=\"cancelled\"}"),
        2
    );
}

#[test]
fn a_submitted_query_runs_on_without_its_client_until_it_is_deleted() {
    let house = House::new();
    let submitted = house.admin.json(&["query", "--async", ENDLESS]).unwrap();
    let id = submitted["id"].as_str().unwrap();
    house.runs(1);
    let status = house.admin.json(&["query", "status", id]).unwrap();
    assert_eq!(status["state"], "running");
    let cancelled = house.admin.json(&["query", "cancel", id]).unwrap();
    assert_eq!(cancelled["state"], "cancelled");
    house.is_idle("deleted");
    let printed = house.admin.run(&["query", "fetch", id]).unwrap();
    assert_eq!(printed.code, 1, "{}", printed.stderr);
    assert!(
        printed.stderr.contains("was cancelled"),
        "{}",
        printed.stderr
    );
    assert_eq!(house.figure("dataos_queries_kept"), 1);
    house.admin.json(&["query", "cancel", id]).unwrap();
    assert_eq!(house.figure("dataos_queries_kept"), 0);
}
