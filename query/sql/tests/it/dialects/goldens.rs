//! Statements of each dialect: the governed text, or the refusal with its place.

use dataos_sql::Dialect;

use crate::fixture::{compare, emitted_in};

fn check(dialect: Dialect, cases: &[(&str, &str)]) {
    compare(cases, |sql| emitted_in(dialect, sql));
}

const ANSI: &[(&str, &str)] = &[
    (
        r#"select "ID" from "Purchases""#,
        r#"SELECT "purchases"."id" AS "id" FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select Id from PURCHASES"#,
        r#"SELECT "purchases"."id" AS "id" FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select id as "Total" from purchases order by total"#,
        r#"SELECT "purchases"."id" AS "Total" FROM "__t0" AS "purchases" ORDER BY 1"#,
    ),
    (
        r#"select * from odd.main.mixed"#,
        r#"SELECT "mixed"."Id" AS "Id", "mixed"."name" AS "name", "mixed"."Name" AS "Name", "mixed"."Total" AS "Total" FROM "__t0" AS "mixed""#,
    ),
    (
        r#"select name from odd.main.mixed"#,
        r#"error: column `name` is ambiguous (line 1, column 8); it may be mixed.name, mixed.Name"#,
    ),
    (
        r#"select total from odd.main.mixed"#,
        r#"SELECT "mixed"."Total" AS "Total" FROM "__t0" AS "mixed""#,
    ),
    (
        r#"select `id` from purchases"#,
        r#"error: Expected: an expression, found: ` (line 1, column 8)"#,
    ),
    (
        r#"select a.id from purchases a natural join customers b"#,
        r#"error: NATURAL JOIN in this dialect is not supported (line 1, column 53); write USING (columns)"#,
    ),
    (
        r#"select amount || 'x' + 1 from purchases"#,
        r#"SELECT "purchases"."amount" || ('x' + 1) FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select concat(status, 'x') from purchases"#,
        r#"SELECT "purchases"."status" || 'x' FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select status like 'a\_b' from purchases"#,
        r#"SELECT "purchases"."status" LIKE 'a\\_b' FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select status like status from purchases"#,
        r#"SELECT "purchases"."status" LIKE replace("purchases"."status", '\', '\\') FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select status like 'a\_b' escape '\' from purchases"#,
        r#"SELECT "purchases"."status" LIKE 'a\_b' ESCAPE '\' FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select U&'\0041b' from purchases"#,
        r#"SELECT 'Ab' AS "column1" FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select U&"\0041" from purchases"#,
        r#"error: a name with escapes, U&"..", is not supported (line 1, column 8); write the letters themselves in double quotes"#,
    ),
    (
        r#"select substr(status, 1, 2), substr(status, amount) from purchases"#,
        r#"error: this second argument of substr is not supported (line 1, column 37); write a number from 1 on"#,
    ),
    (
        r#"select substring(status from 2 for 3) from purchases"#,
        r#"SELECT substr("purchases"."status", 2, 3) FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select substring(status from -2) from purchases"#,
        r#"error: this second argument of substr is not supported (line 1, column 18); write a number from 1 on"#,
    ),
    (
        r#"select mod(id, 3), year(placed_on), truncate(amount) from purchases"#,
        r#"SELECT "purchases"."id" % 3, EXTRACT(YEAR FROM "purchases"."placed_on"), trunc("purchases"."amount") FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select if(id > 1, 'a', 'b'), if(id > 1, 2) from purchases"#,
        r#"SELECT CASE WHEN "purchases"."id" > 1 THEN 'a' ELSE 'b' END, CASE WHEN "purchases"."id" > 1 THEN 2 END AS "case_2" FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select try(1/id) from purchases"#,
        r#"error: the function try of ansi is not supported (line 1, column 8); write TRY_CAST, or CASE around what may fail"#,
    ),
    (
        r#"select greatest(id, amount) from purchases"#,
        r#"error: the function greatest of ansi is not supported (line 1, column 8); NULL among its arguments makes it NULL there; write CASE"#,
    ),
    (
        r#"select transform(x, y -> y + 1) from purchases"#,
        r#"error: the function transform is not on the allow-list (line 1, column 8)"#,
    ),
    (
        r#"select date_diff('day', placed_on, placed_on) from purchases"#,
        r#"error: the function date_diff of ansi is not supported (line 1, column 8); write the difference of two casts to date"#,
    ),
    (
        r#"select approx_distinct(id), arbitrary(id), variance(amount) from purchases"#,
        r#"error: the function arbitrary is not on the allow-list (line 1, column 29)"#,
    ),
    (
        r#"select id = amount = 3 from purchases"#,
        r#"error: a comparison beside another operator here is not supported (line 1, column 8); put the one that is to be first in parentheses"#,
    ),
    (
        r#"select id = amount is null from purchases"#,
        r#"error: a comparison beside another operator here is not supported (line 1, column 8); put the one that is to be first in parentheses"#,
    ),
    (
        r#"select (id = amount) is null from purchases"#,
        r#"SELECT ("purchases"."id" = "purchases"."amount") IS NULL FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select id from purchases offset 5 rows fetch first 3 rows only"#,
        r#"SELECT "purchases"."id" AS "id" FROM "__t0" AS "purchases" LIMIT 3 OFFSET 5"#,
    ),
    (
        r#"select id from purchases limit 3, 4"#,
        r#"error: the text goes on behind the statement (line 1, column 33)"#,
    ),
    (
        r#"select 1 /* /* */ from purchases"#,
        r#"SELECT 1 AS "column1" FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select cast(1.5 * id as bigint) from purchases"#,
        r#"error: a cast that rounds there and cuts here is not supported (line 1, column 13); write CAST(round(x) AS BIGINT)"#,
    ),
    (
        r#"select extract(dow from placed_on) from purchases"#,
        r#"error: this date field in this dialect is not supported (line 1, column 25)"#,
    ),
    (
        r#"select status ilike 'A%', id::bigint from purchases"#,
        r#"SELECT "purchases"."status" ILIKE 'A%', CAST("purchases"."id" AS BIGINT) FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select cast(id as decimal) from purchases"#,
        r#"error: a decimal without digits in this dialect is not supported (line 1, column 13); write decimal(precision, scale)"#,
    ),
];

