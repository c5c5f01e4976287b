// The tables that one may see, by name; a table opens to its columns and is inserted by a click.
import { useEffect, useState } from "react";
import { getJson } from "../../api/client.ts";
import type { Dataset, DatasetSummary } from "../../api/types.ts";
import { count } from "../../parts/format.ts";
import { useLoad } from "../../parts/load.ts";
import { Panel } from "../../parts/page.tsx";
import { ProblemBox } from "../../parts/problem.tsx";

const TABLES_MAX = 100;
const TYPING_MS = 200;

interface Props {
  insert: (name: string) => void;
  learn: (dataset: Dataset) => void;
  known: Record<string, string[]>;
  names: (update: (old: Record<string, string[]>) => Record<string, string[]>) => void;
}

export function Tables({ insert, learn, names }: Props) {
  const [typed, setTyped] = useState("");
  const [wanted, setWanted] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => setWanted(typed.trim()), TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  const { value, problem, again } = useLoad(`q=${wanted}`, async (signal) => {
    const query = { q: wanted, limit: String(TABLES_MAX) };
    return (await getJson<{ datasets: DatasetSummary[] }>("/api/v1/catalog/datasets", { query, signal })).value.datasets;
  });
  useEffect(() => {
    if (value === null) return;
    const found = Object.fromEntries(value.map((dataset) => [dataset.sql_name, [] as string[]]));
    names((old) => ({ ...found, ...old }));
  }, [value]);
  const isCapped = value !== null && value.length >= TABLES_MAX;
  return (
    <Panel title="Tables" className="tables" note={value && `${isCapped ? "the first " : ""}${count(value.length)}`}>
      <input
        type="search"
        aria-label="Search tables"
        placeholder="Search tables"
        value={typed}
        onInput={(event) => setTyped(event.currentTarget.value)}
      />
      {problem && <ProblemBox problem={problem} what="the list of tables" again={again} />}
      {value?.length === 0 && <p className="empty">{wanted ? "None matches." : "There is none that you may see."}</p>}
      <ul>
        {value?.map((dataset) => (
          <Table key={dataset.address} dataset={dataset} insert={insert} learn={learn} />
        ))}
      </ul>
    </Panel>
  );
}

function Table({ dataset, insert, learn }: { dataset: DatasetSummary } & Pick<Props, "insert" | "learn">) {
  const [isOpen, setOpen] = useState(false);
  const { value, problem } = useLoad(isOpen ? dataset.address : null, async (signal) => {
    const path = [dataset.depot, dataset.collection, dataset.name].map(encodeURIComponent).join("/");
    const { value: whole } = await getJson<Dataset>(`/api/v1/catalog/datasets/${path}`, { signal });
    learn(whole);
    return whole;
  });
  const rows = dataset.row_count === null ? "" : `, ${count(dataset.row_count)} rows`;
  return (
    <li>
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary title={`${dataset.address}${rows}`}>{dataset.sql_name}</summary>
        {problem && <ProblemBox problem={problem} what={dataset.address} />}
        <button type="button" className="plain" onClick={() => insert(dataset.sql_name)}>
          Insert name
        </button>
        <ul className="table-columns">
          {value?.columns.map((column) => (
            <li key={column.name}>
              {column.name} <span className="type">{column.type}</span>
              {column.tags.map((tag) => (
                <span key={tag} className="chip">
                  {tag}
                </span>
              ))}
            </li>
          ))}
        </ul>
      </details>
    </li>
  );
}
