//! Artifacts of Maven Central, fetched once into the cache of the tests.
#![expect(
    clippy::expect_used,
    reason = "a harness stops with what mends the situation"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// What has Maven copy one artifact.
const MAVEN_COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy";

/// The jar of an artifact.
///
/// # Panics
/// It cannot be fetched; Maven says why.
pub fn jar(group: &str, artifact: &str, version: &str) -> PathBuf {
    let cache = cache();
    let name = format!("{artifact}-{version}.jar");
    let jar = cache.join(&name);
    if jar.is_file() {
        return jar;
    }
    let new = new(&cache);
    let output = Command::new("mvn")
        .args(["-q", "-B", MAVEN_COPY])
        .arg(format!("-Dartifact={group}:{artifact}:{version}"))
        .arg(format!("-DoutputDirectory={}", new.path().display()))
        .output()
        .expect("Maven is not installed; run: apt-get install -y maven");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{artifact} cannot be fetched, which takes Maven Central once: {text}"
    );
    fs::rename(new.path().join(name), &jar).expect("a jar in the cache");
    jar
}

/// The folder of what a `.tar.gz` holds that lies in a jar.
///
/// # Panics
/// The jar has no such archive.
pub fn unpacked(jar: &Path, archive: &str) -> PathBuf {
    // A jar is a ZIP, which Python reads wherever the tests run.
    let script = "import sys, tarfile, zipfile; \
                  tarfile.open(fileobj=zipfile.ZipFile(sys.argv[1]).open(sys.argv[2])).extractall(sys.argv[3])";
    beside(jar, "unpacked", |folder| {
        let output = Command::new("python3")
            .args(["-c", script])
            .arg(jar)
            .arg(archive)
            .arg(folder.join("unpacked"))
            .output()
            .expect("Python is not installed; run: apt-get install -y python3");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {text}", jar.display());
    })
}

/// A folder of this name that was made of a jar, which takes place in the folder that `make` is given.
pub(crate) fn beside(jar: &Path, name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let folders = jar.with_extension("made");
    let folder = folders.join(name);
    if !folder.is_dir() {
        let new = new(&folders);
        make(new.path());
        // Another process may have been first.
        fs::rename(new.path().join(name), &folder).ok();
    }
    folder
}

fn cache() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = cache.or_else(home).expect("XDG_CACHE_HOME or HOME");
    cache.join("dataos/maven")
}

/// A folder to make something in, so that half of it is never taken for it.
fn new(place: &Path) -> TempDir {
    fs::create_dir_all(place).expect("a folder in the cache");
    TempDir::new_in(place).expect("a folder in the cache")
}
