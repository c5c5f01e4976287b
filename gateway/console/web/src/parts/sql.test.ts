import { expect, test } from "vitest";
import { layOut, tokens } from "./sql.ts";

const STATEMENTS = [
  "SELECT a, b FROM t WHERE a = 'x from y where z' ORDER BY a",
  "SELECT * FROM (SELECT \"c from\", CASE WHEN x > 1.5e3 THEN NULL ELSE md5(x) END AS x FROM s.t WHERE r IN ('EMEA')) AS t LEFT OUTER JOIN u ON t.a = u.a -- end",
  "SELECT extract(year FROM d), 'it''s', 'open",
  "/* from */ select 1 /* open",
  "",
  "WITH q AS (SELECT 1) SELECT ß FROM q UNION ALL SELECT 2",
];
const text = (list: { text: string }[]) => list.map((token) => token.text).join("");
const withoutSpace = (sql: string) =>
  tokens(sql)
    .filter((token) => token.kind !== "space")
    .map((token) => token.text);

test.each(STATEMENTS)("tokens add up to the text: %s", (sql) => expect(text(tokens(sql))).toBe(sql));

test.each(STATEMENTS)("laying out changes only space: %s", (sql) => {
  expect(withoutSpace(text(layOut(sql)))).toEqual(withoutSpace(sql));
});

test("clauses and subqueries begin lines", () => {
  expect(text(layOut(STATEMENTS[1]!)).split("\n").map((line) => line.trimEnd())).toEqual([
    "SELECT *",
    "FROM (",
    "  SELECT \"c from\", CASE WHEN x > 1.5e3 THEN NULL ELSE md5(x) END AS x",
    "  FROM s.t",
    "  WHERE r IN ('EMEA')",
    ") AS t",
    "LEFT OUTER JOIN u ON t.a = u.a -- end",
  ]);
});

test("what is laid out already stays", () => {
  const sql = "SELECT a\n  FROM t WHERE a = 1";
  expect(text(layOut(sql))).toBe(sql);
});

test("a clause word of a function stays within it", () => {
  expect(text(layOut("SELECT extract(year FROM d) FROM t"))).toBe("SELECT extract(year FROM d)\nFROM t");
});
