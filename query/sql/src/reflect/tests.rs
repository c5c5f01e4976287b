//! Questions of clients, and what they learn.

use super::*;

fn world() -> World {
    let column = |name: &str, oid: u32, modifier: i32| ShownColumn {
        name: name.to_owned(),
        oid,
        modifier,
        is_required: oid == 20,
        comment: (name == "email").then(|| "masked for you".to_owned()),
    };
    let shown = |schema: &str, name: &str, is_plain: bool| Shown {
        schema: schema.to_owned(),
        name: name.to_owned(),
        is_view: false,
        is_plain,
        columns: vec![
            column("id", 20, -1),
            column("email", 25, -1),
            column("price", 1700, (15 << 16 | 2) + 4),
        ],
    };
    World {
        user: "ana".to_owned(),
        database: "dataos".to_owned(),
        version: "PostgreSQL 15.0 (x)".to_owned(),
        datasets: vec![
            shown("lake.main", "orders", true),
            shown("lake.main", "people", false),
            shown("shop.crm", "people", false),
        ],
    }
}

fn answer(sql: &str) -> Result<Rows, SqlError> {
    Question::of(Dialect::Postgres, sql)?
        .expect("a question")
        .answer(&world())
}

fn texts(sql: &str) -> Vec<Vec<String>> {
    let rows = answer(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let shown = |value: &Value| value.shown().unwrap_or_else(|| "-".to_owned());
    rows.rows
        .iter()
        .map(|row| row.iter().map(shown).collect())
        .collect()
}

#[test]
fn governed_statements_are_no_questions() {
    for sql in [
        "select * from orders",
        "select pg_class from orders",
        "select o.pg_type, version from orders o",
        "select 1",
        "select 'pg_catalog.pg_class'",
        "select * from lake.main.pg_class",
        "insert into t select * from pg_class",
        "explain policy select * from orders",
    ] {
        assert!(
            Question::of(Dialect::Postgres, sql).unwrap().is_none(),
            "{sql}"
        );
    }
}

#[test]
fn a_question_reads_nothing_else() {
    for (sql, says) in [
        ("select * from pg_catalog.pg_class, orders", "orders"),
        (
            "select * from pg_class c join lake.main.orders o on true",
            "orders",
        ),
        (
            "select (select max(id) from orders) from pg_class",
            "orders",
        ),
        ("select pg_read_file('/etc/passwd')", "pg_read_file"),
        ("select * from pg_catalog.pg_authid", "pg_authid"),
        ("select nothing from pg_class", "nothing"),
        ("select lo_import('x') from pg_class", "lo_import"),
        ("select * from pg_ls_dir('/') , pg_class", "pg_ls_dir"),
    ] {
        let error = answer(sql).unwrap_err();
        assert!(error.to_string().contains(says), "{sql}: {error}");
    }
    let cross = "select count(*) from pg_type a, pg_type b, pg_type c, pg_type d, pg_type e";
    assert_eq!(answer(cross).unwrap_err().kind, SqlErrorKind::TooLarge);
}

#[test]
fn values_cannot_grow_without_end() {
    let doubled: Vec<String> = (1..40)
        .map(|level| format!("t{level} as (select array[v, v] as v from t{})", level - 1))
        .collect();
    let lists = format!(
        "with t0 as (select array[1] as v from pg_database), {} select v from t39",
        doubled.join(", ")
    );
    let texts = lists
        .replace("array[v, v]", "v || v")
        .replace("array[1]", "'x'::text");
    for sql in [lists, texts] {
        assert_eq!(answer(&sql).unwrap_err().kind, SqlErrorKind::TooLarge);
    }
    let deep = format!(
        "select oid from pg_am where {}",
        vec!["oid = 1"; 900].join(" or ")
    );
    assert_eq!(self::texts(&deep).len(), 0);
    let deep = format!(
        "select count(*) from pg_class where {}",
        vec!["oid = 1"; 900].join(" or ")
    );
    assert_eq!(self::texts(&deep), [["0"]]);
}

#[test]
fn session_functions_answer() {
    assert_eq!(texts("select version()"), [["PostgreSQL 15.0 (x)"]]);
    assert_eq!(
        texts("select pg_catalog.version()"),
        [["PostgreSQL 15.0 (x)"]]
    );
    assert_eq!(
        texts("SELECT current_schema(), current_user, current_database(), current_schemas(true)"),
        [["public", "ana", "dataos", "{pg_catalog,public}"]]
    );
    let names = answer("select current_schema(), 1 as one, current_user")
        .unwrap()
        .columns;
    assert_eq!(names, ["current_schema", "one", "current_user"]);
}

#[test]
fn psql_lists_and_describes() {
    let list = r#"SELECT n.nspname as "Schema", c.relname as "Name",
        CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' END as "Type",
        pg_catalog.pg_get_userbyid(c.relowner) as "Owner"
      FROM pg_catalog.pg_class c
        LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
      WHERE c.relkind IN ('r','p','')
        AND n.nspname <> 'pg_catalog' AND n.nspname !~ '^pg_toast'
        AND n.nspname <> 'information_schema'
        AND pg_catalog.pg_table_is_visible(c.oid)
      ORDER BY 1,2;"#;
    assert_eq!(texts(list), [["lake.main", "orders", "table", "ana"]]);
    let found = texts(
        "SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c \
         LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relname OPERATOR(pg_catalog.~) '^(orders)$' COLLATE pg_catalog.default \
         AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 2, 3;",
    );
    let oid = &found[0][0];
    let columns = texts(&format!(
        "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
           (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) FROM pg_catalog.pg_attrdef d
            WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef), a.attnotnull,
           (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t
            WHERE c.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation)
         FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = '{oid}' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;"
    ));
    assert_eq!(
        columns,
        [
            ["id", "bigint", "-", "t", "-"],
            ["email", "text", "-", "f", "-"],
            ["price", "numeric(15,2)", "-", "f", "-"]
        ]
    );
    assert_eq!(texts("select 'orders'::regclass::oid")[0][0], *oid);
}

