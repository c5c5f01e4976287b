//! Values as text and binary.

use std::sync::Arc;

use datafusion::arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array,
        Int64Array, ListArray, NullArray, StringArray, TimestampMicrosecondArray, UInt64Array,
    },
    buffer::OffsetBuffer,
    datatypes::{Field, Int32Type},
};

use super::*;

fn written(array: &ArrayRef, format: Format) -> Option<Vec<u8>> {
    let mut body = BytesMut::new();
    put(&mut body, array.as_ref(), 0, format).unwrap();
    let (length, bytes) = body.split_first_chunk::<4>().unwrap();
    let length = i32::from_be_bytes(*length);
    (length >= 0).then(|| {
        assert_eq!(usize::try_from(length).unwrap(), bytes.len());
        bytes.to_vec()
    })
}

fn text_of(array: impl Array + 'static) -> String {
    String::from_utf8(written(&(Arc::new(array) as ArrayRef), Format::Text).unwrap()).unwrap()
}

fn binary_of(array: impl Array + 'static) -> Vec<u8> {
    written(&(Arc::new(array) as ArrayRef), Format::Binary).unwrap()
}

fn shorts(shorts: &[i16]) -> Vec<u8> {
    shorts
        .iter()
        .flat_map(|short| short.to_be_bytes())
        .collect()
}

#[test]
fn text_is_as_postgresql_writes_it() {
    assert_eq!(text_of(BooleanArray::from(vec![true])), "t");
    assert_eq!(
        text_of(Float64Array::from(vec![f64::NEG_INFINITY])),
        "-Infinity"
    );
    assert_eq!(text_of(Date32Array::from(vec![11_016])), "2000-02-29");
    let instant = TimestampMicrosecondArray::from(vec![1_500_000]);
    assert_eq!(text_of(instant.clone()), "1970-01-01 00:00:01.5");
    assert_eq!(
        text_of(instant.with_timezone("UTC")),
        "1970-01-01 00:00:01.5+00"
    );
    assert_eq!(text_of(BinaryArray::from_vec(vec![b"\x00\xff"])), "\\x00ff");
    let decimal = Decimal128Array::from(vec![-5])
        .with_precision_and_scale(30, 2)
        .unwrap();
    assert_eq!(text_of(decimal), "-0.05");
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None])]);
    assert_eq!(text_of(list), "{\"1\",NULL}");
    let nothing: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>]));
    assert_eq!(written(&nothing, Format::Text), None);
    let nothing: ArrayRef = Arc::new(NullArray::new(1));
    assert_eq!(written(&nothing, Format::Binary), None);
}

/// One row of these values.
fn row(values: &[ArrayRef]) -> StructArray {
    let fields = values.iter().enumerate();
    let fields = fields.map(|(index, value)| {
        let field = Field::new(format!("f{index}"), value.data_type().clone(), true);
        (Arc::new(field), Arc::clone(value))
    });
    StructArray::from(fields.collect::<Vec<_>>())
}

#[test]
fn a_row_is_as_postgresql_writes_it() {
    let texts = ["", "a b", "\"\\", "(", "x,", "é", "\u{b}"];
    let texts: Vec<ArrayRef> = texts
        .iter()
        .map(|text| Arc::new(StringArray::from(vec![*text])) as ArrayRef)
        .collect();
    let texts = row(&texts);
    assert_eq!(
        text_of(texts.clone()),
        "(\"\",\"a b\",\"\"\"\\\\\",\"(\",\"x,\",é,\"\u{b}\")"
    );
    let nested = row(&[
        Arc::new(BooleanArray::from(vec![None])),
        Arc::new(texts.slice(0, 1)),
        Arc::new(Int64Array::from(vec![-7])),
    ]);
    assert!(
        text_of(nested.clone()).starts_with("(,\"(\"\"\"\","),
        "{}",
        text_of(nested)
    );
    let pair = row(&[
        Arc::new(Int64Array::from(vec![1])),
        Arc::new(StringArray::from(vec!["a\"b"])),
    ]);
    let field = Arc::new(Field::new_list_field(pair.data_type().clone(), true));
    let list = ListArray::new(
        field,
        OffsetBuffer::from_lengths([1]),
        Arc::new(pair.clone()),
        None,
    );
    assert_eq!(text_of(list), r#"{"(1,\"a\"\"b\")"}"#);
    let mut binary = 2_i32.to_be_bytes().to_vec();
    binary.extend([20_i32, 8].map(i32::to_be_bytes).concat());
    binary.extend(1_i64.to_be_bytes());
    binary.extend([25_i32, 3].map(i32::to_be_bytes).concat());
    binary.extend(b"a\"b");
    assert_eq!(binary_of(pair), binary);
}

#[test]
fn binary_is_as_postgresql_reads_it() {
    assert_eq!(
        binary_of(Int64Array::from(vec![-2])),
        (-2_i64).to_be_bytes()
    );
    assert_eq!(
        binary_of(Date32Array::from(vec![10_958])),
        1_i32.to_be_bytes()
    );
    let instant = TimestampMicrosecondArray::from(vec![946_684_800_000_001]);
    assert_eq!(binary_of(instant), 1_i64.to_be_bytes());
    for (units, scale, wanted) in [
        (1234, 2, shorts(&[2, 0, 0, 2, 12, 3400])),
        (-12_345, 0, shorts(&[2, 1, 0x4000, 0, 1, 2345])),
        (5, 4, shorts(&[1, -1, 0, 4, 5])),
        (0, 2, shorts(&[0, 0, 0, 2])),
        (100_000_000, 0, shorts(&[1, 2, 0, 0, 1])),
    ] {
        let decimal = Decimal128Array::from(vec![units]);
        let decimal = decimal.with_precision_and_scale(30, scale).unwrap();
        assert_eq!(binary_of(decimal), wanted, "{units} {scale}");
    }
    let largest = UInt64Array::from(vec![u64::MAX]);
    let groups = shorts(&[5, 4, 0, 0, 1844, 6744, 737, 955, 1615]);
    assert_eq!(binary_of(largest), groups);
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(7), None])]);
    let header: Vec<u8> = [1, 1, 23, 2, 1, 4, 7, -1_i32]
        .iter()
        .flat_map(|n| n.to_be_bytes())
        .collect();
    assert_eq!(binary_of(list), header);
}
