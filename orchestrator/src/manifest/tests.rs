use dataos_model::depot::{Addressing, Tls};

use super::*;

fn shown(text: &str) -> String {
    match parse(text, "sandbox") {
        Ok(documents) => {
            let one = |d: &Document| format!("{} {:?}", d.id, d.warnings);
            documents.iter().map(one).collect::<Vec<_>>().join("\n")
        }
        Err(fault) => format!("{:?} {fault}", fault.kind),
    }
}

fn check(text: &str, expected: &str) {
    assert_eq!(shown(text), expected, "{text}");
}

const WORKFLOW: &str = "name: w\ntype: workflow\nworkflow:\n  dag:\n";

#[test]
fn ids_and_warnings() {
    check(
        "name: s\ntype: secret\nsecret: {type: key-value, data: {a: b}}",
        "secret:v1:s:sandbox []",
    );
    check(
        "name: d\nversion: v1\ntype: depot\nlayer: user\ndepot: {type: FILES, external: yes, spec: {path: /data, writable: on, chekc: 1}}",
        "depot:v1:d [\"line 4: `layer`: accepted, no effect\", \"line 5: `depot.external`: accepted, no effect\", \
         \"line 5: `depot.spec.writable: on` is taken as true; write true\", \
         \"line 5: unknown key `chekc` in `depot.spec` is kept, without effect\"]",
    );
    check(
        "name: w\nversion: v9\ntype: workflow\nworkflow: {dag: [{name: a, spec: {stack: container, stackSpec: {command: [echo]}}}]}",
        "workflow:v9:w:sandbox [\"version `v9` is not a version of `workflow`\"]",
    );
}

#[test]
fn errors_name_the_place() {
    for (text, expected) in [
        (
            "",
            "Invalid the text holds no manifest; write at least `name`, `version`, `type` and the type's own mapping",
        ),
        (
            "- a",
            "Invalid 1:1: document 1: expected a mapping, found a list",
        ),
        (
            "name: x",
            "Invalid 1:1: field `type`: document 1: `type` is missing",
        ),
        (
            "name: x\ntype: polcy\n",
            "Invalid 2:7: field `type`: document 1: unknown type `polcy`; did you mean `policy`?",
        ),
        (
            "name: x\ntype: service\n",
            "Unsupported 2:7: field `type`: document 1: type `service` is recognised and not supported yet; supported: secret, depot, policy, workflow",
        ),
        (
            "name: X\ntype: policy",
            "Invalid 1:7: field `name`: document 1: `X` is not a name: lower-case letters, digits and `-`, the first and last no `-`, at most 48",
        ),
        (
            "name: a-b\ntype: depot",
            "Invalid 1:7: field `name`: document 1: `a-b` is not a name: a lower-case letter, then lower-case letters and digits, at most 48",
        ),
        (
            "name: d\nversion: v3\ntype: depot",
            "Invalid 2:10: field `version`: document 1: `v3` is not a version of `depot`; known: v1, v2alpha",
        ),
    ] {
        check(text, expected);
    }
}

