//! Golden vectors of every mask. Hashes were computed by another implementation of HMAC.

use datafusion::{
    arrow::{
        array::{
            BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
            Float64Array, Int64Array, ListBuilder, StringViewArray, StringViewBuilder,
            TimestampMicrosecondArray,
        },
        datatypes::Field,
        util::display::{ArrayFormatter, FormatOptions},
    },
    physical_expr::expressions::Column,
};

use dataos_model::secret::Secret;

use super::*;

pub(super) fn keys() -> MaskKeys {
    MaskKeys::new(Arc::new(Secret::new(*b"key of the test")), b"statement 1")
}

fn shown(mask: &str, column_type: &str, input: ArrayRef) -> Vec<Option<String>> {
    let column_type: ColumnType = column_type.parse().unwrap();
    let mask = Mask::parse(mask).unwrap();
    assert!(mask.fits(&column_type), "{mask} on {column_type}");
    let keys = keys();
    let raw: Arc<dyn PhysicalExpr> = Arc::new(Column::new("c", 0));
    let expression = MaskExpr::new(raw, &column_type, &mask, Some(&keys)).unwrap();
    assert_eq!(
        *input.data_type(),
        arrow_type(&column_type),
        "the input of the test"
    );
    let schema = Arc::new(Schema::new(vec![Field::new(
        "c",
        input.data_type().clone(),
        true,
    )]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![input]).unwrap();
    let output = expression
        .evaluate(&batch)
        .unwrap()
        .into_array(batch.num_rows())
        .unwrap();
    assert_eq!(
        *output.data_type(),
        arrow_type(&mask.result_type(&column_type)),
        "{mask}"
    );
    assert_eq!(
        *output.data_type(),
        expression.data_type(&schema).unwrap(),
        "{mask}"
    );
    let formatter = ArrayFormatter::try_new(&output, &FormatOptions::default()).unwrap();
    (0..output.len())
        .map(|index| {
            output
                .is_valid(index)
                .then(|| formatter.value(index).to_string())
        })
        .collect()
}

pub(super) fn check(mask: &str, column_type: &str, input: ArrayRef, expected: &[&str]) {
    let expected: Vec<Option<String>> = expected
        .iter()
        .map(|text| (*text != "NULL").then(|| (*text).to_owned()))
        .collect();
    assert_eq!(
        shown(mask, column_type, input),
        expected,
        "{mask} on {column_type}"
    );
}

pub(super) fn texts(items: &[Option<&str>]) -> ArrayRef {
    Arc::new(items.iter().copied().collect::<StringViewArray>())
}

pub(super) fn longs(items: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(items.to_vec()))
}

pub(super) fn instants(items: &[i64]) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(items.to_vec()).with_timezone("UTC"))
}

#[test]
fn null_and_pass_through() {
    check(
        "null()",
        "text",
        texts(&[Some("a"), None]),
        &["NULL", "NULL"],
    );
    check("null()", "bigint", longs(&[Some(1)]), &["NULL"]);
    check(
        "pass_through()",
        "bigint",
        longs(&[Some(1), None]),
        &["1", "NULL"],
    );
}

#[test]
fn redact_replaces_null_and_keeps_the_type() {
    check(
        "redact()",
        "text",
        texts(&[Some("a"), None]),
        &["[redacted]", "[redacted]"],
    );
    check(
        "redact(replacement = '0')",
        "bigint",
        longs(&[Some(7), None]),
        &["0", "0"],
    );
    check(
        "redact()",
        "bigint",
        longs(&[Some(7), None]),
        &["NULL", "NULL"],
    );
    let dates = || Arc::new(Date32Array::from(vec![Some(1), None])) as ArrayRef;
    check(
        "redact(replacement = '1900-01-01')",
        "date",
        dates(),
        &["1900-01-01", "1900-01-01"],
    );
    check(
        "redact(replacement = 'never')",
        "date",
        dates(),
        &["NULL", "NULL"],
    );
}

#[test]
fn constant_must_fit() {
    check(
        "constant(value = 'x')",
        "text",
        texts(&[Some("a"), None]),
        &["x", "x"],
    );
    check(
        "constant(value = 0)",
        "bigint",
        longs(&[Some(7), None]),
        &["0", "0"],
    );
    let prices = Decimal128Array::from(vec![5])
        .with_precision_and_scale(10, 2)
        .unwrap();
    check(
        "constant(value = 1.5)",
        "decimal(10,2)",
        Arc::new(prices),
        &["1.50"],
    );
    for (mask, column_type) in [
        ("constant(value = 'x')", "bigint"),
        ("constant(value = 1.5)", "bigint"),
        ("constant(value = 1)", "text"),
        ("constant(value = 40000)", "smallint"),
        ("constant(value = 'x')", "boolean"),
    ] {
        let input: Arc<dyn PhysicalExpr> = Arc::new(Column::new("c", 0));
        let column_type: ColumnType = column_type.parse().unwrap();
        let refused = MaskExpr::new(input, &column_type, &Mask::parse(mask).unwrap(), None);
        assert_eq!(refused.unwrap_err().reason, "mask_not_typed", "{mask}");
    }
}

