//! Writes against a plain interpreter that asks stock Cedar about each row and cell: random policies,
//! tables and statements; who may touch which row, what is answered, what the table holds afterwards.
//! PDP, catalog and query layer are the real ones, over a folder.
//!
//! `DATAOS_WRITES=100000` sets how many statements instead of 1 200, `DATAOS_SEED=7` where to start.

mod oracle;
mod statement;
mod world;

use self::{
    oracle::{Outcome, Policies},
    statement::{Draw, Row},
    world::World,
};

/// Statements without another wish.
const STATEMENTS: u64 = 1_200;
/// Statements under one set of policies, on one table.
const STATEMENTS_PER_ROUND: u64 = 40;

/// How often each outcome came.
#[derive(Debug, Default)]
struct Seen {
    changed: u64,
    idle: u64,
    refused: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_do_what_cedar_says_row_by_row() {
    let wish = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let count: u64 = wish("DATAOS_WRITES").unwrap_or(STATEMENTS);
    let seed: u64 = wish("DATAOS_SEED").unwrap_or(1);
    let world = World::open().await;
    let mut seen = Seen::default();
    for round in 0..count.div_ceil(STATEMENTS_PER_ROUND) {
        let mut draw = Draw::new(seed.wrapping_add(round));
        play(&world, round, &mut draw, &mut seen).await;
    }
    eprintln!("writes: {seen:?} from seed {seed}");
    // A generator of refusals would prove nothing.
    let all = seen.changed + seen.idle + seen.refused;
    assert!(
        seen.changed * 4 > all && seen.refused * 20 > all,
        "{seen:?}"
    );
}

async fn play(world: &World, round: u64, draw: &mut Draw, seen: &mut Seen) {
    let table = format!("t{round}");
    let policies = Policies::draw(draw, &table);
    world.put(&policies.text()).await;
    let mut rows = draw.rows();
    world.create(&table, &rows).await;
    for _ in 0..STATEMENTS_PER_ROUND {
        let statement = draw.statement();
        let sql = statement.sql(&table);
        let expected = policies.outcome(&statement, &mut rows);
        let found = world.run(&sql).await;
        let context = || format!("{sql}\n{}\n{found:?}", policies.text());
        let is_expected = match (&expected, &found) {
            (Outcome::Refused, Err(_)) => {
                seen.refused += 1;
                true
            }
            (Outcome::Done(expected), Ok(answer)) => {
                if expected == "[[0]]" || expected == "[]" {
                    seen.idle += 1;
                } else {
                    seen.changed += 1;
                }
                expected == answer
            }
            (Outcome::Refused, Ok(_)) | (Outcome::Done(_), Err(_)) => false,
        };
        assert!(is_expected, "expected {expected:?}: {}", context());
        let mut holds: Vec<String> = rows.iter().map(Row::json).collect();
        holds.sort();
        assert_eq!(world.rows(&table).await, holds, "{}", context());
        if rows.len() < 4 {
            break;
        }
    }
}