#[test]
fn errors_in_bodies_name_the_place() {
    for (text, expected) in [
        (
            "name: d\ntype: depot\ndepot: {type: GCS}",
            "Unsupported 3:15: field `depot.type`: document 1: depot type `GCS` is recognised and not supported yet; supported: FILES, S3, POSTGRES, MYSQL, SQLITE",
        ),
        (
            "name: d\ntype: depot\ndepot: {type: FILES, spec: {path: data}}",
            "Invalid 3:35: field `depot.spec.path`: document 1: `data` is not an absolute path without `..`; name the folder from the root, as the server sees it",
        ),
        (
            "name: d\ntype: depot\ndepot:\n  type: POSTGRES\n  spec: {host: h, database: d}",
            "Invalid 4:9: field `depot.type`: document 1: no user to log in as; give `user` beside `host`, or a secret with the key `username`",
        ),
        (
            "name: d\ntype: depot\ndepot:\n  type: POSTGRES\n  spec: {host: h, port: 99999, database: d, user: u}",
            "Invalid 5:25: field `depot.spec.port`: document 1: expected a whole number from 1 to 65535, found `99999`",
        ),
        (
            "name: d\ntype: depot\ndepot:\n  type: MYSQL\n  spec: {host: h, database: d, user: u, tls: maybe}",
            "Invalid 5:46: field `depot.spec.tls`: document 1: expected `verified` or `off`",
        ),
        (
            "name: d\ntype: depot\ndepot:\n  type: MARIADB\n  spec: {host: h, database: d, user: u, tls: off, authorities: x}",
            "Invalid 5:64: field `depot.spec.authorities`: document 1: authorities without TLS",
        ),
        (
            "name: d\ntype: depot\ndepot:\n  type: MYSQL\n  spec: {host: h, database: d, user: u, subprotocol: postgresql}",
            "Invalid 5:54: field `depot.spec.subprotocol`: document 1: expected mysql or mariadb",
        ),
        (
            "name: d\ntype: depot\ndepot:\n  type: SQLITE\n  spec: {path: ../x.db}",
            "Invalid 5:16: field `depot.spec.path`: document 1: `../x.db` is not an absolute path without `..`; name the file from the root, as the server sees it",
        ),
        (
            "name: s\ntype: secret\nsecret:\n  type: key-value\n  dta: {a: b}",
            "Invalid 4:3: field `secret.data`: document 1: `data` is missing",
        ),
        (
            "name: s\ntype: secret\nsecret:\n  type: key-value\n  data: {a: b}\n  alc: r",
            "Invalid 6:3: field `secret.alc`: document 1: unknown key `alc`; did you mean `acl`?",
        ),
        (
            "name: s\ntype: secret\nsecret: {type: key-value, data: {a: [1]}}",
            "Invalid 3:37: field `secret.data.a`: document 1: expected text, found a list",
        ),
        (
            "name: s\ntype: secret\nsecret: {type: key-value, data: {a/b: x}}",
            "Invalid 3:34: field `secret.data`: document 1: a key is made of letters, digits, `.`, `_` and `-`, at most 128",
        ),
        (
            "name: s\ntype: secret\nsecret: {type: key-value, data: {a: 1}}\n---\nname: s\ntype: secret\nsecret: {type: key-value, data: {a: 1}}",
            "Invalid 5:1: field `name`: document 2: `secret:v1:s:sandbox` is also document 1",
        ),
    ] {
        check(text, expected);
    }
}

#[test]
fn workflow_errors_name_the_place() {
    for (dag, expected) in [
        (
            "    - {name: a, spec: {stack: flare, stackSpec: {}}}",
            "Unsupported 5:31: field `workflow.dag[0].spec.stack`: document 1: stack `flare` is recognised and not supported yet",
        ),
        (
            "    - {name: a, spec: {stack: container, stackSpec: {image: x}}}",
            "Unsupported 5:61: field `workflow.dag[0].spec.stackSpec.image`: document 1: images cannot run on the local process runtime",
        ),
        (
            "    - {name: a, spec: {stack: container, stackSpec: {}}}",
            "`command` is missing",
        ),
        (
            "    - {name: a, dependencies: [laod], spec: {stack: sql, stackSpec: {sql: s}}}\n    - {name: load, spec: {stack: sql, stackSpec: {sql: s}}}",
            "5:31: field `workflow.dag[0].dependencies`: document 1: job `a` waits for `laod`, which does not exist; did you mean `load`?",
        ),
        (
            "    - {name: a, dependencies: [b], spec: {stack: sql, stackSpec: {sql: s}}}\n    - {name: b, dependencies: [a], spec: {stack: sql, stackSpec: {sql: s}}}",
            "5:7: field `workflow.dag[0]`: document 1: the jobs wait for each other: a -> b -> a; take one",
        ),
        (
            "    - {name: a, spec: {stack: sql, stackSpec: {sql: s}}}\n    - {name: a, spec: {stack: sql, stackSpec: {sql: s}}}",
            "two jobs are named `a`",
        ),
        (
            "    - {name: a, retry: {count: 3, duration: 5 days}, spec: {stack: sql, stackSpec: {sql: s}}}",
            "`5 days` is not a duration; write 500ms, 30s, 5m or 1h",
        ),
        (
            "    - {name: a, retry: {strategy: Sometimes}, spec: {stack: sql, stackSpec: {sql: s}}}",
            "unknown retry strategy `Sometimes`",
        ),
        (
            "    - {name: a, spec: {stack: sql, envs: {A: b}, stackSpec: {sql: s}}}",
            "`envs` does not apply to this stack",
        ),
        (
            "    - {name: a, spec: {stack: container, envs: {DATAOS_RUN: b}, stackSpec: {command: [x]}}}",
            "not a name for a variable",
        ),
        (
            "    - {name: a, spec: {stack: container, runAsUser: root, stackSpec: {command: [x]}}}",
            "`runAsUser` is recognised and not supported yet",
        ),
    ] {
        let shown = shown(&format!("{WORKFLOW}{dag}"));
        assert!(shown.contains(expected), "{dag}\n{shown}");
    }
    let schedule = format!(
        "{WORKFLOW}    - {{name: a, spec: {{stack: sql, stackSpec: {{sql: s}}}}}}\n  schedule: {{cron: '* * * * *'}}"
    );
    assert!(self::shown(&schedule).contains("`schedule` is recognised and not supported yet"));
}

