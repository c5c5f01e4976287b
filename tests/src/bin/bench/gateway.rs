//! The full path over TLS in turn with other proxies: what a request costs, how long it takes at 30 % load, and
//! what an idle connection holds.
//!
//! One request to `dataos` is: TLS 1.3, strict front, a token that was seen before, route, quotas, Cedar
//! decision over 1 000 policies and 10 000 entities beside the shipped ones, metrics, access log, audit record
//! durable before the answer. One request to a proxy is what its name says, before a plain HTTP server that
//! answers a body of the same size. CPU is user + system time of the server's processes.

mod cores;
mod idle;
mod latency;
mod ours;
mod peers;
pub(crate) mod unrecorded;

use std::io::Result;

use clap::{Args, ValueEnum};
use dataos_tests::server::Server;

use crate::{
    load::{Load, Sample, require},
    report::{Figure, Goal, quantile},
};
use cores::Cores;
use ours::Issuer;
use peers::{Guard, Proxy, Site};

/// The path of ours.
const PATH: &str = "/api/v1/session";

/// How long and how wide.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// All of them unless one is named.
    #[arg(value_enum)]
    case: Option<Case>,
    /// Rounds; each measures every contender once.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds per measurement.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Connections of the client.
    #[arg(long, default_value_t = 32)]
    connections: u32,
    /// Idle connections.
    #[arg(long, default_value_t = 1_000)]
    idle: usize,
    /// Contenders have a core of their own, with one worker each, and who asks them another one.
    #[arg(long)]
    apart: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    /// Requests and CPU at full load.
    Path,
    /// Latency at 30 % load.
    Latency,
    /// Memory of idle connections.
    Idle,
}

pub(crate) fn run(options: &Options) -> Result<Vec<Figure>> {
    require(&[
        ("wrk", "wrk"),
        ("nginx", "nginx-light"),
        ("haproxy", "haproxy"),
        ("openssl", "openssl"),
        ("python3", "python3-venv"),
    ])?;
    let cores = Cores::new(options.apart)?;
    let issuer = Issuer::new()?;
    let site = Site::start()?;
    let contenders = cores.servers(|| {
        Ok(Contenders {
            ours: ours::start(&issuer, None)?,
            unrecorded: ours::start(&issuer, Some(std::env::current_exe()?))?,
            nginx: site.nginx(true)?,
        })
    })?;
    let wanted = |case| options.case.is_none_or(|chosen| chosen == case);
    let mut figures = Vec::new();
    if wanted(Case::Idle) {
        figures.extend(idle::measure(&contenders.ours, &issuer, options.idle)?);
    }
    if wanted(Case::Path) {
        figures.extend(path(options, cores, &issuer, &site, &contenders)?);
    }
    if wanted(Case::Latency) {
        figures.extend(latency::measure(options, &issuer, &site, &contenders)?);
    }
    Ok(figures)
}

/// Those that every case needs.
struct Contenders {
    ours: Server,
    unrecorded: Server,
    nginx: Proxy,
}

/// One who is measured: its name, where it answers, whose CPU counts.
struct Contender<'a> {
    name: &'static str,
    url: String,
    pids: Vec<u32>,
    headers: &'a [&'a str],
}