#[test]
fn groups_series_and_information_schema_answer() {
    assert_eq!(
        texts(
            "select table_schema, count(*) as n from information_schema.tables \
             group by table_schema having count(*) > 0 order by n desc, 1"
        ),
        [["lake.main", "2"], ["shop.crm", "1"]]
    );
    assert_eq!(
        texts(
            "select column_name, is_nullable, numeric_scale from information_schema.columns \
             where table_name = 'orders' and table_schema = any(array['lake.main'::varchar]) \
             order by ordinal_position limit 2 offset 1"
        ),
        [["email", "YES", "-"], ["price", "YES", "2"]]
    );
    assert_eq!(
        texts(
            "select array_agg(a.attname order by a.attnum desc) from pg_attribute a \
               where a.attrelid = 'lake.main.orders'::regclass"
        ),
        [["{price,email,id}"]]
    );
    assert_eq!(
        texts("select count(*), max(oid) from pg_index"),
        [["0", "-"]]
    );
    assert_eq!(
        texts("with t as (select oid from pg_am) select * from t, pg_class").len(),
        0
    );
    assert_eq!(
        texts(
            "select unnest(array[3,4]) as u, typname from pg_type where oid = 16 order by u desc"
        ),
        [["4", "bool"], ["3", "bool"]]
    );
    assert_eq!(
        texts(
            "select t.oid::regtype::text, t.typarray from pg_type t where t.oid = to_regtype('int4')"
        ),
        [["integer", "1007"]]
    );
    assert_eq!(
        texts("select oid from pg_type where oid = to_regtype('hstore')").len(),
        0
    );
}

#[test]
fn joins_by_name_and_numbers_of_rows_answer() {
    // How a driver of Java finds a type by its name.
    let by_name = "SELECT pg_type.oid, typname FROM pg_catalog.pg_type LEFT JOIN (select ns.oid as nspoid, ns.nspname, r.r
          from pg_namespace as ns join (select s.r, (current_schemas(false))[s.r] as nspname
            from generate_series(1, array_upper(current_schemas(false), 1)) as s(r)) as r using (nspname)) as sp
        ON sp.nspoid = typnamespace WHERE typname = 'int8' ORDER BY sp.r, pg_type.oid DESC LIMIT 1";
    assert_eq!(texts(by_name), [["20", "int8"]]);
    assert_eq!(
        texts(
            "select r.n, ns.nspname from pg_namespace ns join (select n, 'public' as nspname \
             from generate_series(1, 2) n) r using (nspname) order by r.n"
        ),
        [["1", "public"], ["2", "public"]]
    );
    assert_eq!(
        texts(
            "select c.relname, a.attname, row_number() over (partition by a.attrelid order by a.attnum desc) as n \
             from pg_class c join pg_attribute a on a.attrelid = c.oid where c.relname = 'orders' order by n"
        ),
        [
            ["orders", "price", "1"],
            ["orders", "email", "2"],
            ["orders", "id", "3"]
        ]
    );
    assert_eq!(
        texts(
            "select typinput = 'pg_catalog.array_in'::regproc from pg_type where oid in (20, 1016) order by oid"
        ),
        [["f"], ["t"]]
    );
    assert_eq!(
        texts("select setting from pg_settings where name = 'max_index_keys'"),
        [["32"]]
    );
    let words = "select count(*) from pg_catalog.pg_get_keywords() where catcode = 'R' and word <> all ('{limit,of}'::text[]) \
                 and word in ('limit', 'select')";
    assert_eq!(texts(words), [["1"]]);
    for (sql, says) in [
        (
            "select * from pg_class join pg_tables using (tablename)",
            "USING",
        ),
        (
            "select rank() over (order by oid) from pg_class",
            "a window",
        ),
        (
            "select 1 + row_number() over (order by oid) from pg_class",
            "a window",
        ),
        ("select oid from pg_class natural join pg_type", "NATURAL"),
    ] {
        let error = answer(sql).unwrap_err();
        assert!(error.to_string().contains(says), "{sql}: {error}");
    }
}
