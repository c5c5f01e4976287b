//! The binary as a shell sees it, before it serves anything.

use std::process::{Command, Output};

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dataos"))
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn explain_says_where_each_value_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dataos.toml");
    std::fs::write(&file, "[limits]\nbody = \"2 MiB\"\n").unwrap();
    let arguments = ["config", "explain", "--listen", "127.0.0.1:1", "--config"];
    let arguments = [&arguments[..], &[file.to_str().unwrap()]].concat();
    let output = run(&arguments, &[("DATAOS_LOG_LEVEL", "debug")]);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for expected in [
        "from flag --listen",
        "from environment DATAOS_LOG_LEVEL",
        "from file",
        "from default",
    ] {
        assert!(printed.contains(expected), "`{expected}` is not in: {printed}");
    }
}

#[test]
fn unknown_settings_are_refused() {
    for (arguments, variables, expected) in [
        (&["config", "explain"][..], &[("DATAOS_LISTNE", "x")][..], "DATAOS_LISTNE"),
        (&["serve", "--lisen", "x"], &[], "--lisen"),
        (&["config", "explain", "--listen", "nowhere"], &[], "nowhere"),
    ] {
        let output = run(arguments, variables);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{arguments:?} {variables:?}");
        assert!(said.contains(expected), "`{expected}` is not in: {said}");
    }
}
