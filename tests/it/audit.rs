//! The log as its readers use it: by trace, as it grows, and as a table under the same policies.

use dataos_tests::{
    ctl::Ctl,
    server::{Options, Server},
};
use serde_json::Value;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Opens to everybody who analyses the rows of the log about themselves.
const OWN_ROWS: &str = r#"
@id("audit.own-rows")
permit (
    principal in DataOS::Tag::"users:dataos:analyst",
    action == DataOS::Action::"select",
    resource == DataOS::Dataset::"system:log/audit"
);

@id("audit.own-rows-row")
permit (
    principal in DataOS::Tag::"users:dataos:analyst",
    action == DataOS::Action::"read_row",
    resource in DataOS::Dataset::"system:log/audit"
)
when { resource has principal && resource.principal == "DataOS::User::\"ana\"" };

@id("audit.own-rows-cell")
permit (
    principal in DataOS::Tag::"users:dataos:analyst",
    action == DataOS::Action::"read_cell",
    resource in DataOS::Dataset::"system:log/audit"
)
unless { resource in DataOS::Column::"system:log/audit/facts" };
"#;

/// Entry bundles say who was decided on, so they are not open as tiles are.
fn bundles_are_for_auditors(server: &Server, eve: &Ctl, ana: &Ctl) {
    let of = |ctl: &Ctl| format!("Authorization: Bearer {}", ctl.key().unwrap());
    let path = "/log/tile/entries/000.p/2";
    let asked = |headers: &[&str]| server.request(headers, path).unwrap().0;
    let statuses = [
        asked(&["-H", &of(eve)]),
        asked(&["-H", &of(ana)]),
        asked(&[]),
    ];
    assert_eq!(statuses, [200, 403, 401]);
}

#[test]
fn the_log_is_searched_followed_and_queried_under_policies() {
    let server = Server::start(&Options::default()).unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    let eve = admin
        .person(&server, "eve", &["--role", "auditor"])
        .unwrap();
    let ana = admin
        .person(&server, "ana", &["--tag", "users:dataos:analyst"])
        .unwrap();

    let bearer = format!("Authorization: Bearer {}", ana.key().unwrap());
    let parent = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01");
    let headers = ["-H", &bearer, "-H", &parent];
    let (status, _, _) = server.request(&headers, "/api/v1/session").unwrap();
    assert_eq!(status, 200);
    let found = eve.json(&["audit", "search", "--trace", TRACE]).unwrap();
    let kinds: Vec<&Value> = found["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["kind"])
        .collect();
    // It answered at once, so the entry of its decision says how it ended.
    assert_eq!(kinds, ["decision"], "{found:#}");
    assert_eq!(found["entries"][0]["facts"]["status"], "200", "{found:#}");

    let shown = eve
        .run(&["audit", "tail", "--once", "--lines", "3"])
        .unwrap();
    assert_eq!(
        (shown.code, shown.stdout.lines().count()),
        (0, 3),
        "{}",
        shown.stdout
    );
    let stats = eve.json(&["audit", "stats", "--principal", "ana"]).unwrap();
    let total = stats["summary"]["total"].as_u64().unwrap();
    assert!(
        total >= 2 && stats["summary"]["is_complete"] == true,
        "{stats:#}"
    );

    let sql = "SELECT count(*) FROM system.audit WHERE principal = 'DataOS::User::\"ana\"'";
    let counted = eve.json(&["query", sql]).unwrap();
    assert_eq!(
        counted["rows"][0][0].as_u64().unwrap(),
        total,
        "{counted:#}"
    );
    bundles_are_for_auditors(&server, &eve, &ana);
    let adam = admin.person(&server, "adam", &["--role", "admin"]).unwrap();
    let denied = adam.run(&["query", sql]).unwrap();
    assert_eq!(
        denied.code, 3,
        "administrators do not check themselves: {}",
        denied.stdout
    );
    assert_eq!(ana.run(&["query", sql]).unwrap().code, 3);

    let put = ["policy", "put", "own-rows", "-f", "-"];
    let printed = admin.run_with(&put, &[], OWN_ROWS).unwrap();
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    let sql = "SELECT DISTINCT principal FROM system.audit";
    let own = ana.json(&["query", sql]).unwrap();
    assert_eq!(own["rows"], serde_json::json!([["DataOS::User::\"ana\""]]));
    let all = eve.json(&["query", sql]).unwrap();
    assert!(all["rows"].as_array().unwrap().len() > 2, "{all:#}");
    let facts = ana
        .run(&["query", "SELECT facts FROM system.audit"])
        .unwrap();
    assert_ne!(
        facts.code, 0,
        "a column that no policy shows: {}",
        facts.stdout
    );
}
