//! Who is not let in: at the doors for roles, and as a server that the gateway is led to.

use std::{fs, path::Path};

use dataos_tests::{
    ctl::Ctl,
    roles::{Platform, RoleProcess, issue},
    server::Options,
};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::load::until;

use super::peer::{
    Impostor,
    Outcome::{self, Admitted, NoConnection, Status},
    call, call_as,
};

const QUERY: &str = "spiffe://dataos/role/query";
const GATEWAY: &str = "spiffe://dataos/role/gateway";
/// Statuses of gRPC.
const PERMISSION_DENIED: Outcome = Status(7);
const FAILED_PRECONDITION: Outcome = Status(9);
const UNIMPLEMENTED: Outcome = Status(12);

/// A CA of the operator's own.
pub(super) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
}

impl Ca {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// Chain and key for these URIs.
    fn issue(&self, uris: &[&str], life: Life) -> (String, String) {
        let uris = uris.iter().map(|uri| (*uri).try_into().unwrap());
        let mut params = CertificateParams::default();
        params.subject_alt_names = uris.map(SanType::URI).collect();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let now = time::OffsetDateTime::now_utc();
        let (from, to) = match life {
            Life::Now => (-1000, 3600),
            Life::Over => (-1000, -10),
            Life::ToCome => (1000, 3600),
        };
        params.not_before = now + time::Duration::seconds(from);
        params.not_after = now + time::Duration::seconds(to);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn both(&self, uris: &[&str], life: Life) -> String {
        let (chain, key) = self.issue(uris, life);
        chain + &key
    }

    /// An identity as Kubernetes keeps it.
    fn give(&self, folder: &Path, uris: &[&str]) {
        fs::create_dir_all(folder).unwrap();
        let (chain, key) = self.issue(uris, Life::Now);
        fs::write(folder.join("tls.crt"), chain).unwrap();
        fs::write(folder.join("tls.key"), key).unwrap();
        fs::write(folder.join("ca.crt"), &self.pem).unwrap();
    }
}

#[derive(Clone, Copy)]
enum Life {
    Now,
    Over,
    ToCome,
}

/// A platform whose roles have certificates of `ca`, and nothing of the built-in one.
fn platform_of(ca: &Ca) -> (Platform, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("gateway");
    ca.give(&own, &[GATEWAY]);
    let options = Options {
        config: Some(format!("identity = {:?}\n", own.display().to_string())),
        ..Options::default()
    };
    let mut platform = Platform::begin(&["query"], options).unwrap();
    let query = platform.role("query");
    ca.give(&query.identity, &[QUERY]);
    query.start().unwrap();
    platform.wait_until_whole().unwrap();
    (platform, folder)
}

/// How often the log has a refusal of this reason.
fn refusals(admin: &Ctl, reason: &str) -> usize {
    let found = [
        "audit",
        "search",
        "--action",
        "refused_pre_auth",
        "--text",
        reason,
    ];
    let found = admin.json(&found).unwrap();
    found["entries"].as_array().unwrap().len()
}

#[tokio::test]
async fn nobody_without_a_role_of_this_platform_gets_a_word() {
    let ca = Ca::new();
    let (mut platform, _folder) = platform_of(&ca);
    let server = &platform.gateway;
    let admin = Ctl::login(server, "admin", &server.first_password().unwrap()).unwrap();
    let (gateway, query) = (platform.port, platform.role("query").port);

    // Those who belong there.
    let good = ca.both(&[QUERY], Life::Now);
    assert_eq!(call(gateway, Some(&good), "Process/Ping").await, Admitted);
    let master = ca.both(&[GATEWAY], Life::Now);
    assert_eq!(call(query, Some(&master), "Process/Ping").await, Admitted);

    // Those who do not.
    let foreign = Ca::new();
    for (who, identity) in [
        ("no certificate", None),
        ("another CA", Some(foreign.both(&[QUERY], Life::Now))),
        ("expired", Some(ca.both(&[QUERY], Life::Over))),
        ("not yet valid", Some(ca.both(&[QUERY], Life::ToCome))),
        (
            "another trust domain",
            Some(ca.both(&["spiffe://other/role/query"], Life::Now)),
        ),
        (
            "a role that there is not",
            Some(ca.both(&["spiffe://dataos/role/root"], Life::Now)),
        ),
        (
            "a service",
            Some(ca.both(&["spiffe://dataos/service/query"], Life::Now)),
        ),
        (
            "two identities",
            Some(ca.both(&[QUERY, GATEWAY], Life::Now)),
        ),
        ("no identity", Some(ca.both(&[], Life::Now))),
        (
            "a role that calls nobody here",
            Some(ca.both(&[GATEWAY], Life::Now)),
        ),
    ] {
        let outcome = call(gateway, identity.as_deref(), "Process/Ping").await;
        assert_eq!(outcome, NoConnection, "{who} at the gateway");
    }
    for (who, identity) in [
        ("no certificate", None),
        ("another CA", Some(foreign.both(&[GATEWAY], Life::Now))),
        (
            "a role that calls nobody here",
            Some(ca.both(&[QUERY], Life::Now)),
        ),
    ] {
        let outcome = call(query, identity.as_deref(), "Query/Run").await;
        assert_eq!(outcome, NoConnection, "{who} at the query role");
    }
    // A client is told before the door has written it down.
    until("refusals in the log", || {
        refusals(&admin, "role_certificate_refused") >= 10
    });

    // The certificate that clients of the platform get is none here.
    let out = platform.folder().to_string_lossy().into_owned();
    let create = ["certificate", "create", "-n", "query", "--out", &out];
    let issued = admin.json(&create).unwrap();
    let text = |field: &str| fs::read_to_string(issued[field].as_str().unwrap()).unwrap();
    let service = text("certificate_file") + &text("key_file");
    let outcome = call(gateway, Some(&service), "Process/Ping").await;
    assert_eq!(outcome, NoConnection, "a service of the built-in CA");
}

#[tokio::test]
async fn a_role_calls_what_its_row_says_and_nothing_else() {
    let ca = Ca::new();
    let (platform, _folder) = platform_of(&ca);
    let server = &platform.gateway;
    let admin = Ctl::login(server, "admin", &server.first_password().unwrap()).unwrap();
    let query = ca.both(&[QUERY], Life::Now);
    let port = platform.port;
    for own in [
        "Decide/Access",
        "Log/Append",
        "Assets/Snapshot",
        "Secrets/Get",
    ] {
        assert_eq!(call(port, Some(&query), own).await, Admitted, "{own}");
    }
    for other in [
        "Query/Run",
        "Query/Describe",
        "Policies/Put",
        "Entities/Apply",
        "Secrets/Put",
    ] {
        assert_eq!(
            call(port, Some(&query), other).await,
            PERMISSION_DENIED,
            "{other}"
        );
    }
    for none in ["Decide/Nothing", "Log/Erase", "Process/ping"] {
        assert_eq!(
            call(port, Some(&query), none).await,
            UNIMPLEMENTED,
            "{none}"
        );
    }
    for build in [None, Some("0.0.0-0000000000000000")] {
        let outcome = call_as(port, Some(&query), "Process/Ping", build).await;
        assert_eq!(outcome, FAILED_PRECONDITION, "{build:?}");
    }
    for reason in ["role_call_denied", "role_call_unknown", "role_build"] {
        until(reason, || refusals(&admin, reason) > 0);
    }
}

#[tokio::test]
async fn the_gateway_speaks_to_no_other_server() {
    let ca = Ca::new();
    let (mut platform, _folder) = platform_of(&ca);
    let foreign = Ca::new();
    let port = platform.role("query").port;
    platform.role("query").kill().unwrap();
    platform.wait_for_ready("ok\naway: query\n").unwrap();
    for (who, ca, uri, life, expected) in [
        ("the role itself", &ca, QUERY, Life::Now, true),
        ("another CA", &foreign, QUERY, Life::Now, false),
        ("another role", &ca, GATEWAY, Life::Now, false),
        (
            "another trust domain",
            &ca,
            "spiffe://other/role/query",
            Life::Now,
            false,
        ),
        (
            "a service",
            &ca,
            "spiffe://dataos/service/query",
            Life::Now,
            false,
        ),
        ("expired", &ca, QUERY, Life::Over, false),
    ] {
        let identity = ca.both(&[uri], life);
        // The gateway looks twice a second.
        let mut door = Impostor::open(port, &identity).await;
        for _ in 0..3 {
            assert_eq!(door.is_trusted().await, expected, "{who}");
        }
    }
}

#[test]
fn a_role_needs_an_identity_of_its_own_to_start() {
    let platform = Platform::begin(&["query"], Options::default()).unwrap();
    let mut query = RoleProcess::new("query", platform.port, platform.folder()).unwrap();
    let refused = |query: &mut RoleProcess, why: &str| {
        query.start().unwrap();
        let printed = query.refused().unwrap();
        assert!(printed.contains(why), "{printed}");
    };
    refused(&mut query, "dataos certificate issue");
    issue("gateway", &query.identity, &platform.gateway.data_dir).unwrap();
    refused(
        &mut query,
        "spiffe://dataos/role/gateway, not of spiffe://dataos/role/query",
    );
    let unknown = issue("root", &query.identity, &platform.gateway.data_dir).unwrap_err();
    assert!(unknown.to_string().contains("query"), "{unknown}");
    let nowhere = issue("query", &query.identity, platform.folder()).unwrap_err();
    assert!(
        nowhere.to_string().contains("holds no built-in CA"),
        "{nowhere}"
    );
}
