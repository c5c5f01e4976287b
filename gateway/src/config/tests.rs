use std::io::Write;

use super::{ClientCertificate, Config, Flags, KeySource, Origin, TlsVersion};
use crate::roles::Role;

fn load(toml: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(toml.as_bytes()).unwrap();
    let flags = Flags {
        config: Some(file.path().to_owned()),
        data_dir: Some("/tmp/x".into()),
        ..Flags::default()
    };
    let variables = environment
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Config::load(&flags, variables).map_err(|fault| {
        fault
            .to_string()
            .replace(&file.path().display().to_string(), "FILE")
    })
}

#[test]
fn later_sources_win_and_explain_says_which() {
    let config = load(
        "listen = \"127.0.0.1:1000\"\n[limits]\nbody = \"2 MiB\"\nconnections = 10\n",
        &[
            ("DATAOS_LISTEN", "127.0.0.1:2000"),
            ("PATH", "/bin"),
            ("DATAOS_URL", "https://x"),
        ],
    )
    .unwrap();
    assert_eq!(config.listen.port(), 2000);
    assert_eq!(config.limits.body_bytes_max, 2 << 20);
    assert_eq!(config.limits.connections_max, 10);
    let origin = |key| {
        config
            .explain()
            .find(|(name, ..)| *name == key)
            .map(|(_, _, origin, _)| origin.clone())
    };
    assert_eq!(
        origin("listen"),
        Some(Origin::Environment("DATAOS_LISTEN".to_owned()))
    );
    assert!(matches!(origin("limits.body"), Some(Origin::File(_))));
    assert_eq!(origin("data_dir"), Some(Origin::Flag("--data-dir")));
    assert_eq!(origin("session.lifetime"), Some(Origin::Default));
    assert_eq!(config.policies_dir.to_str(), Some("/tmp/x/policies"));
}

/// File, environment, and what the error says.
type Case = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

const ERRORS: &[Case] = &[
    ("colour = \"red\"", &[], "field `colour`: unknown key"),
    (
        "[limits]\nbodies = 1",
        &[],
        "field `limits.bodies`: unknown key",
    ),
    ("listen = ", &[], "FILE:1:"),
    (
        "listen = \"nowhere\"",
        &[],
        "`listen` = `nowhere` (file FILE)",
    ),
    ("listen = true", &[], "not expected here"),
    ("[limits]\nbody = \"1\"", &[], "a size from 1 B to 16 MiB"),
    (
        "[limits]\nbody = \"1 GiB\"",
        &[],
        "a size from 1 B to 16 MiB",
    ),
    (
        "[query]\ncache = \"64\"",
        &[],
        "a size from 1 MiB to 16 GiB",
    ),
    (
        "[limits]\nhead_timeout = 10",
        &[],
        "a duration from 1s to 300s",
    ),
    (
        "[limits]\nconnections = 0",
        &[],
        "a number from 1 to 1000000",
    ),
    (
        "[session]\nlifetime = \"30d\"",
        &[],
        "a duration from 60s to 604800s",
    ),
    ("[log]\nformat = \"xml\"", &[], "`auto`, `json` or `text`"),
    ("[tls]\nkey_file = \"k.pem\"", &[], "tls.certificate_file"),
    ("host_names = \"a b\"", &[], "host names and addresses"),
    (
        "",
        &[("DATAOS_LISTEM", "x")],
        "environment variable DATAOS_LISTEM is no setting",
    ),
    (
        "",
        &[("DATAOS_LIMITS_BODY", "big")],
        "(environment DATAOS_LIMITS_BODY)",
    ),
];

#[test]
fn errors_name_the_place_and_the_way_out() {
    for (toml, environment, expected) in ERRORS {
        let error = load(toml, environment).unwrap_err();
        assert!(
            error.contains(expected),
            "{toml}\n gave: {error}\n not: {expected}"
        );
    }
}

