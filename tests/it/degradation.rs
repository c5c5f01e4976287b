//! What goes on, and what is refused, while others are away: docs/degradation.md has the table.

use std::fs;

use dataos_tests::{
    binaries::free_port,
    ctl::{Ctl, PASSWORD},
    peers::Postgres,
    roles::Platform,
    server::{Options, Server},
};
use serde_json::Value;

/// A token that an issuer could have made; its signature is never looked at, since its keys are not there.
const TOKEN: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImEiLCJ0eXAiOiJhdCtqd3QifQ.\
    eyJpc3MiOiJodHRwczovLzEyNy4wLjAuMTo5IiwiYXVkIjoiZGF0YW9zIiwic3ViIjoiYSIsImNsaWVudF9pZCI6ImEiLCJp\
    YXQiOjEsImp0aSI6ImEiLCJleHAiOjk5OTk5OTk5OTl9.AAAA";

struct House {
    server: Server,
    admin: Ctl,
    key: String,
    /// Where accounts, catalog and resources are.
    metadata: Postgres,
    /// Where the depot `shop` is.
    shop: Postgres,
    _folder: tempfile::TempDir,
}

impl House {
    /// A platform whose collector, Redis and issuer were never there, with two databases that are.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (metadata, shop) = (Postgres::start().unwrap(), Postgres::start().unwrap());
        shop.execute("CREATE TABLE sales (id int); INSERT INTO sales VALUES (7)")
            .unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let url = format!(
            "postgresql://dataos:{}@127.0.0.1:{}/postgres\n",
            metadata.password, metadata.port
        );
        fs::write(path("url"), url).unwrap();
        fs::create_dir(path("lake")).unwrap();
        fs::write(path("lake/orders.csv"), "id\n1\n").unwrap();
        let config = format!(
            "metadata_url_file = {:?}\n\
             [telemetry]\notlp = \"http://127.0.0.1:9\"\n\
             [rate]\nprincipal = \"10000/1h\"\nredis = \"127.0.0.1:{}\"\n\
             [[issuers]]\nissuer = \"https://127.0.0.1:9\"\naudience = \"dataos\"\nuser_prefix = \"idp-\"\n\
             algorithms = [\"ES256\"]\njwks_url = \"https://127.0.0.1:9/keys\"\n",
            path("url"),
            free_port().unwrap(),
        );
        let server = Server::start(&Options {
            data: Some(folder.path().join("lake")),
            config: Some(config),
            ..Options::default()
        })
        .unwrap();
        let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
        let manifest = format!(
            "name: login\nversion: v1\ntype: secret\nsecret:\n  type: key-value-properties\n  \
             data: {{username: dataos, password: {}}}\n---\nname: shop\nversion: v1\ntype: depot\n\
             depot:\n  type: POSTGRES\n  spec: {{host: 127.0.0.1, port: {}, database: postgres, tls: off}}\n  \
             dataosSecrets:\n    - {{name: login, workspace: public}}\n",
            shop.password, shop.port
        );
        let applied = admin.apply(&manifest).unwrap();
        assert_eq!(applied.code, 0, "{}", applied.stderr);
        Self {
            key: admin.key().unwrap(),
            server,
            admin,
            metadata,
            shop,
            _folder: folder,
        }
    }

    /// Status and answer of a statement.
    fn query(&self, sql: &str) -> (u16, Value) {
        let bearer = format!("Authorization: Bearer {}", self.key);
        let body = serde_json::json!({ "sql": sql }).to_string();
        let headers = ["-H", &bearer, "-H", "Content-Type: application/json"];
        let arguments = [&headers[..], &["-d", &body]].concat();
        let (status, _, answer) = self.server.request(&arguments, "/api/v1/query").unwrap();
        (status, serde_json::from_str(&answer).unwrap())
    }

    /// What a call with this credential is answered.
    fn session(&self, credential: &str) -> (u16, Value) {
        self.server.get(credential, "/api/v1/session").unwrap()
    }
}

