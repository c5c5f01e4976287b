//! A platform of several processes: what holds in one process holds between them, what is away stops what needs
//! it and nothing else, and nobody without a role gets a word.

mod peer;
mod strangers;

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use dataos_tests::{
    ctl::Ctl,
    manifests::{OWN_REGION, governed_orders},
    roles::Platform,
    server::{Options, Server, header},
};
use serde_json::Value;

use crate::load::until;

const ORDERS: &str =
    "id,customer,region,amount\n1,ana,EMEA,10.50\n2,bo,AMER,20.00\n3,cy,EMEA,30.25\n";

fn policies() -> String {
    governed_orders("shop", &["shop:**"], OWN_REGION)
}

const WORKFLOW: &str = r"
name: nightly
version: v1
type: workflow
workflow:
  dag:
    - name: copy
      spec:
        stack: sql
        compute: runnable-default
        stackSpec:
          sql: CREATE TABLE shop.main.nightly AS SELECT id FROM shop.main.orders
";

/// A platform with the depot `shop`, which may be written, and the analyst `ana`.
struct House {
    platform: Platform,
    admin: Ctl,
    ana: Ctl,
    _files: tempfile::TempDir,
}

impl House {
    fn new(roles: &[&str]) -> Self {
        Self::with(roles, "")
    }

    /// The same with more of the gateway's configuration.
    fn with(roles: &[&str], config: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        fs::write(files.path().join("orders.csv"), ORDERS).unwrap();
        let many: String = (0..60_000)
            .map(|i| format!("{i},row number {i}\n"))
            .collect();
        fs::write(files.path().join("many.csv"), format!("id,text\n{many}")).unwrap();
        let options = Options {
            config: Some(config.to_owned()),
            ..Options::default()
        };
        let platform = Platform::start(roles, options).unwrap();
        let server = &platform.gateway;
        let admin = Ctl::login(server, "admin", &server.first_password().unwrap()).unwrap();
        let depot = format!(
            "name: shop\nversion: v1\ntype: depot\ndepot:\n  type: FILES\n  spec: {{path: \"{}\", writable: true}}\n",
            files.path().display()
        );
        for manifest in [depot.as_str(), &policies()] {
            let applied = admin.apply(manifest).unwrap();
            assert_eq!(applied.code, 0, "{}", applied.stderr);
        }
        let found = admin
            .json(&["catalog", "search", "--depot", "shop"])
            .unwrap();
        assert_eq!(found["datasets"].as_array().unwrap().len(), 2, "{found}");
        let customer = [
            "catalog",
            "tag",
            "shop.main.orders",
            "--column",
            "customer",
            "PII.name",
        ];
        admin.json(&customer).unwrap();
        let analyst = [
            "--tag",
            "users:dataos:analyst",
            "--attribute",
            "region=EMEA",
        ];
        let ana = admin.person(server, "ana", &analyst).unwrap();
        Self {
            platform,
            admin,
            ana,
            _files: files,
        }
    }

    fn server(&self) -> &Server {
        &self.platform.gateway
    }

    /// Status, headers and answer of a statement of ana's.
    fn query(&self, sql: &str) -> (u16, String, Value) {
        let bearer = format!("Authorization: Bearer {}", self.ana.key().unwrap());
        let body = serde_json::json!({ "sql": sql }).to_string();
        let arguments = [
            "-H",
            &bearer,
            "-H",
            "Content-Type: application/json",
            "-d",
            &body,
        ];
        let (status, headers, answer) = self.server().request(&arguments, "/api/v1/query").unwrap();
        (status, headers, serde_json::from_str(&answer).unwrap())
    }

    /// The governed statement of each test, with all that is enforced on it.
    fn governed(&self) {
        let (status, headers, answer) = self.query("SELECT * FROM shop.main.orders ORDER BY id");
        assert_eq!(status, 200, "{answer:#}");
        assert_eq!(answer["row_count"], 2, "{answer:#}");
        assert_eq!(answer["rows"][0][1], "(hidden)");
        assert_eq!(answer["rows"][1][2], "EMEA");
        let receipt = header(&headers, "DataOS-Receipt").unwrap();
        let verified = self.ana.json(&["audit", "verify", receipt]).unwrap();
        assert_eq!(verified["verified"][0]["action"], "query");
        let receipt = answer["certificate"]["receipt"].as_str().unwrap();
        let verified = self.ana.json(&["audit", "verify", receipt]).unwrap();
        assert_eq!(verified["verified"][0]["action"], "select");
    }