#[test]
fn issuers_that_cannot_be_trusted_are_refused() {
    let issuer = "[[issuers]]\nissuer = \"https://a\"\naudience = \"dataos\"\n";
    let file = "jwks_file = \"k\"\n";
    let other = issuer.replace("//a", "//b");
    for (more, expected) in [
        ("", "issuers[0].jwks_url"),
        ("jwks_url = \"http://idp/keys\"", "is not https://"),
        ("jwks_url = \"http://127.0.0.1.evil/k\"", "is not https://"),
        ("jwks_url = \"http://127.0.0.1@evil/k\"", "is not https://"),
        (
            &format!("{file}jwks_url = \"https://a/k\""),
            "either jwks_file or jwks_url",
        ),
        (&format!("{file}discovery = true"), "or discovery = true"),
        (&format!("{file}key_hosts = 7"), "issuers[0]"),
        (&format!("{file}skew = \"61s\""), "up to 60s"),
        (&format!("{file}algorithms = [\"none\"]"), "is not one of"),
        (&format!("{file}algorithms = [\"HS256\"]"), "is not one of"),
        (&format!("{file}algorithms = []"), "must not be empty"),
        (&format!("{file}types = [\"id+jwt\"]"), "`at+jwt` or `JWT`"),
        (&format!("{file}colour = 1"), "unknown field"),
        (&format!("{file}{issuer}{file}"), "given twice"),
        (&format!("{file}{other}{file}"), "shares its user_prefix"),
    ] {
        let error = load(&format!("{issuer}{more}"), &[]).unwrap_err();
        assert!(
            error.contains(expected),
            "{more}\n gave: {error}\n not: {expected}"
        );
    }
    let plain = issuer.replace("https", "http");
    let error = load(&format!("{plain}discovery = true"), &[]).unwrap_err();
    assert!(error.contains("issuers[0].issuer"), "{error}");
    let error = load("issuers = 7", &[]).unwrap_err();
    assert!(error.contains("[[issuers]]"), "{error}");
}

#[test]
fn providers_that_people_cannot_be_sent_to_safely_are_refused() {
    let issuer = "[[issuers]]\nissuer = \"https://a\"\naudience = \"dataos\"\n";
    let login = "[issuers.login]\nname = \"corp\"\nclient_id = \"c\"\n\
                 redirect_url = \"https://data.example:8443/login/corp/callback\"\n";
    let good = format!("{issuer}discovery = true\n{login}");
    let config = load(&good, &[]).unwrap();
    let read = config.issuers[0].login.as_ref().unwrap();
    assert_eq!(
        (read.title.as_str(), &read.scopes[..]),
        ("corp", &["openid".to_owned()][..])
    );
    let ended = "https://data.example:8443/login/corp/ended";
    assert_eq!(read.logout_url(), ended);
    assert_eq!(read.command_line, None);
    let lines = "command_line_client = \"ctl\"\ncommand_line_resource = \"urn:a\"\n";
    let config = load(&format!("{good}{lines}"), &[]).unwrap();
    let read = config.issuers[0].login.as_ref().unwrap();
    let command_line = read.command_line.as_ref().unwrap();
    assert_eq!(command_line.scopes, ["openid", "offline_access"]);
    assert_eq!(command_line.resource.as_deref(), Some("urn:a"));
    let with = |from: &str, to: &str| good.replace(from, to);
    let other = good.replace("https://a", "https://b");
    for (text, expected) in [
        (
            with("discovery = true", "jwks_file = \"k\""),
            "where `discovery = true`",
        ),
        (with("\"corp\"", "\"Corp\""), "issuers[0].login.name"),
        (with("\"corp\"", "\"other\""), "/login/other/callback"),
        (with("https://data", "http://data"), "login.redirect_url"),
        (
            with("https://data.example", "https://a@data"),
            "login.redirect_url",
        ),
        (
            with("https://data.example", "https://data/x"),
            "login.redirect_url",
        ),
        (with("/callback", "/callback?a=b"), "login.redirect_url"),
        (
            with("https://data.example:8443", "https://"),
            "login.redirect_url",
        ),
        (with("\"c\"", "\"\""), "login.client_id"),
        (format!("{good}max_age = \"31d\""), "up to 30d"),
        (format!("{good}scopes = [\"a b\"]"), "one word"),
        (format!("{good}acr_values = [\"\"]"), "login.acr_values"),
        (
            format!("{good}client_secret_file = \"/nowhere\""),
            "/nowhere",
        ),
        (format!("{good}colour = 1"), "unknown field"),
        (format!("{good}{other}user_prefix = \"b\""), "unknown field"),
        (
            format!(
                "{good}{}",
                other.replace("discovery", "user_prefix = \"b\"\ndiscovery")
            ),
            "two issuers have the login.name `corp`",
        ),
    ] {
        let error = load(&text, &[]).unwrap_err();
        assert!(
            error.contains(expected),
            "{text}\n gave: {error}\n not: {expected}"
        );
    }
}

