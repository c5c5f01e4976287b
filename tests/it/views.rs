//! Views as people use them: made by psql, read with each reader's own rights, found by clients. And
//! columns for conditions alone, also behind a view, and tables that leave in aggregates alone.

use std::{fs, process::Command};

use dataos_tests::{
    ctl::Ctl,
    manifests::{governed_orders, readers},
    server::{Options, Server},
};
use serde_json::{Value, json};

use crate::postgres::port;

const ORDERS: &str = "id,customer,region,amount\n1,ana,EMEA,10\n2,bo,AMER,20\n3,cy,EMEA,30\n";

/// A server with a depot that can be written, its administrator, and the analyst `ana`.
struct House {
    server: Server,
    admin: Ctl,
    ana: Ctl,
    _files: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        fs::write(files.path().join("orders.csv"), ORDERS).unwrap();
        let server = Server::start(&Options {
            config: Some("[postgres]\nlisten = \"127.0.0.1:0\"\n".to_owned()),
            ..Options::default()
        })
        .unwrap();
        let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
        let path = files.path().display();
        let depot = format!(
            "name: local\nversion: v1\ntype: depot\ndepot:\n  type: FILES\n  spec: {{path: \"{path}\", writable: true}}\n"
        );
        admin.applied(&depot).unwrap();
        let tag = [
            "catalog",
            "tag",
            "local.main.orders",
            "--column",
            "customer",
            "PII.name",
        ];
        admin.json(&tag).unwrap();
        let seen = ["local:main/orders", "local:main/totals"];
        admin
            .applied(&governed_orders("local", &seen, "value: EMEA"))
            .unwrap();
        let ana = admin
            .person(&server, "ana", &["--tag", "users:dataos:analyst"])
            .unwrap();
        Self {
            server,
            admin,
            ana,
            _files: files,
        }
    }

    /// Adds a policy text.
    fn put(&self, name: &str, text: &str) {
        let bearer = format!("Authorization: Bearer {}", self.admin.key().unwrap());
        let put = [
            "-X",
            "PUT",
            "-H",
            &bearer,
            "-H",
            "If-None-Match: *",
            "-H",
            "Content-Type: text/plain",
            "-d",
            text,
        ];
        let path = format!("/api/v1/policies/texts/{name}");
        let (status, _, body) = self.server.request(&put, &path).unwrap();
        assert_eq!(status, 201, "{body}");
    }

    /// What psql prints for a statement of this person.
    fn psql(&self, user: &str, who: &Ctl, sql: &str) -> Result<String, String> {
        let place = format!(
            "host=127.0.0.1 port={} dbname=dataos user={user} sslmode=verify-full sslrootcert={}",
            port(&self.server),
            self.server.ca().display()
        );
        let output = Command::new("psql")
            .args(["-X", "-A", "-t", "-d", &place, "-c", sql])
            .env("PGPASSWORD", who.key().unwrap())
            .output()
            .expect("psql is not installed; run: apt-get install -y postgresql-client");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(text(&output.stderr)),
        }
    }
}

fn rows(who: &Ctl, sql: &str) -> Value {
    who.json(&["query", sql]).unwrap()["rows"].clone()
}

