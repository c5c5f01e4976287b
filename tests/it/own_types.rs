//! Types, actions and entities of one's own over the real server: the certification scenario of
//! AuthZEN in its own words, and the administration of entities.

use std::fs;

use dataos_tests::{
    ctl::Ctl,
    server::{Options, Server, header},
    wait::until,
};
use serde_json::{Value, json};

const SCHEMA: &str = r#"
namespace Scenario {
    entity Folder;
    entity Record in [Folder] = { status: String };
    action read, write appliesTo { principal: DataOS::User, resource: Record };
    action "delete" appliesTo { principal: DataOS::User, resource: Record, context: { soft?: Bool } };
}
"#;

const POLICIES: &str = r#"
@id("scenario.read")
permit (principal in DataOS::Tag::"scenario", action == Scenario::Action::"read", resource);

@id("scenario.write")
permit (principal == DataOS::User::"alice", action == Scenario::Action::"write", resource)
unless { resource.status == "archived" };

@id("scenario.admin")
permit (principal, action == Scenario::Action::"write", resource)
when { resource.status == "archived" && principal.hasTag("role") && principal.getTag("role") == "admin" };

@id("scenario.soft-delete")
permit (principal == DataOS::User::"alice", action == Scenario::Action::"delete", resource)
when { context has soft && context.soft };
"#;

const ENTITIES: &str = r#"[
  {"uid": {"type": "Scenario::Record", "id": "record-1"}, "attrs": {"status": "active"}, "parents": []},
  {"uid": {"type": "Scenario::Record", "id": "record-2"}, "attrs": {"status": "archived"}, "parents": []}
]"#;

struct Scenario {
    server: Server,
    admin: Ctl,
    pep: String,
}

/// Waits until the folder is loaded, or refused, after a change of it.
fn until_loaded(admin: &Ctl, is_done: impl Fn(&Value) -> bool) {
    until("the folder was loaded", || {
        is_done(&admin.json(&["policy", "list"]).unwrap())
    });
}

fn scenario() -> Scenario {
    let options = Options {
        config: Some("[authzen]\ncontext = [\"soft\"]\n".to_owned()),
        ..Options::default()
    };
    let server = Server::start(&options).unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    let before = admin.json(&["policy", "list"]).unwrap()["hash"].clone();
    let folder = server.data_dir.join("policies");
    fs::create_dir(folder.join("entities")).unwrap();
    fs::write(folder.join("scenario.cedarschema"), SCHEMA).unwrap();
    fs::write(folder.join("entities/records.json"), ENTITIES).unwrap();
    fs::write(folder.join("scenario.cedar"), POLICIES).unwrap();
    admin
        .person(&server, "alice", &["--tag", "scenario"])
        .unwrap();
    admin
        .person(
            &server,
            "bob",
            &["--tag", "scenario", "--attribute", "role=admin"],
        )
        .unwrap();
    let pep = admin
        .person(&server, "pep", &["--role", "steward"])
        .unwrap()
        .key()
        .unwrap();
    until_loaded(&admin, |set| {
        set["hash"] != before && set["load_error"].is_null()
    });
    Scenario { server, admin, pep }
}

impl Scenario {
    fn send(&self, path: &str, body: &Value) -> (u16, Value) {
        let authorization = format!("Authorization: Bearer {}", self.pep);
        let body = body.to_string();
        let arguments = [
            "-H",
            &authorization,
            "-H",
            "Content-Type: application/json",
            "--data-binary",
            &body,
        ];
        let (status, headers, answer) = self.server.request(&arguments, path).unwrap();
        assert!(status >= 400 || header(&headers, "dataos-receipt").is_some());
        (status, serde_json::from_str(&answer).unwrap_or(Value::Null))
    }

    fn allows(&self, body: &Value) -> bool {
        let (status, answer) = self.send("/access/v1/evaluation", body);
        assert_eq!(status, 200, "{answer:#}");
        answer["decision"].as_bool().unwrap()
    }
}

fn evaluation(who: &str, what: &str, record: &str) -> Value {
    json!({
        "subject": {"type": "user", "id": who},
        "action": {"name": what},
        "resource": {"type": "record", "id": record},
    })
}

#[test]
fn the_certification_scenario_holds_with_records_of_ones_own() {
    let scenario = scenario();
    decisions(&scenario);
    batch(&scenario);
    searches(&scenario);
    people(&scenario);
    administration(&scenario);
    a_bad_file_changes_nothing(&scenario);
}

