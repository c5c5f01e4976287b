//! Latency at 30 % of what the full path can do, in an open loop: requests begin at their times whether or not
//! others have ended, and what one waits for its turn counts.

use std::{
    io::{BufRead, BufReader, Error, Read, Result, Write},
    net::TcpStream,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use dataos_tests::server::Server;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

use super::{Contenders, Issuer, NGINX, OURS, Options, PATH, Site, UNRECORDED};
use crate::{
    audit::paced_probe,
    load::Load,
    report::{Figure, Goal, quantile},
};

/// Connections, each of a thread of its own.
const CALLERS: u32 = 32;
const SHARE: f64 = 0.3;
/// Longest answer that is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where calls go.
struct Target {
    port: u16,
    path: &'static str,
    /// Without it, plain HTTP.
    tls: Option<Arc<ClientConfig>>,
    authorization: String,
}

impl Target {
    fn server(server: &Server, issuer: &Issuer) -> Result<Self> {
        let port = server
            .url
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok());
        Ok(Self {
            port: port.ok_or_else(|| Error::other("the server's address has no port"))?,
            path: PATH,
            tls: Some(trusting(&server.ca())?),
            authorization: issuer.authorization.clone(),
        })
    }
}

pub(super) fn measure(
    options: &Options,
    issuer: &Issuer,
    site: &Site,
    contenders: &Contenders,
) -> Result<Vec<Figure>> {
    let headers = [issuer.authorization.as_str()];
    let load = Load {
        connections: CALLERS,
        seconds: options.seconds,
        headers: &headers,
        script: None,
    };
    let ours = &contenders.ours;
    let most = load.measure(&format!("{}{PATH}", ours.url), &[ours.pid()])?;
    let rate = most.requests_per_second * SHARE;
    let target = |port, tls| Target {
        port,
        path: "/",
        tls,
        authorization: issuer.authorization.clone(),
    };
    let site_tls = trusting(&site.certificate())?;
    let targets = [
        (OURS, Target::server(ours, issuer)?),
        (UNRECORDED, Target::server(&contenders.unrecorded, issuer)?),
        (NGINX, target(contenders.nginx.port, Some(site_tls))),
        ("the plain server alone", target(site.port, None)),
    ];
    let span = Duration::from_secs(options.seconds);
    let mut waits = [const { Vec::new() }; 4];
    let mut syncs = Vec::new();
    let folder = tempfile::tempdir()?;
    for _ in 0..options.rounds {
        for ((_, target), waits) in targets.iter().zip(&mut waits) {
            waits.extend(open_loop(target, rate, span)?);
        }
        syncs.extend(paced_probe(folder.path(), span)?);
    }
    Ok(figures(
        rate,
        &targets.map(|(name, _)| name),
        &mut waits,
        &mut syncs,
    ))
}

fn figures(
    rate: f64,
    names: &[&str; 4],
    waits: &mut [Vec<f64>; 4],
    syncs: &mut [f64],
) -> Vec<Figure> {
    let mut figures = vec![Figure::new("30 % load", rate, "1/s")];
    let mut at = [[0.0; 2]; 4];
    for ((name, waits), at) in names.iter().zip(waits).zip(&mut at) {
        *at = [quantile(waits, 0.5), quantile(waits, 0.99)];
        figures.push(Figure::new(
            format!("{name}: p50 at 30 % load"),
            at[0],
            "us",
        ));
        figures.push(Figure::new(
            format!("{name}: p99 at 30 % load"),
            at[1],
            "us",
        ));
    }
    let sync = [quantile(syncs, 0.5), quantile(syncs, 0.99)];
    figures.push(Figure::new("fdatasync, 1 000 a second: p50", sync[0], "us"));
    figures.push(Figure::new("fdatasync, 1 000 a second: p99", sync[1], "us"));
    let [ours, unrecorded, nginx, direct] = at;
    figures.extend([
        Figure::new("added by the full path, p50", ours[0] - direct[0], "us"),
        Figure::new(
            "added by the full path beyond fdatasync, p99",
            ours[1] - direct[1] - sync[1],
            "us",
        )
        .with_goal(Goal::AtMost(1_000.0)),
        Figure::new(
            "added by unrecorded calls, p99",
            unrecorded[1] - direct[1],
            "us",
        )
        .with_goal(Goal::AtMost(1_000.0)),
        Figure::new("added by nginx, p99", nginx[1] - direct[1], "us"),
    ]);
    figures
}

fn trusting(certificate: &std::path::Path) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(certificate).map_err(Error::other)? {
        roots
            .add(certificate.map_err(Error::other)?)
            .map_err(Error::other)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// What each call took from its time on, in microseconds.
fn open_loop(target: &Target, rate: f64, span: Duration) -> Result<Vec<f64>> {
    // All connections are open before the first call.
    let callers: Result<Vec<_>> = (0..CALLERS).map(|_| Caller::connect(target)).collect();
    let begin = Instant::now() + Duration::from_millis(100);
    let between = Duration::from_secs_f64(f64::from(CALLERS) / rate);
    thread::scope(|scope| {
        let running: Vec<_> = callers?
            .into_iter()
            .zip(0..CALLERS)
            .map(|(caller, number)| {
                let first = begin + between * number / CALLERS;
                scope.spawn(move || caller.call(first, between, begin + span))
            })
            .collect();
        let mut waits = Vec::new();
        for caller in running {
            let ended = caller.join().map_err(|_| Error::other("a caller ended"))?;
            waits.extend(ended?);
        }
        Ok(waits)
    })
}

trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// One connection.
struct Caller {
    stream: BufReader<Box<dyn Stream>>,
    request: String,
}

impl Caller {
    fn connect(target: &Target) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", target.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let stream: Box<dyn Stream> = match &target.tls {
            Some(config) => {
                let name = ServerName::try_from("127.0.0.1").map_err(Error::other)?;
                let session =
                    ClientConnection::new(Arc::clone(config), name).map_err(Error::other)?;
                Box::new(StreamOwned::new(session, stream))
            }
            None => Box::new(stream),
        };
        let request = format!(
            "GET {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n{}\r\n\r\n",
            target.path, target.port, target.authorization
        );
        let mut caller = Self {
            stream: BufReader::new(stream),
            request,
        };
        caller.once()?;
        Ok(caller)
    }

    fn call(mut self, first: Instant, between: Duration, end: Instant) -> Result<Vec<f64>> {
        let (mut at, mut waits) = (first, Vec::new());
        while at < end {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            self.once()?;
            waits.push(at.elapsed().as_secs_f64() * 1e6);
            at += between;
        }
        Ok(waits)
    }

    fn once(&mut self) -> Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(self.request.as_bytes())?;
        stream.flush()?;
        let (mut length, mut line, mut is_first) = (0, String::new(), true);
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            if is_first && !line.starts_with("HTTP/1.1 200") {
                return Err(Error::other(format!("answered with {line:?}")));
            }
            is_first = false;
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(Error::other)?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)
    }

    /// The connection, open and idle.
    fn into_idle(self) -> BufReader<Box<dyn Stream>> {
        self.stream
    }
}

/// Idle connections, each of which has asked once.
pub(super) fn idle(server: &Server, issuer: &Issuer, count: usize) -> Result<Vec<impl Sized>> {
    let target = Target::server(server, issuer)?;
    (0..count)
        .map(|_| Ok(Caller::connect(&target)?.into_idle()))
        .collect()
}
