use datafusion::arrow::{
    array::{
        Array, Date32Array, Decimal128Array, Float64Array, Int64Array, StringViewArray,
        TimestampMicrosecondArray,
    },
    ipc::reader::StreamReader,
};

use super::*;

fn batch() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "i",
            Arc::new(Int64Array::from(vec![Some(1), Some(i64::MAX), None])),
        ),
        (
            "f",
            Arc::new(Float64Array::from(vec![0.5, f64::NAN, f64::NEG_INFINITY])),
        ),
        ("s", Arc::new(StringViewArray::from(vec!["a\"\n", "", "é"]))),
        (
            "d",
            Arc::new(
                Decimal128Array::from(vec![-5, 123_456_789_012_345_678, 1200])
                    .with_precision_and_scale(20, 2)
                    .unwrap(),
            ),
        ),
        ("day", Arc::new(Date32Array::from(vec![0, 19_000, -1]))),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from(vec![0, 1_500_000, -1]).with_timezone("UTC")),
        ),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

#[test]
fn json_is_one_array_of_arrays() {
    let batch = batch();
    let mut encoder = Encoder::new(RowFormat::Json, &batch.schema(), 1 << 20).unwrap();
    encoder.push(&batch).unwrap();
    let encoded = encoder.finish().unwrap();
    let text = String::from_utf8(encoded.chunks.concat()).unwrap();
    assert_eq!(
        text,
        concat!(
            r#"[[1,0.5,"a\"\n",-0.05,"1970-01-01","1970-01-01T00:00:00Z"],"#,
            r#"["9223372036854775807","NaN","","1234567890123456.78","2022-01-08","#,
            r#""1970-01-01T00:00:01.5Z"],"#,
            r#"[null,"-Infinity","é",12.00,"1969-12-31","1969-12-31T23:59:59.999999Z"]]"#,
        )
    );
    assert_eq!(
        (encoded.row_count, encoded.byte_count),
        (3, text.len() as u64)
    );
}

#[test]
fn arrow_reads_back_with_portable_types() {
    let batch = batch();
    let mut encoder = Encoder::new(RowFormat::ArrowStream, &batch.schema(), 1 << 20).unwrap();
    encoder.push(&batch).unwrap();
    let bytes = encoder.finish().unwrap().chunks.concat();
    let read: Vec<RecordBatch> = StreamReader::try_new(bytes.as_slice(), None)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].num_rows(), 3);
    assert_eq!(read[0].column(2).data_type(), &DataType::Utf8);
}

#[test]
fn results_are_bounded() {
    let batch = batch();
    for format in [RowFormat::Json, RowFormat::ArrowStream] {
        let mut encoder = Encoder::new(format, &batch.schema(), 100).unwrap();
        let failed = encoder
            .push(&batch)
            .and_then(|()| encoder.finish().map(drop));
        assert_eq!(failed.unwrap_err().kind, FaultKind::TooLarge);
    }
}
