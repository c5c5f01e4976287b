//! The certification scenario of the AuthZEN Authorization API 1.0, over TLS against the server.
//!
//! Here records are datasets, and read, write and delete are select, insert and delete; `own_types.rs`
//! has it with records as a type of their own. `record_2` is archived by a tag; bob's role is an
//! attribute; a soft delete is said by the purpose. The numbers are those of the scenario's sections.

use std::fs;

use dataos_tests::{
    ctl::Ctl,
    server::{Options, Server, header},
};
use serde_json::{Value, json};

const POLICIES: &str = r#"
@id("scenario.read")
permit (principal, action in DataOS::Action::"read_data", resource)
when { principal in DataOS::Tag::"scenario" };

@id("scenario.write")
permit (principal == DataOS::User::"alice", action == DataOS::Action::"insert", resource)
unless { resource in DataOS::Tag::"archived" };

@id("scenario.admin")
permit (principal, action == DataOS::Action::"insert", resource in DataOS::Tag::"archived")
when { principal.hasTag("role") && principal.getTag("role") == "admin" };

@id("scenario.soft-delete")
permit (principal == DataOS::User::"alice", action == DataOS::Action::"delete", resource)
when { context has purpose && context.purpose == "soft" };

@id("scenario.notify")
@obligation("notification(to = 'owner@example.com', body = 'read')")
permit (principal == DataOS::User::"pep", action in DataOS::Action::"read_data", resource);
"#;

/// A server with the scenario, the enforcement point's key, and one of alice's.
struct Scenario {
    server: Server,
    admin: Ctl,
    pep: String,
    alice: Ctl,
    _files: tempfile::TempDir,
}

