//! `dataos demo`: the whole path on real data, through the public API.
//!
//! Enters: options. Leaves: a guided scenario on stdout in which every claim is a check. Never done
//! here: a call that a client could not make; the demo's users see what the policies let them.

mod client;
mod people;
mod scenario;
mod screen;

use std::{net::SocketAddr, path::Path, time::Instant};

use dataos_model::fault::Fault;

use crate::{app::App, config::Config};

/// What `dataos demo` takes.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Stop after the scenario instead of staying up.
    pub exits: bool,
    /// TPC-H scale factor; 0.1 is about 30 MB of Parquet.
    pub scale: f64,
    /// Address to listen on.
    pub listen: SocketAddr,
}

/// Runs the demo. `Ok(true)` if every check held.
///
/// # Errors
/// The server does not start, or an answer is not one that the scenario can go on with.
pub async fn run(options: &DemoOptions) -> Result<bool, Fault> {
    let mut screen = screen::Screen::default();
    let folder = tempfile::tempdir()
        .map_err(|error| Fault::internal(format!("no temporary directory: {error}")))?;
    screen.line("DataOS kernel demo: everything below goes over TLS through the public API.");
    let data = generate(folder.path(), options.scale, &screen).await?;
    let started = Instant::now();
    let config = Config::for_demo(&folder.path().join("data"), options.listen)?;
    let app = App::start(config, |_| ()).await?;
    screen.line(&format!(
        "started in {} ms: https://{}, data in {}",
        started.elapsed().as_millis(),
        app.address(),
        folder.path().display()
    ));
    let stage = scenario::Stage {
        app: &app,
        data: &data,
    };
    let people = stage.run(&mut screen).await?;
    let (passed, failed) = screen.counts();
    if options.exits {
        app.shutdown().await;
        let failures = if failed > 0 {
            format!(", {failed} FAILED")
        } else {
            String::new()
        };
        screen.line(&format!("demo: {passed} checks passed{failures}"));
        return Ok(failed == 0);
    }
    screen.line(&format!(
        "\n{passed} checks passed, {failed} failed. The server stays up; Ctrl-C ends it."
    ));
    next_steps(&screen, &app, &people, folder.path());
    let _ = tokio::signal::ctrl_c().await;
    app.shutdown().await;
    Ok(failed == 0)
}

/// Sample data on disk.
#[derive(Debug)]
pub(crate) struct SampleData {
    crm: std::path::PathBuf,
    tpch: std::path::PathBuf,
}

async fn generate(folder: &Path, scale: f64, screen: &screen::Screen) -> Result<SampleData, Fault> {
    let data = SampleData {
        crm: folder.join("sample/crm"),
        tpch: folder.join("sample/tpch"),
    };
    screen.line(&format!(
        "generating TPC-H at scale factor {scale} and 5000 synthetic customers ..."
    ));
    let (crm, tpch) = (data.crm.clone(), data.tpch.clone());
    for folder in [&crm, &tpch] {
        std::fs::create_dir_all(folder).map_err(|error| {
            Fault::unavailable(format!("{} cannot be made: {error}", folder.display()))
        })?;
    }
    let started = Instant::now();
    let tables = tokio::task::spawn_blocking(move || {
        dataos_query::sample::write_customers(&crm, scenario::CUSTOMERS)?;
        dataos_query::sample::write_tpch(&tpch, scale)
    })
    .await
    .map_err(|error| Fault::internal(format!("the generator stopped: {error}")))??;
    let rows: u64 = tables.iter().map(|(_, rows)| *rows).sum();
    screen.line(&format!(
        "{} TPC-H tables, {rows} rows, in {:.1} s",
        tables.len(),
        started.elapsed().as_secs_f64()
    ));
    Ok(data)
}

fn next_steps(
    screen: &screen::Screen,
    app: &crate::app::RunningApp,
    people: &[people::Login],
    folder: &Path,
) {
    let url = format!("https://{}", app.address());
    screen.heading("Go on yourself");
    screen.line(&format!(
        "   console   {url}/console/   (its certificate is of the demo's own CA)"
    ));
    for login in people {
        screen.line(&format!(
            "   log-in    {:<16} {}",
            login.name, login.password
        ));
    }
    screen.line("\n   cargo build --release -p dataos-ctl, then:");
    let ca = folder.join("data/ca.pem");
    screen.line(&format!(
        "   target/release/dataos-ctl login --url {url} --ca {} --user analyst-emea",
        ca.display()
    ));
    screen.line("   target/release/dataos-ctl query 'SELECT * FROM crm.main.customers LIMIT 5'");
    screen.line(
        "   target/release/dataos-ctl query 'EXPLAIN POLICY SELECT * FROM crm.main.customers'",
    );
    screen.line("   target/release/dataos-ctl audit search --effect deny      (as auditor)");
}
