//! psql, as an analyst types.

use std::process::{Command, Stdio};

use super::{House, PASSWORD};

/// What psql printed, and how it ended.
pub(super) struct Printed {
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) is_well: bool,
}

impl House {
    fn psql_as(&self, user: &str, password: &str, mode: &str, commands: &[&str]) -> Printed {
        self.psql_with(user, password, &format!("sslmode={mode}"), commands)
    }

    /// With these parameters of the connection beside place and user.
    pub(super) fn psql_with(
        &self,
        user: &str,
        password: &str,
        parameters: &str,
        commands: &[&str],
    ) -> Printed {
        let ca = self.server.ca();
        let place = format!(
            "host=127.0.0.1 port={} dbname=dataos user={user} sslrootcert={} {parameters}",
            self.port,
            ca.display()
        );
        let mut psql = Command::new("psql");
        psql.args([
            "-X",
            "-A",
            "-t",
            "-F",
            "|",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            &place,
        ]);
        for command in commands {
            psql.args(["-c", command]);
        }
        let output = psql
            .env("PGPASSWORD", password)
            .stdin(Stdio::null())
            .output()
            .expect("psql is not installed; run: apt-get install -y postgresql-client");
        Printed {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            is_well: output.status.success(),
        }
    }

    fn psql(&self, commands: &[&str]) -> Printed {
        self.psql_as("ana", PASSWORD, "verify-full", commands)
    }

    fn shows(&self, command: &str) -> String {
        let printed = self.psql(&[command]);
        assert!(printed.is_well, "{command}: {}", printed.stderr);
        printed.stdout
    }

    fn says(&self, command: &str, parts: &[&str]) {
        let printed = self.psql(&[command]);
        assert!(!printed.is_well, "{command}: {}", printed.stdout);
        for part in parts {
            assert!(
                printed.stderr.contains(part),
                "{command}: {}",
                printed.stderr
            );
        }
    }
}

fn table(text: &str) -> Vec<Vec<String>> {
    text.lines()
        .map(|line| line.split('|').map(str::to_owned).collect())
        .collect()
}

#[test]
fn rows_masks_and_records_are_those_of_the_rest_door() {
    let house = House::new();
    for sql in [
        "SELECT * FROM local.main.orders ORDER BY id",
        "SELECT region, count(*) AS n, sum(amount) AS total FROM local.main.orders GROUP BY region",
        "SELECT customer, id FROM local.main.orders WHERE customer = '(hidden)' ORDER BY id",
        "SELECT n, n / 7.0 AS part FROM local.main.numbers WHERE n < 5 ORDER BY n",
        "EXPLAIN SELECT id FROM local.main.orders",
        "EXPLAIN POLICY SELECT id FROM local.main.orders",
        "SHOW TABLES",
    ] {
        let (here, there) = (table(&house.shows(sql)), house.rest(sql));
        assert!(!there.is_empty());
        assert_eq!(here, there, "{sql}");
        let entries = house.entries("ana");
        let [here, there] = [true, false].map(|is_postgres| of_statement(&entries, is_postgres));
        assert_eq!(here, there, "{sql}");
    }
}

#[test]
fn statements_are_read_as_postgresql_reads_them() {
    let house = House::new();
    let sql = r"SELECT E'it\'s', $$a\b$$, ID FROM local.main.orders WHERE ID = 1";
    assert_eq!(house.shows(sql).lines().count(), 1);
    assert!(house.shows(sql).starts_with(r"it's|a\b|1"));
    house.says("SELECT \"ID\" FROM local.main.orders", &["ID", "LINE 1"]);
    house.says("SELECT `id` FROM local.main.orders", &["LINE 1"]);
}

/// The newest records of a statement of one door, without what differs by nature.
fn of_statement(entries: &[serde_json::Value], is_postgres: bool) -> Vec<serde_json::Value> {
    let is_door = |entry: &&serde_json::Value| {
        (entry["facts"]["door"] == "postgresql") == is_postgres
            && entry["facts"]["path"] == "/api/v1/query"
    };
    let call = entries.iter().find(is_door).expect("a call of this door");
    let of_call = entries
        .iter()
        .filter(|entry| entry["request_id"] == call["request_id"]);
    let mut of_call: Vec<serde_json::Value> = of_call.cloned().collect();
    assert_eq!(of_call.len(), 4, "{of_call:#?}");
    for entry in &mut of_call {
        let of_entry = entry.as_object_mut().unwrap();
        let differs = [
            "index",
            "request_id",
            "time",
            "timestamp",
            "completes",
            "request_digest",
            "receipt",
        ];
        of_entry.retain(|name, _| !differs.contains(&name.as_str()));
        let facts = of_entry["facts"].as_object_mut().unwrap();
        // Another credential, another encoding of the rows.
        let differs = [
            "door",
            "authentication",
            "credential",
            "latency_us",
            "bytes",
            "certificate",
            "trace_id",
        ];
        facts.retain(|name, _| !differs.contains(&name.as_str()));
    }
    // Outcomes are queued behind answers, so their order is not fixed.
    of_call.sort_by_key(ToString::to_string);
    of_call
}