#[test]
fn secret_values_are_blanked_and_the_stored_form_reads_back() {
    let secret =
        "name: s\ntype: secret\nsecret: {type: key-value, data: {user: hunter1, pass: hunter2}}";
    let depot = "name: d\ntype: depot\ndepot:\n  type: POSTGRES\n  spec: {host: h, database: b, passwrod: x, api_token: hunter3, url: 'p://u:hunter4@h'}\n  \
                 connectionSecret: [{acl: rw, type: key-value-properties, data: {username: hunter5, password: hunter6}}, {acl: r, data: {username: hunter7, password: hunter8}}]";
    for (text, names) in [
        (secret, vec!["sandbox/s/user", "sandbox/s/pass"]),
        (
            depot,
            vec!["dataos/depot/d/username", "dataos/depot/d/password"],
        ),
    ] {
        let document = parse(text, "sandbox").unwrap().remove(0);
        let found: Vec<&str> = document
            .secrets
            .iter()
            .map(|(name, _)| name.0.as_str())
            .collect();
        assert_eq!(found, names);
        let printed = yaml::print(&document.stored).unwrap();
        assert!(!printed.contains("hunter"), "{printed}");
        let again = parse(&printed, "sandbox").unwrap().remove(0);
        assert_eq!(again.stored, document.stored);
        assert_eq!(again.id, document.id);
    }
    let depot = parse(depot, "sandbox").unwrap().remove(0);
    assert_eq!(
        depot.secrets[0].1.expose(),
        b"hunter7",
        "the entry for reading is preferred"
    );
}

#[test]
fn connections_to_databases_are_protected_unless_the_text_says_otherwise() {
    for (spec, expected) in [
        ("", Tls::Verified { authorities: None }),
        (", tls: verified", Tls::Verified { authorities: None }),
        (", tls: off", Tls::Off),
        (
            ", authorities: PEM",
            Tls::Verified {
                authorities: Some("PEM".to_owned()),
            },
        ),
    ] {
        for (kind, port) in [("MYSQL", 3306), ("POSTGRES", 5432)] {
            let text = format!(
                "name: d\ntype: depot\ndepot:\n  type: {kind}\n  spec: {{host: h, database: b, user: u{spec}}}"
            );
            let document = parse(&text, "sandbox").unwrap().remove(0);
            let Body::Depot(depot) = &document.body else {
                panic!("{:?}", document.body)
            };
            let (DepotTarget::MySql(server, tls) | DepotTarget::Postgres(server, tls)) =
                &depot.target
            else {
                panic!("{:?}", depot.target)
            };
            assert_eq!((server.port, tls), (port, &expected), "{kind}{spec}");
        }
    }
}