fn decisions(scenario: &Scenario) {
    let delete = |soft: bool| {
        let mut body = evaluation("alice", "delete", "record-1");
        body["action"]["properties"] = json!({"soft": soft});
        body
    };
    let mut whole = evaluation("alice", "Scenario::write", "record-1");
    whole["resource"]["type"] = json!("Scenario::Record");
    let mut theirs = evaluation("alice", "read", "record-1");
    theirs["resource"]["type"] = json!("DataOS::Record");
    let mut lie = evaluation("alice", "write", "record-2");
    lie["resource"]["properties"] = json!({"status": "active"});
    for (rule, body, expected) in [
        ("1", evaluation("alice", "read", "record-1"), true),
        ("2", evaluation("alice", "write", "record-1"), true),
        ("3", evaluation("bob", "read", "record-1"), true),
        ("4", evaluation("bob", "write", "record-1"), false),
        ("5", evaluation("alice", "write", "record-2"), false),
        ("6", evaluation("bob", "write", "record-2"), true),
        ("7", delete(true), true),
        ("8", delete(false), false),
        ("whole names", whole, true),
        ("not ours", theirs, false),
        ("what is sent does not count", lie, false),
        (
            "unknown record",
            evaluation("alice", "read", "record-9"),
            false,
        ),
        (
            "unknown action",
            evaluation("alice", "fly", "record-1"),
            false,
        ),
        (
            "an action of ours",
            evaluation("alice", "select", "record-1"),
            false,
        ),
    ] {
        assert_eq!(scenario.allows(&body), expected, "{rule}");
    }
    let mut ill = evaluation("alice", "delete", "record-1");
    ill["action"]["properties"] = json!({"soft": "yes"});
    let (_, answer) = scenario.send("/access/v1/evaluation", &ill);
    assert_eq!(answer["decision"], false);
    assert_eq!(answer["context"]["reason"], "request_invalid", "{answer:#}");
    let search = ["audit", "search", "--principal", "alice", "--limit", "100"];
    let records = scenario.admin.json(&search).unwrap().to_string();
    assert!(records.contains("Scenario::write"), "{records}");
    assert!(records.contains("Scenario::Record::"), "{records}");
}

fn batch(scenario: &Scenario) {
    let body = json!({
        "subject": {"type": "user", "id": "alice"},
        "action": {"name": "write"},
        "evaluations": [
            {"resource": {"type": "record", "id": "record-1"}},
            {"resource": {"type": "record", "id": "record-2"}},
            {"resource": {"type": "record", "id": "record-1"}, "action": {"name": "read"}},
        ],
    });
    let (status, answer) = scenario.send("/access/v1/evaluations", &body);
    assert_eq!(status, 200);
    let decided = answer["evaluations"].as_array().unwrap().iter();
    let decided: Vec<bool> = decided.map(|item| item["decision"] == true).collect();
    assert_eq!(decided, [true, false, true], "{answer:#}");
}

fn searches(scenario: &Scenario) {
    let found = |path: &str, body: &Value, name: &str| -> Vec<String> {
        let (status, answer) = scenario.send(&format!("/access/v1/search/{path}"), body);
        assert_eq!(status, 200, "{answer:#}");
        let results = answer["results"].as_array().unwrap().iter();
        results
            .map(|result| result[name].as_str().unwrap().to_owned())
            .collect()
    };
    let mut body = evaluation("", "write", "record-2");
    body["subject"] = json!({"type": "user"});
    let who = found("subject", &body, "id");
    assert!(
        who.contains(&"bob".to_owned()) && !who.contains(&"alice".to_owned()),
        "{who:?}"
    );
    let mut body = evaluation("alice", "read", "");
    body["resource"] = json!({"type": "record"});
    assert_eq!(found("resource", &body, "id"), ["record-1", "record-2"]);
    let mut body = evaluation("alice", "", "record-1");
    body["action"] = Value::Null;
    assert_eq!(found("action", &body, "name"), ["read", "write"]);
}

fn people(scenario: &Scenario) {
    let admin = &scenario.admin;
    for (command, code, shown) in [
        (
            &["can", "alice", "write", "record:record-1"][..],
            0,
            "scenario.write",
        ),
        (
            &["can", "bob", "write", "Scenario::Record::\"record-1\""],
            3,
            "no_permit",
        ),
        (&["what-can", "bob", "write"], 0, "record-2"),
        (&["who-can", "Scenario::write", "record:record-2"], 0, "bob"),
    ] {
        let printed = admin.run(command).unwrap();
        assert_eq!(
            printed.code, code,
            "{command:?}: {}{}",
            printed.stdout, printed.stderr
        );
        assert!(
            printed.stdout.contains(shown),
            "{command:?}: {}",
            printed.stdout
        );
    }
}