#[test]
fn an_issuer_is_read_whole() {
    let config = load(
        "[[issuers]]\nissuer = \"https://idp.example\"\naudience = \"dataos\"\n\
         jwks_url = \"https://idp.example/jwks\"\ntypes = [\"JWT\"]\nskew = \"5s\"\n\
         groups_claim = \"groups\"\nattribute_claims = [\"region\"]\nuser_prefix = \"idp-\"\n",
        &[],
    )
    .unwrap();
    let issuer = config.issuers.first().unwrap();
    assert_eq!(issuer.types, ["jwt"]);
    assert_eq!(issuer.skew.as_secs(), 5);
    assert_eq!(issuer.claims.user, "sub");
    assert_eq!(issuer.claims.attributes, ["region"]);
    let config = load(
        "[[issuers]]\nissuer = \"https://idp.example\"\naudience = \"dataos\"\ndiscovery = true\n\
         clients = [\"shop\"]\nkey_hosts = [\"keys.internal\"]\n",
        &[],
    )
    .unwrap();
    let issuer = config.issuers.first().unwrap();
    assert_eq!(issuer.keys, KeySource::Discovery);
    assert_eq!(
        (&issuer.clients[..], &issuer.key_hosts[..]),
        (&["shop".to_owned()][..], &["keys.internal".to_owned()][..])
    );
}

#[test]
fn the_url_of_the_metadata_is_shown_without_its_password() {
    let url = "postgresql://ana:topsecret@db.example/meta";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{url}\n")).unwrap();
    let path = file.path().to_str().unwrap();
    let toml = format!("metadata_url = \"{url}\"");
    let configs = [
        load(&toml, &[]),
        load("", &[("DATAOS_METADATA_URL", url)]),
        load("", &[("DATAOS_METADATA_URL_FILE", path)]),
    ];
    for config in configs {
        let config = config.unwrap();
        let dataos_store::Metadata::Postgres(shown) = &config.metadata else {
            panic!("{:?}", config.metadata);
        };
        assert_eq!(shown.to_string(), "postgresql://db.example:5432/meta");
        let lines: Vec<_> = config.explain().collect();
        for text in [format!("{config:?}"), format!("{lines:?}")] {
            assert!(!text.contains("topsecret"), "{text}");
        }
    }
    for (toml, environment, expected) in [
        (
            "metadata_url = \"mysql://ana:topsecret@db/meta\"",
            [("PATH", "x")],
            "`metadata_url` (file FILE)",
        ),
        (
            "",
            [("DATAOS_METADATA_URL", "topsecret")],
            "environment DATAOS_METADATA_URL",
        ),
        ("", [("DATAOS_METADATA_URL_FILE", "/nowhere")], "/nowhere"),
        (&toml, [("DATAOS_METADATA_URL_FILE", path)], "both set"),
    ] {
        let error = load(toml, &environment).unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("topsecret"), "{error}");
    }
}