    /// Kinds of ana's records that came from a role.
    fn recorded_by(&self, role: &str) -> BTreeSet<String> {
        let found = ["audit", "search", "--principal", "ana"];
        let found = self.admin.json(&found).unwrap();
        let entries = found["entries"].as_array().unwrap().iter();
        let of_role = entries.filter(|entry| entry["facts"]["role"] == role);
        of_role
            .map(|entry| entry["kind"].as_str().unwrap().to_owned())
            .collect()
    }

    fn goes_away(&mut self, role: &str) {
        self.platform.role(role).kill().unwrap();
        let away = format!("ok\naway: {role}\n");
        self.platform.wait_for_ready(&away).unwrap();
    }

    /// It is taken up by itself, and ends in order.
    fn comes_back(&mut self, role: &str) {
        self.platform.role(role).start().unwrap();
        self.platform.wait_until_whole().unwrap();
        self.governed();
        self.platform.role(role).stop().unwrap();
    }

    /// A statement is answered by which role is away, and was decided.
    fn is_stopped_by(&self, role: &str, sql: &str) {
        let (status, headers, answer) = self.query(sql);
        assert_eq!(
            (status, &answer["reason"]),
            (503, &Value::from("role_away")),
            "{answer}"
        );
        let detail = answer["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("`{role}`")), "{answer}");
        assert!(header(&headers, "Retry-After").is_some(), "{headers}");
        assert!(
            answer["receipt"].is_string(),
            "what was decided is in the log: {answer}"
        );
    }

    /// What does not need the role that is away.
    fn the_rest_goes_on(&self) {
        let (status, _, _) = self.server().request(&[], "/healthz").unwrap();
        assert_eq!(status, 200);
        assert_eq!(self.ana.run(&["whoami"]).unwrap().code, 0);
        let decisions = ["audit", "search", "--principal", "ana"];
        let found = self.admin.json(&decisions).unwrap();
        assert!(!found["entries"].as_array().unwrap().is_empty());
    }
}

#[test]
fn statements_run_in_a_process_of_their_own_as_in_one() {
    let house = House::new(&["query"]);
    house.governed();

    // The records say which role decided and ended it.
    let kinds = house.recorded_by("query");
    assert!(
        kinds.contains("decision") && kinds.contains("outcome"),
        "{kinds:?}"
    );

    // Denied, refused, unknown: as the query layer says it.
    let (status, _, answer) = house.query("SELECT * FROM system.log.audit");
    assert_eq!(
        (status, &answer["reason"]),
        (403, &Value::from("no_permit")),
        "{answer}"
    );
    let (status, _, answer) = house.query("SELEC 1");
    assert_eq!(status, 400, "{answer}");
    assert_eq!(answer["location"]["line"], 1, "{answer}");

    // The log itself is read through the gateway.
    let log = "SELECT count(*) FROM system.log.audit WHERE principal LIKE '%ana%'";
    let counted = house.admin.json(&["query", log]).unwrap();
    assert!(counted["rows"][0][0].as_i64().unwrap() > 3, "{counted}");

    // A copy is staged in the catalog before it is there: masked on its first read.
    let copy = "CREATE TABLE shop.main.copy AS SELECT customer FROM shop.main.orders";
    house.admin.json(&["query", copy]).unwrap();
    let (_, _, answer) = house.query("SELECT customer FROM shop.main.copy");
    assert_eq!(
        answer["rows"],
        serde_json::json!([["(hidden)"], ["(hidden)"], ["(hidden)"]])
    );

    // An answer of many pieces arrives whole.
    let bearer = format!("Authorization: Bearer {}", house.ana.key().unwrap());
    let body = r#"{"sql": "SELECT id, text FROM shop.main.many ORDER BY id", "rows_max": 100000}"#;
    let arguments = [
        "-H",
        &bearer,
        "-H",
        "Content-Type: application/json",
        "-d",
        body,
    ];
    let (status, _, answer) = house.server().request(&arguments, "/api/v1/query").unwrap();
    assert_eq!(status, 200);
    assert!(answer.len() > 1 << 20, "{} bytes", answer.len());
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let rows = answer["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 60_000);
    assert!(
        rows.iter().zip(0..).all(|(row, id)| row[0] == id),
        "rows out of order"
    );
}

/// All roles that can be processes of their own.
const ROLES: &[&str] = &["query", "catalog", "orchestrator"];

#[test]
fn every_role_is_a_process_of_its_own() {
    let house = House::new(ROLES);
    house.governed();
    assert!(house.recorded_by("query").contains("decision"));
    let applied = ["audit", "search", "--kind", "resource_change"];
    let found = house.admin.json(&applied).unwrap();
    assert_eq!(
        found["entries"][0]["facts"]["role"], "orchestrator",
        "{found:#}"
    );

    // Search, lineage and tags of the catalog, a plan, a copy, and a workflow whose step is a statement.
    let found = house
        .admin
        .json(&["catalog", "search", "customer"])
        .unwrap();
    assert_eq!(
        found["datasets"][0]["sql_name"], "shop.main.orders",
        "{found}"
    );
    let copy = "CREATE TABLE shop.main.copy AS SELECT customer FROM shop.main.orders";
    house.admin.json(&["query", copy]).unwrap();
    let (_, _, answer) = house.query("SELECT customer FROM shop.main.copy");
    assert_eq!(answer["rows"][0][0], "(hidden)", "{answer}");
    let log = "SELECT count(*) FROM system.log.audit WHERE kind = 'resource_change'";
    let counted = house.admin.json(&["query", log]).unwrap();
    assert!(counted["rows"][0][0].as_i64().unwrap() >= 4, "{counted}");
    let applied = house.admin.apply(WORKFLOW).unwrap();
    assert_eq!(applied.code, 0, "{}", applied.stderr);
    let started = Instant::now();
    loop {
        let (status, _, answer) = house.query("SELECT count(*) FROM shop.main.nightly");
        if status == 200 {
            assert_eq!(answer["rows"][0][0], 3);
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(120), "{answer}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn roles_follow_by_themselves_when_the_ca_is_rolled_over() {
    let mut house = House::new(ROLES);
    let first = fs::read_to_string(house.server().ca()).unwrap();
    for step in ["announce", "issue", "finish"] {
        let rolled = ["certificate", "roll-over", step];
        house.admin.json(&rolled).unwrap();
        let trusted = fs::read_to_string(house.server().ca()).unwrap();
        for role in &house.platform.roles {
            let file = role.identity.join("ca.pem");
            until("the role has a certificate of the CA that issues", || {
                fs::read_to_string(&file).is_ok_and(|taken| taken == trusted)
            });
        }
        house.platform.wait_until_whole().unwrap();
        house.governed();
    }
    assert_ne!(fs::read_to_string(house.server().ca()).unwrap(), first);
    // What lies on disk is what it was renewed to.
    house.platform.role("query").stop().unwrap();
    house.platform.wait_for_ready("ok\naway: query\n").unwrap();
    house.platform.role("query").start().unwrap();
    house.platform.wait_until_whole().unwrap();
    house.governed();
}

#[test]
fn a_catalog_that_is_away_stops_what_needs_it_and_nothing_else() {
    let mut house = House::new(ROLES);
    house.goes_away("catalog");
    house.is_stopped_by("catalog", "SELECT * FROM shop.main.orders");
    let searched = house.admin.run(&["catalog", "search"]).unwrap();
    assert_eq!(searched.code, 4, "{}", searched.stderr);
    house.the_rest_goes_on();
    house.comes_back("catalog");
}

#[test]
fn an_orchestrator_that_is_away_stops_changes_and_nothing_else() {
    let mut house = House::new(ROLES);
    house.goes_away("orchestrator");
    // What it put in force stays in force.
    house.governed();
    house.the_rest_goes_on();
    let applied = house.admin.apply(&policies()).unwrap();
    assert_eq!(applied.code, 4, "{}", applied.stderr);
    assert!(
        applied.stderr.contains("`orchestrator`"),
        "{}",
        applied.stderr
    );
    house.platform.role("orchestrator").start().unwrap();
    house.platform.wait_until_whole().unwrap();
    assert_eq!(house.admin.apply(&policies()).unwrap().code, 0);
    house.governed();
    house.platform.role("orchestrator").stop().unwrap();
}

#[test]
fn a_gateway_that_was_started_anew_decides_nothing_before_all_policies_are_back() {
    let mut house = House::new(ROLES);
    house.governed();
    house.platform.role("orchestrator").kill().unwrap();
    house.platform.restart_gateway().unwrap();
    // Not one governed word: a permit without its masks and filters would show what they hide.
    let (status, answer) = house.platform.ready().unwrap();
    assert_eq!(status, 503, "{answer}");
    assert!(answer.contains("`orchestrator`"), "{answer}");
    let (status, _, answer) = house.query("SELECT * FROM shop.main.orders");
    assert_eq!(
        (status, &answer["reason"]),
        (503, &Value::from("unavailable")),
        "{answer}"
    );
    house.platform.role("orchestrator").start().unwrap();
    house.platform.wait_until_whole().unwrap();
    // The catalog was there all the time, and has told the new process what it knows.
    house.governed();
}

#[test]
fn a_statement_whose_time_is_over_ends_in_the_other_process() {
    let house = House::with(&["query"], "\n[limits]\nanswer_timeout = \"5s\"\n");
    let long = "SELECT max(md5(concat(a.text, b.text))) FROM shop.main.many a JOIN shop.main.many b \
                ON a.id % 2 = b.id % 2";
    let (status, _, answer) = house.query(long);
    assert_eq!(status, 504, "{answer}");
    let started = Instant::now();
    let cancelled = [
        "audit",
        "search",
        "--principal",
        "ana",
        "--text",
        "cancelled",
    ];
    loop {
        let found = house.admin.json(&cancelled).unwrap();
        if found["entries"][0]["facts"]["role"] == "query" {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(120), "{found:#}");
    }
}

#[test]
fn a_query_role_that_is_away_stops_statements_and_nothing_else() {
    let mut house = House::new(&["query"]);
    house.governed();
    house.goes_away("query");
    house.is_stopped_by("query", "SELECT 1");
    house.the_rest_goes_on();
    let bearer = format!("Authorization: Bearer {}", house.admin.key().unwrap());
    let (_, _, figures) = house
        .server()
        .request(&["-H", &bearer], "/metrics")
        .unwrap();
    assert!(
        figures.contains("dataos_degraded{dependency=\"role_query\"} 1"),
        "{figures}"
    );
    let overview = house
        .server()
        .get(&house.admin.key().unwrap(), "/api/v1/overview")
        .unwrap()
        .1;
    let health = overview["health"].as_array().unwrap();
    let role = health
        .iter()
        .find(|row| row["component"] == "role query")
        .unwrap();
    assert_eq!(role["state"], "degraded", "{role}");

    // It comes back, and is taken up by itself.
    house.comes_back("query");
}

#[test]
fn an_identity_is_renewed_over_the_door() {
    let mut platform = Platform::start(&["query"], Options::default()).unwrap();
    let folder = platform.role("query").identity.clone();
    let (own, roots) = (folder.join("identity.pem"), folder.join("ca.pem"));
    let before = fs::read_to_string(&own).unwrap();
    let trusted = fs::read_to_string(&roots).unwrap();
    // Another set of CAs than the gateway's, as while one is rolled over.
    fs::write(&roots, format!("{trusted}{}", strangers::Ca::new().pem)).unwrap();
    let started = Instant::now();
    while fs::read_to_string(&own).unwrap() == before {
        let printed = platform.role("query").printed();
        assert!(started.elapsed() < Duration::from_secs(120), "{printed}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(fs::read_to_string(&roots).unwrap(), trusted);
    let key = |pem: &str| pem.split_once("BEGIN PRIVATE KEY").unwrap().1.to_owned();
    assert_ne!(
        key(&fs::read_to_string(&own).unwrap()),
        key(&before),
        "a key of its own"
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&own).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    platform.wait_until_whole().unwrap();
    // The new one is good for a start.
    platform.role("query").stop().unwrap();
    platform.wait_for_ready("ok\naway: query\n").unwrap();
    platform.role("query").start().unwrap();
    platform.wait_until_whole().unwrap();
}
