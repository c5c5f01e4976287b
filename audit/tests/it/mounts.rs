//! What this user may mount. A test that needs more says loudly that it was not run; what it tests
//! on a real disk, the tests beside `dataos_audit`'s code test on a disk of their own for everybody.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
    process::Command,
};

/// The capability to mount, as a bit of the set that `/proc` shows.
const CAP_SYS_ADMIN: u32 = 21;

/// Past the capture of test output, so that it is seen in a run that succeeds.
fn say_skipped(test: &str, why: &str) {
    let _ = writeln!(io::stderr(), "SKIPPED {test}: {why}");
}

fn is_administrator() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = u64::from_str_radix(set.unwrap().trim(), 16).unwrap();
    set >> CAP_SYS_ADMIN & 1 == 1
}

/// Whether disk images can be mounted.
pub(crate) fn may_mount_images(test: &str) -> bool {
    if !is_administrator() {
        say_skipped(test, "only root can mount a disk; run it as root");
    } else if !Path::new("/dev/loop-control").exists() {
        say_skipped(test, "there are no loop devices; run: modprobe loop");
    } else {
        return true;
    }
    false
}

/// A command that runs its arguments where only it sees what it mounts: in namespaces of its own,
/// also of users if need be. None if this system lets nobody but root have them.
pub(crate) fn own_mounts(test: &str) -> Option<Command> {
    let own = || {
        let mut command = Command::new("unshare");
        if !is_administrator() {
            command.args(["--user", "--map-root-user"]);
        }
        command.arg("--mount");
        command
    };
    let attempt = own()
        .args(["mount", "-t", "tmpfs", "none", "/mnt"])
        .output();
    let attempt = attempt.expect("unshare is not installed; run: apt-get install -y util-linux");
    if !attempt.status.success() {
        let why = String::from_utf8_lossy(&attempt.stderr);
        say_skipped(
            test,
            &format!("no namespace to mount in; run it as root: {why}"),
        );
        return None;
    }
    Some(own())
}
