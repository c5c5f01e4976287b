//! The same questions by AuthZEN to `dataos` and to Cerbos, in turn, with wrk as the client.
//!
//! One rule per record: a role may read it if the caller's region is EMEA. Each is asked in its own way:
//! to Cerbos a record is a kind of resource with a policy of its own, which it finds by name, and the
//! properties of the subject say its roles; to ours it is an entity, and roles are those of its users.
//! Ours answers over TLS 1.3, authenticates who asks by API key, and keeps a record of each answer that is
//! durable before the answer. Cerbos answers over plain HTTP, to anyone, its audit and request logs off.

use std::{
    fs,
    io::{Error, Result},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use dataos_tests::{
    binaries::{free_port, from_npm},
    ctl::Ctl,
    peers::succeed,
    server::{Options as ServerOptions, Server},
};
use serde_json::{Value, json};

use super::workload::spread;
use crate::{
    load::{Load, Sample, require},
    report::{Figure, Goal, quantile},
};

const PACKAGE: &str = "@cerbos/cerbos-linux-x64";
const VERSION: &str = "0.55.0";
const SIZES: [usize; 2] = [10, 1_000];
const ROUNDS: usize = 5;
const USERS: usize = 20;
const ROLES: usize = 20;
/// Different questions of one load.
const QUESTIONS: usize = 400;
/// Answers that are compared before the load.
const COMPARED: usize = 60;
const START_TIMEOUT: Duration = Duration::from_secs(60);

const SCHEMA: &str = "namespace Peer {
    entity Record;
    action read appliesTo { principal: DataOS::User, resource: Record };
}
";

pub(super) fn run() -> Result<Vec<Figure>> {
    require(&[("wrk", "wrk"), ("npm", "npm"), ("curl", "curl")])?;
    let program = from_npm(PACKAGE, VERSION)?
        .join(PACKAGE)
        .join("cerbos-linux-x64");
    let mut figures = Vec::new();
    for size in SIZES {
        figures.extend(compare(&program, size)?);
    }
    Ok(figures)
}

fn compare(program: &Path, size: usize) -> Result<Vec<Figure>> {
    let ours = Ours::start(size)?;
    let cerbos = Cerbos::start(program, size)?;
    let ours_url = format!("{}/access/v1/evaluation", ours.server.url);
    let cerbos_url = format!("http://127.0.0.1:{}/access/v1/evaluation", cerbos.port);
    let asked: Vec<Question> = (0..QUESTIONS).map(|n| Question::new(n, size)).collect();
    let key = format!("Authorization: Bearer {}", ours.key);
    let content = "Content-Type: application/json";
    check(&asked, &ours, &key, &cerbos_url)?;
    let folder = tempfile::tempdir()?;
    let scripts = [
        folder.path().join("ours.lua"),
        folder.path().join("cerbos.lua"),
    ];
    let [to_ours, to_cerbos] = &scripts;
    fs::write(to_ours, lua(asked.iter().map(Question::to_ours)))?;
    fs::write(to_cerbos, lua(asked.iter().map(Question::to_cerbos)))?;
    let with_key = [key.as_str(), content];
    let with_key = load(&with_key, to_ours);
    let without = [content];
    let without = load(&without, to_cerbos);
    let (mut mine, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let measure_ours = || with_key.measure(&ours_url, &[ours.server.pid()]);
        let measure_cerbos = || without.measure(&cerbos_url, &[cerbos.process.id()]);
        if round % 2 == 0 {
            mine.push(measure_ours()?);
            theirs.push(measure_cerbos()?);
        } else {
            theirs.push(measure_cerbos()?);
            mine.push(measure_ours()?);
        }
    }
    Ok(figures(size, &mine, &theirs))
}

