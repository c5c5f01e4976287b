// Searching the audit log. The URL is the search: filters and cursor; a copied link shows the same.
import { useEffect, useState, type FormEvent, type ReactNode } from "react";
import { getJson } from "../../api/client.ts";
import type { AuditPage } from "../../api/types.ts";
import { EntryTable } from "../../parts/entries.tsx";
import { count } from "../../parts/format.ts";
import { useLive, type Followed } from "../../parts/live.ts";
import { useLoad } from "../../parts/load.ts";
import { Page } from "../../parts/page.tsx";
import { ProblemBox } from "../../parts/problem.tsx";
import { KINDS } from "../../proof/entry.ts";
import { go, Link, usePlace, withSearch } from "../../router.tsx";
import { fromInput, toInput } from "./times.ts";

const PAGE_ENTRIES = 50;
const TEXTS: [string, string, string][] = [
  ["principal", "Principal", "ada"],
  ["action", "Action", "select"],
  ["resource", "Resource", "demo/tpch/orders"],
  ["policy", "Policy", ""],
  ["request_id", "Request", ""],
];
const FILTERS = ["text", "effect", "kind", "from", "to", ...TEXTS.map(([name]) => name)];

export default function AuditSearch() {
  const { search } = usePlace();
  const query: Record<string, string> = { limit: String(PAGE_ENTRIES) };
  for (const name of [...FILTERS, "before"]) query[name] = search.get(name) ?? "";
  const [isLive, setLive] = useState(false);
  const live = useLive(isLive ? streamUrl(search) : null);
  const { value, problem, isLoading, again } = useLoad(isLive ? null : JSON.stringify(query), async (signal) => {
    return (await getJson<AuditPage>("/api/v1/audit/entries", { query, signal })).value;
  });
  const before = search.get("before");
  const active = FILTERS.filter((name) => search.get(name));
  const next = value?.next_before ?? null;
  return (
    <Page
      title="Audit"
      actions={
        <>
          <button type="button" aria-pressed={isLive} onClick={() => setLive(!isLive)}>
            Live
          </button>
          <button type="button" onClick={again} disabled={isLoading || isLive}>
            Refresh
          </button>
        </>
      }
    >
      <Filters key={search.toString()} search={search} />
      {active.length > 0 && (
        <p className="active-filters">
          {active.map((name) => (
            <Link key={name} to={withSearch({ [name]: undefined, before: undefined })} className="chip removable">
              {name}: {search.get(name)} <span aria-hidden="true">✕</span>
              <span className="unseen">(remove)</span>
            </Link>
          ))}
          {active.length > 1 && <Link to="/audit">clear all</Link>}
        </p>
      )}
      {isLive && <LiveEntries live={live} />}
      {!isLive && problem && <ProblemBox problem={problem} what="searching the audit log" again={again} />}
      {!isLive && value && !problem && (
        <div aria-busy={isLoading} className={isLoading ? "stale" : undefined}>
          {value.entries.length === 0 ? (
            <p className="empty">
              {before ? "No older entry matches." : "No entry matches. Entries appear here as soon as they are durable."}
            </p>
          ) : (
            <EntryTable entries={value.entries} caption="Audit entries, newest first" />
          )}
          <nav className="pages" aria-label="Pages">
            {before && <Link to={withSearch({ before: undefined })}>« Newest</Link>}
            <span className="quiet" role="status">
              {range(value)}
            </span>
            {next !== null && <Link to={withSearch({ before: String(next) })}>Older »</Link>}
          </nav>
        </div>
      )}
      {!isLive && !value && !problem && <p className="waiting">Searching…</p>}
    </Page>
  );
}

function LiveEntries({ live }: { live: Followed }) {
  return (
    <>
      <p className="quiet" role="status">
        {liveStatus(live)}
      </p>
      {live.entries.length > 0 && <EntryTable entries={live.entries} caption="Audit entries as they come, newest first" />}
    </>
  );
}

