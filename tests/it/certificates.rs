//! Files of certificates that change while the platform runs: revocation lists, client CAs, the server's own.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command},
    time::{Duration, Instant},
};

use dataos_tests::{
    binaries::{binary, free_port},
    ctl::Ctl,
    server::{Options, Server},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use time::{Duration as Span, OffsetDateTime};

const SHOP: &str = "spiffe://dataos/service/shop";

/// A CA that revokes.
struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Ca {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// Certificate and key in one text.
    fn client(&self, serial: u64) -> String {
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from(serial));
        params.subject_alt_names = vec![SanType::URI(SHOP.try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        certificate.pem() + &key.serialize_pem()
    }

    /// A list that revokes these, and is good for so many hours.
    fn list(&self, serials: &[u64], hours: i64) -> String {
        let now = OffsetDateTime::now_utc();
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: now - Span::hours(3),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: now - Span::hours(2),
            next_update: now + Span::hours(hours),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// A client with a certificate, whose connections stay open.
fn client(server: &Server, identity: &str) -> reqwest::Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let ca = fs::read(server.ca()).unwrap();
    reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&ca).unwrap()])
        .identity(reqwest::Identity::from_pem(identity.as_bytes()).unwrap())
        .build()
        .unwrap()
}

/// Status of a call as the service, or nothing if there is no connection.
async fn call(server: &Server, client: &reqwest::Client) -> Option<u16> {
    let answer = client.get(format!("{}/api/v1/session", server.url)).send();
    answer.await.ok().map(|answer| answer.status().as_u16())
}

