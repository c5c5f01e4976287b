//! Forms of SELECT on the engine: each gives the rows that it should, over a table with a filter and
//! a mask.

use dataos_model::fault::FaultKind;

use crate::world::{World, equals};

const STAFF: &[(&str, &str)] = &[
    ("id", "bigint"),
    ("name", "text"),
    ("team", "text"),
    ("pay", "bigint"),
    ("boss", "bigint"),
    ("tenant", "text"),
];

/// The last two are hidden.
const BODY: &str = "1,ada,red,100,,a\n2,bela,red,80,1,a\n3,caro,blue,80,1,a\n4,dora,blue,,3,a\n\
                    5,eve,red,777,,b\n6,fay,green,777,5,b\n";

const FORMS: &[(&str, &str)] = &[
    (
        "WITH RECURSIVE chain (id, level) AS (SELECT id, 0 FROM staff WHERE boss IS NULL UNION ALL \
         SELECT s.id, level + 1 FROM staff s JOIN chain c ON s.boss = c.id) \
         SELECT id, level FROM chain ORDER BY id",
        "[[1,0],[2,1],[3,1],[4,2]]",
    ),
    (
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION SELECT i % 3 + 1 FROM n) SELECT i FROM n ORDER BY 1",
        "[[1],[2],[3]]",
    ),
    (
        "SELECT team, sum(pay) AS s, grouping(team) AS g FROM staff GROUP BY ROLLUP (team) \
         ORDER BY g, CASE WHEN g = 0 THEN team END",
        r#"[["blue",80,0],["red",180,0],[null,260,1]]"#,
    ),
    (
        "SELECT team, pay, count(*) FROM staff GROUP BY CUBE (team, pay) HAVING count(*) > 1 \
         ORDER BY team, pay",
        r#"[["blue",null,2],["red",null,2],[null,80,2],[null,null,4]]"#,
    ),
    (
        "SELECT count(*), max(c) FROM (SELECT CASE WHEN pay > id THEN pay ELSE 7 END AS c, max(id) AS m FROM staff \
         GROUP BY 1) AS s",
        "[[3,100]]",
    ),
    (
        "SELECT team, count(*) FROM staff GROUP BY GROUPING SETS ((team), ()) ORDER BY 1",
        r#"[["blue",2],["red",2],[null,4]]"#,
    ),
    (
        "SELECT team, name, id, count(*) FROM staff WHERE id < 3 GROUP BY ROLLUP ((team, name), id) \
         ORDER BY 1, 2, 3",
        r#"[["red","a**",1,1],["red","a**",null,1],["red","b***",2,1],["red","b***",null,1],[null,null,null,2]]"#,
    ),
    ("SELECT count(*) FROM staff GROUP BY ()", "[[4]]"),
    ("SELECT count(*) FROM staff a, staff b, staff c", "[[64]]"),
    (
        "SELECT count(*) FROM staff a CROSS JOIN staff b CROSS JOIN staff c CROSS JOIN staff d WHERE a.id < c.id",
        "[[96]]",
    ),
    (
        "SELECT a.id, count(*) FROM staff a, staff b, (SELECT DISTINCT team FROM staff) c GROUP BY a.id ORDER BY 1",
        "[[1,8],[2,8],[3,8],[4,8]]",
    ),
    (
        "SELECT team, count(*) FROM staff GROUP BY ALL ORDER BY 1",
        r#"[["blue",2],["red",2]]"#,
    ),
    (
        "SELECT id, row_number() OVER (PARTITION BY team ORDER BY id) AS n FROM staff QUALIFY n = 1 \
         ORDER BY id",
        "[[1,1],[3,1]]",
    ),
    (
        "SELECT id, sum(pay) OVER w, rank() OVER (w ORDER BY id) FROM staff \
         WINDOW w AS (PARTITION BY team) ORDER BY id",
        "[[1,180,1],[2,180,2],[3,80,1],[4,80,2]]",
    ),
    (
        "SELECT DISTINCT ON (team) team, id FROM staff ORDER BY team, id DESC",
        r#"[["blue",4],["red",2]]"#,
    ),
    (
        "SELECT * EXCEPT (tenant, boss) RENAME (pay AS wage) FROM staff ORDER BY id LIMIT 1",
        r#"[[1,"a**","red",100]]"#,
    ),
    (
        "SELECT * REPLACE (pay * 2 AS pay) FROM staff WHERE id = 2",
        r#"[[2,"b***","red",160,1,"a"]]"#,
    ),
    (
        "SELECT * ILIKE '%A%' FROM staff WHERE id = 2",
        r#"[["b***","red",80,"a"]]"#,
    ),
    (
        "SELECT id, wanted FROM staff NATURAL JOIN (VALUES (2, 'x'), (5, 'y')) v (id, wanted)",
        r#"[[2,"x"]]"#,
    ),
    (
        "SELECT s.id, t.n FROM staff s, LATERAL (SELECT count(*) AS n FROM staff o \
         WHERE o.boss = s.id) AS t ORDER BY 1",
        "[[1,2],[2,0],[3,1],[4,0]]",
    ),
    (
        "SELECT s.id, t.id AS report FROM staff s LEFT JOIN LATERAL (SELECT o.id FROM staff o \
         WHERE o.boss = s.id) AS t ON true ORDER BY 1, 2",
        "[[1,2],[1,3],[2,null],[3,4],[4,null]]",
    ),
    (
        "SELECT s.id, t.x FROM staff s CROSS APPLY (SELECT o.id AS x FROM staff o WHERE o.boss = s.id) AS t ORDER BY 1, 2 LIMIT 2",
        "[[1,2],[1,3]]",
    ),
    (
        "SELECT id FROM staff SEMI JOIN (VALUES (2), (6)) v (i) ON i = id",
        "[[2]]",
    ),
    (
        "SELECT id FROM staff ANTI JOIN (VALUES (2), (6)) v (i) ON i = id ORDER BY 1",
        "[[1],[3],[4]]",
    ),
    (
        "SELECT id FROM staff WHERE pay >= ALL (SELECT pay FROM staff WHERE pay IS NOT NULL)",
        "[[1]]",
    ),
    (
        "SELECT id FROM staff WHERE pay < ANY (SELECT pay FROM staff) ORDER BY 1",
        "[[2],[3]]",
    ),
    (
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY pay) FROM staff",
        "[[80]]",
    ),
    (
        "SELECT id & 1, id | 4 FROM staff WHERE name ~ '^a' ORDER BY 1",
        "[[1,5]]",
    ),
    (
        "SELECT name FROM staff WHERE name !~* 'A|B' ORDER BY 1",
        r#"[["c***"],["d***"]]"#,
    ),
    (
        "SELECT overlay(team PLACING 'x' FROM 2 FOR 1) FROM staff WHERE id = 1",
        r#"[["rxd"]]"#,
    ),
    ("SELECT id FROM staff ORDER BY id LIMIT 1, 2", "[[2],[3]]"),
    (
        "SELECT team, sum(pay) AS s FROM staff GROUP BY team HAVING s > 100",
        r#"[["red",180]]"#,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_form_gives_its_rows() {
    let world = World::new();
    let id = world.csv("staff", STAFF, BODY);
    world.desk.rows(&id, equals("tenant", "a"));
    world.desk.mask(&id, "name", "partial(first = 1)");
    world.check_all(FORMS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_without_a_plan_is_refused_as_such() {
    let world = World::new();
    let id = world.csv("staff", STAFF, BODY);
    world.desk.rows(&id, equals("tenant", "a"));
    let sql = "SELECT s.id FROM staff s FULL JOIN staff t \
               ON EXISTS (SELECT 1 FROM staff u WHERE u.id = s.id + t.id)";
    let twice = "SELECT max((SELECT 1 FROM staff u WHERE u.id = s.id)) AS a FROM staff s \
                 GROUP BY s.name HAVING max((SELECT 1 FROM staff u WHERE u.id = s.id)) > 0";
    for sql in [sql, twice] {
        let fault = world.refused(sql).await;
        assert_eq!(
            (fault.kind, fault.reason.as_str()),
            (FaultKind::Unsupported, "not_planned"),
            "{sql}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_one_alias_are_told_apart_and_those_of_several_are_one() {
    let world = World::new();
    let columns = &[("id", "bigint"), ("tenant", "text")];
    let a = world.csv("a", columns, "1,x\n2,x\n5,y\n");
    world.csv("b", columns, "3,x\n4,x\n");
    let with = "WITH RECURSIVE r AS (SELECT 7 AS id UNION ALL SELECT id + 1 FROM r WHERE id < 9) ";
    // With all rows of a, and with those that a filter leaves.
    for max in [5, 2] {
        for (sql, rows) in [
            (
                "SELECT (SELECT max(id) FROM a AS t), (SELECT max(id) FROM b AS t)".to_owned(),
                format!("[[{max},4]]"),
            ),
            (
                "SELECT (SELECT max(t.id) FROM b AS t), (SELECT max(s.id) FROM a AS s), \
                 (SELECT max(t.id) FROM a AS t), (SELECT max(id) FROM b)"
                    .to_owned(),
                format!("[[4,{max},{max},4]]"),
            ),
            (
                "SELECT max(s.id), max(t.id), max(b.id) FROM a AS s CROSS JOIN a AS t CROSS JOIN b \
                 WHERE s.id < t.id AND t.id < (SELECT max(t.id) FROM b AS t) AND b.id IN (SELECT t.id FROM b AS t)"
                    .to_owned(),
                "[[1,2,4]]".to_owned(),
            ),
            (
                format!("{with}SELECT (SELECT max(id) FROM r), (SELECT max(id) FROM a AS r)"),
                format!("[[9,{max}]]"),
            ),
            (
                format!("SELECT (SELECT max(id) FROM a AS r), ({with}SELECT max(id) FROM r)"),
                format!("[[{max},9]]"),
            ),
        ] {
            world.check(&sql, &rows).await;
        }
        world.desk.rows(&a, equals("tenant", "x"));
    }
}
