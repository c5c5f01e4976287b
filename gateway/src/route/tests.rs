use std::collections::BTreeSet;

use super::{Found, Hold, ROUTES, find, openapi, reference};
use crate::limits::{CanonicalPath, Verb};

fn found(verb: Verb, path: &str) -> Found {
    find(verb, CanonicalPath::parse(path).unwrap().segments())
}

#[test]
fn what_is_not_governed_is_a_fixed_list() {
    let open: Vec<&str> = ROUTES
        .iter()
        .filter(|r| r.hold == Hold::Open)
        .map(|r| r.pattern)
        .collect();
    assert_eq!(
        open,
        [
            "/healthz",
            "/startupz",
            "/readyz",
            "/",
            "/console",
            "/console/{path...}",
            "/log/checkpoint",
            "/log/tile/{path...}",
            "/log/key",
            "/api/v1/openapi.json",
            "/api/v1/reference",
            "/api/v1/login/providers",
            "/.well-known/authzen-configuration",
            "/.well-known/jwks.json"
        ]
    );
    for route in ROUTES {
        let is_governed = matches!(
            route.hold,
            Hold::Read | Hold::Ask | Hold::Change | Hold::Statement
        );
        assert_eq!(route.governed.is_some(), is_governed, "{}", route.pattern);
    }
    let entrances: Vec<(&str, &str)> = ROUTES
        .iter()
        .filter(|route| matches!(route.hold, Hold::Entrance(_)))
        .map(|route| (route.verb.name(), route.pattern))
        .collect();
    assert_eq!(
        entrances,
        [
            ("POST", "/api/v1/session"),
            ("GET", "/login/{provider}"),
            ("GET", "/login/{provider}/callback"),
            ("GET", "/login/{provider}/logout"),
            ("GET", "/login/{provider}/ended"),
            ("POST", "/login/{provider}/backchannel-logout"),
        ]
    );
}

#[test]
fn every_unsafe_method_waits_for_its_record() {
    // Questions with a body change nothing: their own records are durable before they are answered.
    let questions: Vec<&str> = ROUTES
        .iter()
        .filter(|route| route.verb == Verb::Post && route.hold == Hold::Ask)
        .map(|route| route.pattern)
        .collect();
    let expected = [
        "/access/v1/evaluation",
        "/access/v1/evaluations",
        "/access/v1/search/subject",
        "/access/v1/search/resource",
        "/access/v1/search/action",
        "/dataos.heimdall.v1.Decisions/Decide",
        "/dataos.heimdall.v1.Decisions/DecideAll",
        "/heimdall/api/v1/authorize",
    ];
    assert_eq!(questions, expected);
    for route in ROUTES {
        let is_question = expected.contains(&route.pattern);
        if is_question {
            continue;
        }
        // Browsers come and go by links; who is let in waits for its record.
        if matches!(route.hold, Hold::Entrance(_)) {
            continue;
        }
        let is_safe = route.verb == Verb::Get;
        assert_eq!(
            is_safe,
            matches!(route.hold, Hold::Open | Hold::Read | Hold::Ask),
            "{}",
            route.pattern
        );
        assert!(!(is_safe && route.takes.is_some()), "{}", route.pattern);
    }
}

#[test]
fn actions_fit_the_resources_they_are_decided_on() {
    use crate::decide::Subject;
    use dataos_model::entity::EntityType;
    for (route, (action, subject)) in ROUTES
        .iter()
        .filter_map(|route| route.governed.map(|governed| (route, governed)))
    {
        let entity_type = match subject {
            Subject::ApiPath => EntityType::API_PATH,
            Subject::Workspace => EntityType::WORKSPACE,
            Subject::PolicySet => EntityType::POLICY_SET,
            Subject::AuditLog => EntityType::AUDIT_LOG,
            Subject::Depot => EntityType::DEPOT,
            Subject::Dataset => EntityType::DATASET,
            Subject::Resource => EntityType::RESOURCE,
        };
        assert!(
            action.resource_types().contains(&entity_type),
            "{}",
            route.pattern
        );
    }
}

