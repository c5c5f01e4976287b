//! The full path over TLS against nginx as a bare TLS proxy, in turn, with wrk as the client.
//!
//! One request to `dataos` is: TLS 1.3, strict front, API key, route, Cedar decision, audit record
//! durable before the answer. One request to nginx is: TLS 1.3, proxy to a local plain HTTP server
//! that answers a body of the same size. CPU is user + system time of the server's processes.

pub(crate) mod unrecorded;

use std::{
    fs,
    io::{Error, Result},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use clap::Args;
use dataos_tests::{
    binaries::free_port,
    ctl::Ctl,
    peers::succeed,
    server::{Options as ServerOptions, Server},
};

use crate::{
    load::{Load, Sample, require, resident_mib},
    report::{Figure, Goal, quantile},
};

/// How long and how wide.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Rounds; each measures every contender once.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds per measurement.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Connections of the client.
    #[arg(long, default_value_t = 32)]
    connections: u32,
}

pub(crate) fn run(options: &Options) -> Result<Vec<Figure>> {
    require(&[
        ("wrk", "wrk"),
        ("nginx", "nginx-light"),
        ("openssl", "openssl"),
    ])?;
    let (server, key) = start(ServerOptions::default())?;
    let (unrecorded, unrecorded_key) = start(ServerOptions {
        program: Some((std::env::current_exe()?, Some("unrecorded".to_owned()))),
        ..ServerOptions::default()
    })?;
    let nginx = Nginx::start()?;
    let load = |key| Load {
        connections: options.connections,
        seconds: options.seconds,
        headers: key,
        script: None,
    };
    let (keys, unrecorded_keys) = ([key.as_str()], [unrecorded_key.as_str()]);
    let url = |server: &Server| format!("{}/api/v1/session", server.url);
    let nginx_url = format!("https://127.0.0.1:{}/", nginx.port);
    let mut samples = [const { Vec::new() }; 3];
    // Forth and back: drift of the machine falls on all alike.
    for round in 0..options.rounds {
        let mut order = [0, 1, 2];
        if round % 2 == 1 {
            order.reverse();
        }
        for contender in order {
            let sample = match contender {
                0 => load(&keys).measure(&url(&server), &[server.pid()]),
                1 => load(&unrecorded_keys).measure(&url(&unrecorded), &[unrecorded.pid()]),
                _ => load(&keys).measure(&nginx_url, &nginx.workers()?),
            };
            if let Some(samples) = samples.get_mut(contender) {
                samples.push(sample?);
            }
        }
    }
    Ok(figures(&samples, resident_mib(server.pid())?))
}

/// A server, and the header with a key of its administrator.
fn start(options: ServerOptions) -> Result<(Server, String)> {
    let server = Server::start(&options)?;
    let admin = Ctl::login(&server, "admin", &server.first_password()?)?;
    let key = format!("Authorization: Bearer {}", admin.key()?);
    Ok((server, key))
}

fn figures([ours, unrecorded, theirs]: &[Vec<Sample>; 3], resident_mib: f64) -> Vec<Figure> {
    let median = |samples: &[Sample], pick: fn(&Sample) -> f64| {
        quantile(&mut samples.iter().map(pick).collect::<Vec<_>>(), 0.5)
    };
    let rate = |samples: &[Sample]| median(samples, |sample| sample.requests_per_second);
    let cpu = |samples: &[Sample]| median(samples, |sample| sample.cpu_us_per_request);
    vec![
        Figure::new("dataos, full path: requests", rate(ours), "1/s"),
        Figure::new("dataos, full path: CPU per request", cpu(ours), "us"),
        Figure::new("nginx TLS proxy, log on: requests", rate(theirs), "1/s"),
        Figure::new(
            "nginx TLS proxy, log on: CPU per request",
            cpu(theirs),
            "us",
        ),
        Figure::new(
            "dataos, calls unrecorded: requests",
            rate(unrecorded),
            "1/s",
        ),
        Figure::new(
            "dataos, calls unrecorded: CPU per request",
            cpu(unrecorded),
            "us",
        ),
        Figure::ratio(
            "requests to unrecorded",
            rate(ours) / rate(unrecorded),
            "dataos, calls unrecorded",
        )
        .with_goal(Goal::AtLeast(0.85)),
        Figure::ratio("CPU per request to nginx", cpu(ours) / cpu(theirs), "nginx")
            .with_goal(Goal::AtMost(1.5)),
        Figure::ratio("requests to nginx", rate(ours) / rate(theirs), "nginx"),
        Figure::new("dataos resident after the load", resident_mib, "MiB"),
    ]
}

/// nginx with one worker as TLS proxy, and a second nginx as the plain server behind it, so that the
/// CPU of the proxy is counted alone.
#[derive(Debug)]
struct Nginx {
    port: u16,
    proxy: Child,
    behind: Child,
    _folder: tempfile::TempDir,
}

impl Nginx {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (port, port_behind) = (free_port()?, free_port()?);
        certificate(folder.path())?;
        let root = folder.path().display();
        let behind = spawn(
            folder.path(),
            "behind",
            &format!(
                "server {{ listen 127.0.0.1:{port_behind}; access_log off; keepalive_requests 1000000; \
                 location / {{ return 200 '{}'; }} }}",
                "x".repeat(250)
            ),
        )?;
        let proxy = spawn(
            folder.path(),
            "proxy",
            &format!(
                "access_log {root}/access.log;\n\
                 upstream behind {{ server 127.0.0.1:{port_behind}; keepalive 64; }}\n\
                 server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {root}/cert.pem;\n\
                 ssl_certificate_key {root}/key.pem; ssl_protocols TLSv1.3; keepalive_requests 1000000;\n\
                 location / {{ proxy_pass http://behind; proxy_http_version 1.1;\n\
                 proxy_set_header Connection ''; }} }}"
            ),
        )?;
        let nginx = Self {
            port,
            proxy,
            behind,
            _folder: folder,
        };
        for _ in 0..100 {
            if [port, port_behind]
                .iter()
                .all(|port| std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok())
            {
                return Ok(nginx);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(Error::other("nginx did not start"))
    }

    /// The workers of the proxy.
    fn workers(&self) -> Result<Vec<u32>> {
        let printed = succeed(Command::new("pgrep").args(["-P", &self.proxy.id().to_string()]))?;
        Ok(printed
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect())
    }
}

fn spawn(folder: &Path, name: &str, servers: &str) -> Result<Child> {
    let root = folder.display();
    let text = format!(
        "daemon off; worker_processes 1; pid {root}/{name}.pid; error_log {root}/{name}.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f;\n\
         uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n{servers} }}\n"
    );
    let file = folder.join(format!("{name}.conf"));
    fs::write(&file, text)?;
    Command::new("nginx")
        .arg("-c")
        .arg(&file)
        .arg("-p")
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

impl Drop for Nginx {
    fn drop(&mut self) {
        for process in [&mut self.proxy, &mut self.behind] {
            let _ = Command::new("kill")
                .args(["-TERM", &process.id().to_string()])
                .status();
            let _ = process.wait();
        }
    }
}

fn certificate(folder: &Path) -> Result<()> {
    succeed(
        Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
            ])
            .args(["-subj", "/CN=localhost", "-days", "1", "-keyout"])
            .arg(folder.join("key.pem"))
            .arg("-out")
            .arg(folder.join("cert.pem")),
    )
    .map(|_| ())
}
