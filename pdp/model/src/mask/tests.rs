//! Masks as annotations.

use super::*;

#[test]
fn every_mask_prints_and_parses_back() {
    for text in [
        "null()",
        "redact(replacement = '[redacted]')",
        "constant(value = 0)",
        "hash()",
        "regex_replace(pattern = '^.*@', replacement = '***@')",
        "partial(fill = '*', first = 2, last = 0)",
        "bucket_number(buckets = [0, 10.5, 100])",
        "bucket_date(precision = 'month')",
        "pass_through()",
        "rand_pattern(pattern = '+## ###-####')",
        "rand_regexify(pattern = '[A-Z]{3}[0-9]+')",
        "token(length = 16)",
        "format_preserving()",
        "noise(amount = 2.5)",
        "round(to = 1000)",
        "clamp(high = 100, low = -1.5)",
        "truncate(digits = 1)",
        "shift_date(days = 30)",
        "email_domain()",
        "truncate_ip(v4 = 24, v6 = 48)",
        "url_host()",
        "shorten(length = 3)",
        "initials()",
        "shape()",
        "json_redact(paths = ['a.b', 'c'])",
        "json_keep(paths = ['a'])",
    ] {
        assert_eq!(Mask::parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn wrong_parameters_are_refused() {
    for (text, expected) in [
        ("rot13()", "unknown mask `rot13`"),
        ("null(x = 1)", "mask `null`: unknown parameter `x`"),
        ("hash(algo = 'md5')", "algo `md5` is not offered"),
        ("bucket_number(buckets = [])", "must hold 1 to 1000 bounds"),
        (
            "bucket_date(precision = 'minute')",
            "precision is hour, day",
        ),
        ("partial(first = -1)", "must be 0 or more"),
        ("token(length = 52)", "a whole number of 8 to 51"),
        ("token(length = 1.5)", "a whole number of 8 to 51"),
        ("noise(amount = 0)", "a number above 0"),
        ("noise()", "`amount` is missing"),
        ("round(to = 'x')", "a number above 0"),
        ("clamp(low = 2, high = 1)", "in this order"),
        ("truncate_ip(v4 = 33)", "a whole number of 0 to 32"),
        ("rand_pattern(pattern = '')", "1 to 256 characters"),
        ("json_keep(paths = ['a..b'])", "names with points"),
        ("json_keep(paths = 'a')", "must be a list"),
    ] {
        let shown = Mask::parse(text).unwrap_err().to_string();
        assert!(shown.contains(expected), "{text}: {shown}");
    }
}

#[test]
fn buckets_are_sorted_and_distinct() {
    let mask = Mask::parse("bucket_number(buckets = [20, 10, 20])").unwrap();
    assert_eq!(mask.to_string(), "bucket_number(buckets = [10, 20])");
}