/// Waits until it is so; the files are looked at every half second, and the machine may be busy.
async fn soon(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !done().await {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

struct House {
    server: Server,
    folder: tempfile::TempDir,
}

impl House {
    fn new(files: &[(&str, &str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = "[tls]\n".to_owned();
        for (setting, name, text) in files {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            config += &format!("{setting} = {:?}\n", path.display().to_string());
        }
        let server = Server::start(&Options {
            config: Some(config),
            ..Options::default()
        });
        Self {
            server: server.unwrap(),
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces a file in one step.
    fn put(&self, name: &str, text: &str) {
        fs::write(self.path("new"), text).unwrap();
        fs::rename(self.path("new"), self.path(name)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_ends_on_open_connections_too() {
    let (ours, other) = (Ca::new("ours"), Ca::new("other"));
    let house = House::new(&[
        ("client_ca_file", "ca", &(ours.pem.clone() + &other.pem)),
        ("client_crl_file", "crl", &ours.list(&[7], 1)),
    ]);
    let server = &house.server;
    let (shop, sister) = (ours.client(1), ours.client(2));
    let open = client(server, &shop);
    assert_eq!(call(server, &open).await, Some(200));
    // Revoked from the start; one of a CA without a list is as good as ever.
    assert_eq!(call(server, &client(server, &ours.client(7))).await, None);
    assert_eq!(
        call(server, &client(server, &other.client(7))).await,
        Some(200)
    );

    house.put("crl", &ours.list(&[7, 1], 1));
    soon("the open connection is refused", async || {
        call(server, &open).await == Some(401)
    })
    .await;
    assert_eq!(call(server, &client(server, &shop)).await, None);
    assert_eq!(call(server, &client(server, &sister)).await, Some(200));

    // What is of no use changes nothing.
    for (useless, said) in [
        ("", "holds no revocation list"),
        ("garbage", "holds no revocation list"),
    ] {
        let times = || server.printed().matches(said).count();
        let before = times();
        house.put("crl", useless);
        soon("a complaint", async || times() > before).await;
        assert_eq!(call(server, &open).await, Some(401));
        assert_eq!(call(server, &client(server, &sister)).await, Some(200));
    }
    // A list that is too old, or that somebody else signed, says nothing: nobody of that CA comes in.
    house.put("crl", &ours.list(&[], -1));
    soon("an old list is refused", async || {
        call(server, &client(server, &sister)).await.is_none()
    })
    .await;
    house.put("crl", &ours.list(&[], 1));
    soon("a new list is taken up", async || {
        call(server, &client(server, &shop)).await == Some(200)
    })
    .await;
    house.put("crl", &Ca::new("ours").list(&[], 1));
    soon("a list of another key is refused", async || {
        call(server, &client(server, &sister)).await.is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn client_cas_are_taken_up_and_dropped() {
    let (before, after) = (Ca::new("before"), Ca::new("after"));
    let house = House::new(&[("client_ca_file", "ca", &before.pem)]);
    let server = &house.server;
    let (old, new) = (before.client(1), after.client(1));
    assert_eq!(call(server, &client(server, &old)).await, Some(200));
    assert_eq!(call(server, &client(server, &new)).await, None);
    // Both for a while, as when a CA is rolled over.
    house.put("ca", &(before.pem.clone() + &after.pem));
    soon("the new CA counts", async || {
        call(server, &client(server, &new)).await == Some(200)
    })
    .await;
    let open = client(server, &old);
    assert_eq!(call(server, &open).await, Some(200));
    house.put("ca", &after.pem);
    soon("the old CA counts no more", async || {
        call(server, &client(server, &old)).await.is_none()
    })
    .await;
    assert_eq!(call(server, &open).await, Some(401));
    assert_eq!(call(server, &client(server, &new)).await, Some(200));
}

/// A certificate for this machine, and its key.
fn leaf() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// A process that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_server_certificate_in_files_is_taken_up() {
    let (first, second) = (leaf(), leaf());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("leaf.pem"), &first.0).unwrap();
    fs::write(path("leaf.key"), &first.1).unwrap();
    fs::write(path("first"), &first.0).unwrap();
    fs::write(path("second"), &second.0).unwrap();
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    let config = format!(
        "listen = {address:?}\ndata_dir = {:?}\n[tls]\ncertificate_file = {:?}\nkey_file = {:?}\n",
        path("data").display().to_string(),
        path("leaf.pem").display().to_string(),
        path("leaf.key").display().to_string()
    );
    fs::write(path("config.toml"), config).unwrap();
    let log = fs::File::create(path("log")).unwrap();
    let mut process = Command::new(binary("dataos"));
    process.args(["serve", "--config"]).arg(path("config.toml"));
    process.stdout(log.try_clone().unwrap()).stderr(log);
    let _running = Running(process.spawn().unwrap());
    let said = || fs::read_to_string(path("log")).unwrap();
    // The harness knows the certificate of the built-in CA alone.
    let is_served = |trusted: &str| {
        let answer = Command::new("curl")
            .args(["-sf", "--max-time", "5", "--cacert"])
            .arg(path(trusted))
            .arg(format!("https://{address}/readyz"))
            .output();
        answer.is_ok_and(|answer| answer.stdout == b"ok\n")
    };
    let until = |what: &str, done: &dyn Fn() -> bool| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !done() {
            assert!(Instant::now() < deadline, "{what}: {}", said());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    until("the first certificate", &|| is_served("first"));
    assert!(!is_served("second"));
    // The key of the one beside the chain of the other is no pair: the first is served on.
    fs::write(path("leaf.key"), &second.1).unwrap();
    until("a complaint", &|| said().contains("not taken up"));
    assert!(is_served("first"));
    fs::write(path("leaf.pem"), &second.0).unwrap();
    until("the second certificate", &|| is_served("second"));
    assert!(!is_served("first"));
}

/// A client that trusts these CAs, whose connections stay open.
fn trusting(pem: &str, identity: Option<&str>) -> reqwest::Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let trusted = reqwest::Certificate::from_pem_bundle(pem.as_bytes()).unwrap();
    let builder = reqwest::Client::builder()
        .tls_certs_only(trusted)
        .tls_info(true);
    let identity = identity.map(|pem| reqwest::Identity::from_pem(pem.as_bytes()).unwrap());
    let builder = identity
        .into_iter()
        .fold(builder, reqwest::ClientBuilder::identity);
    builder.build().unwrap()
}

/// Status of a call, and the certificate that the server showed on its connection.
async fn shown(server: &Server, client: &reqwest::Client) -> Option<(u16, Vec<u8>)> {
    let answer = client.get(format!("{}/api/v1/session", server.url)).send();
    let answer = answer.await.ok()?;
    let told = answer.extensions().get::<reqwest::tls::TlsInfo>()?;
    Some((answer.status().as_u16(), told.peer_certificate()?.to_vec()))
}

/// The built-in CA while it is rolled over, with what clients hold of it.
struct RollOver {
    server: Server,
    admin: Ctl,
    folder: tempfile::TempDir,
}

impl RollOver {
    fn new() -> Self {
        let server = Server::start(&Options {
            config: Some("[limits]\ndrain_timeout = \"1s\"\n".to_owned()),
            ..Options::default()
        });
        let server = server.unwrap();
        let admin = Ctl::login(&server, "admin", &server.first_password().unwrap());
        Self {
            server,
            admin: admin.unwrap(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn ca(&self) -> String {
        fs::read_to_string(self.server.ca()).unwrap()
    }

    fn step(&self, step: &str) -> serde_json::Value {
        let rolled = self.admin.json(&["certificate", "roll-over", step]);
        rolled.unwrap()
    }

    fn issue(&self, name: &str) -> String {
        let out = self.folder.path().to_string_lossy();
        let issue = ["certificate", "create", "--name", name, "--out", &out];
        assert_eq!(self.admin.run(&issue).unwrap().code, 0);
        let file = |end: &str| fs::read_to_string(self.folder.path().join(format!("{name}.{end}")));
        file("pem").unwrap() + &file("key").unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_built_in_ca_is_rolled_over() {
    let house = RollOver::new();
    let server = &house.server;
    let old_ca = house.ca();
    let old = house.issue("old");
    let early = house
        .admin
        .run(&["certificate", "roll-over", "issue"])
        .unwrap();
    assert_eq!(
        (early.code, early.stderr.contains("`announce` begins one")),
        (1, true),
        "{early:?}"
    );

    assert_eq!(house.step("announce")["phase"], "announced");
    let both = house.ca();
    let new_ca = both.strip_prefix(&old_ca).unwrap().to_owned();
    assert!(shown(server, &trusting(&old_ca, None)).await.is_some());
    assert!(shown(server, &trusting(&new_ca, None)).await.is_none());
    let open = trusting(&both, Some(&old));
    let (status, before) = shown(server, &open).await.unwrap();
    assert_eq!(status, 200);

    assert_eq!(house.step("issue")["phase"], "issuing");
    // At once: the step has not ended before.
    assert!(shown(server, &trusting(&new_ca, None)).await.is_some());
    assert!(shown(server, &trusting(&old_ca, None)).await.is_none());
    // The open connection ends in order, and the next one shows the new certificate; nothing fails meanwhile.
    soon("the old connection is drained", async || {
        let (status, now) = shown(server, &open).await.unwrap();
        assert_eq!(status, 200);
        now != before
    })
    .await;
    let new = house.issue("new");
    for identity in [&old, &new] {
        let (status, _) = shown(server, &trusting(&new_ca, Some(identity)))
            .await
            .unwrap();
        assert_eq!(status, 200);
    }

    assert_eq!(house.step("finish")["phase"], "steady");
    assert_eq!(house.ca(), new_ca);
    // Not by the connection that is open, nor by another one.
    assert_eq!(shown(server, &open).await.unwrap().0, 401);
    assert!(
        shown(server, &trusting(&new_ca, Some(&old)))
            .await
            .is_none()
    );
    assert_eq!(
        shown(server, &trusting(&new_ca, Some(&new)))
            .await
            .unwrap()
            .0,
        200
    );
    // The administrator's own trust went along.
    let told = house.admin.json(&["certificate", "authority"]).unwrap();
    assert_eq!(
        (
            told["ca"].as_str(),
            told["authorities"].as_array().unwrap().len()
        ),
        (Some(&*new_ca), 1)
    );
    let rolled = "/api/v1/audit/entries?kind=identity_change&action=certificate_authority_rolled";
    let (_, found) = server.get(&house.admin.key().unwrap(), rolled).unwrap();
    assert_eq!(found["entries"].as_array().unwrap().len(), 3, "{found:#}");
}

/// What curl got: the status, or nothing if there was no connection.
fn curl(server: &Server, host: &str, arguments: &[&str]) -> Option<String> {
    let port = server.url.rsplit_once(':').unwrap().1;
    let output = Command::new("curl")
        .args([
            "-s",
            "--max-time",
            "10",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{ssl_verify_result}",
        ])
        .args(["--resolve", &format!("{host}:{port}:127.0.0.1"), "--cacert"])
        .arg(server.ca())
        .args(arguments)
        .arg(format!("https://{host}:{port}/api/v1/session"))
        .output()
        .unwrap();
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_handshake_asks_what_is_set_for_the_name_that_is_asked_for() {
    let server = Server::start(&Options {
        config: Some(
            "host_names = \"api.test, www.test\"\n[tls]\nminimum_version = \"1.2\"\n\
             client_certificate_by_name = \"API.test=required, www.test=none\"\n"
                .to_owned(),
        ),
        ..Options::default()
    });
    let server = server.unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_string_lossy();
    let issue = ["certificate", "create", "--name", "shop", "--out", &out];
    assert_eq!(admin.run(&issue).unwrap().code, 0);
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (certificate, key) = (file("shop.pem"), file("shop.key"));
    let shop = ["--cert", certificate.as_str(), "--key", key.as_str()];
    let (taken, stranger) = (Some("200 0".to_owned()), Some("401 0".to_owned()));
    for (host, with, without) in [
        ("127.0.0.1", &taken, &stranger),
        ("api.test", &taken, &None),
        ("www.test", &stranger, &stranger),
    ] {
        assert_eq!(curl(&server, host, &shop), *with, "{host}");
        assert_eq!(curl(&server, host, &[]), *without, "{host}");
        let older = [&shop[..], &["--tls-max", "1.2"]].concat();
        assert_eq!(curl(&server, host, &older), *with, "{host}");
        let older = ["--tls-max", "1.2"];
        assert_eq!(curl(&server, host, &older), *without, "{host}");
    }
    let server = Server::start(&Options::default()).unwrap();
    assert_eq!(curl(&server, "127.0.0.1", &["--tls-max", "1.2"]), None);
    assert_eq!(curl(&server, "127.0.0.1", &[]), stranger);
}
