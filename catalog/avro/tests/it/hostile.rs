//! Files that are cut off, damaged, or made to do harm.

use std::io::Write;

use dataos_avro::{HEADER_BYTES_MAX, Problem, test_writer::file};
use flate2::{Compression, write::DeflateEncoder};
use serde_json::{Value, json};

use crate::fixtures::read;

const SYNC: &[u8] = b"0123456789abcdef";

fn long(value: i64) -> Vec<u8> {
    let mut bits = ((value << 1) ^ (value >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    while bits >= 0x80 {
        bytes.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    bytes.push(bits as u8);
    bytes
}

fn text(text: &[u8]) -> Vec<u8> {
    [long(text.len() as i64), text.to_vec()].concat()
}

fn header(schema: &str, codec: &str) -> Vec<u8> {
    let entry = |key: &str, value: &str| [text(key.as_bytes()), text(value.as_bytes())].concat();
    [
        b"Obj\x01".to_vec(),
        long(2),
        entry("avro.schema", schema),
        entry("avro.codec", codec),
        long(0),
        SYNC.to_vec(),
    ]
    .concat()
}

fn record(field: &str) -> String {
    format!(r#"{{"type":"record","name":"r","fields":[{{"name":"c","type":{field}}}]}}"#)
}

fn block(rows: i64, bytes: &[u8]) -> Vec<u8> {
    [
        long(rows),
        long(bytes.len() as i64),
        bytes.to_vec(),
        SYNC.to_vec(),
    ]
    .concat()
}

/// A file with one column and one block.
fn one(field: &str, rows: i64, bytes: &[u8]) -> Vec<u8> {
    [header(&record(field), "null"), block(rows, bytes)].concat()
}

fn check(name: &str, file: &[u8], expected: &str) {
    for chunk in [1_000_003, 4_096] {
        match read(file, chunk, None) {
            Err(Problem::Damaged(text) | Problem::Unsupported(text)) => {
                assert!(text.contains(expected), "{name}: {text}");
            }
            Ok(rows) => panic!("{name}: {} rows", rows.len()),
        }
    }
}

#[test]
fn lies_about_sizes_are_refused() {
    let int = "\"int\"";
    let head = || header(&record(int), "null");
    check(
        "negative rows",
        &one(int, -1, &[2]),
        "block 1: a negative number of rows",
    );
    check(
        "negative size",
        &[head(), long(1), long(-1)].concat(),
        "a negative size",
    );
    check(
        "huge size",
        &[head(), long(1), long(i64::MAX)].concat(),
        "larger than 16 MiB",
    );
    check(
        "size of 32 bits",
        &[head(), long(1), long(1 << 30)].concat(),
        "larger than 16 MiB",
    );
    check(
        "too many rows",
        &one(int, i64::MAX, &[2]),
        "more rows than it can hold",
    );
    check(
        "more rows than bytes",
        &one(int, 3, &[2, 2]),
        "before the last one",
    );
    check(
        "fewer rows",
        &one(int, 1, &[2, 2]),
        "left over behind its last row",
    );
    check(
        "no rows",
        &one(int, 0, &[2]),
        "left over behind its last row",
    );
}

#[test]
fn lies_of_values_are_refused() {
    let int = "\"int\"";
    check(
        "number too long",
        &one(int, 1, &[0xff; 12]),
        "more than 64 bits",
    );
    check(
        "number of 64 bits",
        &one(int, 1, &long(1 << 40)),
        "column `c`: a number of more than 32 bits",
    );
    check(
        "long text",
        &one("\"string\"", 1, &long(i64::MAX)),
        "end within a row",
    );
    check(
        "negative text",
        &one("\"string\"", 1, &long(-5)),
        "a negative length",
    );
    check(
        "no UTF-8",
        &one("\"string\"", 1, &text(&[0xff])),
        "not UTF-8",
    );
    check(
        "no boolean",
        &one("\"boolean\"", 1, &[2]),
        "neither 0 nor 1",
    );
    check(
        "branch",
        &one(r#"["null","int"]"#, 1, &[4, 0]),
        "a branch that its union has not",
    );
    check(
        "symbol",
        &one(r#"{"type":"enum","name":"e","symbols":["A"]}"#, 1, &[2]),
        "a symbol that its enum",
    );
}

#[test]
fn what_is_no_piece_of_a_file_is_refused() {
    let int = "\"int\"";
    let mut wrong = [one(int, 1, &[2]), block(1, &[2])].concat();
    *wrong.last_mut().unwrap() ^= 1;
    check("sync", &wrong, "block 2: the sync marker");
    check("half", &wrong[..wrong.len() - 1], "it is cut off");
    check("magic", b"PAR1", "does not begin so");
}

#[test]
fn values_that_their_types_do_not_hold_are_refused() {
    let decimal = r#"{"type":"bytes","logicalType":"decimal","precision":2,"scale":1}"#;
    check("digits", &one(decimal, 1, &text(&[100])), "more digits");
    check("wide", &one(decimal, 1, &text(&[1; 17])), "more digits");
    check("empty", &one(decimal, 1, &text(&[])), "without digits");
    assert_eq!(
        read(&one(decimal, 1, &text(&[0xff; 30])), 9, None).unwrap(),
        ["-0.1"]
    );
    let millis = r#"{"type":"long","logicalType":"timestamp-millis"}"#;
    check("time", &one(millis, 1, &long(i64::MAX)), "do not reach");
    let uuid = r#"{"type":"string","logicalType":"uuid"}"#;
    check(
        "uuid",
        &one(uuid, 1, &text(b"a0eebc999c0b4ef8bb6d6bb9bd380a11")),
        "no UUID",
    );
}

#[test]
fn lists_do_not_grow_beyond_what_is_there() {
    let longs = r#"{"type":"array","items":"long"}"#;
    check(
        "items",
        &one(longs, 1, &[long(1_000_000), vec![0]].concat()),
        "end within a row",
    );
    check(
        "too many",
        &one(longs, 1, &long(i64::MAX)),
        "more than 1 000 000 items",
    );
    check(
        "least",
        &one(longs, 1, &[long(i64::MIN), vec![0]].concat()),
        "more than 1 000 000 items",
    );
    check(
        "negative",
        &one(longs, 1, &[long(-1), long(-1)].concat()),
        "a negative length",
    );
    let parts = [long(999_999), vec![0; 999_999]].concat().repeat(2);
    check(
        "in parts",
        &one(longs, 1, &parts),
        "more than 1 000 000 items",
    );
    // Items without bytes cost nothing, however many they are.
    let nulls = r#"{"type":"array","items":"null"}"#;
    let many = [long(i64::MAX), long(i64::MAX), long(0)].concat();
    assert_eq!(read(&one(nulls, 1, &many), 9, None).unwrap(), ["-"]);
    check(
        "rows of nothing",
        &one("\"null\"", i64::MAX, &[]),
        "hold no values",
    );
}

#[test]
fn bombs_do_not_go_off() {
    let mut deflate = DeflateEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    (0..20).for_each(|_| deflate.write_all(&zeros).unwrap());
    let bomb = deflate.finish().unwrap();
    assert!(bomb.len() < 200_000);
    let of = |codec: &str, rows: i64, bytes: &[u8]| {
        [header(&record("\"int\""), codec), block(rows, bytes)].concat()
    };
    check("deflate", &of("deflate", 1, &bomb), "larger than 16 MiB");
    check("deflate cut", &of("deflate", 1, &bomb[..9]), "cut off");
    let mut snappy = vec![0xff, 0xff, 0xff, 0xff, 0x0f];
    snappy.extend([0; 8]);
    check("snappy", &of("snappy", 1, &snappy), "larger than 16 MiB");
    let mut packed = snap::raw::Encoder::new().compress_vec(&[2]).unwrap();
    packed.extend([0; 4]);
    check("checksum", &of("snappy", 1, &packed), "checksum");
    check("short snappy", &of("snappy", 1, &[1]), "Snappy");
    // As much as may be, to the byte.
    for (more, is_read) in [(0, true), (1, false)] {
        let long_text = vec![b'x'; (16 << 20) - 4 + more];
        let mut deflate = DeflateEncoder::new(Vec::new(), Compression::fast());
        deflate.write_all(&text(&long_text)).unwrap();
        let packed = deflate.finish().unwrap();
        let file = [header(&record("\"string\""), "deflate"), block(1, &packed)].concat();
        assert_eq!(read(&file, 4_096, None).is_ok(), is_read);
    }
    for codec in ["zstandard", "bzip2", "xz", "lzma\u{1b}"] {
        check(codec, &of(codec, 1, &[2]), "`null`, `deflate` or `snappy`");
    }
}

#[test]
fn schemas_are_bounded() {
    let of = |schema: &str| [header(schema, "null"), block(1, &[2])].concat();
    check("not JSON", &of("{"), "no JSON");
    check("no record", &of("\"int\""), "not a record");
    check("deep JSON", &of(&"[".repeat(1_000_000)), "no JSON");
    let mut deep = "\"int\"".to_owned();
    for _ in 0..70 {
        deep = format!(r#"["null",{deep}]"#);
    }
    check("deep", &of(&record(&deep)), "deeper than 64 levels");
    check(
        "recursive",
        &of(&record(r#"["null","r"]"#)),
        "recursive: `r` holds itself",
    );
    let inner = r#"{"type":"record","name":"q","fields":[{"name":"next","type":["null","q"]}]}"#;
    check(
        "recursive below",
        &of(&record(inner)),
        "recursive: `q` holds itself",
    );
    check("unknown", &of(&record("\"q\"")), "does not define before");
    let twice = r#"{"type":"record","name":"r","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#;
    check("twice", &of(twice), "column `a` appears twice");
    check(
        "long",
        &of(&" ".repeat(HEADER_BYTES_MAX)),
        "its header is longer",
    );
    let endless = [
        b"Obj\x01".to_vec(),
        long(i64::MIN),
        long(i64::MAX),
        vec![0; HEADER_BYTES_MAX],
    ]
    .concat();
    check("endless", &endless, "its header is longer");
    // Each type holds the one before twice: 2^40 values without a byte each.
    let mut fields = r#"{"name":"f0","type":{"type":"record","name":"t0","fields":[]}}"#.to_owned();
    for level in 1..40 {
        let before = level - 1;
        fields += &format!(
            r#",{{"name":"f{level}","type":{{"type":"record","name":"t{level}","fields":[
            {{"name":"a","type":"t{before}"}},{{"name":"b","type":"t{before}"}}]}}}}"#
        );
    }
    let schema = format!(
        r#"{{"type":"record","name":"r","fields":[{fields},{{"name":"id","type":"int"}}]}}"#
    );
    assert_eq!(read(&of(&schema), 9, Some(&["id"])).unwrap(), ["1"]);
}

/// A file with some types and some blocks.
fn small(codec: &str) -> (Vec<u8>, Vec<String>) {
    let schema = json!({"type": "record", "name": "row", "fields": [
        {"name": "id", "type": "long"},
        {"name": "name", "type": ["null", "string"]},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "more", "type": {"type": "map", "values": "double"}}]});
    let row = |id: i64| json!({"id": id * 100, "name": (id % 3 != 0).then_some("x"), "tags": ["a", "bc"], "more": {"k": 1.5}});
    let rows: Vec<Value> = (0..12).map(row).collect();
    let file = file(&schema, codec, 60, &rows);
    let texts = read(&file, file.len(), None).unwrap();
    assert_eq!(texts.len(), 12);
    (file, texts)
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    for codec in ["null", "deflate", "snappy"] {
        let (file, texts) = small(codec);
        let mut ends = 0;
        for length in 0..file.len() {
            let cut = &file[..length];
            match read(cut, 50, None) {
                Err(_) => {}
                // Between two blocks a file is whole.
                Ok(rows) => {
                    assert!(cut.ends_with(SYNC), "{codec}: {length}");
                    assert!(rows.len() < texts.len() && texts.starts_with(&rows));
                    ends += 1;
                }
            }
        }
        assert!((2..12).contains(&ends), "{codec}: {ends}");
    }
}

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[test]
fn flipped_bits_never_lose_a_row() {
    let mut state = 7;
    for codec in ["null", "deflate", "snappy"] {
        let (file, texts) = small(codec);
        let (mut refused, rounds) = (0, 20_000);
        for _ in 0..rounds {
            let mut flipped = file.clone();
            for _ in 0..=next(&mut state) % 3 {
                let place = next(&mut state) as usize % file.len();
                flipped[place] ^= 1 << (next(&mut state) % 8);
            }
            match read(&flipped, 1 + next(&mut state) as usize % 100, None) {
                Err(_) => refused += 1,
                Ok(rows) => assert_eq!(rows.len(), texts.len(), "{codec}"),
            }
        }
        eprintln!("{codec}: {refused} of {rounds} files refused");
        assert!(refused > rounds / 2, "{codec}: {refused}");
    }
}
