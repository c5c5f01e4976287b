//! gRPC over mTLS, with tonic's client against the server: who is let in, what is answered, what is
//! recorded, what is refused.

mod client;

use std::{fs, path::Path};

use dataos_pdp::decisions::wire::{
    self, DecideAllRequest, DecideRequest, Effect, Obligations, Semantic, value::Kind,
};
use dataos_tests::{
    ctl::Ctl,
    server::{Options, Server},
};
use tonic::Code;

use client::{Client, Identity, Issuer};

const POLICIES: &str = r#"
@id("grpc.shop-asks")
permit (
    principal == DataOS::Service::"shop",
    action == DataOS::Action::"ask_decision",
    resource
);

@id("grpc.alice")
@obligation("notification(to = 'owner@example.com', body = 'read')")
permit (
    principal == DataOS::User::"alice",
    action == DataOS::Action::"select",
    resource == DataOS::Dataset::"local:main/orders"
)
when { context has purpose && context.purpose == "audit" };
"#;

struct Scene {
    server: Server,
    admin: Ctl,
    /// A CA of the operator's own.
    issuer: Issuer,
    files: tempfile::TempDir,
}

fn scene() -> Scene {
    let files = tempfile::tempdir().unwrap();
    let folder = files.path().join("local");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("orders.csv"), "id\n1\n").unwrap();
    let issuer = Issuer::new();
    let ca_file = files.path().join("clients.pem");
    fs::write(&ca_file, issuer.pem()).unwrap();
    let options = Options {
        data: Some(folder),
        config: Some(format!(
            "[tls]\nclient_ca_file = \"{}\"\n",
            ca_file.display()
        )),
        ..Options::default()
    };
    let server = Server::start(&options).unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    let path = files.path().join("grpc.cedar");
    fs::write(&path, POLICIES).unwrap();
    admin
        .json(&["policy", "put", "grpc", "-f", &path.to_string_lossy()])
        .unwrap();
    let create = ["user", "create", "--id", "alice"];
    let password = [("DATAOS_NEW_PASSWORD", "a-long-enough-password")];
    let created = admin.run_with(&create, &password, "").unwrap();
    assert_eq!(created.code, 0, "{}", created.stderr);
    Scene {
        server,
        admin,
        issuer,
        files,
    }
}

impl Scene {
    /// A certificate by the server's built-in CA.
    fn issued(&self, name: &str) -> Identity {
        let folder = self.files.path().to_string_lossy().into_owned();
        let issued = self
            .admin
            .json(&["certificate", "create", "-n", name, "--out", &folder])
            .unwrap();
        assert_eq!(
            issued["identity"],
            format!("spiffe://dataos/service/{name}")
        );
        assert!(issued.get("key").is_none(), "the key belongs into its file");
        let path = |field: &str| Path::new(issued[field].as_str().unwrap()).to_owned();
        Identity {
            certificate: fs::read_to_string(path("certificate_file")).unwrap(),
            key: fs::read_to_string(path("key_file")).unwrap(),
        }
    }

    async fn client(&self, identity: Option<&Identity>) -> Result<Client, String> {
        let ca = fs::read_to_string(self.server.ca()).unwrap();
        Client::connect(&self.server.url, &ca, identity).await
    }

    /// The newest record with this action.
    fn newest(&self, action: &str) -> serde_json::Value {
        self.admin.entry(&["--action", action]).unwrap()
    }

    /// There is a record of a refusal for this reason.
    fn has_refused(&self, reason: &str) {
        let refusals = ["--action", "refused_pre_auth", "--text", reason];
        assert_eq!(self.admin.entry(&refusals).unwrap()["reason"], reason);
    }
}

fn entity(kind: &str, id: &str) -> Option<wire::Entity> {
    Some(wire::Entity {
        r#type: kind.to_owned(),
        id: id.to_owned(),
        ..wire::Entity::default()
    })
}

fn question(subject: Option<wire::Entity>, purpose: &str) -> DecideRequest {
    let text = wire::Value {
        kind: Some(Kind::Text(purpose.to_owned())),
    };
    DecideRequest {
        subject,
        action: Some(wire::Action {
            name: "select".to_owned(),
            ..wire::Action::default()
        }),
        resource: entity("dataset", "local:main/orders"),
        context: [("purpose".to_owned(), text)].into(),
        supported_obligations: None,
    }
}

