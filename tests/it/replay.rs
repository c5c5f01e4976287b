//! The log alone says how past decisions would have come out under other policies.

use std::{
    fs,
    path::{Path, PathBuf},
};

use dataos_tests::{
    ctl::{Ctl, PASSWORD},
    server::{Options, Server},
};
use serde_json::{Value, json};

/// Opens orders of one region.
fn orders(region: &str) -> String {
    format!(
        r#"
@id("orders.select")
permit (
    principal in DataOS::Tag::"users:dataos:analyst",
    action == DataOS::Action::"select",
    resource == DataOS::Dataset::"local:main/orders"
);

@id("orders.row")
permit (
    principal in DataOS::Tag::"users:dataos:analyst",
    action == DataOS::Action::"read_row",
    resource in DataOS::Dataset::"local:main/orders"
)
when {{ resource has region && resource.region == "{region}" }};

@id("orders.cell")
permit (
    principal in DataOS::Tag::"users:dataos:analyst",
    action == DataOS::Action::"read_cell",
    resource in DataOS::Dataset::"local:main/orders"
);
"#
    )
}

fn put(admin: &Ctl, region: &str) {
    // What is not there yet is not there to be deleted.
    admin.run(&["policy", "delete", "orders"]).unwrap();
    let command = ["policy", "put", "orders", "-f", "-"];
    let printed = admin.run_with(&command, &[], &orders(region)).unwrap();
    assert_eq!(printed.code, 0, "{}", printed.stderr);
}

/// Asks a question that no record has room for.
fn ask_at_length(server: &Server, admin: &Ctl, folder: &Path) {
    let body = json!({
        "subject": {"type": "User", "id": "ana"},
        "action": {"name": "select"},
        "resource": {"type": "Dataset", "id": "local:main/orders"},
        "context": {"purpose": "because ".repeat(10_000)},
    });
    let file = folder.join("question.json");
    fs::write(&file, body.to_string()).unwrap();
    let bearer = format!("Authorization: Bearer {}", admin.key().unwrap());
    let data = format!("@{}", file.display());
    let json = "Content-Type: application/json";
    let arguments = [
        "-X",
        "POST",
        "-H",
        &bearer,
        "-H",
        json,
        "--data-binary",
        &data,
    ];
    let (status, _, answer) = server.request(&arguments, "/access/v1/evaluation").unwrap();
    assert_eq!(status, 200, "{answer}");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let to = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &to);
        } else {
            fs::copy(file.path(), to).unwrap();
        }
    }
}

fn replayed(ctl: &Ctl, log: &Path, more: &[&str]) -> Value {
    let log = log.display().to_string();
    let command = [&["audit", "replay", "--log", &log][..], more].concat();
    ctl.json(&command).unwrap()
}

/// Nothing comes out otherwise, and nothing is left out.
fn assert_same(found: &Value) {
    assert_eq!(found["made_again"], found["decisions"], "{found:#}");
    assert!(found["decisions"].as_u64().unwrap() > 20, "{found:#}");
    for field in [
        "allow_to_deny",
        "deny_to_allow",
        "other_policies",
        "other_rows_or_columns",
    ] {
        assert_eq!(found[field], 0, "{field} {found:#}");
    }
    assert_eq!(found["not_made_again"], json!([]), "{found:#}");
}

/// A log that somebody wrote, with a crash in the middle, and the policies that were in force.
struct Past {
    eve: Ctl,
    log: PathBuf,
    policies: PathBuf,
    /// Records that name the policy `audit.auditor`, as far as a search saw them.
    seen: usize,
    files: tempfile::TempDir,
}

