//! The reference of the API as a page, made from the route table and nothing else.

use std::{fmt::Write as _, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dataos_model::hash::Hash;

use super::{Hold, ROUTES, Route};

const STYLE: &str = "\
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}\
body{max-width:60rem;margin:2rem auto;padding:0 1rem}\
h2{margin-top:2.5rem}\
article{border-top:1px solid color-mix(in srgb,currentColor 20%,transparent);padding:.75rem 0}\
h3{margin:0;font:600 1rem/1.5 ui-monospace,monospace;overflow-wrap:anywhere}\
p{margin:.25rem 0}\
dl{display:grid;grid-template-columns:8rem 1fr;gap:0 1rem;margin:.25rem 0;font-size:.875rem}\
dt{opacity:.75}\
dd{margin:0}";

/// The policy under which the page works: no script, nothing from elsewhere, its own style alone.
pub(crate) static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = STANDARD.encode(Hash::of(STYLE).0);
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
});

/// The page.
pub(crate) fn page() -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>DataOS API</title>\
         <style>{STYLE}</style></head><body><h1>DataOS API</h1>\
         <p>Version {}. The same as <a href=\"/api/v1/openapi.json\">OpenAPI 3.1</a>. Every governed answer \
         carries <code>DataOS-Request-Id</code> and <code>DataOS-Receipt</code>; every error is \
         <code>application/problem+json</code>.</p>",
        env!("CARGO_PKG_VERSION")
    );
    let mut last = "";
    for route in ROUTES.iter().filter(|route| !route.is_rpc()) {
        let group = group(route.pattern);
        if group != last {
            add(&mut page, format_args!("<h2>{}</h2>", escaped(group)));
            last = group;
        }
        article(&mut page, route);
    }
    page.push_str("</body></html>\n");
    page
}

fn article(page: &mut String, route: &Route) {
    add(
        page,
        format_args!(
            "<article><h3>{} {}</h3><p>{}</p><dl>",
            route.verb.name(),
            escaped(route.pattern),
            escaped(route.summary)
        ),
    );
    let mut row = |name: &str, value: &str| {
        add(
            page,
            format_args!("<dt>{name}</dt><dd>{}</dd>", escaped(value)),
        );
    };
    match route.governed {
        Some((action, _)) => row("permitted by", action.name()),
        None => row("permitted by", "not governed"),
    }
    if route.hold == Hold::Open {
        row("recorded", "no");
    }
    if let Some(content_type) = route.takes {
        row("takes", content_type);
    }
    if !route.query.is_empty() {
        row("parameters", &route.query.join(", "));
    }
    page.push_str("</dl></article>");
}

/// What routes are listed under: of the API the segment behind the version, the log, else the platform.
fn group(pattern: &str) -> &str {
    let mut segments = pattern.trim_start_matches('/').split('/');
    match segments.next() {
        Some("api") => segments.nth(1).unwrap_or("api"),
        Some("log") => "log",
        Some("login") => "login",
        Some("access" | "heimdall") => "access",
        _ => "platform",
    }
}

fn add(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = page.write_fmt(text);
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}
