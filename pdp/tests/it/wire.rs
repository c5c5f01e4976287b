//! The committed messages are those that the `.proto` makes.

use std::{fs, path::Path};

#[test]
fn generated_messages_are_fresh() {
    let room = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = "dataos.heimdall.v1.rs";
    let fresh = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let set =
        protox::compile(["dataos/heimdall/v1/decisions.proto"], [room.join("proto")]).unwrap();
    prost_build::Config::new()
        .btree_map(["."])
        .out_dir(fresh)
        .compile_fds(set)
        .unwrap();
    let committed = room.join("src/decisions").join(file);
    let is_same = fs::read(fresh.join(file)).unwrap() == fs::read(&committed).unwrap();
    assert!(
        is_same,
        "the .proto changed: cp {} {}",
        fresh.join(file).display(),
        committed.display()
    );
}
