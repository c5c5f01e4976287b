//! `dataos demo --exit`: every check of the scenario holds.

use std::process::Command;

use dataos_tests::binaries::{binary, free_port};

#[test]
fn the_demo_passes_its_own_checks() {
    let listen = format!("127.0.0.1:{}", free_port().unwrap());
    let output = Command::new(binary("dataos"))
        .args(["demo", "--exit", "--scale", "0.01", "--listen", &listen])
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{printed}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let last = printed.lines().last().unwrap_or_default();
    let count: u32 = last
        .strip_prefix("demo: ")
        .and_then(|rest| rest.strip_suffix(" checks passed"))
        .and_then(|count| count.parse().ok())
        .unwrap_or_else(|| panic!("the demo ends with its count, not with `{last}`"));
    assert!(count >= 40, "only {count} checks");
    assert!(!printed.contains("[FAIL]"));
}