const POSTGRES: &[(&str, &str)] = &[
    (
        r#"select (select max(ID) from purchases), (select STATUS from purchases limit 1), (select 1), (select status as s from purchases union select 'x' limit 1)"#,
        r#"SELECT (SELECT max("purchases"."id") FROM "__t0" AS "purchases") AS "max", (SELECT "purchases"."status" AS "status" FROM "__t1" AS "purchases" LIMIT 1) AS "status", (SELECT 1 AS "column1") AS "column3", (SELECT "purchases"."status" AS "s" FROM "__t2" AS "purchases" UNION SELECT 'x' AS "column1" LIMIT 1) AS "s""#,
    ),
    (
        r#"select ID, "id" from Purchases"#,
        r#"SELECT "purchases"."id" AS "id", "purchases"."id" AS "id_2" FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select "ID" from purchases"#,
        r#"error: column `ID` does not exist or is not visible (line 1, column 8)"#,
    ),
    (
        r#"select Total from odd.main."Mixed""#,
        r#"error: column `total` does not exist or is not visible (line 1, column 8); did you mean Total?"#,
    ),
    (
        r#"select "Total" from odd.main."Mixed""#,
        r#"SELECT "mixed"."Total" AS "Total" FROM "__t0" AS "mixed""#,
    ),
    (
        r#"select total from odd.main.mixed"#,
        r#"error: table `odd.main.mixed` does not exist or is not visible (line 1, column 19); SHOW TABLES lists the tables that you may name"#,
    ),
    (
        r#"select E'a\'b\\n', $$it's$$, $q$x$q$, U&'\0041' from purchases"#,
        r#"SELECT 'a''b\n' AS "column1", 'it''s' AS "column2", 'x' AS "column3", 'A' AS "column4" FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select E'a\u0007' from purchases"#,
        r#"error: a control or invisible character in text is not supported (line 1, column 8)"#,
    ),
    (
        r#"select U&"\0061" from purchases"#,
        r#"error: a name with escapes, U&"..", is not supported (line 1, column 8); write the letters themselves in double quotes"#,
    ),
    (
        r#"select `id` from purchases"#,
        r#"error: Expected: an expression, found: ` (line 1, column 8)"#,
    ),
    (
        r#"select status ~ '^a.*b$', status !~* 'x' from purchases"#,
        r#"SELECT "purchases"."status" ~ '(?s)^a.*b$', "purchases"."status" !~* 'x' AS "column2" FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select status ~ '\d+' from purchases"#,
        r#"error: this pattern is not supported (line 1, column 17); write a literal of letters, digits, sets and counts, without classes such as \d"#,
    ),
    (
        r#"select status ~ status from purchases"#,
        r#"error: this pattern is not supported (line 1, column 17); write a literal of letters, digits, sets and counts, without classes such as \d"#,
    ),
    (
        r#"select status ~ 'a' || 'b' from purchases"#,
        r#"error: a comparison beside another operator here is not supported (line 1, column 17); put the one that is to be first in parentheses"#,
    ),
    (
        r#"select id::text, amount / 2, id % 3 from purchases"#,
        r#"SELECT CAST("purchases"."id" AS VARCHAR), "purchases"."amount" / 2, "purchases"."id" % 3 AS "column3" FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select to_char(placed_on, 'YYYY') from purchases"#,
        r#"error: the function to_char of postgresql is not supported (line 1, column 8); formats differ; write EXTRACT, or CAST to varchar"#,
    ),
    (
        r#"select regexp_replace(status, '[^0-9]+', '') from purchases"#,
        r#"SELECT regexp_replace("purchases"."status", '[^0-9]+', '') FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select regexp_replace(status, 'a|b', '') from purchases"#,
        r#"error: this pattern of regexp_replace is not supported (line 1, column 8); write a literal of letters, digits, sets and counts, without classes such as \d"#,
    ),
    (
        r#"select regexp_like(status, 'a.b') from purchases"#,
        r#"SELECT regexp_like("purchases"."status", '(?s)a.b') FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select amount | 1 & 2 from purchases"#,
        r#"SELECT ("purchases"."amount" | 1) & 2 FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select id from purchases limit 3 offset 2"#,
        r#"SELECT "purchases"."id" AS "id" FROM "__t0" AS "purchases" LIMIT 3 OFFSET 2"#,
    ),
    (
        r#"select id from purchases limit 2, 3"#,
        r#"error: the text goes on behind the statement (line 1, column 33)"#,
    ),
    (
        r#"select status ilike 'a%' from purchases"#,
        r#"SELECT "purchases"."status" ILIKE 'a%' FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select 1 # 2 from purchases"#,
        r#"error: the operator # is not supported (line 1, column 8)"#,
    ),
    (
        r#"select 2 ^ 3 from purchases"#,
        r#"error: the operator ^ is not supported (line 1, column 8)"#,
    ),
    (
        r#"select cast(2.5 as int) from purchases"#,
        r#"error: a cast that rounds there and cuts here is not supported (line 1, column 13); write CAST(round(x) AS BIGINT)"#,
    ),
    (
        r#"select amount || 'x' + 1 from purchases"#,
        r#"SELECT "purchases"."amount" || ('x' + 1) FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select concat(status, null), greatest(1, id), gen_random_uuid() from purchases"#,
        r#"SELECT concat("purchases"."status", NULL), greatest(1, "purchases"."id"), uuid() FROM "__t0" AS "purchases""#,
    ),
];

