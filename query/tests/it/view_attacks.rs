//! Attacks by views (class 16): a view is made in two worlds that differ only in what the caller may not
//! know, with a probe in each place of its query, and read in every position where a relation can stand.
//! All of it must end the same in both.

use crate::{
    back_ends::BackEnd,
    twins::{End, Governed, Twins},
};

/// Queries of a view (`{e}` is a probe over the columns of `t`).
const QUERIES: &[&str] = &[
    "SELECT id, {e} AS x FROM t",
    "SELECT id, memo AS x FROM t WHERE {e} IS NOT NULL",
    "SELECT min(id) AS id, {e} AS x FROM t GROUP BY {e}",
    "SELECT id, row_number() OVER (ORDER BY {e}, id) AS x FROM t",
    "SELECT u.id, u.rank AS x FROM u JOIN t ON u.t_id = t.id AND {e} IS NOT NULL",
    "SELECT id, (SELECT count({e}) FROM t) AS x FROM u",
    "SELECT id, x FROM (SELECT id, {e} AS x FROM t) AS s WHERE x IS NOT NULL",
    "WITH c AS (SELECT id, {e} AS x FROM t) SELECT id, x FROM c",
    "SELECT id, {e} AS x FROM t UNION ALL SELECT id, NULL FROM u",
];

const PROBES: &[&str] = &[
    "1 / (amount - 777)",
    "CAST(memo AS BIGINT)",
    "1 / (salary - 877)",
    "CAST(note AS BIGINT)",
    "substr(email, 2)",
    "ssn",
    "born",
];

/// Of these so many suffice behind views, whose attacks are all in `attacks` too.
const PROBES_OF_VIEWS: usize = 3;

/// Ways to read it (`w`), to read around it, and to change it.
const READS: &[&str] = &[
    "SELECT * FROM w ORDER BY 1, 2",
    "SELECT count(*) FROM w",
    "SELECT w.id FROM w WHERE x IS NOT NULL ORDER BY 1 LIMIT 3",
    "SELECT count(*) FROM w a JOIN w b ON a.id = b.id",
    "SELECT count(*) FROM v LEFT JOIN w ON v.id = w.id AND w.x IS NULL",
    "SELECT (SELECT count(*) FROM w) AS n",
    "SELECT id FROM v WHERE EXISTS (SELECT 1 FROM w WHERE w.id = v.id) ORDER BY id",
    "SELECT count(*) FROM t WHERE id IN (SELECT id FROM w)",
    "WITH w AS (SELECT * FROM w) SELECT count(*) FROM w",
    "WITH t AS (SELECT 1 AS id) SELECT count(*) FROM w, t",
    "SELECT x, count(*) FROM w GROUP BY x ORDER BY 1",
    "SELECT 1 / (id - 1000) FROM w ORDER BY 1",
    "SELECT id FROM w UNION SELECT id FROM t ORDER BY 1",
    "EXPLAIN SELECT * FROM w",
    "EXPLAIN POLICY SELECT * FROM w",
    "SELECT w.ssn FROM w",
    "SELECT tenant FROM w",
    "UPDATE w SET x = 1",
    "DELETE FROM w WHERE 1 / (id - 1000) > 0",
    "INSERT INTO lake.main.w SELECT id, 1 FROM t",
    "CREATE VIEW lake.main.w AS SELECT ssn FROM t",
    "CREATE OR REPLACE VIEW lake.main.w AS SELECT * FROM w",
    "CREATE VIEW lake.main.z AS SELECT x AS y, id FROM lake.main.w",
    "SELECT * FROM z ORDER BY 1, 2",
    "DROP VIEW lake.main.z",
    "CREATE OR REPLACE VIEW lake.main.w AS SELECT id, email AS x FROM t",
    "SELECT * FROM w ORDER BY 1, 2",
    "DROP VIEW lake.main.w",
    "SELECT * FROM w",
];

async fn attack(twins: &Twins, what: &str, probes: &[&str]) {
    let (mut run, mut answered, mut leaks) = (0, 0, Vec::new());
    for query in QUERIES {
        for probe in probes {
            let created = query.replace("{e}", probe);
            let created = format!("CREATE VIEW lake.main.w AS {created}");
            let reads = READS.iter().map(|read| (*read).to_owned());
            for sql in std::iter::once(created.clone()).chain(reads) {
                run += 1;
                match twins.compare(&sql).await {
                    Ok(End::Answered) => answered += 1,
                    Ok(End::Refused) => {}
                    Err(leak) => leaks.push(format!("after {created}\n{leak}")),
                }
            }
        }
    }
    eprintln!(
        "{what}: {run} statements, {answered} answered, {} leaks",
        leaks.len()
    );
    assert!(run >= 250 * probes.len(), "{run}");
    assert!(answered * 4 >= run, "{answered} of {run}");
    assert!(leaks.is_empty(), "\n{}", leaks.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_view_of_tables_tells_two_worlds_apart() {
    attack(&Twins::of(&BackEnd::Files), "views of files", PROBES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_view_of_views_tells_two_worlds_apart() {
    for governed in [
        Governed::Below,
        Governed::Views,
        Governed::Definer,
        Governed::DefinerViews,
        Governed::Queries,
    ] {
        let probes = PROBES.get(..PROBES_OF_VIEWS).unwrap();
        attack(
            &Twins::of_views(&BackEnd::Files, governed),
            "views of views",
            probes,
        )
        .await;
    }
}
