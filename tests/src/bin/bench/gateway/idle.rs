//! Memory that the server holds when nothing happens, and that each idle connection adds.

use std::{io::Result, thread, time::Duration};

use dataos_tests::server::Server;

use super::{Issuer, latency::idle};
use crate::{
    load::resident_mib,
    report::{Figure, Goal},
};

/// Until what is freed later is freed.
const REST: Duration = Duration::from_secs(3);

pub(super) fn measure(server: &Server, issuer: &Issuer, count: usize) -> Result<Vec<Figure>> {
    // The first ones pay for what all share.
    drop(idle(server, issuer, 64)?);
    thread::sleep(REST);
    let before = resident_mib(server.pid())?;
    let connections = idle(server, issuer, count)?;
    thread::sleep(REST);
    let after = resident_mib(server.pid())?;
    drop(connections);
    let each = (after - before) * 1024.0 / count as f64;
    Ok(vec![
        Figure::new(
            "idle, all roles, 1 000 policies and 10 000 entities",
            before,
            "MiB",
        ),
        Figure::new(format!("each of {count} idle TLS connections"), each, "KiB")
            .with_goal(Goal::AtMost(20.0)),
    ])
}