#[test]
fn a_view_is_made_read_explained_and_dropped() {
    let house = House::new();
    let (admin, ana) = (&house.admin, &house.ana);
    let make =
        "CREATE VIEW local.main.totals AS SELECT customer, region, amount FROM local.main.orders";
    let refused = house.psql("ana", ana, make).unwrap_err();
    assert!(refused.contains("create_dataset"), "{refused}");
    assert_eq!(house.psql("admin", admin, make).unwrap(), "CREATE VIEW");
    let read = "SELECT customer, amount FROM totals ORDER BY amount";
    assert_eq!(
        rows(admin, read),
        json!([["ana", 10], ["bo", 20], ["cy", 30]])
    );
    // The administrator made it; the analyst reads it with her own rights.
    let hers = json!([["(hidden)", 10], ["(hidden)", 30]]);
    assert_eq!(rows(ana, read), hers);
    assert_eq!(
        house.psql("ana", ana, read).unwrap(),
        "(hidden)|10\n(hidden)|30"
    );
    let explained = rows(ana, "EXPLAIN POLICY SELECT * FROM totals");
    let explained: Vec<String> = explained
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {}", row[0].as_str().unwrap(), row[2].as_str().unwrap()))
        .collect();
    assert_eq!(explained[0], "local:main/totals view");
    assert!(
        explained.contains(&"local:main/orders rows".to_owned()),
        "{explained:?}"
    );
    // Clients list it as a view, and its lineage leads to the table.
    assert!(
        house
            .psql("ana", ana, "\\dv")
            .unwrap()
            .contains("totals|view")
    );
    let path = "/api/v1/catalog/datasets/local/main/totals/lineage";
    let (status, lineage) = house.server.get(&admin.key().unwrap(), path).unwrap();
    assert_eq!(status, 200);
    let upstream = lineage["upstream"].as_array().unwrap();
    assert_eq!(upstream.len(), 3, "{lineage}");
    assert!(
        upstream
            .iter()
            .all(|edge| edge.to_string().contains("orders"))
    );
    // Without the table she reads no view of it; a restart and a scan leave it there.
    admin.applied(&readers(&["local:main/totals"])).unwrap();
    let printed = ana.run(&["query", read]).unwrap();
    assert_eq!(printed.code, 3, "{}", printed.stderr);
    assert!(!printed.stderr.contains("orders"), "{}", printed.stderr);
    admin.json(&["catalog", "scan", "local"]).unwrap();
    assert_eq!(rows(admin, "SELECT count(*) FROM totals"), json!([[3]]));
    assert_eq!(
        house
            .psql("admin", admin, "DROP VIEW local.main.totals")
            .unwrap(),
        "DROP VIEW"
    );
    let gone = house.psql("admin", admin, read).unwrap_err();
    assert!(gone.contains("does not exist"), "{gone}");
}

/// Ana may read the orders, and this is asked of her.
fn permit(id: &str, obligation: &str) -> String {
    format!(
        r#"
@id("{id}")
@obligation("{obligation}")
permit (
  principal == DataOS::User::"ana",
  action in DataOS::Action::"read_data",
  resource in DataOS::Dataset::"local:main/orders"
);
"#
    )
}

#[test]
fn a_column_for_conditions_alone_is_shown_on_no_way() {
    let house = House::new();
    let (admin, ana) = (&house.admin, &house.ana);
    let make =
        "CREATE VIEW local.main.totals AS SELECT customer, region, amount FROM local.main.orders";
    admin.json(&["query", make]).unwrap();
    assert_eq!(
        rows(ana, "SELECT region FROM totals LIMIT 1"),
        json!([["EMEA"]])
    );
    let obligation = "no_projection(column = 'region')";
    house.put("ban", &permit("region-for-conditions", obligation));
    for sql in [
        "SELECT region FROM orders",
        "SELECT * FROM orders",
        "SELECT upper(region) AS x FROM totals",
    ] {
        let printed = ana.run(&["query", sql]).unwrap();
        assert_eq!(printed.code, 3, "{sql}: {}", printed.stderr);
        assert!(
            printed.stderr.contains("no_projection"),
            "{sql}: {}",
            printed.stderr
        );
    }
    let counted = "SELECT count(*) FROM orders WHERE region = 'EMEA'";
    assert_eq!(rows(ana, counted), json!([[2]]));
    assert_eq!(
        rows(
            ana,
            "SELECT amount FROM totals WHERE region = 'EMEA' ORDER BY 1"
        ),
        json!([[10], [30]])
    );
}

#[test]
fn a_table_leaves_in_aggregates_of_enough_entities_alone() {
    let house = House::new();
    let (admin, ana) = (&house.admin, &house.ana);
    let obligation = "min_group(size = 2, key = 'customer')";
    house.put("minimum", &permit("orders-in-aggregate", obligation));
    for sql in [
        "SELECT * FROM orders",
        "SELECT max(amount) FROM orders",
        "SELECT amount FROM orders ORDER BY amount",
    ] {
        let printed = ana.run(&["query", sql]).unwrap();
        assert_eq!(printed.code, 3, "{sql}: {}", printed.stderr);
        assert!(printed.stderr.contains("line 1"), "{}", printed.stderr);
    }
    // Two customers of the rows that she sees, whose names she does not.
    let sum = "SELECT region, count(*), sum(amount) FROM orders GROUP BY region";
    assert_eq!(rows(ana, sum), json!([["EMEA", 2, 40]]));
    assert_eq!(house.psql("ana", ana, sum).unwrap(), "EMEA|2|40");
    let one = "SELECT sum(amount) FROM orders WHERE amount > 20";
    assert_eq!(rows(ana, one), json!([]));
    assert_eq!(rows(admin, one), json!([[30]]));
    let refused = house
        .psql("ana", ana, "SELECT amount FROM orders")
        .unwrap_err();
    assert!(refused.contains("aggregates alone"), "{refused}");
}

