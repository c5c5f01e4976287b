// The policy lens: what was asked beside what ran, and for each table which rows and columns, masked
// how, by which policy. Everything here is the server's certificate, as it was recorded.
import { getJson } from "../../api/client.ts";
import type { Policies, QueryResult, TableAccess } from "../../api/types.ts";
import { visible } from "../../parts/format.ts";
import { useLoad } from "../../parts/load.ts";
import { Panel } from "../../parts/page.tsx";
import { SqlText } from "../../parts/sql_text.tsx";
import { Digest } from "../../parts/values.tsx";

type Texts = Map<string, Policies["policies"][number]>;

/** What may be said of policies: a description at least, the whole text to those who may view it. */
interface Known {
  texts: Texts | null;
  descriptions: Record<string, string>;
}
type Column = TableAccess["columns"][number];

export function Lens({ sql, certificate }: { sql: string; certificate: QueryResult["certificate"] }) {
  // Who may not view policies sees their ids; the decision stays explained.
  const { value: texts } = useLoad<Texts>(certificate.policy_set, async (signal) => {
    const { value } = await getJson<Policies>("/api/v1/policies", { signal });
    return new Map(value.hash === certificate.policy_set ? value.policies.map((policy) => [policy.id, policy]) : []);
  });
  const known = { texts, descriptions: certificate.descriptions ?? {} };
  return (
    <Panel
      title="Policy lens"
      note={
        <>
          policy set <Digest hash={certificate.policy_set} /> · entities <Digest hash={certificate.entities} />
        </>
      }
    >
      <div className="columns two lens-sql">
        <div>
          <h3>As you wrote it</h3>
          <SqlText sql={sql} label="Statement as written" />
        </div>
        <div>
          <h3>As it ran</h3>
          <SqlText sql={certificate.governed_sql} label="Governed statement" />
          {certificate.governed_sql.includes('"__t0"') && (
            <p className="note">
              <code>"__t0"</code> and the like are the tables below with their filters and masks already applied: the engine
              has no other.
            </p>
          )}
        </div>
      </div>
      {certificate.tables.length === 0 && <p className="empty">The statement reads no table.</p>}
      {certificate.tables.map((table) => (
        <Table key={table.dataset} table={table} known={known} />
      ))}
    </Panel>
  );
}

function Table({ table, known }: { table: TableAccess; known: Known }) {
  const changed = table.columns.filter((column) => !isPlain(column));
  const plain = table.columns.filter(isPlain);
  return (
    <section className="lens-table" aria-label={table.dataset}>
      <h3>
        <bdi>{visible(table.dataset)}</bdi>
      </h3>
      <dl className="facts wide">
        <div>
          <dt>Rows</dt>
          <dd>
            <Rows filter={table.rows} /> <PolicyNames ids={table.row_policies} known={known} />
          </dd>
        </div>
        {plain.length > 0 && (
          <div>
            <dt>As they are</dt>
            <dd>
              {plain.map((column) => (
                <code key={column.name} className="chip">
                  {visible(column.name)}
                </code>
              ))}
            </dd>
          </div>
        )}
      </dl>
      {changed.length > 0 && (
        <div className="scroll" tabIndex={0} role="region" aria-label={`Columns of ${table.dataset} that are masked or absent`}>
          <table>
            <thead>
              <tr>
                <th scope="col">Column</th>
                <th scope="col">Shown as</th>
                <th scope="col">When</th>
                <th scope="col">Because of</th>
              </tr>
            </thead>
            <tbody>
              {changed.map((column) => (
                <ColumnRows key={column.name} column={column} known={known} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

/** Shown as it is in every row; the outcome alone speaks of the last rule. */
function isPlain(column: Column): boolean {
  return column.outcome === "plain" && column.rules.every((rule) => rule.outcome === "plain");
}

function Rows({ filter }: { filter: string }) {
  if (filter === "true" || filter === "TRUE") return <>all</>;
  if (filter === "false" || filter === "FALSE") return <strong>none</strong>;
  return (
    <>
      only those with <code className="filter">{visible(filter)}</code>
    </>
  );
}

function ColumnRows({ column, known }: { column: Column; known: Known }) {
  const rules = column.rules.length > 0 ? column.rules : [{ when: "true", outcome: column.outcome, policy: null }];
  return (
    <>
      {rules.map((rule, at) => {
        const isAlways = /^true$/i.test(rule.when);
        const when = isAlways ? (at === 0 ? "always" : "otherwise") : rule.when;
        const ids = rule.policy ? [rule.policy] : rules.length === 1 ? column.policies : [];
        return (
          <tr key={at}>
            {at === 0 && (
              <th scope="rowgroup" rowSpan={rules.length}>
                {visible(column.name)}
              </th>
            )}
            <td>
              <Outcome outcome={rule.outcome} />
            </td>
            <td>{isAlways ? when : <code className="filter">{visible(when)}</code>}</td>
            <td>
              <PolicyNames ids={ids} known={known} />
            </td>
          </tr>
        );
      })}
    </>
  );
}

function Outcome({ outcome }: { outcome: string }) {
  if (outcome === "plain") return <span>as it is</span>;
  if (outcome === "absent") return <span className="outcome absent">absent</span>;
  return (
    <span className="outcome masked">
      masked: <code>{outcome}</code>
    </span>
  );
}

/** Policies by id, each with what it says if the viewer may know. */
function PolicyNames({ ids, known }: { ids: string[]; known: Known }) {
  if (ids.length === 0) return <span className="quiet">no permit covers it</span>;
  return (
    <span className="policy-names">
      {ids.map((id) => {
        const policy = known.texts?.get(id);
        const description = policy?.annotations.description ?? known.descriptions[id] ?? "";
        const name = (
          <>
            <code className="chip">{visible(id)}</code> <span className="quiet">{visible(description)}</span>
          </>
        );
        if (policy === undefined) return <span key={id}>{name}</span>;
        return (
          <details key={id} className="policy">
            <summary>{name}</summary>
            <p className="quiet">{policy.source}</p>
            <pre tabIndex={0}>{visible(policy.text)}</pre>
          </details>
        );
      })}
    </span>
  );
}