#[test]
fn errors_say_what_where_and_what_next() {
    let house = House::new();
    house.says(
        "SELECT * FROM local.web.events",
        &["reading `local:web/events` is not permitted", "no_permit"],
    );
    house.says(
        "SELECT * FROM local.web.nothing",
        &["local.web.nothing", "SHOW TABLES"],
    );
    house.says(
        "SELECT id, nope FROM local.main.orders",
        &["LINE 1: SELECT id, nope", "           ^"],
    );
    house.says(
        "SELECT 1; SELECT id,\n nope FROM local.main.orders",
        &["LINE 2:  nope", "         ^"],
    );
    house.says("SELEC 1", &["LINE 1: SELEC 1", "        ^"]);
    house.says(
        "DECLARE c CURSOR FOR SELECT 1",
        &["DECLARE", "not supported"],
    );
    house.says(
        "COPY local.main.orders TO STDOUT",
        &["COPY", "not supported"],
    );
    house.says("SET search_path = local", &["search_path"]);
    house.says("SELECT 1 / 0", &["division by zero"]);
    house.says("SELECT * FROM pg_catalog.pg_authid", &["pg_authid"]);
    let two = house.psql(&["SELECT 1 AS a; SELECT 2 AS b"]);
    assert_eq!(two.stdout, "1\n2\n", "{}", two.stderr);
}

#[test]
fn who_may_not_come_in_is_told_and_recorded() {
    let house = House::new();
    let wrong = house.psql_as("ana", "not-the-password", "require", &["SELECT 1"]);
    assert!(
        !wrong.is_well && wrong.stderr.contains("FATAL"),
        "{}",
        wrong.stderr
    );
    let nobody = house.psql_as("nobody", "not-the-password", "require", &["SELECT 1"]);
    let text = |printed: &super::psql::Printed| {
        let (_, said) = printed.stderr.split_once("FATAL:").expect("a fatal error");
        said.to_owned()
    };
    assert_eq!(
        text(&wrong),
        text(&nobody),
        "a name that exists is told from one that does not"
    );
    let plain = house.psql_as("ana", PASSWORD, "disable", &["SELECT 1"]);
    assert!(
        !plain.is_well && plain.stderr.contains("TLS alone"),
        "{}",
        plain.stderr
    );
    let failed = [
        "--principal",
        "ana",
        "--action",
        "log_in",
        "--effect",
        "deny",
    ];
    let failed = house.admin.entry(&failed).unwrap();
    assert_eq!(failed["facts"]["door"], "postgresql");
    assert_eq!(failed["reason"], "login_wrong");
    let key = house.ana.key().unwrap();
    let by_key = house.psql_as("ana", &key, "require", &["SELECT current_user"]);
    assert_eq!(by_key.stdout, "ana\n", "{}", by_key.stderr);
    let foreign = house.psql_as("ana", &house.admin.key().unwrap(), "require", &["SELECT 1"]);
    assert!(!foreign.is_well, "a key of somebody else is taken");
    for (scope, is_enough) in [
        ("action:query", true),
        ("route:POST /api/v1/query", true),
        ("action:view_policy", false),
    ] {
        let made = ["apikey", "create", "-n", "door", "--scope", scope];
        let key = house.ana.json(&made).unwrap()["key"].clone();
        let printed = house.psql_as("ana", key.as_str().unwrap(), "require", &["SELECT 1"]);
        assert_eq!(printed.is_well, is_enough, "{scope}: {}", printed.stderr);
        assert!(
            is_enough || printed.stderr.contains("the scopes of this API key"),
            "{scope}"
        );
    }
}

