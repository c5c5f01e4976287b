//! Columns that are called alike, in tables whose files tell which rows they do not have.

use std::{fmt::Write as _, sync::Arc};

use datafusion::arrow::array::{ArrayRef, Int64Array};
use dataos_model::depot::FileFormat;

use crate::{
    oracle::same_as_postgresql,
    world::{World, parquet},
};

const COLUMNS: &[(&str, &str)] = &[("id", "bigint"), ("k", "bigint"), ("v", "bigint")];

/// Rows of a file: a join gives rows of two at once.
const FILE_ROWS: usize = 5_000;

/// What a table has in row `i`: its columns rise and fall with its files, each in its own way.
type Row = fn(i64) -> [i64; 3];

/// Tables, how many rows they have, and which.
const TABLES: [(&str, i64, Row); 3] = [
    ("a", 50, |i| [i, 49 - i, 1_000 - i]),
    ("b", 80_000, |i| [i, i / 1_600, 10 * i]),
    ("c", 400, |i| [399 - i, i / 4, i]),
];

const SAME: &[&str] = &[
    // A filter over both sides of a join, which stands above a list of columns of both.
    "SELECT a.id, b.id FROM a RIGHT JOIN b ON a.v = b.v WHERE (b.id < 5 OR b.v >= a.id) AND b.v <> b.k ORDER BY 1, 2",
    "SELECT a.id, c.id FROM a FULL JOIN c ON a.v = c.v WHERE (c.k = 1 OR c.v >= a.id) AND c.v <> c.k ORDER BY 1, 2",
    // The first rows by the second of two columns.
    "SELECT b.v, a.v FROM a JOIN b ON a.id = b.k ORDER BY a.v, b.v LIMIT 3",
    "SELECT b.k, c.k, a.k FROM a JOIN b ON a.id = b.k JOIN c ON c.id = b.id ORDER BY a.k, b.k, c.k LIMIT 4",
    "SELECT c.id, b.id FROM b LEFT JOIN c ON c.v = b.id ORDER BY b.id DESC LIMIT 3",
    "SELECT b.v, a.v FROM b JOIN a ON a.id = b.k JOIN c ON c.id = b.id ORDER BY a.v, b.v LIMIT 3",
    // Keys of a join of joins.
    "SELECT b.id, a.id, c.id FROM a JOIN b ON a.id = b.k JOIN c ON c.v = a.id WHERE c.k > 10 AND b.id % 400 = 0 ORDER BY 1, 2, 3",
    "SELECT x.p, x.q, c.v FROM (SELECT b.id AS p, a.id AS q, b.v + a.v AS n FROM a JOIN b ON a.id = b.k) x JOIN c ON c.v = x.q WHERE c.k = 11 AND x.n % 400 = 0 ORDER BY 1, 2",
    "SELECT c.id, x.* FROM c JOIN (SELECT b.id AS i, a.id, b.k AS j, a.k FROM a JOIN b ON a.id = b.k) x ON x.id = c.v AND c.k = 12 AND x.i % 400 = 0 ORDER BY 1, 2, 3",
    "SELECT c.v, x.i, x.n FROM c JOIN (SELECT b.id, a.id AS i, b.k || '/' || a.k AS n FROM b LEFT JOIN a ON a.id = b.k WHERE a.v > b.k) x ON x.i = c.v AND c.k = 12 AND x.id % 400 = 0 ORDER BY 1, 2, 3",
    "SELECT count(*), min(p.id), max(q.id) FROM a p JOIN b q ON p.id = q.k JOIN c r ON r.v = p.id AND r.k > 10",
    "SELECT q.id, p.id, r.id FROM b q LEFT JOIN b p ON q.k = p.id JOIN c r ON r.v = p.id WHERE r.k = 3 AND q.id % 400 = 0 ORDER BY 1, 2, 3",
    "SELECT count(*), min(b.id), max(a.id) FROM b JOIN a ON a.id = b.k JOIN c ON c.v = a.id WHERE c.k = 11",
    "SELECT count(*), min(x.p), max(x.q) FROM (SELECT b.id AS p, a.id AS q FROM b JOIN a ON a.id = b.k) x JOIN c ON c.v = x.q WHERE c.k = 11",
    "SELECT count(*), min(x.p), max(x.q) FROM (SELECT b.id AS p, a.id AS q FROM b LEFT JOIN a ON a.id = b.k WHERE b.v + a.v > 5) x JOIN c ON c.v = x.q WHERE c.k = 11",
    // Columns of one name that are others in each part of a union.
    "SELECT u.id, u.k FROM (SELECT id, k FROM b UNION ALL SELECT k, id FROM c) u ORDER BY u.id, u.k LIMIT 5",
    "SELECT u.id, u.k, a.v FROM (SELECT id, k FROM b UNION ALL SELECT v, k FROM c) u JOIN a ON a.id = u.k WHERE a.v < 955 AND u.id % 400 = 0 ORDER BY 1, 2",
    // Keys of groups that are called as a column and are not it.
    "SELECT g.id, g.n, a.v FROM (SELECT id % 50 AS id, count(*) AS n FROM b GROUP BY id % 50) g JOIN a ON a.id = g.id WHERE a.v < 955 ORDER BY 1",
    "SELECT g.id, g.n FROM (SELECT (id / 50)::text AS id, count(*) AS n FROM b GROUP BY 1) g JOIN (SELECT v::text AS id FROM c WHERE v < 2) d ON d.id = g.id ORDER BY 1, 2",
    // Keys of semi joins, where the other side has a column of the name.
    "SELECT b.id FROM b WHERE b.id IN (SELECT c.v FROM c WHERE c.id > 90) ORDER BY b.id DESC LIMIT 3",
    "SELECT b.id FROM b WHERE EXISTS (SELECT 1 FROM c WHERE c.v = b.id AND c.id + b.k < 250) ORDER BY b.id DESC LIMIT 4",
    "SELECT b.id, a.id FROM b JOIN a ON a.id = b.id WHERE EXISTS (SELECT 1 FROM c WHERE c.v = b.id AND c.id > b.k) AND a.v < 960 ORDER BY 1",
];

#[tokio::test(flavor = "multi_thread")]
async fn they_stay_apart() {
    let (world, mut tables) = (World::new(), String::new());
    for (name, count, row) in TABLES {
        let rows: Vec<[i64; 3]> = (0..count).map(row).collect();
        let mut paths = Vec::new();
        for (number, rows) in rows.chunks(FILE_ROWS).enumerate() {
            let column = |at: usize| rows.iter().map(|row| row[at]).collect::<Int64Array>();
            let arrays = (0..3).map(|at| Arc::new(column(at)) as ArrayRef);
            let path = world.path(&format!("{name}-{number}.parquet"));
            std::fs::write(&path, parquet(COLUMNS, arrays.collect())).unwrap();
            paths.push(path);
        }
        world.files(name, FileFormat::Parquet, &paths, COLUMNS);
        let values: Vec<String> = rows
            .iter()
            .map(|[id, k, v]| format!("({id}, {k}, {v})"))
            .collect();
        let values = values.join(", ");
        writeln!(
            tables,
            "CREATE TABLE {name} (id bigint, k bigint, v bigint); INSERT INTO {name} VALUES {values};"
        )
        .unwrap();
    }
    same_as_postgresql(&world, &tables, SAME).await;
}
