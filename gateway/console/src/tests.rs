//! Holds with the built console and with the placeholder alike.

use super::*;

#[test]
fn paths_are_sorted_and_unique() {
    assert!(ENTRIES.is_sorted_by(|a, b| a.path < b.path));
}

#[test]
fn every_file_inflates_to_something() {
    for entry in ENTRIES {
        let plain = inflate(&entry.asset).unwrap_or_else(|error| panic!("{}: {error}", entry.path));
        assert!(
            plain.len() >= entry.asset.bytes.len().min(1),
            "{} is empty",
            entry.path
        );
        assert!(entry.asset.etag.starts_with('"') && entry.asset.etag.ends_with('"'));
    }
}

#[test]
fn the_page_is_html_and_revalidated() {
    let page = asset(INDEX).unwrap();
    assert_eq!(page.content_type, "text/html; charset=utf-8");
    assert_eq!(page.cache_control(), CACHE_REVALIDATE);
    let text = String::from_utf8(inflate(&page).unwrap()).unwrap();
    assert!(text.contains("<title>"), "{text}");
    assert!(
        !text.contains(" style=") && !text.contains("<style"),
        "inline style breaks the CSP"
    );
    assert!(!text.contains("<script>"), "inline script breaks the CSP");
    assert!(!text.contains("://"), "the page names another host");
}

#[test]
fn every_file_the_page_names_exists() {
    let text = String::from_utf8(inflate(&asset(INDEX).unwrap()).unwrap()).unwrap();
    let named: Vec<&str> = text
        .split('"')
        .filter_map(|part| part.strip_prefix("/console/"))
        .filter(|path| !is_route(path))
        .collect();
    assert_eq!(named.is_empty(), is_placeholder());
    for path in named {
        assert!(asset(path).is_some(), "{path}");
    }
}

#[test]
fn hashed_names_alone_are_immutable() {
    for entry in ENTRIES {
        assert_eq!(
            entry.asset.is_immutable,
            entry.path.starts_with("assets/"),
            "{}",
            entry.path
        );
    }
}

#[test]
fn routes_and_files() {
    let check = |path: &str, is_page: bool| {
        assert_eq!(is_route(path), is_page, "{path}");
        assert_eq!(
            resolve(path),
            if is_page { asset(INDEX) } else { asset(path) },
            "{path}"
        );
    };
    check("", true);
    check("audit", true);
    check("audit/17", true);
    check("v1.2/audit", true);
    check(INDEX, false);
    check("assets/gone-00000000.js", false);
    check("favicon.ico", false);
    check("../../etc/passwd.txt", false);
}

#[test]
fn damaged_bytes_are_an_error() {
    let damaged = Asset {
        bytes: &[0xff, 0xfe, 0xfd, 0xfc],
        encoding: Some("br"),
        content_type: "text/plain",
        etag: "\"\"",
        is_immutable: false,
    };
    assert!(inflate(&damaged).is_err());
}
