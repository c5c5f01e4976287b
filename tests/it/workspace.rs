//! The crate graph and the bans of deny.toml, kept over `cargo metadata`.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .other_options(vec!["--locked".to_owned(), "--offline".to_owned()])
        .exec()
        .expect("cargo metadata --locked --offline; run `cargo fetch --locked` first")
}

/// Direct dependencies of our crates by name, without those of tests and build scripts.
fn direct(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    metadata
        .workspace_packages()
        .iter()
        .map(|package| {
            let names = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind == DependencyKind::Normal)
                .map(|dependency| dependency.name.clone())
                .collect();
            (package.name.to_string(), names)
        })
        .collect()
}

#[test]
fn rooms_depend_on_rooms_as_the_architecture_says() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("dataos-model", &[] as &[&str]),
        ("dataos-proof", &[]),
        ("dataos-console", &[]),
        ("dataos-sql", &["dataos-model"]),
        ("dataos-store", &["dataos-model"]),
        ("dataos-objects", &["dataos-model"]),
        ("dataos-avro", &["dataos-model"]),
        ("dataos-pdp", &["dataos-model"]),
        ("dataos-audit", &["dataos-model", "dataos-proof"]),
        (
            "dataos-catalog",
            &[
                "dataos-model",
                "dataos-sql",
                "dataos-store",
                "dataos-objects",
                "dataos-avro",
            ],
        ),
        (
            "dataos-query",
            &[
                "dataos-model",
                "dataos-sql",
                "dataos-objects",
                "dataos-avro",
            ],
        ),
        ("dataos-orchestrator", &["dataos-model", "dataos-store"]),
        ("dataos-ctl", &["dataos-proof"]),
        (
            "dataos-gateway",
            &[
                "dataos-model",
                "dataos-pdp",
                "dataos-audit",
                "dataos-proof",
                "dataos-query",
                "dataos-store",
                "dataos-catalog",
                "dataos-orchestrator",
                "dataos-console",
            ],
        ),
    ]);
    for (name, dependencies) in direct(&metadata()) {
        if name == "dataos-tests" {
            continue;
        }
        let allowed = allowed
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name} is a new room"));
        for ours in dependencies
            .iter()
            .filter(|dependency| dependency.starts_with("dataos-"))
        {
            assert!(
                allowed.contains(&ours.as_str()),
                "{name} must not depend on {ours}"
            );
        }
    }
}

#[test]
fn only_its_room_names_a_heavy_crate() {
    let owners: &[(&str, &[&str])] = &[
        ("cedar-policy", &["dataos-pdp"]),
        ("datafusion", &["dataos-query"]),
        ("sqlparser", &["dataos-sql", "dataos-query"]),
        // Of `query` its sources alone: the catalog scans the same databases, and a second driver of
        // each would be a second TLS client and a second SQLite.
        ("sqlx", &["dataos-store", "dataos-catalog", "dataos-query"]),
        ("kube", &["dataos-orchestrator"]),
        ("axum", &["dataos-gateway"]),
        ("hyper", &["dataos-gateway"]),
        ("tonic", &["dataos-gateway"]),
        ("prost", &["dataos-pdp", "dataos-gateway"]),
        ("openidconnect", &["dataos-gateway"]),
        (
            "rustls",
            &["dataos-gateway", "dataos-ctl", "dataos-objects"],
        ),
        (
            "reqwest",
            &["dataos-gateway", "dataos-ctl", "dataos-objects"],
        ),
        ("quick-xml", &["dataos-objects"]),
        ("tokio-rustls", &["dataos-gateway", "dataos-query"]),
        (
            "arrow",
            &[
                "dataos-query",
                "dataos-catalog",
                "dataos-avro",
                "dataos-audit",
            ],
        ),
        ("flate2", &["dataos-avro"]),
        ("snap", &["dataos-avro"]),
        (
            "parquet",
            &["dataos-query", "dataos-catalog", "dataos-audit"],
        ),
    ];
    for (name, dependencies) in direct(&metadata()) {
        if name == "dataos-tests" {
            continue;
        }
        for (heavy, rooms) in owners {
            assert!(
                !dependencies.contains(*heavy) || rooms.contains(&name.as_str()),
                "{name} must not name {heavy}"
            );
        }
    }
}