fn alice(purpose: &str) -> DecideRequest {
    question(entity("user", "alice"), purpose)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_asks_and_each_answer_is_recorded() {
    let scene = scene();
    let identity = scene.issued("shop");
    let mut client = scene.client(Some(&identity)).await.unwrap();
    let (answer, metadata) = client.decide(alice("audit")).await.unwrap();
    let decision = answer.decision.unwrap();
    assert_eq!(decision.effect(), Effect::Allow, "{decision:?}");
    assert_eq!(decision.policies, ["grpc.alice"]);
    assert_eq!(decision.obligations[0].r#type, "notification");
    assert!(metadata.contains_key("dataos-receipt"));
    let entry = scene.newest("select");
    assert_eq!(entry["index"], decision.log_index);
    assert_eq!(entry["effect"], "allow");
    assert_eq!(entry["policy_set"], decision.policy_set);
    assert!(
        entry["facts"]["asked_by"]
            .as_str()
            .unwrap()
            .contains("Service::\"shop\"")
    );
    assert_eq!(entry["facts"]["authentication"], "certificate");
    let right = scene.newest("ask_decision");
    assert_eq!(right["effect"], "allow");
    assert_eq!(right["facts"]["issuer"], "spiffe://dataos");
    assert_eq!(right["facts"]["credential"].as_str().unwrap().len(), 64);

    let (answer, _) = client.decide(alice("curiosity")).await.unwrap();
    let decision = answer.decision.unwrap();
    assert_eq!(
        (decision.effect(), decision.reason.as_str()),
        (Effect::Deny, "no_permit")
    );
    assert_eq!(scene.newest("select")["effect"], "deny");

    let unsupported = DecideRequest {
        supported_obligations: Some(Obligations::default()),
        ..alice("audit")
    };
    let (answer, _) = client.decide(unsupported).await.unwrap();
    assert_eq!(answer.decision.unwrap().reason, "obligation_unknown");
    batches(&scene, &mut client).await;
    let mut other = scene.client(Some(&scene.issued("pay"))).await.unwrap();
    rights(&scene, &mut other).await;
    over_rest(&scene);
}

async fn batches(scene: &Scene, client: &mut Client) {
    let unknown = question(entity("user", "nobody"), "audit");
    let all = |semantic: Semantic| DecideAllRequest {
        requests: vec![alice("audit"), unknown.clone(), alice("audit")],
        semantic: semantic.into(),
    };
    let (answer, _) = client.decide_all(all(Semantic::Unspecified)).await.unwrap();
    let effects: Vec<_> = answer
        .decisions
        .iter()
        .map(wire::Decision::effect)
        .collect();
    assert_eq!(effects, [Effect::Allow, Effect::Deny, Effect::Allow]);
    assert_eq!(answer.decisions[1].reason, "entity_missing");
    let newest = scene.newest("select");
    assert_eq!(newest["index"], answer.decisions[2].log_index);
    assert_eq!(newest["facts"]["item"], "2");
    let (answer, _) = client
        .decide_all(all(Semantic::DenyOnFirstDeny))
        .await
        .unwrap();
    assert_eq!(answer.decisions.len(), 2);
}

/// A service without the right asks about itself alone.
async fn rights(scene: &Scene, client: &mut Client) {
    let status = client.decide(alice("audit")).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    assert!(status.message().contains("ask_decision"), "{status:?}");
    assert_eq!(scene.newest("ask_decision")["effect"], "deny");
    let own = question(entity("service", "pay"), "audit");
    let (answer, _) = client.decide(own).await.unwrap();
    assert_eq!(answer.decision.unwrap().effect(), Effect::Deny);
}

/// The certificate stands for the same service on every route.
fn over_rest(scene: &Scene) {
    let file = |name: &str| scene.files.path().join(name).display().to_string();
    let (certificate, key) = (file("shop.pem"), file("shop.key"));
    let identity = ["--cert", certificate.as_str(), "--key", key.as_str()];
    let (status, _, body) = scene.server.request(&identity, "/api/v1/session").unwrap();
    assert!(
        status == 200 && body.contains("certificate"),
        "{status} {body}"
    );
    // What a form of a foreign site can make a browser send is not taken.
    let form = [&identity[..], &["--data", "x=1"]].concat();
    let (status, _, body) = scene.server.request(&form, "/api/v1/apikeys").unwrap();
    assert!(status == 403 && body.contains("csrf"), "{status} {body}");
    let json = [
        "-H",
        "Content-Type: application/json",
        "--data",
        "{\"name\":\"x\"}",
    ];
    let json = [&identity[..], &json].concat();
    let (status, _, body) = scene.server.request(&json, "/api/v1/apikeys").unwrap();
    assert!(
        status == 400 && body.contains("local users"),
        "{status} {body}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_served_without_a_certificate_that_holds() {
    let scene = scene();
    const SHOP: &str = "spiffe://dataos/service/shop";
    let valid = scene.issuer.client(&[SHOP], -1, 1);
    let mut client = scene.client(Some(&valid)).await.unwrap();
    client.decide(alice("audit")).await.unwrap();

    let mut client = scene.client(None).await.unwrap();
    let status = client.decide(alice("audit")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    client.bearer = Some(format!("Bearer {}", scene.admin.key().unwrap()));
    let status = client.decide(alice("audit")).await.unwrap_err();
    assert_eq!(
        status.code(),
        Code::Unauthenticated,
        "an API key is no certificate"
    );

    // Chain faults end the handshake.
    for (why, identity) in [
        ("another CA", Issuer::new().client(&[SHOP], -1, 1)),
        ("expired", scene.issuer.client(&[SHOP], -2, -1)),
        ("not yet valid", scene.issuer.client(&[SHOP], 1, 2)),
        ("for servers", scene.issuer.server(&[SHOP])),
        ("self-signed", Identity::self_signed(&[SHOP])),
    ] {
        let refused = match scene.client(Some(&identity)).await {
            Ok(mut client) => client.decide(alice("audit")).await.is_err(),
            Err(_) => true,
        };
        assert!(refused, "{why}");
    }
    scene.has_refused("certificate_refused");

    // Identity faults on a chain that holds.
    for uris in [
        &[][..],
        &["spiffe://elsewhere/service/shop"],
        &["spiffe://dataos/service/dataos"],
        &[SHOP, "spiffe://dataos/service/pay"],
    ] {
        let identity = scene.issuer.client(uris, -1, 1);
        let mut client = scene.client(Some(&identity)).await.unwrap();
        let status = client.decide(alice("audit")).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{uris:?}");
    }
    scene.has_refused("certificate_identity");
    for name in ["dataos", "a/b", ""] {
        let create = ["certificate", "create", "-n", name, "--out", "/nonexistent"];
        assert!(scene.admin.json(&create).is_err(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_told_with_its_field_or_limit() {
    let scene = scene();
    let mut client = scene.client(Some(&scene.issued("shop"))).await.unwrap();
    let deep = (0..40).fold(Kind::Boolean(true), |inner, _| {
        let values = vec![wire::Value { kind: Some(inner) }];
        Kind::Set(wire::Set { values })
    });
    let with = |kind: Option<Kind>| DecideRequest {
        context: [("x".to_owned(), wire::Value { kind })].into(),
        ..alice("audit")
    };
    let long = "x".repeat(1 << 20);
    for (sent, code, told) in [
        (question(None, ""), Code::InvalidArgument, "subject"),
        (
            question(entity("user", ""), ""),
            Code::InvalidArgument,
            "subject.id",
        ),
        (with(None), Code::InvalidArgument, "context.x"),
        (
            with(Some(Kind::Decimal("NaN".to_owned()))),
            Code::InvalidArgument,
            "context.x",
        ),
        (with(Some(deep)), Code::InvalidArgument, "16 deep"),
        (
            with(Some(Kind::Text(long))),
            Code::ResourceExhausted,
            "1048576 bytes",
        ),
    ] {
        let status = client.decide(sent).await.unwrap_err();
        assert_eq!(status.code(), code, "{told}: {status:?}");
        assert!(status.message().contains(told), "{told}: {status:?}");
    }
    for (requests, semantic, code, told) in [
        (Vec::new(), 0, Code::InvalidArgument, "requests"),
        (
            vec![alice(""), question(None, "")],
            0,
            Code::InvalidArgument,
            "requests[1].subject",
        ),
        (vec![alice("")], 9, Code::InvalidArgument, "semantic"),
        (
            vec![DecideRequest::default(); 1001],
            0,
            Code::ResourceExhausted,
            "1000",
        ),
    ] {
        let sent = DecideAllRequest { requests, semantic };
        let status = client.decide_all(sent).await.unwrap_err();
        assert_eq!(status.code(), code, "{told}: {status:?}");
        assert!(status.message().contains(told), "{told}: {status:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_and_deadlines_are_those_of_grpc() {
    let scene = scene();
    let mut client = scene.client(Some(&scene.issued("shop"))).await.unwrap();
    let status = client.unknown_method(alice("audit")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    client.timeout = Some("1n");
    let status = client.decide(alice("audit")).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    client.timeout = Some("soon");
    let status = client.decide(alice("audit")).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    client.timeout = Some("60S");
    client.decide(alice("audit")).await.unwrap();
    // Over HTTP/1.1 there is no gRPC.
    let grpc = [
        "--http1.1",
        "-H",
        "Content-Type: application/grpc",
        "--data",
        "",
    ];
    let path = "/dataos.heimdall.v1.Decisions/Decide";
    assert_eq!(scene.server.request(&grpc, path).unwrap().0, 505);
}
