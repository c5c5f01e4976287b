use super::*;

fn check(text: &str, expected: &str) {
    let shown = match parse(text) {
        Ok(documents) => documents
            .iter()
            .map(|node| node.json().to_string())
            .collect::<Vec<_>>()
            .join(" | "),
        Err(fault) => fault.to_string(),
    };
    assert_eq!(shown, expected, "{text}");
}

#[test]
fn core_schema() {
    check(
        "a: 1\nb: [x, 'y', true, ~, 1.5, 007]",
        r#"{"a":1,"b":["x","y",true,null,1.5,7]}"#,
    );
    check(
        "a: yes\nb: '1'\nc: 1e3\nd: 1.2.3",
        r#"{"a":"yes","b":"1","c":"1e3","d":"1.2.3"}"#,
    );
    check("a: |\n  one\n  two\n", r#"{"a":"one\ntwo\n"}"#);
    check("a: &x {b: 1}\nc: *x", r#"{"a":{"b":1},"c":{"b":1}}"#);
    check("a: 1\n---\n---\nb: 2\n", r#"{"a":1} | {"b":2}"#);
    check("", "");
}

#[test]
fn refused_with_place() {
    check(
        "a: 1\nb: 2\na: 3",
        "3:1: field `a`: the key `a` is given twice, first in line 1",
    );
    check(
        "a: *x",
        "1:4: not YAML: while parsing node, found unknown anchor",
    );
    check("a: !env X", "1:9: the YAML tag `!env` is not supported");
    check(
        "<<: 1",
        "1:1: merge keys (`<<`) are not part of YAML 1.2; write the fields out",
    );
    check("[a]: 1", "1:1: a key must be a plain word");
}

#[test]
fn bounds_hold() {
    let deep = "[".repeat(100) + &"]".repeat(100);
    assert!(
        parse(&deep)
            .unwrap_err()
            .message
            .contains("nested deeper than 64")
    );
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let line = format!("*a{}, ", level - 1).repeat(10);
        laughs.push_str(&format!("a{level}: &a{level} [{line}]\n"));
    }
    assert!(
        parse(&laughs)
            .unwrap_err()
            .message
            .contains("aliases expanded")
    );
    let long = "a".repeat(STREAM_BYTES_MAX + 1);
    assert_eq!(parse(&long).unwrap_err().kind, FaultKind::TooLarge);
}

#[test]
fn print_is_the_inverse() {
    let text =
        "a: 'yes'\nb: ['1', 1, true, null, 'x: y', \"l1\\nl2\", '#x', '']\nc: {d: {e: []}}\n";
    let json = parse(text).unwrap().remove(0).json();
    let printed = print(&json).unwrap();
    assert_eq!(parse(&printed).unwrap().remove(0).json(), json, "{printed}");
}