/// Refused as a whole, and nothing told of what is behind it or of whose rights did not reach.
fn unreadable(who: &Ctl, sql: &str) {
    let printed = who.run(&["query", sql]).unwrap();
    assert_eq!(printed.code, 3, "{}", printed.stderr);
    assert!(
        printed.stderr.contains("view_unreadable"),
        "{}",
        printed.stderr
    );
    for hidden in ["orders", "dana", "platform.admin"] {
        assert!(!printed.stderr.contains(hidden), "{}", printed.stderr);
    }
}

#[test]
fn a_view_lends_the_rights_that_its_definer_has_now() {
    let mut house = House::new();
    let (admin, ana) = (&house.admin, &house.ana);
    let person = |name: &str, role: &str| {
        let arguments = ["--role", role];
        admin.person(&house.server, name, &arguments).unwrap()
    };
    let (dana, eve) = (person("dana", "admin"), person("eve", "auditor"));
    admin.applied(&readers(&["local:main/totals"])).unwrap();
    let make = "CREATE SQL SECURITY DEFINER VIEW local.main.totals AS \
                SELECT customer, region, amount FROM local.main.orders WHERE amount > 10";
    let refused = house.psql("ana", ana, make).unwrap_err();
    assert!(refused.contains("is not permitted"), "{refused}");
    assert_eq!(house.psql("dana", &dana, make).unwrap(), "CREATE VIEW");
    // Hers are the rows; the tag that came to the view masks the names for the analyst.
    let read = "SELECT customer, amount FROM totals ORDER BY amount";
    let seen = json!([["(hidden)", 20], ["(hidden)", 30]]);
    assert_eq!(rows(ana, read), seen);
    assert_eq!(
        ana.run(&["query", "SELECT amount FROM orders"])
            .unwrap()
            .code,
        3
    );
    let answer = ana.json(&["query", read]).unwrap();
    assert_eq!(
        answer["certificate"]["tables"][0]["definer"], "dana",
        "{answer}"
    );
    let explained = rows(ana, "EXPLAIN POLICY SELECT * FROM totals");
    for told in [&answer, &explained] {
        assert!(!told.to_string().contains("orders"), "{told}");
    }
    // The log has both.
    let search = ["audit", "search", "--principal", "ana", "--effect", "allow"];
    let found = eve.json(&search).unwrap().to_string();
    assert!(found.contains("rows local:main/orders as dana"), "{found}");
    // What she is now counts, and not what she was.
    let become_one = |role: &str| {
        admin
            .json(&["user", "update", "--id", "dana", "--role", role])
            .unwrap();
    };
    become_one("steward");
    unreadable(ana, read);
    become_one("admin");
    assert_eq!(rows(ana, read), seen);
    admin.json(&["user", "delete", "--id", "dana"]).unwrap();
    unreadable(ana, read);
    unreadable(admin, read);
    let search = ["audit", "search", "--principal", "ana", "--effect", "deny"];
    let found = eve.json(&search).unwrap().to_string();
    assert!(found.contains("there is no user `dana`"), "{found}");
    // All of it comes out again from the log alone, whoever the questions were about.
    house.server.stop().unwrap();
    let log = house.server.data_dir.join("audit").display().to_string();
    let again = eve.json(&["audit", "replay", "--log", &log]).unwrap();
    assert_eq!(again["made_again"], again["decisions"], "{again:#}");
    for field in [
        "allow_to_deny",
        "deny_to_allow",
        "other_policies",
        "other_rows_or_columns",
    ] {
        assert_eq!(again[field], 0, "{field} {again:#}");
    }
}
