//! Golden vectors of the masks that keep a part, move a value or draw a pseudonym. Those of keyed
//! masks were computed by another implementation.

use datafusion::arrow::array::{Date32Array, Decimal128Array, Float64Array, Int16Array};
use dataos_model::secret::Secret;
use regex::Regex;

use super::{
    key::MaskKeys,
    permute, random,
    tests::{check, instants, keys, longs, texts},
    *,
};

#[test]
fn tokens_are_keyed_and_short() {
    let people = || texts(&[Some("alice@example.com"), Some(""), Some("ärger"), None]);
    check(
        "token()",
        "text",
        people(),
        &[
            "k4rcgzii5p3orx2y",
            "7enpt54r36hqg7be",
            "5a2nalnwuj4ytefk",
            "NULL",
        ],
    );
    check(
        "token(length = 51)",
        "text",
        texts(&[Some("alice@example.com")]),
        &["k4rcgzii5p3orx2yyzn74ldvfofhtxhj4xojhgsu4zjuk7xtc7a"],
    );
}

#[test]
fn formats_are_preserved() {
    let long = "0".repeat(72);
    check(
        "format_preserving()",
        "text",
        texts(&[
            Some("4111-1111-1111-1111"),
            Some("+49 30 123456"),
            Some("123456"),
            Some("12345"),
            Some(""),
            Some(&long),
            Some(&"0".repeat(73)),
            None,
        ]),
        &[
            "0785-8959-4782-0402",
            "+01 06 148527",
            "462128",
            "NULL",
            "NULL",
            "200755776307526255818293209056034264825919348128039442132175134156799672",
            "NULL",
            "NULL",
        ],
    );
}

#[test]
fn permuted_digits_stay_apart() {
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..2_000 {
        let shown = permute::permuted(&format!("{number:06}"), &keys()).unwrap();
        assert_eq!(shown.len(), 6);
        assert!(seen.insert(shown), "{number}");
    }
}

#[test]
fn drawn_texts_fit_their_pattern() {
    check(
        "rand_pattern(pattern = '##-###')",
        "text",
        texts(&[Some("a"), Some("b"), Some(""), Some("a"), None]),
        &["57-328", "42-113", "59-621", "57-328", "NULL"],
    );
    let other = MaskKeys::new(Arc::new(Secret::new(*b"key of the test")), b"statement 2");
    let drawn = other.draw_once("rand_pattern", b"a");
    assert_eq!(random::digits("##-###", drawn), "48-860");
    for pattern in [
        "[A-Z]{3}-[0-9]{2,4}(x|yy)?",
        "^a+$",
        "(?i)abc",
        "\\d{3}.",
        "[^a]*",
        "é|ß",
    ] {
        let read = random::read(pattern).unwrap();
        let whole = Regex::new(&format!("^(?:{pattern})$")).unwrap();
        for value in 0..50_u8 {
            let draw = || random::matching(&read, keys().draw_once("rand_regexify", &[value]));
            assert!(whole.is_match(&draw()), "{pattern}: {}", draw());
            assert_eq!(draw(), draw());
        }
    }
    let endless = random::read("(((a{99}){99}){99}){9}").unwrap();
    let drawn = keys().draw_once("rand_regexify", b"");
    assert_eq!(random::matching(&endless, drawn).len(), 256);
}

#[test]
fn noise_is_bounded_and_stable() {
    check(
        "noise(amount = 5)",
        "bigint",
        longs(&[
            Some(100),
            Some(100),
            Some(-7),
            Some(0),
            Some(i64::MAX),
            Some(i64::MIN),
            None,
        ]),
        &["99", "99", "-12", "3", "NULL", "NULL", "NULL"],
    );
    let price = Decimal128Array::from(vec![1_000]);
    let price = price.with_precision_and_scale(10, 2).unwrap();
    check(
        "noise(amount = 1.5)",
        "decimal(10,2)",
        Arc::new(price),
        &["9.52"],
    );
    check(
        "noise(amount = 2.5)",
        "double",
        Arc::new(Float64Array::from(vec![1.5, -0.0, 0.0, f64::NAN])),
        &[
            "-0.5607657695844628",
            "0.7302573464667633",
            "0.7302573464667633",
            "NULL",
        ],
    );
}