#[test]
fn sqlx_appears_only_in_stores_and_sources() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for room in [
        "pdp",
        "audit",
        "query",
        "catalog",
        "orchestrator",
        "gateway",
    ] {
        collect(&root.join(room), &mut files);
    }
    assert!(files.len() > 50, "found only {} source files", files.len());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let is_store = file.components().any(|part| {
            let part = part.as_os_str().to_string_lossy();
            part == "store" || part == "store.rs"
        });
        let is_source = file.starts_with(root.join("query/src/source"));
        assert!(
            !text.contains("sqlx::") || is_store || is_source,
            "{} uses sqlx",
            file.display()
        );
    }
}

fn collect(folder: &std::path::Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            if name != "node_modules" && name != "target" && name != "web" {
                collect(&path, files);
            }
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
}

/// Packages that the default build of our crates contains, on any platform. `cargo tree` and not
/// `cargo metadata`: the latter also lists what no feature turns on.
fn resolved() -> BTreeSet<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--workspace",
            "--locked",
            "--offline",
            "--target",
            "all",
            "--prefix",
            "none",
        ])
        .args(["--edges", "normal,build", "--format", "{p}"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.to_owned()))
        })
        .collect()
}

#[test]
fn one_version_of_each_heavy_crate_and_no_banned_one() {
    let packages = resolved();
    assert!(
        packages.len() > 300,
        "cargo tree listed only {} packages",
        packages.len()
    );
    for banned in [
        "openssl-sys",
        "openssl",
        "native-tls",
        "ring",
        "rsa",
        "rusqlite",
        "samael",
    ] {
        assert!(
            !packages.iter().any(|(name, _)| name == banned),
            "{banned} is in the tree"
        );
    }
    for single in [
        "datafusion",
        "arrow",
        "parquet",
        "sqlparser",
        "object_store",
        "rustls",
        "hyper",
        "http",
        "tokio",
        "axum",
        "cedar-policy",
        "sqlx-core",
        "reqwest",
        "prost",
    ] {
        let versions: Vec<_> = packages.iter().filter(|(name, _)| name == single).collect();
        assert!(
            versions.len() <= 1,
            "{single} is in the tree more than once: {versions:?}"
        );
    }
}

#[test]
fn deny_toml_bans_the_same() {
    let deny =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../deny.toml")).unwrap();
    for banned in ["openssl-sys", "openssl", "native-tls", "ring"] {
        assert!(
            deny.contains(&format!("name = \"{banned}\"")),
            "deny.toml does not ban {banned}"
        );
    }
}

/// The version of a package that a lock file names once.
fn locked(file: &str, name: &str) -> Option<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let head = format!("name = \"{name}\"\nversion = \"");
    let mut versions = text.split(&head).skip(1);
    let version = versions.next()?.split('"').next()?.to_owned();
    assert!(versions.next().is_none(), "{file} has {name} twice");
    Some(version)
}

#[test]
fn the_stock_peer_is_beside_the_tree_and_of_the_same_engine() {
    let (ours, peers) = ("../Cargo.lock", "peers/federation/Cargo.lock");
    for shared in ["datafusion", "arrow", "parquet", "sqlparser"] {
        assert_eq!(locked(ours, shared), locked(peers, shared), "{shared}");
        assert!(locked(ours, shared).is_some(), "{shared} is locked");
    }
    for stock in ["datafusion-federation", "datafusion-table-providers"] {
        assert_eq!(locked(ours, stock), None);
        assert!(locked(peers, stock).is_some(), "{stock} is locked");
    }
}