#[test]
fn the_catalog_shows_what_the_caller_may_know() {
    let house = House::new();
    let list = house.shows("\\dt *.*");
    assert!(
        list.contains("local.main|orders|table") && list.contains("numbers"),
        "{list}"
    );
    assert!(!list.contains("events"), "{list}");
    let described = house.shows("\\d orders");
    let rows = table(&described);
    let names: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(
        names,
        ["id", "customer", "region", "amount", "ordered_on"],
        "{described}"
    );
    assert_eq!(rows[0][1], "bigint", "{described}");
    for command in [
        "\\d",
        "\\dt",
        "\\d+ orders",
        "\\dn",
        "\\l",
        "\\du",
        "\\dv",
        "\\di",
        "\\df",
        "\\dT",
        "\\conninfo",
    ] {
        house.shows(command);
    }
    house.says("\\d events", &["Did not find any relation"]);
    let columns = house.shows(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'orders' ORDER BY ordinal_position",
    );
    assert_eq!(columns, "id\ncustomer\nregion\namount\nordered_on\n");
    let hidden =
        house.shows("SELECT count(*) FROM information_schema.tables WHERE table_name = 'events'");
    assert_eq!(hidden, "0\n");
    let seen_by_admin = house.psql_as(
        "admin",
        &house.server.first_password().unwrap(),
        "verify-full",
        &["SELECT count(*) FROM information_schema.tables WHERE table_name = 'events'"],
    );
    assert_eq!(seen_by_admin.stdout, "1\n", "{}", seen_by_admin.stderr);
    assert_eq!(
        house.shows("SELECT count(*) AS n FROM \"local.main\".orders"),
        "2\n"
    );
}

#[test]
fn writes_answer_their_count() {
    let house = House::new();
    let folder = tempfile::tempdir().unwrap();
    house.apply(&format!(
        "name: lake\nversion: v1\ntype: depot\ndepot:\n  type: FILES\n  spec: {{path: {:?}, writable: true}}\n",
        folder.path().display().to_string()
    ));
    let password = house.server.first_password().unwrap();
    let write = |command: &str| house.psql_as("admin", &password, "verify-full", &[command]);
    let made = write("CREATE TABLE lake.main.copied AS SELECT id, region FROM local.main.orders");
    assert_eq!(made.stdout, "SELECT 3\n", "{}", made.stderr);
    let added = write("INSERT INTO lake.main.copied VALUES (4, 'APAC'), (5, 'APAC')");
    assert_eq!(added.stdout, "INSERT 0 2\n", "{}", added.stderr);
    let count = write("SELECT count(*) FROM lake.main.copied");
    assert_eq!(count.stdout, "5\n", "{}", count.stderr);
    let refused = write("BEGIN; INSERT INTO lake.main.copied VALUES (6, 'APAC'); COMMIT");
    assert!(
        refused.stderr.contains("cannot be part of a transaction"),
        "{}",
        refused.stderr
    );
    assert_eq!(write("SELECT count(*) FROM lake.main.copied").stdout, "5\n");
    changes_answer_their_tags(&house, &password);
}

/// Over the table that the test before this made.
fn changes_answer_their_tags(house: &House, password: &str) {
    let write = |command: &str| house.psql_as("admin", password, "verify-full", &[command]);
    for (command, printed) in [
        (
            "UPDATE lake.main.copied SET region = 'LATAM' WHERE id > 3",
            "UPDATE 2\n",
        ),
        (
            "UPDATE lake.main.copied SET region = 'X' WHERE id > 30",
            "UPDATE 0\n",
        ),
        (
            "DELETE FROM lake.main.copied WHERE id = 5 RETURNING id, region",
            "5|LATAM\nDELETE 1\n",
        ),
        (
            "INSERT INTO lake.main.copied VALUES (6, 'APAC') RETURNING region",
            "APAC\nINSERT 0 1\n",
        ),
        (
            "MERGE INTO lake.main.copied AS c USING (VALUES (4), (9)) AS s (id) ON c.id = s.id \
             WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)",
            "MERGE 2\n",
        ),
        (
            "SELECT id, region FROM lake.main.copied WHERE id > 3 ORDER BY id",
            "6|APAC\n9|\n",
        ),
    ] {
        let done = write(command);
        assert_eq!(done.stdout, printed, "{command}: {}", done.stderr);
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/it/postgres/writes.py");
    let seen = std::process::Command::new("python3")
        .arg(script)
        .env("PYTHONPATH", super::drivers())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("DOOR_PORT", house.port.to_string())
        .env("DOOR_CA", house.server.ca())
        .env("DOOR_PASSWORD", password)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&seen.stdout),
        "['id', 'region'] [(6, 'EMEA')] UPDATE 1\nNone DELETE 1 1\nNone INSERT 0 1\n",
        "{}",
        String::from_utf8_lossy(&seen.stderr)
    );
    for word in [
        "UPDATE lake.main.copied SET id = 1",
        "DELETE FROM lake.main.copied",
    ] {
        let refused = write(&format!("BEGIN; {word}; COMMIT"));
        assert!(
            refused.stderr.contains("cannot be part of a transaction"),
            "{word}: {}",
            refused.stderr
        );
    }
}