#[test]
fn rates_are_calls_in_a_time() {
    let config = load("[rate]\naddress = \"600/1m\"\nroute = \"5 / 10s\"\n", &[]).unwrap();
    let address = config.rates.address.unwrap();
    let minute = std::time::Duration::from_secs(60);
    assert_eq!((address.count(), address.window()), (600, minute));
    assert_eq!(config.rates.route.unwrap().count(), 5);
    assert_eq!(
        (config.rates.principal, config.rates.workspace),
        (None, None)
    );
    for bad in [
        "600",
        "0/1m",
        "x/1m",
        "1/0s",
        "1/8d",
        "-1/1m",
        "1/1",
        "9999999999/1d",
    ] {
        let problem = load(&format!("[rate]\nprincipal = \"{bad}\"\n"), &[]).unwrap_err();
        assert!(
            problem.contains("rate.principal") && problem.contains(bad),
            "{problem}"
        );
    }
}

#[test]
fn what_tls_asks_of_clients_is_checked() {
    let config = load(
        "[tls]\nminimum_version = \"1.2\"\nclient_certificate = \"none\"\n\
         client_certificate_by_name = \"A.example = required,\"\n",
        &[],
    );
    let asked = config.unwrap().asked_of_clients;
    assert_eq!(asked.minimum_version, TlsVersion::V12);
    assert_eq!(asked.certificate, ClientCertificate::None);
    let named = asked.certificate_by_name.get("a.example");
    assert_eq!(named, Some(&ClientCertificate::Required));
    for (setting, bad) in [
        ("minimum_version", "1.1"),
        ("client_certificate", "maybe"),
        ("client_certificate_by_name", "a.example"),
        ("client_certificate_by_name", "a.example=maybe"),
        ("client_certificate_by_name", "a_b=none"),
        ("client_certificate_by_name", "a=none, A=required"),
    ] {
        let problem = load(&format!("[tls]\n{setting} = \"{bad}\"\n"), &[]).unwrap_err();
        let names_both = problem.contains(&format!("tls.{setting}")) && problem.contains(bad);
        assert!(names_both, "{problem}");
    }
}

#[test]
fn a_role_names_whom_it_needs_and_nobody_else() {
    let all = load("", &[]).unwrap();
    assert_eq!(all.roles.role, None);
    assert_eq!(all.roles.identity, None);
    let gateway = load(
        "role = \"gateway\"\n[roles]\nquery = [\"a:1\", \"b:2\"]\n",
        &[("DATAOS_ROLES_CATALOG", "[::1]:3")],
    )
    .unwrap();
    assert_eq!(gateway.roles.of(Role::Query).unwrap(), ["a:1", "b:2"]);
    assert_eq!(gateway.roles.of(Role::Catalog).unwrap(), ["[::1]:3"]);
    assert_eq!(gateway.roles.of(Role::Orchestrator), None);
    assert_eq!(gateway.roles.identity, None);
    let query = [("DATAOS_ROLE", "query"), ("DATAOS_ROLES_GATEWAY", "g:8444")];
    let query = load("", &query).unwrap();
    assert_eq!(query.roles.of(Role::Gateway).unwrap(), ["g:8444"]);
    assert_eq!(
        query.roles.identity.as_deref(),
        Some("/tmp/x/identity".as_ref())
    );
    for (environment, problem) in [
        (&[("DATAOS_ROLE", "worker")][..], "`role` = `worker`"),
        (&[("DATAOS_ROLE", "query")], "`roles.gateway`"),
        (&[("DATAOS_ROLES_QUERY", "a:1")], "`roles.query`"),
        (
            &[("DATAOS_ROLE", "gateway"), ("DATAOS_ROLES_GATEWAY", "a:1")],
            "`roles.gateway`",
        ),
        (
            &[("DATAOS_ROLE", "gateway"), ("DATAOS_ROLES_QUERY", "a")],
            "HOST:PORT",
        ),
        (
            &[("DATAOS_ROLE", "gateway"), ("DATAOS_ROLES_QUERY", "u@a:1")],
            "HOST:PORT",
        ),
        (
            &[
                ("DATAOS_ROLE", "catalog"),
                ("DATAOS_ROLES_QUERY", "a:1"),
                ("DATAOS_ROLES_GATEWAY", "g:1"),
            ],
            "`roles.query`",
        ),
    ] {
        let refused = load("", environment).unwrap_err();
        assert!(refused.contains(problem), "{refused}");
    }
}