#[test]
fn hash_is_keyed_and_canonical() {
    let minus_42 = "c78b1a2f1ad944375adec8349e8c3bc9b8afb4771582fe98d9d9295ee772708f";
    let prices = Decimal128Array::from(vec![-4200])
        .with_precision_and_scale(10, 2)
        .unwrap();
    let mut lists = ListBuilder::new(StringViewBuilder::new());
    lists.values().append_value("a");
    lists.values().append_value("b");
    lists.append(true);
    let vectors: Vec<(&str, ArrayRef, &str)> = vec![
        (
            "text",
            texts(&[Some("alice@example.com")]),
            "78ad136d356c8d9d8dd61fe7cd01f56d54a7b208e78f473e3709c4687fae8f26",
        ),
        (
            "text",
            texts(&[Some("")]),
            "fb65b4cc83c22e66a41ddd51907a2db537c6d6b1d756de795cbb75b34ce09066",
        ),
        ("text", texts(&[None]), "NULL"),
        ("bigint", longs(&[Some(-42)]), minus_42),
        ("bigint", longs(&[None]), "NULL"),
        ("decimal(10,2)", Arc::new(prices), minus_42),
        (
            "boolean",
            Arc::new(BooleanArray::from(vec![true])),
            "751be8cbeb029fec8bb8aca5deae43e997b220263049df6601085eeb5960be3f",
        ),
        (
            "double",
            Arc::new(Float64Array::from(vec![-0.0])),
            "1c79548525d87645e11d7c074182de403bb9a82d13b86d672b4bc0a7576d0ca4",
        ),
        (
            "double",
            Arc::new(Float64Array::from(vec![0.1])),
            "72dae4e18bb4e467e24bd71888ce3af5c73a9a68e9c7096d1a1295b3b7332fa8",
        ),
        (
            "date",
            Arc::new(Date32Array::from(vec![11_016])),
            "d8c70022c87eaffb9140fefd91a67ca09d36923b02c63218518976bcf802eafb",
        ),
        (
            "timestamptz",
            instants(&[1_500_000]),
            "f3e6c95ecc329c1bcbe0cfc1f7d238c7882b2890dab130e573742cd7be6fc338",
        ),
        (
            "binary",
            Arc::new(BinaryViewArray::from(vec![&[0_u8, 255][..]])),
            "99aff1e874c29dca99603533a697bef816192afa36efa2e1fe6884d69d7116c7",
        ),
        (
            "json",
            texts(&[Some(r#"{ "b": 1.0, "a": [ ] }"#)]),
            "afb0fa9beac532d16d45b5936fc7e6e1b7d6414e8e15b240ce367fde403f3f14",
        ),
        (
            "text[]",
            Arc::new(lists.finish()),
            "7448678fd50ec6f67adbd78722b1a39650d7a16003cdbed9ced85b05bc4073d5",
        ),
    ];
    for (column_type, input, expected) in vectors {
        check("hash()", column_type, input, &[expected]);
    }
}

#[test]
fn regex_replaces_all_matches() {
    check(
        "regex_replace(pattern = '^.*@', replacement = '***@')",
        "text",
        texts(&[Some("a@b"), Some("none"), None]),
        &["***@b", "none", "NULL"],
    );
    check(
        "regex_replace(pattern = '([0-9])[0-9]', replacement = '${1}x')",
        "text",
        texts(&[Some("12-34")]),
        &["1x-3x"],
    );
}

#[test]
fn partial_counts_characters() {
    check(
        "partial(first = 2, last = 1)",
        "text",
        texts(&[Some("ärger"), Some("abc"), Some("ab"), Some(""), None]),
        &["är**r", "***", "**", "", "NULL"],
    );
    check(
        "partial(last = 4, fill = '#')",
        "text",
        texts(&[Some("12345678")]),
        &["####5678"],
    );
    check("partial()", "text", texts(&[Some("ab")]), &["**"]);
}

#[test]
fn bucket_number_takes_the_lower_bound() {
    let values = [Some(5), Some(10), Some(19), Some(20), None];
    check(
        "bucket_number(buckets = [10, 20])",
        "bigint",
        longs(&values),
        &["NULL", "10", "10", "20", "NULL"],
    );
    check(
        "bucket_number(buckets = [10.5, -0.5])",
        "bigint",
        longs(&[Some(-1), Some(10), Some(11)]),
        &["-1", "10", "10"],
    );
    check(
        "bucket_number(buckets = [10, 20])",
        "double",
        Arc::new(Float64Array::from(vec![f64::NAN, 19.9, f64::INFINITY])),
        &["NULL", "10.0", "20.0"],
    );
    check(
        "bucket_number(buckets = [0.1])",
        "real",
        Arc::new(Float32Array::from(vec![0.1, 0.0])),
        &["0.099999994", "NULL"],
    );
    let prices = Decimal128Array::from(vec![99, 150])
        .with_precision_and_scale(10, 2)
        .unwrap();
    check(
        "bucket_number(buckets = [1])",
        "decimal(10,2)",
        Arc::new(prices),
        &["NULL", "1.00"],
    );
}

#[test]
fn bucket_date_truncates_in_utc() {
    // 2024-02-29T23:59:59.5Z was a Thursday.
    let instant = 1_709_251_199_500_000;
    let dates = || Arc::new(Date32Array::from(vec![Some(19_782), Some(-1), None])) as ArrayRef;
    for (precision, of_instant, of_dates) in [
        ("hour", "2024-02-29T23:00:00Z", ["2024-02-29", "1969-12-31"]),
        ("day", "2024-02-29T00:00:00Z", ["2024-02-29", "1969-12-31"]),
        ("week", "2024-02-26T00:00:00Z", ["2024-02-26", "1969-12-29"]),
        (
            "month",
            "2024-02-01T00:00:00Z",
            ["2024-02-01", "1969-12-01"],
        ),
        ("year", "2024-01-01T00:00:00Z", ["2024-01-01", "1969-01-01"]),
    ] {
        let mask = format!("bucket_date(precision = '{precision}')");
        check(&mask, "timestamptz", instants(&[instant]), &[of_instant]);
        let [first, second] = of_dates;
        check(&mask, "date", dates(), &[first, second, "NULL"]);
    }
}
