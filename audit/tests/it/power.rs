//! Power cuts: a log on a file system whose disk stops taking writes from one instant to the next.
//!
//! The disk is a file in memory behind a loop device. Sealing the file is the cut: whatever the
//! kernel has not written by then never arrives, half of a sync included. What the disk holds is
//! then copied, mounted, which replays the journal of the file system, and read. Mounting needs root;
//! the power cuts of `log::tests::power_cut` do not. `DATAOS_FAULTS=50` cuts a thousand times.

use std::{
    fs::File,
    io::{self, Write as _},
    os::{fd::AsRawFd as _, unix::fs::FileExt as _},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use crate::{
    child::{Acknowledged, Appender, is_child, times},
    mounts::may_mount_images,
    shim,
    spread::Spread,
};

const CUTS: u64 = 20;

/// Cuts of one disk; then another is made, so that logs do not grow without end.
const CUTS_PER_DISK: u64 = 10;

const DISK_BYTES: u64 = 64 << 20;

/// A disk in memory.
struct Disk(File);

impl Disk {
    fn new() -> Self {
        let disk = memfd_create("disk", MemfdFlags::ALLOW_SEALING).unwrap();
        let disk = File::from(disk);
        disk.set_len(DISK_BYTES).unwrap();
        Self(disk)
    }

    fn formatted() -> Self {
        let disk = Self::new();
        run("mkfs.ext4", "e2fsprogs", &["-q", "-F", &disk.path()]);
        disk
    }

    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// From now on nothing is written to it.
    fn cut(&self) {
        fcntl_add_seals(&self.0, SealFlags::WRITE).unwrap();
    }

    /// Another disk with the same bytes.
    fn copy(&self) -> Self {
        let mut bytes = vec![0; usize::try_from(DISK_BYTES).unwrap()];
        self.0.read_exact_at(&mut bytes, 0).unwrap();
        let copy = Self::new();
        copy.0.write_all_at(&bytes, 0).unwrap();
        copy
    }
}

/// A mounted disk.
struct Mounted {
    disk: Disk,
    device: String,
    folder: tempfile::TempDir,
}

impl Mounted {
    fn new(disk: Disk) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let device = run("losetup", "mount", &["--find", "--show", &disk.path()]);
        let device = device.trim().to_owned();
        run(
            "mount",
            "mount",
            &[&device, folder.path().to_str().unwrap()],
        );
        Self {
            disk,
            device,
            folder,
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("audit")
    }

    /// What is there after a cut now.
    fn cut(self) -> Self {
        self.disk.cut();
        let copy = self.disk.copy();
        drop(self);
        Self::new(copy)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let folder = self.folder.path();
        for (program, argument) in [("umount", folder), ("losetup", Path::new(&self.device))] {
            let mut command = Command::new(program);
            if program == "losetup" {
                command.arg("--detach");
            }
            if !command
                .arg(argument)
                .status()
                .is_ok_and(|status| status.success())
            {
                let _ = writeln!(io::stderr(), "{program} {} failed", argument.display());
            }
        }
    }
}

/// Runs a program of this Debian package; what it printed.
fn run(program: &str, package: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| {
        panic!("cannot run {program}: {error}; run: apt-get install -y {package}")
    });
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a child until a cut, and adds what it had acknowledged before it.
fn append_until_cut(
    mounted: Mounted,
    test: &str,
    environment: &[(&str, &str)],
    acknowledged: &mut Acknowledged,
    spread: &mut Spread,
) -> Mounted {
    let child = Appender::start(test, &mounted.log(), environment);
    if !spread.is(10) {
        child.wait_until_appending();
    }
    thread::sleep(Duration::from_micros(spread.next() % 60_000));
    let said = child.said();
    mounted.disk.cut();
    child.kill();
    acknowledged.add(&said);
    mounted.cut()
}

#[test]
fn nothing_acknowledged_is_lost_by_a_power_cut() {
    const TEST: &str = "power::nothing_acknowledged_is_lost_by_a_power_cut";
    if is_child() || !may_mount_images(TEST) {
        return;
    }
    let mut spread = Spread::new(3);
    let mut left = times(CUTS);
    while left > 0 {
        let mut mounted = Mounted::new(Disk::formatted());
        let mut acknowledged = Acknowledged::default();
        let cuts = left.min(CUTS_PER_DISK);
        for _ in 0..cuts {
            mounted = append_until_cut(mounted, TEST, &[], &mut acknowledged, &mut spread);
            acknowledged.check(&mounted.log()).unwrap();
        }
        assert!(
            acknowledged.len() > 50,
            "only {} entries",
            acknowledged.len()
        );
        left -= cuts;
    }
}

/// The same with syncs that do nothing: what is lost is found, so the test above proves something.
#[test]
fn without_syncs_a_power_cut_loses_what_was_acknowledged() {
    const TEST: &str = "power::without_syncs_a_power_cut_loses_what_was_acknowledged";
    if is_child() || !may_mount_images(TEST) {
        return;
    }
    let tools = tempfile::tempdir().unwrap();
    let library = shim::compile(tools.path());
    let noop = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("DATAOS_SHIM", "noop"),
    ];
    let mut spread = Spread::new(4);
    for _ in 0..3 {
        let mut acknowledged = Acknowledged::default();
        let mounted = Mounted::new(Disk::formatted());
        // The log itself is there, and durable.
        let mounted = append_until_cut(mounted, TEST, &[], &mut acknowledged, &mut spread);
        acknowledged.check(&mounted.log()).unwrap();
        let before = acknowledged.len();
        let mounted = append_until_cut(mounted, TEST, &noop, &mut acknowledged, &mut spread);
        if acknowledged.len() > before {
            acknowledged.check(&mounted.log()).unwrap_err();
            return;
        }
    }
    panic!("no child acknowledged anything before its cut");
}