#[test]
fn what_is_away_stops_what_needs_it_and_nothing_else() {
    let house = House::new();
    let (status, answer) = house.query("SELECT id FROM shop.public.sales");
    assert_eq!(
        (status, &answer["rows"][0][0]),
        (200, &Value::from(7)),
        "{answer}"
    );

    // Neither collector nor Redis: calls are answered, quotas count here, figures tell.
    let bearer = format!("Authorization: Bearer {}", house.key);
    let (_, headers, figures) = house.server.request(&["-H", &bearer], "/metrics").unwrap();
    assert!(
        headers.to_ascii_lowercase().contains("ratelimit:"),
        "{headers}"
    );
    assert!(
        figures.contains("dataos_degraded{dependency=\"redis\"} 1"),
        "{figures}"
    );

    // No issuer: its tokens are not taken, nor called invalid. Others are as before.
    let (status, answer) = house.session(TOKEN);
    assert_eq!(status, 503, "{answer}");
    assert_eq!(house.session(&house.key).0, 200);

    // No shop: its tables cannot be read, others can.
    house.shop.stop().unwrap();
    let (status, answer) = house.query("SELECT id FROM shop.public.sales");
    assert_eq!(status, 503, "{answer}");
    let told = answer.to_string();
    assert!(
        told.contains("shop") && !told.contains(&house.shop.password),
        "{told}"
    );
    let lake = |house: &House| {
        let (status, answer) = house.query("SELECT id FROM lake.main.orders");
        assert_eq!(
            (status, &answer["rows"][0][0]),
            (200, &Value::from(1)),
            "{answer}"
        );
    };
    lake(&house);

    // No metadata: what is known is served and recorded, changes are refused.
    house.metadata.stop().unwrap();
    lake(&house);
    assert_eq!(house.session(&house.key).0, 200);
    let password = [("DATAOS_NEW_PASSWORD", PASSWORD)];
    let made = house
        .admin
        .run_with(&["user", "create", "--id", "eve"], &password, "");
    let made = made.unwrap();
    assert_ne!(made.code, 0, "{}", made.stdout);
    assert!(made.stderr.contains("try again"), "{}", made.stderr);
    assert!(
        !made.stderr.contains(&house.metadata.password),
        "{}",
        made.stderr
    );
    let (status, _, _) = house.server.request(&[], "/readyz").unwrap();
    assert_eq!(status, 200);
    let found = house
        .admin
        .json(&["audit", "search", "--text", "/api/v1/users"]);
    let found = found.unwrap();
    assert_eq!(
        found["entries"][0]["principal"], "DataOS::User::\"admin\"",
        "{found:#}"
    );
    let printed = house.server.printed();
    for password in [&house.shop.password, &house.metadata.password] {
        assert!(!printed.contains(password.as_str()));
    }
}

#[test]
fn without_any_other_role_the_gateway_logs_in_decides_and_records() {
    let roles = ["query", "catalog", "orchestrator"];
    let mut platform = Platform::start(&roles, Options::default()).unwrap();
    let admin = {
        let server = &platform.gateway;
        Ctl::login(server, "admin", &server.first_password().unwrap()).unwrap()
    };
    for role in roles {
        platform.role(role).kill().unwrap();
    }
    let all_away = "ok\naway: query\naway: catalog\naway: orchestrator\n";
    platform.wait_for_ready(all_away).unwrap();
    for (role, command) in [
        ("query", &["query", "SELECT 1"][..]),
        ("catalog", &["catalog", "search"]),
        ("orchestrator", &["get", "-t", "depot"]),
    ] {
        let refused = admin.run(command).unwrap();
        assert_eq!(refused.code, 4, "{}", refused.stderr);
        assert!(
            refused.stderr.contains(&format!("`{role}`")),
            "{}",
            refused.stderr
        );
    }
    let password = [("DATAOS_NEW_PASSWORD", PASSWORD)];
    let made = admin.run_with(&["user", "create", "--id", "eve"], &password, "");
    assert_eq!(made.unwrap().code, 0);
    let eve = Ctl::login(&platform.gateway, "eve", PASSWORD).unwrap();
    assert_eq!(eve.run(&["whoami"]).unwrap().code, 0);
    let found = admin
        .json(&["audit", "search", "--principal", "eve"])
        .unwrap();
    assert!(!found["entries"].as_array().unwrap().is_empty());
    for role in roles {
        platform.role(role).start().unwrap();
    }
    platform.wait_until_whole().unwrap();
    assert_eq!(admin.run(&["query", "SELECT 1"]).unwrap().code, 0);
}