const MYSQL: &[(&str, &str)] = &[
    (
        r#"select `id`, ID from `purchases`"#,
        r#"SELECT "purchases"."id" AS "id", "purchases"."id" AS "id_2" FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select `Id` from odd.main.Mixed"#,
        r#"SELECT "mixed"."Id" AS "Id" FROM "__t0" AS "mixed""#,
    ),
    (
        r#"select total, `TOTAL` from odd.main.mixed"#,
        r#"SELECT "mixed"."Total" AS "Total", "mixed"."Total" AS "Total_2" FROM "__t0" AS "mixed""#,
    ),
    (
        r#"select name from odd.main.Mixed"#,
        r#"error: column `name` is ambiguous (line 1, column 8); it may be Mixed.name, Mixed.Name"#,
    ),
    (
        r#"select "id" from purchases"#,
        r#"SELECT 'id' AS "column1" FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select id from "purchases""#,
        r#"error: quoting names with " is not supported (line 1, column 1); put names with other signs than a-z, 0-9 and _ in backticks"#,
    ),
    (
        r#"select id as "x" from purchases"#,
        r#"error: quoting names with " is not supported (line 1, column 8); put names with other signs than a-z, 0-9 and _ in backticks"#,
    ),
    (
        r#"select id as 'x' from purchases"#,
        r#"error: quoting names with ' is not supported (line 1, column 8); put names with other signs than a-z, 0-9 and _ in backticks"#,
    ),
    (
        r#"select `id` as `X y`, 'it\'s', 'a''b', 'x' "y" from purchases"#,
        r#"SELECT "purchases"."id" AS "X y", 'it''s' AS "column2", 'a''b' AS "column3", 'xy' AS "column4" FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select 'a\0b' from purchases"#,
        r#"error: a control or invisible character in text is not supported (line 1, column 8)"#,
    ),
    (
        r#"select id from purchases # comment"#,
        r#"SELECT "purchases"."id" AS "id" FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select id from purchases -- comment"#,
        r#"SELECT "purchases"."id" AS "id" FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select 5--1 from purchases"#,
        r#"SELECT 5 - -1 FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select /*!50000 id from customers union select */ id from purchases"#,
        r#"error: a comment that is executed is not supported (line 1, column 8); write the statement for one version, without /*! */"#,
    ),
    (
        r#"select /*M! 1 */ id from purchases"#,
        r#"error: a comment that is executed is not supported (line 1, column 8); write the statement for one version, without /*! */"#,
    ),
    (
        r#"select /*+ NO_CACHE */ id from purchases"#,
        r#"SELECT "purchases"."id" AS "id" FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select id from purchases limit 3, 4"#,
        r#"SELECT "purchases"."id" AS "id" FROM "__t0" AS "purchases" LIMIT 4 OFFSET 3"#,
    ),
    (
        r#"select status || 'x' from purchases"#,
        r#"error: the operator || of mysql, which is OR, is not supported (line 1, column 8); write CONCAT(a, b), or a OR b"#,
    ),
    (
        r#"select concat(status, 'x', id) from purchases"#,
        r#"SELECT "purchases"."status" || 'x' || "purchases"."id" FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select amount / 2 from purchases"#,
        r#"error: the operator / of what may be two integers is not supported (line 1, column 8); write CAST(a AS DECIMAL(20, 4)) / b, or a DIV b"#,
    ),
    (
        r#"select amount / 2.0, 1.0 * amount / id from purchases"#,
        r#"SELECT "purchases"."amount" / 2.0, 1.0 * "purchases"."amount" / nullif("purchases"."id", 0) FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select cast(id as signed) div cast(amount as signed) = 3 from purchases"#,
        r#"SELECT CAST("purchases"."id" AS BIGINT) / nullif(CAST("purchases"."amount" AS BIGINT), 0) = 3 FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select id div 2 from purchases"#,
        r#"error: the operator DIV of what may be no integers is not supported (line 1, column 8); write CAST(a AS SIGNED) DIV CAST(b AS SIGNED)"#,
    ),
    (
        r#"select id % 3, mod(id, amount) from purchases"#,
        r#"SELECT "purchases"."id" % 3, "purchases"."id" % nullif("purchases"."amount", 0) FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select id <=> amount from purchases"#,
        r#"SELECT "purchases"."id" IS NOT DISTINCT FROM "purchases"."amount" FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select !(id = 1), !true = false from purchases"#,
        r#"SELECT NOT ("purchases"."id" = 1), (NOT TRUE) = FALSE FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select id = 1 && amount = 2 from purchases"#,
        r#"SELECT "purchases"."id" = 1 AND "purchases"."amount" = 2 FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select id = 1 xor amount = 2 from purchases"#,
        r#"error: the operator XOR is not supported (line 1, column 8); write (a OR b) AND NOT (a AND b)"#,
    ),
    (
        r#"select status regexp 'a.b' from purchases"#,
        r#"error: RLIKE or REGEXP is not supported (line 1, column 33); write LIKE, or in the dialect datafusion regexp_like(text, pattern)"#,
    ),
    (
        r#"select status rlike 'a' from purchases"#,
        r#"error: RLIKE or REGEXP is not supported (line 1, column 30); write LIKE, or in the dialect datafusion regexp_like(text, pattern)"#,
    ),
    (
        r#"select ifnull(id, 0), lcase(status), ucase(status), char_length(status), length(status) from purchases"#,
        r#"SELECT nvl("purchases"."id", 0), lower("purchases"."status"), upper("purchases"."status"), character_length("purchases"."status"), octet_length("purchases"."status") FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select date_format(placed_on, '%Y') from purchases"#,
        r#"error: the function date_format of mysql is not supported (line 1, column 8); formats differ; write EXTRACT, or CAST to varchar"#,
    ),
    (
        r#"select if(id > 1, 'a', 'b'), isnull(id), locate('a', status), mid(status, 2, 3) from purchases"#,
        r#"SELECT CASE WHEN "purchases"."id" > 1 THEN 'a' ELSE 'b' END, "purchases"."id" IS NULL AS "column2", strpos("purchases"."status", 'a'), substr("purchases"."status", 2, 3) FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select left(status, 2), left(status, id) from purchases"#,
        r#"error: this second argument of left is not supported (line 1, column 25); write a number from 0 on"#,
    ),
    (
        r#"select std(amount), variance(amount), group_concat(status) from purchases"#,
        r#"error: the function group_concat of mysql is not supported (line 1, column 39); write string_agg(x, ',')"#,
    ),
    (
        r#"select stddev(amount) over (partition by status) from purchases"#,
        r#"SELECT stddev_pop("purchases"."amount") OVER (PARTITION BY "purchases"."status") FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select now(), curdate(), rand() from purchases"#,
        r#"SELECT now(), current_date(), random() FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select placed_on + interval 1 day from purchases"#,
        r#"SELECT "purchases"."placed_on" + INTERVAL '1' DAY FROM "__t0" AS "purchases""#,
    ),
    (
        r#"select cast(id as char), cast(placed_on as datetime), cast(id as unsigned) from purchases"#,
        r#"error: this type is not supported (line 1, column 60)"#,
    ),
    (
        r#"select trim(both 'x' from status), trim(both 'xy' from status) from purchases"#,
        r#"error: TRIM of more than one letter in this dialect is not supported (line 1, column 56); write a literal of one letter"#,
    ),
    (
        r#"select amount & 1 from purchases"#,
        r#"error: the operator & of mysql, which knows no sign, is not supported (line 1, column 8)"#,
    ),
    (
        r#"select 1a from purchases"#,
        r#"error: this name without quotes is not supported (line 1, column 8); put names with other signs than a-z, 0-9 and _ in backticks"#,
    ),
    (
        r#"select @x from purchases"#,
        r#"error: this name without quotes is not supported (line 1, column 8); put names with other signs than a-z, 0-9 and _ in backticks"#,
    ),
    (
        r#"select count(*) from purchases group by status with rollup"#,
        r#"SELECT count(*) FROM "__t0" AS "purchases" GROUP BY ROLLUP (("purchases"."status"))"#,
    ),
    (
        r#"select bit_and(id) from purchases"#,
        r#"error: the function bit_and of mysql is not supported (line 1, column 8); without rows it is not NULL there"#,
    ),
    (
        r#"select binary status from purchases"#,
        r#"error: column `binary` does not exist or is not visible (line 1, column 8)"#,
    ),
    (
        r#"select year(placed_on), extract(week from placed_on) from purchases"#,
        r#"error: this date field in this dialect is not supported (line 1, column 43)"#,
    ),
    (
        r#"select id = 1 like 2 from purchases"#,
        r#"error: a comparison beside another operator here is not supported (line 1, column 8); put the one that is to be first in parentheses"#,
    ),
    (
        r#"select not id = 1 from purchases"#,
        r#"SELECT NOT ("purchases"."id" = 1) FROM "__t0" AS "purchases""#,
    ),
    (
        r#"explain policy select `id` from purchases"#,
        r#"SELECT "purchases"."id" AS "id" FROM "__t0" AS "purchases""#,
    ),
    (
        r#"insert into sales.main.`purchases` (`ID`) select 1"#,
        r#"SELECT 1 AS "column1""#,
    ),
];

#[test]
fn ansi() {
    check(Dialect::Ansi, ANSI);
}

#[test]
fn postgresql() {
    check(Dialect::Postgres, POSTGRES);
}

#[test]
fn mysql() {
    check(Dialect::MySql, MYSQL);
}

#[test]
fn escapes_become_the_signs_that_they_are() {
    let text = |sql: &str| emitted_in(Dialect::MySql, sql);
    assert!(text(r"select 'a\nb'").contains("'a\nb'"));
    assert!(text(r"select 'a\\b'").contains(r"'a\b'"));
    assert!(text(r"select 'a\%b'").contains(r"'a\%b'"));
}
