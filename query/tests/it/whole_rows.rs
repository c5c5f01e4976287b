//! Whole rows as values: those of PostgreSQL, of the columns that the caller may see, masked as ever.

use crate::{
    oracle::same_as_postgresql,
    world::{World, equals},
};

const STAFF: &[(&str, &str)] = &[
    ("id", "bigint"),
    ("name", "text"),
    ("pay", "bigint"),
    ("ssn", "text"),
    ("tenant", "text"),
];

/// The last one is hidden; so are `ssn` and the ends of names.
const BODY: &str = "1,ada,100,s1,a\n2,bela,80,s2,a\n3,,,s3,a\n5,eve,777,s5,b\n";

const FORMS: &[(&str, &str)] = &[
    (
        "SELECT s FROM staff s ORDER BY s.id",
        r#"[[{"id":1,"name":"a**","pay":100,"tenant":"a"}],[{"id":2,"name":"b***","pay":80,"tenant":"a"}],[{"id":3,"name":null,"pay":null,"tenant":"a"}]]"#,
    ),
    (
        "SELECT row_to_json(staff), staff::text, (staff).name FROM staff WHERE (staff).id = 1",
        r#"[["{\"id\":1,\"name\":\"a**\",\"pay\":100,\"tenant\":\"a\"}","(1,a**,100,a)","a**"]]"#,
    ),
    (
        "SELECT count(s), count(s.*), count(DISTINCT s) FROM staff s",
        "[[3,3,3]]",
    ),
    ("SELECT count(*) FROM staff s WHERE s IS NOT NULL", "[[2]]"),
    (
        "SELECT count(*) FROM staff a JOIN staff b ON a = b",
        "[[3]]",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_row_has_what_its_caller_may_see() {
    let world = World::new();
    let id = world.csv("staff", STAFF, BODY);
    world.desk.rows(&id, equals("tenant", "a"));
    world.desk.mask(&id, "name", "partial(first = 1)");
    world.desk.absent(&id, "ssn");
    world.check_all(FORMS).await;
}

/// Relations of the statements below.
const TABLES: &str = "
    CREATE TABLE t (a bigint, b text, c boolean, d numeric(6,2), e date);
    INSERT INTO t VALUES (1, 'x', true, 1.50, '2024-02-29'), (1, 'x', true, 1.50, '2024-02-29'),
        (2, NULL, false, NULL, NULL), (3, ' ', NULL, -0.05, '1969-12-31'), (4, 'say \"a, (b)\\', true, 7, NULL),
        (NULL, NULL, NULL, NULL, NULL);
    CREATE TABLE u (a bigint, b text, c boolean, d numeric(6,2), e date);
    INSERT INTO u VALUES (1, 'x', true, 1.50, '2024-02-29'), (2, NULL, false, NULL, NULL), (3, ' ', true, -0.05, NULL),
        (NULL, NULL, NULL, NULL, NULL);
    CREATE FUNCTION row_to_text(r record) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN r::text; END';
";

const CSV: &[(&str, &str)] = &[
    (
        "t",
        "1,x,true,1.50,2024-02-29\n1,x,true,1.50,2024-02-29\n2,,false,,\n3, ,,-0.05,1969-12-31\n4,\"say \"\"a, (b)\\\",true,7.00,\n,,,,\n",
    ),
    (
        "u",
        "1,x,true,1.50,2024-02-29\n2,,false,,\n3, ,true,-0.05,\n,,,,\n",
    ),
];

const SAME: &[&str] = &[
    "SELECT t::text FROM t ORDER BY t.a, t.b",
    "SELECT t IS NULL, t IS NOT NULL, t.a FROM t ORDER BY t.a",
    "SELECT count(t), count(t.*), count(DISTINCT t) FROM t",
    "SELECT t.a, u::text, u IS NULL, u IS NOT NULL FROM t LEFT JOIN u ON t.a = u.a ORDER BY t.a",
    "SELECT t.a, count(u) FROM t LEFT JOIN u ON t.a = u.a GROUP BY t.a ORDER BY 1",
    "SELECT t::text, t = u, t <> u, t IS DISTINCT FROM u, t IS NOT DISTINCT FROM u FROM t LEFT JOIN u ON t.a = u.a ORDER BY 1, 2",
    "SELECT t::text, u::text FROM t FULL JOIN u ON t = u ORDER BY 1, 2",
    "SELECT count(*) FROM t JOIN u ON t = u",
    "SELECT count(*) FROM t JOIN u ON NOT t = u",
    "SELECT t::text FROM t WHERE EXISTS (SELECT 1 FROM u WHERE t = u) ORDER BY 1",
    "SELECT t::text, count(*) FROM t GROUP BY t ORDER BY t",
    "SELECT row_to_text(x.t) FROM (SELECT DISTINCT t FROM t ORDER BY t DESC LIMIT 4) x ORDER BY x.t DESC",
    "SELECT t::text FROM t ORDER BY t",
    "SELECT t::text FROM t ORDER BY t DESC",
    "SELECT t::text FROM t ORDER BY t NULLS FIRST",
    "SELECT x.a, x::text FROM (SELECT a, b || '!' AS n, a * 2 FROM t) x (a, \"N o\") ORDER BY 1",
    "WITH w AS (SELECT a, count(*) AS n FROM t GROUP BY a) SELECT w::text, w.n FROM w ORDER BY w.a",
    "SELECT t.a, row_to_text(lag(t) OVER (ORDER BY a, b)) FROM t ORDER BY a, b",
    "SELECT row_to_text(coalesce(v, w)) FROM t LEFT JOIN u AS v ON t.a = v.a, u AS w WHERE w.a = 1 ORDER BY 1",
    "SELECT (t).a, (t.b) FROM t ORDER BY 1",
    "SELECT t.a, (SELECT count(u) FROM u WHERE u.a = t.a) FROM t ORDER BY 1",
    "SELECT row_to_text(x.r) FROM (SELECT t AS r FROM t) x ORDER BY 1",
    "SELECT row_to_text(x.r), x.r IS NULL FROM (SELECT u AS r FROM t LEFT JOIN u ON t.a = u.a) x ORDER BY 1",
    "SELECT row_to_text(CASE WHEN t.a = 1 THEN t END) FROM t ORDER BY t.a",
    "SELECT row_to_text(x.t) FROM (SELECT t FROM t WHERE a > 1 UNION SELECT t FROM t WHERE a < 3) x ORDER BY 1",
    "SELECT row_to_text(x.t) FROM (SELECT t FROM t EXCEPT SELECT t FROM t WHERE a = 1) x ORDER BY 1",
    "SELECT count(*) FROM t JOIN u USING (a) WHERE t IS NOT NULL AND u IS NOT NULL",
    "SELECT v::text FROM (VALUES (1, ''), (2, NULL), (3, '\"'), (4, 'é(')) v (n, s) ORDER BY v.n",
    "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3 AND r IS NOT NULL) SELECT r::text FROM r ORDER BY n",
];

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_those_of_postgresql() {
    let world = World::new();
    let columns = &[
        ("a", "bigint"),
        ("b", "text"),
        ("c", "boolean"),
        ("d", "decimal(6,2)"),
        ("e", "date"),
    ];
    for (name, body) in CSV {
        world.csv(name, columns, body);
    }
    same_as_postgresql(&world, TABLES, SAME).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_and_views_have_no_rows_as_columns_and_have_rows() {
    let world = World::new();
    let id = world.csv("staff", STAFF, BODY);
    world.desk.rows(&id, equals("tenant", "a"));
    world.desk.mask(&id, "name", "partial(first = 1)");
    for sql in [
        "CREATE VIEW lake.main.v AS SELECT s AS r FROM staff s",
        "CREATE VIEW lake.main.v AS SELECT array_agg(s) AS r FROM staff s",
        "CREATE TABLE lake.main.v AS SELECT named_struct('a', id) AS r FROM staff s",
    ] {
        let fault = world.refused(sql).await;
        assert!(
            fault.message.contains("which cannot be stored"),
            "{sql}: {fault:?}"
        );
    }
    let sql = "CREATE VIEW lake.main.v AS SELECT s.id, s::text AS r, s.name FROM staff s WHERE s IS NOT NULL";
    world.run(sql).await.unwrap();
    world
        .check(
            "SELECT v, count(*) FROM v WHERE v IS NOT NULL GROUP BY v ORDER BY v",
            r#"[[{"id":1,"r":"(1,a**,100,s1,a)","name":"a**"},1],[{"id":2,"r":"(2,b***,80,s2,a)","name":"b***"},1]]"#,
        )
        .await;
    world
        .check(
            "SELECT array_agg(named_struct('i', s.id, 'b', b) ORDER BY s.id) FROM staff s, (VALUES (true)) b (x)",
            r#"[[[{"i":1,"b":{"x":true}},{"i":2,"b":{"x":true}},{"i":3,"b":{"x":true}}]]]"#,
        )
        .await;
}