impl<'a> Contender<'a> {
    fn server(name: &'static str, server: &Server, headers: &'a [&'a str]) -> Self {
        Self {
            name,
            url: format!("{}{PATH}", server.url),
            pids: vec![server.pid()],
            headers,
        }
    }

    fn proxy(name: &'static str, proxy: &Proxy, headers: &'a [&'a str]) -> Result<Self> {
        Ok(Self {
            name,
            url: format!("https://127.0.0.1:{}/", proxy.port),
            pids: proxy.pids()?,
            headers,
        })
    }
}

const OURS: &str = "dataos, full path";
const UNRECORDED: &str = "dataos, calls unrecorded";
const NGINX: &str = "nginx, log on";
const ENVOY_RULE: &str = "Envoy, token and rule";
const ENVOY_EXTERNAL: &str = "Envoy, token and external authorization";

fn path(
    options: &Options,
    cores: Cores,
    issuer: &Issuer,
    site: &Site,
    both: &Contenders,
) -> Result<Vec<Figure>> {
    let headers = [issuer.authorization.as_str()];
    let envoy = |guard| site.envoy(guard, issuer);
    let proxies = cores.servers(|| {
        Ok([
            ("nginx, no log", site.nginx(false)?),
            ("haproxy, no log", site.haproxy()?),
            ("Caddy, log on", site.caddy()?),
            ("Envoy, log on", envoy(Guard::None)?),
            (ENVOY_RULE, envoy(Guard::TokenAndRule)?),
            (ENVOY_EXTERNAL, envoy(Guard::External)?),
        ])
    })?;
    let mut contenders = vec![
        Contender::server(OURS, &both.ours, &headers),
        Contender::server(UNRECORDED, &both.unrecorded, &headers),
        Contender::proxy(NGINX, &both.nginx, &headers)?,
    ];
    for (name, proxy) in &proxies {
        contenders.push(Contender::proxy(name, proxy, &headers)?);
    }
    let mut samples = vec![Measured::default(); contenders.len()];
    // Forth and back: drift of the machine falls on all alike.
    for round in 0..options.rounds {
        let mut order: Vec<_> = contenders.iter().zip(&mut samples).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for (contender, measured) in order {
            let load = Load {
                connections: options.connections,
                seconds: options.seconds,
                headers: contender.headers,
                script: None,
            };
            let measure = || load.measure(&contender.url, &contender.pids);
            let (sample, idle) = cores.idle(measure)?;
            measured.samples.push(sample);
            measured.idle.extend(idle);
        }
    }
    let names = contenders.iter().map(|contender| contender.name);
    Ok(table(&mut names.zip(samples).collect::<Vec<_>>()))
}

/// Of one contender.
#[derive(Clone, Debug, Default)]
struct Measured {
    samples: Vec<Sample>,
    /// Share of its core that was idle, if it had one.
    idle: Vec<f64>,
}

fn table(measured: &mut [(&'static str, Measured)]) -> Vec<Figure> {
    let idle: Vec<_> = measured
        .iter_mut()
        .filter(|(_, measured)| !measured.idle.is_empty())
        .map(|(name, measured)| (*name, quantile(&mut measured.idle, 0.5)))
        .collect();
    let median = |name: &str, pick: fn(&Sample) -> f64| {
        let found = measured.iter().find(|(found, _)| *found == name);
        let samples = found.iter().flat_map(|(_, measured)| &measured.samples);
        quantile(&mut samples.map(pick).collect::<Vec<_>>(), 0.5)
    };
    let rate = |name: &str| median(name, |sample| sample.requests_per_second);
    let cpu = |name: &str| median(name, |sample| sample.cpu_us_per_request);
    let mut figures = Vec::new();
    for (name, _) in &*measured {
        figures.push(Figure::new(format!("{name}: requests"), rate(name), "1/s"));
        figures.push(Figure::new(
            format!("{name}: CPU per request"),
            cpu(name),
            "us",
        ));
    }
    for (name, idle) in idle {
        let name = format!("{name}: its core idle");
        figures.push(Figure::new(name, 100.0 * idle, "%"));
    }
    let to = |peer: &str| {
        Figure::ratio(
            format!("CPU per request to {peer}"),
            cpu(OURS) / cpu(peer),
            peer,
        )
    };
    figures.extend([
        Figure::ratio(
            "requests to unrecorded",
            rate(OURS) / rate(UNRECORDED),
            UNRECORDED,
        )
        .with_goal(Goal::AtLeast(0.85)),
        to(NGINX).with_goal(Goal::AtMost(1.5)),
        to(ENVOY_RULE).with_goal(Goal::AtMost(0.6)),
        to(ENVOY_EXTERNAL),
        Figure::ratio("requests to nginx", rate(OURS) / rate(NGINX), NGINX),
    ]);
    figures
}
