//! Answers arrive as they were, in bounded pieces; the messages are those of the `.proto`, and its
//! methods those of the table.

use std::{collections::BTreeSet, fs, path::Path};

use bytes::Bytes;
use dataos_model::fault::{Fault, Location};
use proptest::prelude::*;
use prost::Message;

use super::{
    Answer, Arriving, MESSAGE_BYTES_MAX, Piece,
    messages::{Call, piece::Kind},
    pieces, read, written,
};
use crate::roles::method::Method;

fn arrived(outcome: Result<Answer, Fault>) -> Result<Answer, Fault> {
    let mut arriving = Arriving::default();
    for piece in pieces(outcome) {
        let bytes = piece.encode_to_vec();
        assert!(bytes.len() <= MESSAGE_BYTES_MAX);
        arriving.take(Piece::decode(bytes.as_slice()).unwrap())?;
    }
    arriving.whole()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn answers_arrive_as_they_were(
        value in proptest::collection::vec(any::<u8>(), 0..700_000),
        rows in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300_000), 0..3),
    ) {
        let mut answer = Answer::of(&value).unwrap();
        answer.rows = rows.iter().cloned().map(Bytes::from).collect();
        let arrived = arrived(Ok(answer)).unwrap();
        prop_assert_eq!(arrived.value::<Vec<u8>>().unwrap(), value);
        prop_assert_eq!(arrived.rows.concat(), rows.concat());
    }
}

#[test]
fn an_empty_value_is_an_answer_and_nothing_is_none() {
    let answer = arrived(Answer::of(&())).unwrap();
    answer.value::<()>().unwrap();
    assert!(Arriving::default().whole().is_err());
}

#[test]
fn faults_arrive_whole() {
    let mut fault = Fault::denied("no_permit", "no")
        .with_hint("ask")
        .at(Location {
            line: Some(3),
            ..Location::default()
        });
    fault.policies = vec!["p".to_owned()];
    assert_eq!(arrived(Err(fault.clone())).unwrap_err(), fault);
}

#[test]
fn pieces_out_of_order_are_refused() {
    let piece = |kind| Piece { kind: Some(kind) };
    let value = || piece(Kind::Value(Bytes::from_static(b"v")));
    let rows = || piece(Kind::Rows(Bytes::from_static(b"r")));
    let fault = || piece(Kind::Fault(written(&Fault::internal("x")).unwrap()));
    for wrong in [
        vec![rows()],
        vec![value(), rows(), value()],
        vec![value(), fault()],
        vec![Piece { kind: None }],
    ] {
        let mut arriving = Arriving::default();
        let taken = wrong.into_iter().try_for_each(|piece| arriving.take(piece));
        assert!(taken.unwrap_err().message.contains("out of order"));
    }
}

#[test]
fn a_value_is_all_of_its_bytes() {
    let bytes = written(&7_u64).unwrap();
    assert_eq!(read::<u64>(&bytes), Ok(7));
    assert!(read::<u64>(&[&bytes[..], b"x"].concat()).is_err());
    assert!(read::<u64>(b"").is_err());
    assert!(read::<String>(b"\xff\xff\xff\xff\x0f").is_err());
}

#[test]
fn generated_messages_are_fresh_and_the_table_has_each_method() {
    let room = Path::new(env!("CARGO_MANIFEST_DIR"));
    let set = protox::compile(["dataos/role/v1/role.proto"], [room.join("proto")]).unwrap();
    let declared: BTreeSet<String> = set.file[0]
        .service
        .iter()
        .flat_map(|service| {
            service.method.iter().map(|method| {
                let types = (method.input_type(), method.output_type());
                assert_eq!(types, (".dataos.role.v1.Call", ".dataos.role.v1.Piece"));
                assert!(method.server_streaming() && !method.client_streaming());
                format!("/dataos.role.v1.{}/{}", service.name(), method.name())
            })
        })
        .collect();
    let table: BTreeSet<String> = Method::ALL
        .iter()
        .map(|one| one.path().to_owned())
        .collect();
    assert_eq!(declared, table);

    let fresh = tempfile::tempdir().unwrap();
    let file = "dataos.role.v1.rs";
    prost_build::Config::new()
        .bytes(["."])
        .out_dir(fresh.path())
        .compile_fds(set)
        .unwrap();
    let committed = room.join("src/roles/wire").join(file);
    let made = fs::read_to_string(fresh.path().join(file)).unwrap();
    if fs::read_to_string(&committed).ok().as_deref() != Some(&made) {
        panic!(
            "the .proto changed; write to {}:\n{made}",
            committed.display()
        );
    }
    let call = Call::default();
    assert!(call.encode_to_vec().is_empty());
}