#[test]
fn numbers_round_clamp_and_truncate() {
    check(
        "round(to = 1000)",
        "bigint",
        longs(&[Some(1_999), Some(0), Some(-1), Some(i64::MIN), None]),
        &["1000", "0", "-1000", "NULL", "NULL"],
    );
    let small = || Arc::new(Int16Array::from(vec![149, -32_768]));
    check("round(to = 50)", "smallint", small(), &["100", "NULL"]);
    check(
        "clamp(low = 0, high = 100)",
        "smallint",
        small(),
        &["100", "0"],
    );
    let prices = || {
        let prices = Decimal128Array::from(vec![12_345, -12_345]);
        Arc::new(prices.with_precision_and_scale(10, 3).unwrap())
    };
    check(
        "round(to = 0.5)",
        "decimal(10,3)",
        prices(),
        &["12.000", "-12.500"],
    );
    check(
        "truncate(digits = 1)",
        "decimal(10,3)",
        prices(),
        &["12.300", "-12.300"],
    );
    check(
        "truncate(digits = 9)",
        "decimal(10,3)",
        prices(),
        &["12.345", "-12.345"],
    );
    check(
        "clamp(low = -1.5, high = 1.25)",
        "decimal(10,3)",
        prices(),
        &["1.250", "-1.500"],
    );
    let places = || Arc::new(Float64Array::from(vec![52.5163, -13.3777, f64::NAN]));
    check(
        "truncate(digits = 1)",
        "double",
        places(),
        &["52.5", "-13.3", "NULL"],
    );
    check(
        "round(to = 10)",
        "double",
        places(),
        &["50.0", "-20.0", "NULL"],
    );
    check(
        "clamp(low = 0, high = 50)",
        "double",
        places(),
        &["50.0", "0.0", "NULL"],
    );
}

#[test]
fn dates_shift_by_their_key() {
    let dates = Date32Array::from(vec![Some(19_782), Some(-1), None]);
    check(
        "shift_date(days = 30)",
        "date",
        Arc::new(dates),
        &["2024-03-30", "1970-01-04", "NULL"],
    );
    check(
        "shift_date(days = 30)",
        "timestamptz",
        instants(&[1_709_251_199_500_000]),
        &["2024-03-07T23:59:59.500Z"],
    );
}

#[test]
fn parts_of_texts() {
    for (mask, cases) in [
        (
            "email_domain()",
            vec![
                ("ada@example.com", "*@example.com"),
                ("a@b@c.de", "*@c.de"),
                ("@x", "NULL"),
                ("ada@", "NULL"),
                ("", "NULL"),
            ],
        ),
        (
            "truncate_ip()",
            vec![
                ("192.168.17.9", "192.168.17.0"),
                ("::ffff:192.168.17.9", "192.168.17.0"),
                ("2001:db8:1:2::3", "2001:db8:1::"),
                ("300.1.1.1", "NULL"),
                ("", "NULL"),
            ],
        ),
        (
            "truncate_ip(v4 = 0, v6 = 128)",
            vec![("10.1.2.3", "0.0.0.0"), ("::1", "::1")],
        ),
        (
            "truncate_ip(v4 = 32, v6 = 0)",
            vec![("10.1.2.3", "10.1.2.3"), ("::1", "::")],
        ),
        (
            "url_host()",
            vec![
                (
                    "https://ada:pw@Example.com:8443/a?b#c",
                    "https://example.com",
                ),
                ("http://[::1]:80/x", "http://[::1]"),
                ("https://good.org\\@evil.org", "https://good.org"),
                ("no url", "NULL"),
                ("://x", "NULL"),
                ("https:///x", "NULL"),
            ],
        ),
        (
            "shorten(length = 2)",
            vec![("ärger", "är"), ("a", "a"), ("", "")],
        ),
        ("shorten(length = 0)", vec![("ärger", "")]),
        (
            "initials()",
            vec![("Ada  King Lovelace", "A. K. L."), ("", ""), ("élan", "é.")],
        ),
        ("shape()", vec![("Ada-12 ß٣", "Xxx-99 x9"), ("", "")]),
    ] {
        for (raw, expected) in cases {
            check(mask, "text", texts(&[Some(raw), None]), &[expected, "NULL"]);
        }
    }
}

#[test]
fn parts_of_json() {
    let json = r#"{"a": {"b": 1, "c": [2]}, "d": [{"b": 3}, {"e": 4}], "f": "x"}"#;
    for (mask, expected) in [
        (
            "json_redact(paths = ['a.b', 'd.b', 'nope.x'])",
            r#"{"a":{"b":null,"c":[2]},"d":[{"b":null},{"e":4}],"f":"x"}"#,
        ),
        (
            "json_keep(paths = ['d.e', 'f'])",
            r#"{"d":[{},{"e":4}],"f":"x"}"#,
        ),
        (
            "json_keep(paths = ['a', 'a.b'])",
            r#"{"a":{"b":1,"c":[2]}}"#,
        ),
        ("json_keep(paths = ['f.x'])", r#"{"f":null}"#),
    ] {
        check(
            mask,
            "json",
            texts(&[Some(json), Some("no json"), None]),
            &[expected, "NULL", "NULL"],
        );
    }
}