fn scenario() -> Scenario {
    let files = tempfile::tempdir().unwrap();
    let folder = files.path().join("local");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("record_1.csv"), "id\n1\n").unwrap();
    fs::write(folder.join("record_2.csv"), "id\n2\n").unwrap();
    let options = Options {
        data: Some(folder),
        ..Options::default()
    };
    let server = Server::start(&options).unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    let before = admin.json(&["policy", "list"]).unwrap()["hash"].clone();
    fs::write(server.data_dir.join("policies/scenario.cedar"), POLICIES).unwrap();
    let tag = ["catalog", "tag", "local.main.record_2", "archived"];
    admin.json(&tag).unwrap();
    let alice = admin
        .person(&server, "alice", &["--tag", "scenario"])
        .unwrap();
    let bob = ["--tag", "scenario", "--attribute", "role=admin"];
    admin.person(&server, "bob", &bob).unwrap();
    let pep = admin
        .person(&server, "pep", &["--role", "steward"])
        .unwrap()
        .key()
        .unwrap();
    for _ in 0..1200 {
        let set = admin.json(&["policy", "list"]).unwrap();
        if set["hash"] != before {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Scenario {
        server,
        admin,
        pep,
        alice,
        _files: files,
    }
}

impl Scenario {
    /// Sends a body as the enforcement point: status, headers, JSON.
    fn send(&self, path: &str, body: &str, more: &[&str]) -> (u16, String, Value) {
        let authorization = format!("Authorization: Bearer {}", self.pep);
        let json = ["-H", "Content-Type: application/json"];
        let mut arguments = vec!["-H", &authorization, "--data-binary", body];
        arguments.extend(if more.is_empty() { &json[..] } else { more });
        let (status, headers, body) = self.server.request(&arguments, path).unwrap();
        (
            status,
            headers,
            serde_json::from_str(&body).unwrap_or(Value::Null),
        )
    }

    fn ask(&self, path: &str, body: &Value) -> Value {
        let (status, headers, answer) = self.send(path, &body.to_string(), &[]);
        assert_eq!(status, 200, "{body}: {answer:#}");
        assert_eq!(header(&headers, "content-type"), Some("application/json"));
        assert!(header(&headers, "dataos-receipt").is_some(), "{body}");
        answer
    }
}

fn subject(id: &str) -> Value {
    json!({"type": "user", "id": id})
}

fn record(number: u8) -> Value {
    json!({"type": "dataset", "id": format!("local:main/record_{number}")})
}

fn action(name: &str) -> Value {
    json!({"name": name})
}

fn evaluation(who: &str, what: &str, number: u8) -> Value {
    json!({"subject": subject(who), "action": action(what), "resource": record(number)})
}

const ONE: &str = "/access/v1/evaluation";
const MANY: &str = "/access/v1/evaluations";

#[test]
fn the_certification_scenario_holds() {
    let scenario = scenario();
    basic(&scenario);
    errors(&scenario);
    batch(&scenario);
    search(&scenario);
    discovery(&scenario);
    obligations(&scenario);
    people(&scenario);
    original(&scenario);
}

/// 2.2: the eight decisions, optional context, additional properties, unknown fields; 2.6 idempotency.
fn basic(scenario: &Scenario) {
    let with = |mut body: Value, field: &str, value: Value| {
        body[field] = value;
        body
    };
    let delete = |purpose: &str| {
        let named = json!({"name": "delete", "properties": {"purpose": purpose}});
        with(evaluation("alice", "delete", 1), "action", named)
    };
    let decorated = json!({
        "subject": {"type": "user", "id": "alice", "properties": {"department": "Sales", "role": "manager"}},
        "action": {"name": "select", "properties": {"method": "GET"}},
        "resource": {"type": "dataset", "id": "local:main/record_1",
                     "properties": {"status": "active", "owner": "bob", "weight": 1.5}},
    });
    let moment = json!({"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"});
    for (rule, body, expected) in [
        ("1", evaluation("alice", "select", 1), true),
        ("2", evaluation("alice", "insert", 1), true),
        ("3", evaluation("bob", "select", 1), true),
        ("4", evaluation("bob", "insert", 1), false),
        ("5", evaluation("alice", "insert", 2), false),
        ("6", evaluation("bob", "insert", 2), true),
        ("7", delete("soft"), true),
        ("8", delete("hard"), false),
        (
            "2.2.3",
            with(evaluation("alice", "select", 1), "context", moment),
            true,
        ),
        ("2.2.8", decorated, true),
        (
            "2.2.9",
            with(
                evaluation("alice", "select", 1),
                "futureField",
                json!({"a": 1}),
            ),
            true,
        ),
    ] {
        for _ in 0..2 {
            let answer = scenario.ask(ONE, &body);
            assert_eq!(answer["decision"], expected, "rule {rule}: {answer:#}");
            assert!(answer["context"].is_object(), "{rule}");
        }
    }
    // What is sent does not override what is known.
    let lie = json!({"type": "user", "id": "alice", "properties": {"role": "admin"}});
    let answer = scenario.ask(ONE, &with(evaluation("alice", "insert", 2), "subject", lie));
    assert_eq!(answer["decision"], false, "{answer:#}");
}

/// 2.4 errors, 2.5 headers, 5 transport.
fn errors(scenario: &Scenario) {
    let without = |path: &[&str]| {
        let mut body = evaluation("alice", "select", 1);
        match path {
            [field] => drop(body.as_object_mut().unwrap().remove(*field)),
            [field, inner] => drop(body[*field].as_object_mut().unwrap().remove(*inner)),
            _ => {}
        }
        body.to_string()
    };
    let good = evaluation("alice", "select", 1).to_string();
    let ill = |field: &str, value: Value| {
        let mut body = evaluation("alice", "select", 1);
        body[field] = value;
        body.to_string()
    };
    let plain = ["-H", "Content-Type: text/plain"];
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    for (body, more, status) in [
        (without(&["subject"]), &[][..], 400),
        (without(&["action"]), &[], 400),
        (without(&["resource"]), &[], 400),
        (without(&["subject", "type"]), &[], 400),
        (without(&["subject", "id"]), &[], 400),
        (without(&["action", "name"]), &[], 400),
        (without(&["resource", "type"]), &[], 400),
        (without(&["resource", "id"]), &[], 400),
        (ill("subject", json!("alice")), &[], 400),
        (ill("action", json!({"name": 123})), &[], 400),
        (good.clone(), &plain, 400),
        ("{\"subject\":".to_owned(), &[], 400),
        (String::new(), &[], 400),
        ("{\"subject\":{},\"subject\":{}}".to_owned(), &[], 400),
        ("{\"a\":NaN}".to_owned(), &[], 400),
        ("[]".to_owned(), &[], 400),
        (deep, &[], 413),
    ] {
        let (got, headers, _) = scenario.send(ONE, &body, more);
        assert_eq!(got, status, "{body}");
        let kind = header(&headers, "content-type").unwrap();
        assert_eq!(kind, "application/problem+json", "{body}");
    }
    let json = "Content-Type: application/json";
    for id in ["bfe9eb29-ab87-4ca3-be83-a1d5d8305716", "any text"] {
        let named = format!("X-Request-ID: {id}");
        for body in [good.as_str(), "{"] {
            let (_, headers, _) = scenario.send(ONE, body, &["-H", json, "-H", &named]);
            assert_eq!(header(&headers, "x-request-id"), Some(id), "{body}");
        }
    }
    let (status, headers, _) = scenario
        .server
        .request(&["-H", json, "--data-binary", &good], ONE)
        .unwrap();
    assert_eq!(status, 401, "without a credential");
    assert!(header(&headers, "www-authenticate").is_some());
    // A user without the right asks about another.
    let own = format!("Authorization: Bearer {}", scenario.alice.key().unwrap());
    let ask = |body: &Value| {
        let body = body.to_string();
        let arguments = ["-H", &own, "-H", json, "--data-binary", &body];
        scenario.server.request(&arguments, ONE).unwrap().0
    };
    assert_eq!(ask(&evaluation("bob", "select", 1)), 403);
    assert_eq!(ask(&evaluation("alice", "select", 1)), 200);
}

/// 3: batches, defaults, order, item errors, and the two forms that are a single evaluation.
#[expect(clippy::too_many_lines, reason = "one table for all batches")]
fn batch(scenario: &Scenario) {
    let alice = subject("alice");
    let of = |body: Value| {
        let answer = scenario.ask(MANY, &body);
        let items = answer["evaluations"].as_array().unwrap().clone();
        assert!(answer.get("decision").is_none(), "{answer:#}");
        items
            .iter()
            .map(|item| item["decision"].as_bool().unwrap())
            .collect::<Vec<bool>>()
    };
    let (one, two) = (record(1), record(2));
    for (section, body, expected) in [
        (
            "3.2.1",
            json!({"subject": alice, "action": action("select"),
            "evaluations": [{"resource": one}, {"resource": two}]}),
            vec![true, true],
        ),
        (
            "3.2.2",
            json!({"subject": subject("bob"), "resource": one,
            "evaluations": [{"action": action("select")}, {"action": action("insert")}]}),
            vec![true, false],
        ),
        (
            "3.2.3",
            json!({"subject": alice, "action": action("insert"),
            "evaluations": [{"resource": one}, {"resource": two}]}),
            vec![true, false],
        ),
        (
            "3.2.4",
            json!({"action": action("insert"), "resource": two,
            "evaluations": [{"subject": alice}, {"subject": subject("bob")}]}),
            vec![false, true],
        ),
        (
            "3.2.5",
            json!({"evaluations": [evaluation("alice", "select", 1), evaluation("bob", "insert", 1)]}),
            vec![true, false],
        ),
        (
            "3.2.6",
            json!({"subject": alice, "action": action("delete"), "resource": one,
            "context": {"purpose": "hard"},
            "evaluations": [{}, {"context": {"purpose": "soft"}}]}),
            vec![false, true],
        ),
        (
            "3.2.7",
            json!({"subject": alice, "action": action("insert"), "resource": {"type": "dataset"},
            "evaluations": [{"resource": {"id": "local:main/record_1"}}, {"resource": two}]}),
            vec![true, false],
        ),
        (
            "3.4.1",
            json!({"subject": alice, "action": action("select"),
            "evaluations": [{"resource": one}, {}]}),
            vec![true, false],
        ),
        (
            "execute_all",
            json!({"subject": alice, "action": action("insert"),
            "options": {"evaluations_semantic": "execute_all"},
            "evaluations": [{"resource": one}, {"resource": two}, {"resource": one}]}),
            vec![true, false, true],
        ),
        (
            "deny_on_first_deny",
            json!({"subject": alice, "action": action("insert"),
            "options": {"evaluations_semantic": "deny_on_first_deny"},
            "evaluations": [{"resource": one}, {"resource": two}, {"resource": one}]}),
            vec![true, false],
        ),
        (
            "permit_on_first_permit",
            json!({"subject": alice, "action": action("insert"),
            "options": {"evaluations_semantic": "permit_on_first_permit"},
            "evaluations": [{"resource": two}, {"resource": one}, {"resource": one}]}),
            vec![false, true],
        ),
    ] {
        assert_eq!(of(body), expected, "{section}");
    }
    let mut single = evaluation("alice", "select", 1);
    assert_eq!(scenario.ask(MANY, &single)["decision"], true, "3.4.2");
    single["evaluations"] = json!([]);
    assert_eq!(scenario.ask(MANY, &single)["decision"], true, "3.4.3");
}

/// 4: the searches, pages, empty results, errors. Each result is allowed when it is evaluated.
#[expect(clippy::too_many_lines, reason = "one table for each kind of answer")]
fn search(scenario: &Scenario) {
    let found = |path: &str, body: &Value, name: &str| -> Vec<String> {
        let answer = scenario.ask(&format!("/access/v1/search/{path}"), body);
        let results = answer["results"].as_array().unwrap();
        results
            .iter()
            .map(|result| result[name].as_str().unwrap().to_owned())
            .collect()
    };
    let has = |list: &[String], names: &[&str]| names.iter().all(|n| list.iter().any(|l| l == n));
    let users = |what: &str, number: u8| json!({"subject": {"type": "user"}, "action": action(what), "resource": record(number)});
    let records = |who: &str, what: &str| json!({"subject": subject(who), "action": action(what), "resource": {"type": "dataset"}});
    let able = found("subject", &users("select", 1), "id");
    assert!(has(&able, &["alice", "bob"]), "4.2.1: {able:?}");
    for who in &able {
        let answer = scenario.ask(ONE, &evaluation(who, "select", 1));
        assert_eq!(answer["decision"], true, "{who}");
    }
    let able = found("subject", &users("insert", 2), "id");
    assert!(
        has(&able, &["bob"]) && !has(&able, &["alice"]),
        "4.2.4: {able:?}"
    );
    let open = found("resource", &records("alice", "select"), "id");
    assert!(has(&open, &["local:main/record_1"]), "4.3.1: {open:?}");
    let open = found("resource", &records("bob", "insert"), "id");
    assert_eq!(open, ["local:main/record_2"], "4.3.3");
    let may =
        json!({"subject": subject("alice"), "resource": record(1), "context": {"time": "now"}});
    let able = found("action", &may, "name");
    assert!(has(&able, &["select", "insert"]), "4.4.1: {able:?}");
    let may = json!({"subject": subject("bob"), "resource": record(2)});
    assert!(has(&found("action", &may, "name"), &["insert"]), "4.4.3");
    for (path, body) in [
        (
            "action",
            json!({"subject": subject("nonexistent-user"), "resource": record(1)}),
        ),
        (
            "subject",
            json!({"subject": {"type": "spaceship"}, "action": action("select"), "resource": record(1)}),
        ),
        (
            "resource",
            json!({"subject": subject("alice"), "action": action("select"), "resource": {"type": "spaceship"}}),
        ),
        (
            "subject",
            json!({"subject": {"type": "user"}, "action": action("fly"), "resource": record(1)}),
        ),
    ] {
        assert!(found(path, &body, "id").is_empty(), "4.6: {body}");
    }
    for (path, body) in [
        (
            "subject",
            json!({"subject": {"type": "user"}, "resource": record(1)}),
        ),
        (
            "resource",
            json!({"action": action("select"), "resource": {"type": "dataset"}}),
        ),
        ("action", json!({"subject": subject("alice")})),
        (
            "subject",
            json!({"subject": {"type": "user"}, "action": action("select"), "resource": {"type": "dataset"}}),
        ),
        (
            "resource",
            json!({"subject": {"type": "user"}, "action": action("select"), "resource": {"type": "dataset"}}),
        ),
    ] {
        let path = format!("/access/v1/search/{path}");
        assert_eq!(
            scenario.send(&path, &body.to_string(), &[]).0,
            400,
            "4.7: {body}"
        );
    }
    pages(scenario, &users("select", 1));
}

/// 4.5.
fn pages(scenario: &Scenario, query: &Value) {
    const PATH: &str = "/access/v1/search/subject";
    let all = scenario.ask(PATH, query)["results"]
        .as_array()
        .unwrap()
        .clone();
    let mut body = query.clone();
    body["page"] = json!({"limit": 1});
    let (mut turned, mut first) = (Vec::new(), None);
    loop {
        let answer = scenario.ask(PATH, &body);
        turned.extend(answer["results"].as_array().unwrap().clone());
        let token = answer["page"]["next_token"].as_str().unwrap().to_owned();
        if token.is_empty() {
            assert_eq!(answer["page"]["total"], all.len(), "{answer:#}");
            break;
        }
        assert_eq!(answer["page"]["count"], 1);
        first.get_or_insert(token.clone());
        body["page"] = json!({"token": token});
    }
    assert_eq!(turned, all);
    let token = first.unwrap();
    let mut other = query.clone();
    other["resource"] = record(2);
    other["page"] = json!({"token": token});
    assert_eq!(
        scenario.send(PATH, &other.to_string(), &[]).0,
        400,
        "another question"
    );
    let mut forged = query.clone();
    forged["page"] = json!({"token": format!("x{token}")});
    assert_eq!(
        scenario.send(PATH, &forged.to_string(), &[]).0,
        400,
        "a forged token"
    );
    let mut stolen = query.clone();
    stolen["page"] = json!({"token": token});
    let key = format!("Authorization: Bearer {}", scenario.admin.key().unwrap());
    let stolen = stolen.to_string();
    let arguments = [
        "-H",
        &key,
        "-H",
        "Content-Type: application/json",
        "--data-binary",
        &stolen,
    ];
    assert_eq!(
        scenario.server.request(&arguments, PATH).unwrap().0,
        400,
        "another caller"
    );
}

/// 6.
fn discovery(scenario: &Scenario) {
    let path = "/.well-known/authzen-configuration";
    let (status, headers, body) = scenario.server.request(&[], path).unwrap();
    assert_eq!(status, 200);
    assert_eq!(header(&headers, "content-type"), Some("application/json"));
    let shown: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(shown["policy_decision_point"], scenario.server.url.as_str());
    for name in [
        "access_evaluation_endpoint",
        "access_evaluations_endpoint",
        "search_subject_endpoint",
        "search_resource_endpoint",
        "search_action_endpoint",
    ] {
        let path = shown[name]
            .as_str()
            .unwrap()
            .strip_prefix(&scenario.server.url)
            .unwrap();
        assert_eq!(
            scenario.send(path, "{}", &[]).0,
            400,
            "{name} answers at {path}"
        );
    }
    let signed = shown["signed_metadata"].as_str().unwrap();
    assert_eq!(signed.split('.').count(), 3, "{signed}");
    let (status, _, keys) = scenario
        .server
        .request(&[], "/.well-known/jwks.json")
        .unwrap();
    assert_eq!(status, 200);
    assert!(keys.contains("Ed25519"), "{keys}");
}

/// The profile for obligations; and what the server itself does not know, it refuses.
fn obligations(scenario: &Scenario) {
    let mut body = evaluation("pep", "select", 1);
    let answer = scenario.ask(ONE, &body);
    assert_eq!(answer["decision"], true, "{answer:#}");
    let obligation = &answer["context"]["obligations"][0];
    assert_eq!(obligation["type"], "notification", "{answer:#}");
    assert_eq!(obligation["properties"]["to"], "owner@example.com");
    body["context"] = json!({"supported_obligations": ["step-up"]});
    let answer = scenario.ask(ONE, &body);
    assert_eq!(answer["decision"], false, "{answer:#}");
    let query = json!({"sql": "SELECT * FROM local.main.record_1"});
    let (status, _, problem) = scenario.send("/api/v1/query", &query.to_string(), &[]);
    assert_eq!(status, 403, "{problem:#}");
    assert_eq!(problem["reason"], "obligation_unknown", "{problem:#}");
    let search = ["audit", "search", "--principal", "pep", "--effect", "deny"];
    let denials = scenario.admin.json(&search).unwrap();
    assert!(
        denials.to_string().contains("obligation_unknown"),
        "{denials:#}"
    );
}

/// The commands for people.
#[expect(clippy::too_many_lines, reason = "one journey, told in order")]
fn people(scenario: &Scenario) {
    let record = "dataos://local:main/record_1";
    let admin = &scenario.admin;
    let yes = admin.run(&["can", "alice", "insert", record]).unwrap();
    assert_eq!(yes.code, 0, "{}", yes.stderr);
    assert!(yes.stdout.contains("allow: "), "{}", yes.stdout);
    assert!(
        yes.stdout
            .contains("scenario.write (permit) from scenario.cedar:"),
        "{}",
        yes.stdout
    );
    let no = admin.run(&["can", "bob", "insert", record]).unwrap();
    assert_eq!(no.code, 3, "{}{}", no.stdout, no.stderr);
    assert!(no.stdout.contains("reason: no_permit"), "{}", no.stdout);
    let own = scenario
        .alice
        .run(&["can", "me", "insert", record])
        .unwrap();
    assert_eq!(own.code, 0, "{}", own.stderr);
    assert!(
        !own.stdout.contains("scenario.cedar"),
        "redacted: {}",
        own.stdout
    );
    let other = scenario
        .alice
        .run(&["can", "bob", "insert", record])
        .unwrap();
    assert_eq!(other.code, 3);
    assert!(
        other.stderr.contains("next: ") && other.stderr.contains("ask_decision"),
        "{}",
        other.stderr
    );

    let who = admin
        .json(&["who-can", "insert", "local.main.record_2"])
        .unwrap();
    assert_eq!(
        who["groups"][0]["results"],
        json!(["admin", "bob"]),
        "{who:#}"
    );
    let what = admin.run(&["what-can", "bob", "insert"]).unwrap();
    assert!(
        what.stdout.contains("local:main/record_2"),
        "{}",
        what.stdout
    );
    assert!(!what.stdout.contains("record_1"), "{}", what.stdout);
    let all = scenario.alice.run(&["what-can", "me"]).unwrap();
    assert!(
        all.stdout.contains("insert"),
        "{}{}",
        all.stdout,
        all.stderr
    );

    let denied = scenario.alice.run(&["audit", "search"]).unwrap();
    assert_eq!(denied.code, 3, "{}", denied.stderr);
    let id = denied
        .stderr
        .lines()
        .find_map(|l| l.trim().strip_prefix("request: "))
        .unwrap();
    let why = scenario.alice.run(&["why", id]).unwrap();
    assert_eq!(why.code, 0, "{}", why.stderr);
    assert!(
        why.stdout.contains("search_audit") && why.stdout.contains("deny"),
        "{}",
        why.stdout
    );
    let why = admin.json(&["why", id]).unwrap();
    let index = why["decisions"][0]["recorded"]["index"].to_string();
    assert_eq!(why["decisions"][0]["recorded"]["effect"], "deny", "{why:#}");
    assert_eq!(admin.run(&["why", &index]).unwrap().code, 0);
    let bob = Ctl::login(&scenario.server, "bob", "a-long-enough-password").unwrap();
    let hidden = bob.run(&["why", &index]).unwrap();
    let absent = bob.run(&["why", "999999999"]).unwrap();
    assert_eq!(
        (hidden.code, absent.code),
        (3, 3),
        "whether there is one is not told"
    );
}

/// The original product's form.
fn original(scenario: &Scenario) {
    let key = scenario.alice.key().unwrap();
    for (predicate, number, allow) in [("read", 1, true), ("update", 1, false)] {
        let path = format!("dataos://local:main/record_{number}");
        let body = json!({
            "token": key,
            "context": {"predicate": predicate, "object": {"paths": [path]}, "metadata": {}},
        });
        let json = [
            "-H",
            "Content-Type: application/json",
            "-H",
            "dataos-correlation-id: corr-1",
        ];
        let (status, headers, answer) =
            scenario.send("/heimdall/api/v1/authorize", &body.to_string(), &json);
        assert_eq!(status, 200, "{answer:#}");
        assert_eq!(answer["allow"], allow, "{answer:#}");
        assert_eq!(answer["valid"], true);
        assert_eq!(header(&headers, "dataos-correlation-id"), Some("corr-1"));
    }
}