function liveStatus({ state, reason }: Followed): string {
  if (state === "open") return "Live: entries appear as soon as they are durable.";
  if (state === "connecting") return "Connecting: no entry is missed.";
  return `The stream ended${reason && `: ${reason}`}. Search, or turn live on again.`;
}

/** The stream with the filters of the search. */
function streamUrl(search: URLSearchParams): string {
  const query = new URLSearchParams({ newest: String(PAGE_ENTRIES) });
  for (const name of FILTERS) {
    const value = search.get(name);
    if (value) query.set(name, value);
  }
  return `/api/v1/audit/stream?${query}`;
}

function range({ entries, next_before }: AuditPage): string {
  const [first, last] = [entries[0], entries.at(-1)];
  if (first === undefined || last === undefined) return "0 entries";
  const more = next_before === null || next_before === undefined ? "the last there are" : "more below";
  return `${count(entries.length)} entries, ${first.index} to ${last.index}, ${more}`;
}

function Filters({ search }: { search: URLSearchParams }) {
  const [values, setValues] = useState(() => initial(search));
  const isNarrow = TEXTS.every(([name]) => !search.get(name)) && !search.get("from") && !search.get("to");
  const put = (name: string, value: string) => setValues((old) => ({ ...old, [name]: value }));
  const apply = (next: Record<string, string>) => {
    const patch: Record<string, string | undefined> = { before: undefined };
    for (const name of FILTERS) patch[name] = (next[name] ?? "").trim();
    patch.from = fromInput(next.from ?? "");
    patch.to = fromInput(next.to ?? "");
    go(withSearch(patch));
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    apply(values);
  };
  const choose = (name: string, value: string) => {
    put(name, value);
    apply({ ...values, [name]: value });
  };
  useEffect(() => setValues(initial(search)), [search.toString()]);
  return (
    <form className="filters" role="search" aria-label="Audit log" onSubmit={submit}>
      <div className="row">
        <Field id="text" label="Text anywhere in the entry" className="grow">
          <input id="text" type="search" value={values.text} onInput={(event) => put("text", event.currentTarget.value)} />
        </Field>
        <Field id="effect" label="Effect">
          <select id="effect" value={values.effect} onChange={(event) => choose("effect", event.currentTarget.value)}>
            <option value="">any</option>
            <option value="allow">allow</option>
            <option value="deny">deny</option>
          </select>
        </Field>
        <Field id="kind" label="Kind">
          <select id="kind" value={values.kind} onChange={(event) => choose("kind", event.currentTarget.value)}>
            <option value="">any</option>
            {KINDS.map((kind) => (
              <option key={kind}>{kind}</option>
            ))}
          </select>
        </Field>
        <button type="submit" className="primary">
          Search
        </button>
      </div>
      <details open={!isNarrow}>
        <summary>More filters</summary>
        <div className="row">
          {TEXTS.map(([name, label, example]) => (
            <Field key={name} id={name} label={label}>
              <input
                id={name}
                value={values[name]}
                placeholder={example && `such as ${example}`}
                spellCheck={false}
                autoCapitalize="none"
                onInput={(event) => put(name, event.currentTarget.value)}
              />
            </Field>
          ))}
          <Field id="from" label="From (local time)">
            <input id="from" type="datetime-local" step="1" value={values.from} onInput={(event) => put("from", event.currentTarget.value)} />
          </Field>
          <Field id="to" label="Before (local time)">
            <input id="to" type="datetime-local" step="1" value={values.to} onInput={(event) => put("to", event.currentTarget.value)} />
          </Field>
        </div>
      </details>
    </form>
  );
}

function Field(props: { id: string; label: string; className?: string; children: ReactNode }) {
  return (
    <div className={`field ${props.className ?? ""}`}>
      <label htmlFor={props.id}>{props.label}</label>
      {props.children}
    </div>
  );
}

function initial(search: URLSearchParams): Record<string, string> {
  const values = Object.fromEntries(FILTERS.map((name) => [name, search.get(name) ?? ""]));
  return { ...values, from: toInput(values.from ?? ""), to: toInput(values.to ?? "") };
}
