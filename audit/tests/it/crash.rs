//! SIGKILL at random times: what was acknowledged is there.
//!
//! A killed process loses nothing that the kernel has, so this proves the order of write, publish
//! and acknowledge, and recovery; it proves nothing about the sync itself. `DATAOS_FAULTS=50` kills
//! ten thousand times.

use std::{thread, time::Duration};

use crate::{
    child::{Acknowledged, Appender, is_child, times},
    spread::Spread,
};

/// Kills in the tests: in several folders at a time, since most of it is waiting.
const KILLS: u64 = 200;
const LANES: u64 = 4;

/// Kills of one log; then another begins, so that logs do not grow without end.
const KILLS_PER_LOG: u64 = 25;

#[test]
fn nothing_acknowledged_is_lost_by_sigkill() {
    if is_child() {
        return;
    }
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| thread::spawn(move || kill_in_lane(lane, times(KILLS) / LANES)))
        .collect();
    let hits: u64 = lanes.into_iter().map(|lane| lane.join().unwrap()).sum();
    assert!(hits >= times(KILLS) / 2, "only {hits} kills hit appends");
}

/// Kills children until `kills` are reached; how many of them had acknowledged something.
fn kill_in_lane(lane: u64, kills: u64) -> u64 {
    let mut spread = Spread::new(lane);
    let (mut hits, mut left) = (0, kills);
    while left > 0 {
        let folder = tempfile::tempdir().unwrap();
        let mut acknowledged = Acknowledged::default();
        let kills = left.min(KILLS_PER_LOG);
        for round in 1..=kills {
            let child = Appender::start(
                "crash::nothing_acknowledged_is_lost_by_sigkill",
                folder.path(),
                &[],
            );
            // The other rounds hit the start and recovery too.
            if round % 4 != 0 {
                child.wait_until_appending();
            }
            thread::sleep(Duration::from_micros(spread.next() % 60_000));
            let said = child.kill();
            hits += u64::from(!said.acknowledged.is_empty());
            acknowledged.add(&said);
            if round % 5 == 0 || round == kills {
                acknowledged.check(folder.path()).unwrap();
            }
        }
        assert!(
            acknowledged.len() > 100,
            "only {} entries",
            acknowledged.len()
        );
        left -= kills;
    }
    hits
}