/// Entities over REST: decided, recorded, with ETags.
#[expect(clippy::too_many_lines, reason = "one journey, told in order")]
fn administration(scenario: &Scenario) {
    let admin = &scenario.admin;
    let put = |id: &str, body: &str, more: &[&str]| {
        let command = [&["entities", "put", "record", id, "-f", "-"], more].concat();
        admin.run_with(&command, &[], body).unwrap()
    };
    let good =
        r#"{"attrs": {"status": "active"}, "parents": [{"type": "Scenario::Folder", "id": "f"}]}"#;
    let printed = put("a/record-3", good, &[]);
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    assert!(scenario.allows(&evaluation("alice", "write", "a/record-3")));
    let shown = admin
        .json(&["entities", "get", "record", "a/record-3"])
        .unwrap();
    assert_eq!(shown["origin"], "applied", "{shown:#}");
    assert_eq!(shown["entity"]["parents"][0]["type"], "Scenario::Folder");
    let etag = shown["etag"].as_str().unwrap().to_owned();
    for (id, body, more, message) in [
        ("a/record-3", good, &[][..], "exists already"),
        (
            "a/record-3",
            good,
            &["--etag", "0000"],
            "has been changed since",
        ),
        ("record-1", good, &[], "entities/records.json"),
        ("x", r#"{"attrs": {"status": 1}}"#, &[], "status"),
        ("x", r#"{"attrs": {"status": NaN}}"#, &[], "not taken"),
        (
            "x",
            r#"{"attrs": {"status": "a", "status": "b"}}"#,
            &[],
            "twice",
        ),
    ] {
        let printed = put(id, body, more);
        assert_ne!(printed.code, 0, "{body}");
        assert!(
            printed.stderr.contains(message),
            "{body}: {}",
            printed.stderr
        );
    }
    let ours = ["entities", "put", "user", "alice", "-f", "-"];
    let printed = admin.run_with(&ours, &[], "{}").unwrap();
    assert!(
        printed.stderr.contains("one of our types"),
        "{}",
        printed.stderr
    );
    let archived = good.replace("active", "archived");
    let printed = put("a/record-3", &archived, &["--etag", &etag]);
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    assert!(!scenario.allows(&evaluation("alice", "write", "a/record-3")));
    let mut ids = Vec::new();
    let mut token = String::new();
    loop {
        let mut command = vec!["entities", "list", "--type", "record", "--limit", "1"];
        if !token.is_empty() {
            command.extend(["--token", &token]);
        }
        let page = admin.json(&command).unwrap();
        ids.push(
            page["entities"][0]["entity"]["uid"]["id"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
        token = page["next_token"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(ids, ["a/record-3", "record-1", "record-2"]);
    // Who may not change policies may not change what they speak about.
    let bob = Ctl::login(&scenario.server, "bob", "a-long-enough-password").unwrap();
    let denied = bob
        .run(&["entities", "delete", "record", "a/record-3"])
        .unwrap();
    assert_eq!(denied.code, 3, "{}", denied.stderr);
    let deleted = admin
        .run(&["entities", "delete", "record", "a/record-3"])
        .unwrap();
    assert_eq!(deleted.code, 0, "{}", deleted.stderr);
    assert!(!scenario.allows(&evaluation("alice", "read", "a/record-3")));
    let changes = admin
        .json(&["audit", "search", "--limit", "200"])
        .unwrap()
        .to_string();
    assert!(
        changes.contains("entity_put") && changes.contains("entity_deleted"),
        "{changes}"
    );
}

fn a_bad_file_changes_nothing(scenario: &Scenario) {
    let file = scenario
        .server
        .data_dir
        .join("policies/entities/records.json");
    fs::write(&file, ENTITIES.replace("\"active\"", "7")).unwrap();
    until_loaded(&scenario.admin, |set| {
        set["load_error"]
            .to_string()
            .contains("entities/records.json")
    });
    assert!(
        scenario.allows(&evaluation("alice", "write", "record-1")),
        "the old entities stay"
    );
    fs::write(&file, ENTITIES.replace("archived", "active")).unwrap();
    until_loaded(&scenario.admin, |set| set["load_error"].is_null());
    assert!(scenario.allows(&evaluation("alice", "write", "record-2")));
}