fn figures(size: usize, ours: &[Sample], theirs: &[Sample]) -> Vec<Figure> {
    let median = |samples: &[Sample], pick: fn(&Sample) -> f64| {
        quantile(&mut samples.iter().map(pick).collect::<Vec<_>>(), 0.5)
    };
    let rate = |samples| median(samples, |sample| sample.requests_per_second);
    let cpu = |samples| median(samples, |sample| sample.cpu_us_per_request);
    let name = |what: &str| format!("AuthZEN, {size} policies: {what}");
    vec![
        Figure::new(name("dataos, TLS and durable record"), rate(ours), "1/s"),
        Figure::new(name("dataos, CPU per request"), cpu(ours), "us"),
        Figure::new(name("Cerbos, plain, no record"), rate(theirs), "1/s"),
        Figure::new(name("Cerbos, CPU per request"), cpu(theirs), "us"),
        Figure::ratio(
            name("requests to Cerbos"),
            rate(ours) / rate(theirs),
            "Cerbos",
        )
        .with_goal(Goal::AtLeast(3.0)),
    ]
}

/// Who may read the record.
fn role(record: usize) -> usize {
    record % ROLES
}

fn region(user: usize) -> &'static str {
    if user.is_multiple_of(3) {
        "AMER"
    } else {
        "EMEA"
    }
}

fn load<'a>(headers: &'a [&'a str], script: &'a Path) -> Load<'a> {
    Load {
        connections: 32,
        seconds: 2,
        headers,
        script: Some(script),
    }
}

/// May the user read the record?
struct Question {
    user: usize,
    record: usize,
}

impl Question {
    /// Every other one is about a record for the role of the user, if there is one.
    fn new(n: usize, size: usize) -> Self {
        let (user, record) = (spread(n, 21, USERS), spread(n, 22, size));
        let own = record / ROLES * ROLES + user;
        let is_own = n.is_multiple_of(2) && own < size;
        Self {
            user,
            record: if is_own { own } else { record },
        }
    }

    fn to_ours(&self) -> String {
        let resource = json!({"type": "record", "id": self.record.to_string()});
        self.body(&json!({}), &resource)
    }

    fn to_cerbos(&self) -> String {
        let roles = [format!("r{}", self.user)];
        let properties = json!({"cerbos.roles": roles, "region": region(self.user)});
        let resource = json!({"type": format!("record{}", self.record), "id": "1"});
        self.body(&properties, &resource)
    }

    fn body(&self, properties: &Value, resource: &Value) -> String {
        let id = format!("u{}", self.user);
        json!({
            "subject": {"type": "user", "id": id, "properties": properties},
            "action": {"name": "read"},
            "resource": resource,
        })
        .to_string()
    }
}

/// wrk sends them one after the other.
fn lua(bodies: impl Iterator<Item = String>) -> String {
    let bodies: Vec<String> = bodies.map(|body| format!("'{body}'")).collect();
    format!(
        "local bodies = {{ {} }}\nlocal n = 0\n\
         function request()\n  n = n % #bodies + 1\n\
         return wrk.format('POST', nil, nil, bodies[n])\nend\n",
        bodies.join(",\n")
    )
}

/// Both must answer alike, and with both answers.
fn check(asked: &[Question], ours: &Ours, key: &str, cerbos: &str) -> Result<()> {
    let mut allowed = 0;
    let content = "Content-Type: application/json";
    for question in asked.iter().take(COMPARED) {
        let (to_ours, to_cerbos) = (question.to_ours(), question.to_cerbos());
        let arguments = ["-H", key, "-H", content, "-d", &to_ours];
        let (_, _, mine) = ours.server.request(&arguments, "/access/v1/evaluation")?;
        let theirs = succeed(
            Command::new("curl")
                .args(["-s", "--max-time", "10", "-H", content])
                .args(["-d", &to_cerbos, cerbos]),
        )?;
        let decision = |text: &str| -> Option<bool> {
            let answer: Value = serde_json::from_str(text).ok()?;
            answer.get("decision")?.as_bool()
        };
        let (mine, theirs) = (decision(&mine), decision(&theirs));
        if mine.is_none() || mine != theirs {
            return Err(Error::other(format!(
                "{to_ours}: ours {mine:?}, Cerbos {theirs:?}"
            )));
        }
        allowed += usize::from(mine == Some(true));
    }
    if allowed == 0 || allowed == COMPARED {
        return Err(Error::other(format!("{allowed} of {COMPARED} are allowed")));
    }
    Ok(())
}