/// Makes it.
fn past() -> Past {
    let files = tempfile::tempdir().unwrap();
    let folder = files.path().join("local");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("orders.csv"), "id,region\n1,EMEA\n2,AMER\n").unwrap();
    let options = Options {
        data: Some(folder),
        data_dir: Some(files.path().join("data")),
        ..Options::default()
    };
    let mut server = Server::start(&options).unwrap();
    let password = server.first_password().unwrap();
    let admin = Ctl::login(&server, "admin", &password).unwrap();
    let eve = admin
        .person(&server, "eve", &["--role", "auditor"])
        .unwrap();
    let ana = admin
        .person(&server, "ana", &["--tag", "users:dataos:analyst"])
        .unwrap();
    let count = ["query", "SELECT count(*) FROM local.main.orders"];
    assert_eq!(ana.run(&count).unwrap().code, 3);
    put(&admin, "EMEA");
    ana.json(&count).unwrap();
    put(&admin, "nowhere");
    ana.json(&count).unwrap();
    ask_at_length(&server, &admin, files.path());
    eve.json(&["audit", "stats"]).unwrap();
    // What comes after a crash goes on from a whole of its own.
    server.kill().unwrap();
    let mut server = Server::start(&options).unwrap();
    let admin = Ctl::login(&server, "admin", &password).unwrap();
    let eve = Ctl::login(&server, "eve", PASSWORD).unwrap();
    let ana = Ctl::login(&server, "ana", PASSWORD).unwrap();
    ana.json(&count).unwrap();
    put(&admin, "AMER");
    ana.json(&count).unwrap();
    let by_policy = [
        "audit",
        "search",
        "--policy",
        "audit.auditor",
        "--limit",
        "1000",
    ];
    let seen = eve.json(&by_policy).unwrap();
    let seen = seen["entries"].as_array().unwrap().len();
    server.stop().unwrap();
    let policies = files.path().join("policies");
    copy(&server.data_dir.join("policies"), &policies);
    Past {
        eve,
        log: server.data_dir.join("audit"),
        policies,
        seen,
        files,
    }
}

#[test]
fn past_decisions_are_made_again_from_the_log_alone() {
    let past = past();
    assert!(past.log.join("contents").is_dir());
    assert_same(&replayed(&past.eve, &past.log, &[]));
    let with = ["--policies", past.policies.to_str().unwrap()];
    assert_same(&replayed(&past.eve, &past.log, &with));
    a_permit_that_is_missing(&past, with);
    a_forbid_that_is_new(&past, with);
}

/// Without the policy that lets auditors read the log, what it allowed is denied, and nothing else.
fn a_permit_that_is_missing(past: &Past, with: [&str; 2]) {
    let path = past.policies.join("audit/audit.cedar");
    let text = fs::read_to_string(&path).unwrap();
    let (_, rest) = text.split_once("resource\n);\n").unwrap();
    fs::write(&path, rest).unwrap();
    let flips = past.files.path().join("flips");
    let more = [&with[..], &["--flips", flips.to_str().unwrap()]].concat();
    let found = replayed(&past.eve, &past.log, &more);
    fs::write(&path, text).unwrap();
    assert_eq!(found["made_again"], found["decisions"], "{found:#}");
    assert_eq!(found["deny_to_allow"], 0, "{found:#}");
    let denied = usize::try_from(found["allow_to_deny"].as_u64().unwrap()).unwrap();
    // The search itself may or may not have seen its own record.
    let seen = past.seen;
    assert!(denied == seen || denied == seen + 1, "{seen} {found:#}");
    let flips = fs::read_to_string(flips).unwrap();
    assert_eq!(flips.lines().count(), denied);
    for line in flips.lines() {
        let flip: Value = serde_json::from_str(line).unwrap();
        assert_eq!(flip["principal"], "DataOS::User::\"eve\"", "{flip:#}");
        assert_eq!(flip["was_said"], json!(["audit.auditor"]), "{flip:#}");
    }
}

/// Rows are compared as well: a forbid of rows changes no effect.
fn a_forbid_that_is_new(past: &Past, with: [&str; 2]) {
    let forbid = "@id(\"none\") forbid (principal, action == DataOS::Action::\"read_row\", \
                  resource in DataOS::Dataset::\"local:main/orders\") \
                  when { resource has id && resource.id == 1 };\n";
    fs::write(past.policies.join("audit/none.cedar"), forbid).unwrap();
    let found = replayed(&past.eve, &past.log, &with);
    let rows = [&found["allow_to_deny"], &found["other_rows_or_columns"]];
    assert_eq!(rows, [0, 4], "{found:#}");
    let log = past.log.display().to_string();
    let command = ["audit", "replay", "--log", &log, with[0], with[1]];
    let printed = past.eve.run(&command).unwrap();
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    let told = "other rows or columns 4";
    assert!(printed.stdout.contains(told), "{}", printed.stdout);
    fs::write(past.policies.join("audit/none.cedar"), "permit (").unwrap();
    let refused = past.eve.run(&command).unwrap();
    let told = "audit/none.cedar:1:";
    assert!(refused.stderr.contains(told), "{}", refused.stderr);
}