#[test]
fn buckets_are_those_of_amazon_unless_the_text_says_otherwise() {
    let depot = |spec: &str| {
        format!(
            "name: d\ntype: depot\ndepot:\n  type: S3\n  spec: {{bucket: b{spec}}}\n  dataosSecrets: [{{name: s}}]"
        )
    };
    let verified = Tls::Verified { authorities: None };
    for (spec, endpoint, addressing, tls, prefix) in [
        (
            "",
            "https://s3.us-east-1.amazonaws.com",
            Addressing::Host,
            &verified,
            "",
        ),
        (
            ", region: eu-1",
            "https://s3.eu-1.amazonaws.com",
            Addressing::Host,
            &verified,
            "",
        ),
        (
            ", endpoint: 's3.test:9000', prefix: a/b/",
            "https://s3.test:9000",
            Addressing::Path,
            &verified,
            "a/b",
        ),
        (
            ", endpoint: 'https://s3.test', pathStyle: false, relativePath: /a",
            "https://s3.test",
            Addressing::Host,
            &verified,
            "a",
        ),
        (
            ", endpoint: 's3.test', tls: off",
            "http://s3.test",
            Addressing::Path,
            &Tls::Off,
            "",
        ),
    ] {
        let document = parse(&depot(spec), "sandbox").unwrap().remove(0);
        let Body::Depot(DepotBody {
            target: DepotTarget::S3(bucket),
            ..
        }) = &document.body
        else {
            panic!("{:?}", document.body)
        };
        let found = (
            bucket.endpoint.as_str(),
            bucket.addressing,
            &bucket.tls,
            bucket.prefix.as_str(),
        );
        assert_eq!(found, (endpoint, addressing, tls, prefix), "{spec}");
        let credentials = Credentials::Secret {
            workspace: "public".to_owned(),
            name: "s".to_owned(),
        };
        assert_eq!(bucket.credentials, credentials);
    }
}

#[test]
fn buckets_have_an_access_key() {
    let depot = |rest: &str| {
        format!("name: d\ntype: depot\ndepot:\n  type: S3\n  spec: {{bucket: b}}\n{rest}")
    };
    check(
        &depot(""),
        "Invalid 4:9: field `depot.type`: document 1: no access key; give a secret with the keys `accesskeyid` and `secretkey`",
    );
    let own = "  connectionSecret: [{acl: r, data: {accesskeyid: i, secretkey: hunter1}}]";
    let document = parse(&depot(own), "sandbox").unwrap().remove(0);
    let names: Vec<&str> = document
        .secrets
        .iter()
        .map(|(name, _)| name.0.as_str())
        .collect();
    assert_eq!(
        names,
        ["dataos/depot/d/accesskeyid", "dataos/depot/d/secretkey"]
    );
    assert!(!yaml::print(&document.stored).unwrap().contains("hunter"));
}

#[test]
fn workspaces() {
    for (name, is_good) in [
        ("public", true),
        ("a-b", true),
        ("dataos", false),
        ("A", false),
        ("", false),
        ("a/b", false),
    ] {
        assert_eq!(check_workspace(name).is_ok(), is_good, "{name}");
    }
}

#[test]
fn workflow_shape() {
    let text = "name: w\ntype: workflow\nworkflow:\n  title: t\n  dag:\n  - name: a\n    spec:\n      stack: python3:1.0\n      compute: runnable-default\n      envs: {N: 1}\n      dataosSecrets: [{name: s, keys: [k]}]\n      stackSpec: {args: [-c, print(1)]}\n  - name: b\n    dependency: a\n    retry: {count: 2, strategy: OnFailure, duration: 5m, maxDuration: 1h}\n    spec: {stack: scanner, stackSpec: {depot: d}}";
    let document = parse(text, "sandbox").unwrap().remove(0);
    let Body::Workflow(workflow) = &document.body else {
        panic!()
    };
    let [a, b] = workflow.jobs.as_slice() else {
        panic!()
    };
    let Work::Process {
        command,
        environment,
        secrets,
    } = &a.work
    else {
        panic!()
    };
    assert_eq!(command, &["python3", "-c", "print(1)"]);
    assert_eq!(environment.get("N").map(String::as_str), Some("1"));
    assert_eq!(secrets[0].keys.as_deref(), Some(&["k".to_owned()][..]));
    assert_eq!((b.retry.count, b.retry.wait.as_secs()), (2, 300));
    assert_eq!(b.dependencies, ["a"]);
    let named: Vec<_> = document
        .references
        .iter()
        .map(|r| (r.resource_type, r.name.as_str()))
        .collect();
    assert_eq!(named, [("secret", "s"), ("depot", "d")]);
}