struct Ours {
    server: Server,
    key: String,
}

impl Ours {
    fn start(size: usize) -> Result<Self> {
        let server = Server::start(&ServerOptions::default())?;
        let admin = Ctl::login(&server, "admin", &server.first_password()?)?;
        for user in 0..USERS {
            let (id, role) = (format!("u{user}"), format!("r{user}"));
            let region = format!("region={}", region(user));
            let command = [
                "user",
                "create",
                "--id",
                &id,
                "--role",
                &role,
                "--attribute",
                &region,
            ];
            let variables = [("DATAOS_NEW_PASSWORD", "a-long-enough-password")];
            let printed = admin.run_with(&command, &variables, "")?;
            if printed.code != 0 {
                return Err(Error::other(printed.stderr));
            }
        }
        let policies = server.data_dir.join("policies");
        let loaded = || -> Result<u64> {
            let listed = admin.json(&["policy", "list"])?;
            let count = listed.get("count").and_then(Value::as_u64);
            count.ok_or_else(|| Error::other("policy list says no count"))
        };
        let expected = loaded()? + size as u64;
        let text: String = (0..size)
            .map(|record| {
                format!(
                    "@id(\"peer{record}\")\npermit (principal in DataOS::Role::\"r{}\", \
                     action == Peer::Action::\"read\", resource == Peer::Record::\"{record}\")\n\
                     when {{ principal.hasTag(\"region\") && principal.getTag(\"region\") == \"EMEA\" }};\n",
                    role(record)
                )
            })
            .collect();
        let entities: Vec<Value> = (0..size)
            .map(|record| {
                let uid = json!({"type": "Peer::Record", "id": record.to_string()});
                json!({"uid": uid, "attrs": {}, "parents": []})
            })
            .collect();
        fs::create_dir_all(policies.join("entities"))?;
        fs::write(
            policies.join("entities/peer.json"),
            json!(entities).to_string(),
        )?;
        fs::write(policies.join("peer.cedar"), text)?;
        fs::write(policies.join("peer.cedarschema"), SCHEMA)?;
        let deadline = Instant::now() + START_TIMEOUT;
        while loaded()? != expected {
            if Instant::now() > deadline {
                return Err(Error::other(server.printed()));
            }
            thread::sleep(Duration::from_millis(100));
        }
        let key = admin.key()?;
        Ok(Self { server, key })
    }
}

struct Cerbos {
    port: u16,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Cerbos {
    fn start(program: &Path, size: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let policies = folder.path().join("policies");
        fs::create_dir(&policies)?;
        for record in 0..size {
            fs::write(policies.join(format!("record{record}.yaml")), rule(record))?;
        }
        let (port, grpc) = (free_port()?, free_port()?);
        let config = folder.path().join("conf.yaml");
        let text = format!(
            "server:\n  httpListenAddr: \"127.0.0.1:{port}\"\n  grpcListenAddr: \"127.0.0.1:{grpc}\"\n\
             telemetry:\n  disabled: true\naudit:\n  enabled: false\n\
             storage:\n  driver: disk\n  disk:\n    directory: {}\n",
            policies.display()
        );
        fs::write(&config, text)?;
        let process = Command::new(program)
            .args(["server", "--log-level=error"])
            .arg(format!("--config={}", config.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let cerbos = Self {
            port,
            process,
            _folder: folder,
        };
        let deadline = Instant::now() + START_TIMEOUT;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                return Err(Error::other("Cerbos did not start in time"));
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(cerbos)
    }
}

/// The policy of one kind of resource.
fn rule(record: usize) -> String {
    format!(
        "apiVersion: api.cerbos.dev/v1\nresourcePolicy:\n  resource: record{record}\n  \
         version: default\n  rules:\n    - actions: [\"read\"]\n      effect: EFFECT_ALLOW\n      \
         roles: [\"r{}\"]\n      condition:\n        match:\n          \
         expr: request.principal.attr.region == \"EMEA\"\n",
        role(record)
    )
}

impl Drop for Cerbos {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
