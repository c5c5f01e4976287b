// The query workbench: SQL in, governed rows out, and through the policy lens what was enforced and
// why. The statement stands in the fragment of the URL, which a browser does not send to any server.
import { lazy, Suspense, useEffect, useMemo, useState } from "react";
import { postJson, Problem, QUERY_MS_MAX, type Answer } from "../../api/client.ts";
import type { Dataset, QueryResult } from "../../api/types.ts";
import type { Mark } from "../../parts/editor.tsx";
import { count, duration } from "../../parts/format.ts";
import { Grid } from "../../parts/grid.tsx";
import { Page, Panel } from "../../parts/page.tsx";
import { ProblemBox } from "../../parts/problem.tsx";
import { go, Link, usePlace } from "../../router.tsx";
import { Lens } from "./lens.tsx";
import { Tables } from "./tables.tsx";

const Editor = lazy(() => import("../../parts/editor.tsx"));

const ROWS_MAX = ["100", "1000", "10000"];
/** A longer statement is not put into the URL: browsers and chat programs cut such links. */
const LINK_CHARS_MAX = 8_000;

type Run =
  | { is: "idle" }
  | { is: "running"; abort: AbortController }
  | { is: "failed"; sql: string; problem: Problem }
  | { is: "done"; sql: string; answer: Answer<QueryResult>; tookUs: number };

// Outlives the screen, so that a look at another one, or signing in again, loses nothing.
let draft = "";

export default function QueryScreen() {
  const { search, hash } = usePlace();
  const linked = hash.get("sql") ?? "";
  const [text, setText] = useState(linked || draft);
  const [run, setRun] = useState<Run>({ is: "idle" });
  const [known, setKnown] = useState<Record<string, string[]>>({});
  const [purpose, setPurpose] = useState(search.get("purpose") ?? "");
  const [rowsMax, setRowsMax] = useState(search.get("rows") ?? "1000");
  useEffect(() => {
    draft = text;
  }, [text]);
  useEffect(() => {
    if (linked !== "" && linked !== text) setText(linked);
  }, [linked]);

  const start = async () => {
    const sql = text.trim();
    if (sql === "" || run.is === "running") return;
    const abort = new AbortController();
    setRun({ is: "running", abort });
    go(link(sql, purpose, rowsMax), "replace");
    const started = performance.now();
    try {
      const answer = await postJson<QueryResult>("/api/v1/query", {
        body: { sql: text, ...(purpose ? { purpose } : {}), rows_max: Number(rowsMax) },
        signal: abort.signal,
        timeoutMs: QUERY_MS_MAX,
      });
      setRun({ is: "done", sql, answer, tookUs: (performance.now() - started) * 1_000 });
    } catch (error) {
      setRun(error instanceof Problem ? { is: "failed", sql, problem: error } : { is: "idle" });
    }
  };
  const mark = useMemo(() => (run.is === "failed" ? place(run.problem) : null), [run]);
  const insert = (name: string) => setText((old) => (old.trim() === "" ? `SELECT * FROM ${name}` : `${old} ${name}`));
  const learn = (dataset: Dataset) =>
    setKnown((old) => ({ ...old, [dataset.sql_name]: dataset.columns.map((column) => column.name) }));

  return (
    <Page title="Query">
      <div className="workbench">
        <section className="panel" aria-label="Statement">
          <Suspense fallback={<p className="waiting editor">Loading the editor…</p>}>
            <Editor
              label="SQL statement"
              text={text}
              tables={known}
              mark={mark}
              onChange={setText}
              onRun={() => void start()}
            />
          </Suspense>
          <div className="row toolbar">
            {run.is === "running" ? (
              <button type="button" onClick={() => run.abort.abort()}>
                Cancel
              </button>
            ) : (
              <button type="button" className="primary" onClick={() => void start()} disabled={text.trim() === ""}>
                Run <kbd>Ctrl ⏎</kbd>
              </button>
            )}
            <label htmlFor="purpose">Purpose</label>
            <input
              id="purpose"
              value={purpose}
              placeholder="policies may ask for one"
              onInput={(event) => setPurpose(event.currentTarget.value)}
            />
            <label htmlFor="rows">Rows at most</label>
            <select id="rows" value={rowsMax} onChange={(event) => setRowsMax(event.currentTarget.value)}>
              {ROWS_MAX.map((rows) => (
                <option key={rows} value={rows}>
                  {count(Number(rows))}
                </option>
              ))}
            </select>
            <span className="quiet hint">Esc, then Tab leaves the editor</span>
          </div>
        </section>
        <Tables insert={insert} learn={learn} known={known} names={setKnown} />
      </div>
      <Outcome run={run} />
    </Page>
  );
}

function Outcome({ run }: { run: Run }) {
  switch (run.is) {
    case "idle":
      return null;
    case "running":
      return (
        <p className="waiting" role="status">
          Running…
        </p>
      );
    case "failed":
      return <ProblemBox problem={run.problem} what="this statement" />;
    case "done":
      return <Result sql={run.sql} answer={run.answer} tookUs={run.tookUs} />;
  }
}

function Result({ sql, answer, tookUs }: { sql: string; answer: Answer<QueryResult>; tookUs: number }) {
  const { columns, rows, row_count, truncated, certificate } = answer.value;
  const masked = columns.filter((column) => column.masked).length;
  const receipt = certificate.receipt || answer.receipt;
  return (
    <>
      <Panel
        title="Result"
        note={
          <span role="status">
            {count(row_count)} {row_count === 1 ? "row" : "rows"}
            {truncated && ", there are more"} · {masked > 0 ? `${masked} of ${columns.length} columns masked` : "no column masked"} ·{" "}
            {duration(tookUs)} · {certificate.engine} · <Link to={`/receipt#receipt=${receipt}`}>verify receipt</Link> ·{" "}
            <Link to={`/audit/${certificate.index}`}>entry {certificate.index}</Link>
          </span>
        }
      >
        {rows.length === 0 ? (
          <p className="empty">No row. The policy lens below shows whether a row filter took some away.</p>
        ) : (
          <Grid columns={columns} rows={rows} label="Result rows" />
        )}
      </Panel>
      <Lens sql={sql} certificate={certificate} />
    </>
  );
}

function place(problem: Problem): Mark | null {
  const { line, column } = problem.body.location ?? {};
  return line === undefined ? null : { line, column: column ?? 1, message: problem.message };
}

function link(sql: string, purpose: string, rows: string): string {
  const search = new URLSearchParams(purpose ? { purpose, rows } : { rows });
  const fragment = sql.length <= LINK_CHARS_MAX ? `#${new URLSearchParams({ sql })}` : "";
  return `/query?${search}${fragment}`;
}