#[test]
fn the_table_the_openapi_document_and_the_api_page_agree() {
    let page = include_str!("../../../docs/api.md");
    let document = openapi::document();
    let paths = document["paths"].as_object().unwrap();
    let mut seen = BTreeSet::new();
    for route in ROUTES {
        assert!(
            seen.insert((route.verb.name(), route.pattern)),
            "{} twice",
            route.pattern
        );
        let path = route.pattern.replace("...}", "}");
        let method = route.verb.name().to_ascii_lowercase();
        // The page writes datasets as {id}, lists open paths together, and omits redirects.
        let written = route
            .pattern
            .replace("{depot}/{collection}/{name}", "{id}")
            .replace("{path...}", "...");
        if !matches!(route.pattern, "/" | "/console") {
            assert!(page.contains(&written), "docs/api.md lacks {written}");
        }
        if route.is_rpc() {
            // The .proto is its document.
            assert!(!paths.contains_key(&path), "{path}");
            continue;
        }
        let operation = &paths[&path][&method];
        let action = route.governed.map(|(action, _)| action.name());
        assert_eq!(operation["x-dataos-action"].as_str(), action, "{path}");
        assert_eq!(
            operation["requestBody"].is_object(),
            route.takes.is_some(),
            "{path}"
        );
    }
    let operations: usize = paths
        .values()
        .map(|path| path.as_object().unwrap().len())
        .sum();
    let described = ROUTES.iter().filter(|route| !route.is_rpc()).count();
    assert_eq!(operations, described);
    // And back: every route of the page is in the table.
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let Some((method, rest)) = line.trim_start_matches("| `").split_once(' ') else {
            continue;
        };
        let path = rest.split(['`', '?']).next().unwrap();
        let path = path.replace("datasets/{id}", "datasets/{depot}/{collection}/{name}");
        let known = ROUTES.iter().any(|route| {
            route.verb.name() == method && route.pattern.replace("{path...}", "...") == path
        });
        assert!(known, "the table lacks {method} {path}");
    }
}

#[test]
fn the_committed_openapi_document_is_the_present_one() {
    let committed = include_str!("../../../docs/openapi.json");
    assert!(
        committed.trim_end() == openapi::text(),
        "docs/openapi.json is old; run `cargo run -- openapi > docs/openapi.json`"
    );
}

#[test]
fn the_page_of_the_api_has_every_route() {
    let page = reference::page();
    for route in ROUTES.iter().filter(|route| !route.is_rpc()) {
        let title = format!("<h3>{} {}</h3>", route.verb.name(), route.pattern);
        assert_eq!(page.matches(&title).count(), 1, "{title}");
    }
    assert!(!page.contains("<script"));
}

#[test]
fn paths_are_found_by_whole_segments() {
    for (verb, path, expected) in [
        (Verb::Get, "/healthz", "/healthz"),
        (Verb::Get, "/console/", "/console/{path...}"),
        (Verb::Get, "/console/assets/a.js", "/console/{path...}"),
        (Verb::Get, "/log/tile/0/x001/067", "/log/tile/{path...}"),
        (
            Verb::Post,
            "/api/v1/resources/plan",
            "/api/v1/resources/plan",
        ),
        (
            Verb::Get,
            "/api/v1/resources/depot:v1:x",
            "/api/v1/resources/{rid}",
        ),
        (Verb::Put, "/api/v1/users/alice", "/api/v1/users/{user}"),
    ] {
        match found(verb, path) {
            Found::Route(route, _) => assert_eq!(route.pattern, expected),
            other => panic!("{path}: {other:?}"),
        }
    }
    for path in [
        "/Healthz",
        "/healthz/",
        "/api",
        "/api/v1/users/",
        "/api/v1/users/a/b",
        "/log",
    ] {
        assert!(matches!(found(Verb::Get, path), Found::Nothing), "{path}");
    }
    match found(Verb::Put, "/api/v1/session") {
        Found::WrongMethod(allowed) => assert_eq!(allowed, ["POST", "GET", "DELETE"]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn parameters_are_decoded_segments() {
    let path = "/api/v1/catalog/datasets/crm/main/a%20b";
    let Found::Route(_, parameters) = found(Verb::Get, path) else {
        panic!()
    };
    assert_eq!(parameters.get("name").unwrap(), "a b");
    assert!(parameters.get("rid").is_err());
}
