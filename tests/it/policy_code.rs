//! Policies as code: the commands without a server, and texts applied to one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use dataos_tests::{
    binaries::binary,
    ctl::{Ctl, Printed},
    server::{Options, Server},
};

/// Runs `dataos-ctl policy` with a configuration folder that knows no server.
fn policy(arguments: &[&str]) -> Printed {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(binary("dataos-ctl"))
        .arg("policy")
        .args(arguments)
        .env("XDG_CONFIG_HOME", home.path())
        .env_remove("DATAOS_URL")
        .output()
        .unwrap();
    Printed {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: output.status.code().unwrap(),
    }
}

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies")
}

/// A copy of the shipped folder that a test may change.
fn copied() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("policies");
    copy(&shipped(), &target);
    (folder, target)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

fn git(folder: &Path, arguments: &[&str]) {
    let names = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(names)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_shipped_policies_are_checked_tested_and_reviewed() {
    let folder = shipped();
    let folder = folder.to_str().unwrap();
    for arguments in [
        ["check", "--deny-warnings", folder],
        ["test", "--require-coverage", folder],
        ["matrix", "--check", folder],
        ["format", "--check", folder],
    ] {
        let printed = policy(&arguments);
        assert_eq!(
            printed.code, 0,
            "{arguments:?}: {}{}",
            printed.stdout, printed.stderr
        );
    }
}

#[test]
fn what_is_wrong_fails_and_says_where() {
    let (_held, folder) = copied();
    let shown = folder.to_str().unwrap();
    let own = folder.join("own.cedar");
    fs::write(
        &own,
        "@id(\"own.open\")\npermit (principal, action == DataOS::Action::\"scan_depot\", resource);\n",
    )
    .unwrap();
    let sarif = folder.join("out.sarif");
    let checked = policy(&["check", shown, "--sarif", sarif.to_str().unwrap()]);
    assert_eq!(checked.code, 0, "{}", checked.stdout);
    let place = format!("{}:1:1: warning[always_matches]", own.display());
    assert!(checked.stdout.contains(&place), "{}", checked.stdout);
    let sarif: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(sarif).unwrap()).unwrap();
    let rules: Vec<_> = sarif["runs"][0]["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["ruleId"])
        .collect();
    assert!(
        rules.contains(&&serde_json::json!("always_matches")),
        "{rules:?}"
    );
    assert_eq!(policy(&["check", shown, "--deny-warnings"]).code, 1);

    let matrix = policy(&["matrix", shown, "--check"]);
    assert_eq!(matrix.code, 1);
    assert!(
        matrix
            .stdout
            .contains("+ [anonymous] scan_depot Depot: allow by own.open"),
        "{}",
        matrix.stdout
    );

    // `--json` for programs, a failing case and a policy without one for both.
    fs::write(
        folder.join("tests/own.yaml"),
        "- name: open\n  principal: {user: bob}\n  action: view_policy\n  resource: PolicySet::\"active\"\n  \
         expect: {decision: allow}\n",
    )
    .unwrap();
    let junit = folder.join("out.xml");
    let tested = policy(&["test", shown, "--json", "--junit", junit.to_str().unwrap()]);
    assert_eq!(tested.code, 1, "{}", tested.stderr);
    let report: serde_json::Value = serde_json::from_str(&tested.stdout).unwrap();
    assert_eq!(report["failed"], 1, "{report:#}");
    assert_eq!(report["uncovered"][0]["id"], "own.open", "{report:#}");
    assert!(
        fs::read_to_string(junit)
            .unwrap()
            .contains("<failure message=\"decision: expected allow")
    );

    fs::write(&own, "permit (principal, action, resource) when { ;\n").unwrap();
    for command in ["check", "test", "matrix"] {
        let printed = policy(&[command, shown]);
        assert_eq!(printed.code, 1, "{command}");
        let said = printed.stdout + &printed.stderr;
        assert!(
            said.contains(&format!("{}:1:", own.display())),
            "{command}: {said}"
        );
    }
    assert_eq!(policy(&["check", "/nonexistent"]).code, 1);
    assert_eq!(policy(&["check", "--wrong"]).code, 2);
}

#[test]
fn two_revisions_are_compared() {
    let (held, folder) = copied();
    let shown = folder.to_str().unwrap();
    git(held.path(), &["init", "-q", "-b", "main"]);
    git(held.path(), &["add", "."]);
    git(held.path(), &["commit", "-q", "-m", "first"]);
    let access = folder.join("platform/access.cedar");
    let text = fs::read_to_string(&access).unwrap();
    fs::write(&access, format!("// Only a comment.\n{text}")).unwrap();
    let same = policy(&["diff", "main..", shown]);
    assert_eq!(same.code, 0, "{}", same.stderr);
    assert!(
        same.stdout.contains("0 policies differ, 0 cells"),
        "{}",
        same.stdout
    );
    fs::write(
        &access,
        text.replacen("Role::\"steward\"] }", "Role::\"operator\"] }", 1),
    )
    .unwrap();
    git(held.path(), &["commit", "-q", "-a", "-m", "second"]);
    let changed = policy(&["diff", "main~1..main", shown]);
    for part in [
        "changed policy `platform.view-health`",
        "role operator: view_health ApiPath: deny -> allow by platform.view-health",
        "role steward: view_health ApiPath: allow -> deny",
        "1 policies differ, 2 cells of the matrix flip",
    ] {
        assert!(
            changed.stdout.contains(part),
            "{part} is not in {}",
            changed.stdout
        );
    }
    let unknown = policy(&["diff", "main..nothing", shown]);
    assert_eq!(unknown.code, 1);
    assert!(
        unknown.stderr.contains("`nothing` is no revision"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn a_text_is_applied_and_taken_away_from_the_command_line() {
    let server = Server::start(&Options::default()).unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    let file = admin.folder().join("freeze.cedar");
    let text =
        "@id(\"freeze\")\nforbid (principal, action == DataOS::Action::\"query\", resource);\n";
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    admin
        .json(&["policy", "put", "freeze", "-f", file])
        .unwrap();
    assert_eq!(admin.run(&["query", "SELECT 1"]).unwrap().code, 3);
    let blind = admin.run(&["policy", "put", "freeze", "-f", file]).unwrap();
    assert_eq!(blind.code, 1);
    assert!(blind.stderr.contains("exists already"), "{}", blind.stderr);
    let shown = admin.json(&["policy", "get", "freeze"]).unwrap();
    assert_eq!(shown["cedar"], text);
    let etag = shown["etag"].as_str().unwrap();
    admin
        .json(&["policy", "put", "freeze", "-f", file, "--etag", etag])
        .unwrap();
    admin
        .json(&["policy", "delete", "freeze", "--etag", etag])
        .unwrap();
    assert_eq!(admin.run(&["query", "SELECT 1"]).unwrap().code, 0);

    let folder = shipped();
    let folder = folder.to_str().unwrap();
    let report = admin
        .json(&["policy", "check", folder, "--server"])
        .unwrap();
    assert_eq!(report["errors"], 0, "{report:#}");
    let report = admin.json(&["policy", "test", folder, "--server"]).unwrap();
    assert_eq!(report["failed"], 0, "{report:#}");
}

const TEMPLATE: &str = "@id(\"grant\")\n@description(\"A grant.\")\npermit (\n    principal in ?principal,\n    \
                        action == DataOS::Action::\"select\",\n    resource in ?resource\n);\n";

#[test]
fn a_template_is_checked_in_a_folder_and_linked_from_the_command_line() {
    let (_folder, policies) = copied();
    fs::write(policies.join("grant.cedar"), TEMPLATE).unwrap();
    let dir = policies.to_string_lossy().into_owned();
    let printed = policy(&["check", &dir]);
    assert_eq!(printed.code, 0, "{}", printed.stdout);
    let printed = policy(&["matrix", "--check", &dir]);
    assert_eq!(
        printed.code, 0,
        "a template decides nothing: {}",
        printed.stdout
    );
    let wrong = TEMPLATE.replace("select", "fly");
    fs::write(policies.join("grant.cedar"), wrong).unwrap();
    let printed = policy(&["check", &dir]);
    assert!(
        printed.code == 1 && printed.stdout.contains("grant.cedar:1:1"),
        "{}",
        printed.stdout
    );

    let server = Server::start(&Options::default()).unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    let file = server.data_dir.with_file_name("grant.cedar");
    fs::write(&file, TEMPLATE).unwrap();
    let file = file.to_string_lossy().into_owned();
    admin
        .json(&["policy", "put", "grants", "-f", &file])
        .unwrap();
    let link = [
        "policy",
        "link",
        "analysts",
        "-t",
        "grant",
        "-p",
        "role:analyst",
        "-r",
        "depot:shop",
    ];
    let made = admin.json(&link).unwrap();
    let again = admin.run(&link).unwrap();
    assert_ne!(again.code, 0, "{}", again.stdout);
    let changed = [
        &link[..8],
        &["depot:crm", "--etag", made["etag"].as_str().unwrap()],
    ]
    .concat();
    admin.json(&changed).unwrap();
    let links = admin.json(&["policy", "links"]).unwrap();
    assert_eq!(links["links"][0]["resource"], "DataOS::Depot::\"crm\"");
    let shown = admin.run(&["policy", "show", "analysts"]).unwrap();
    assert!(
        shown.stdout.contains("link:analysts of grant"),
        "{}",
        shown.stdout
    );
    let used = admin.run(&["policy", "delete", "grants"]).unwrap();
    assert!(
        used.code != 0 && used.stderr.contains("analysts"),
        "{}",
        used.stderr
    );
    admin.json(&["policy", "unlink", "analysts"]).unwrap();
    admin.json(&["policy", "delete", "grants"]).unwrap();
}
