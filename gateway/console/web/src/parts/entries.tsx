// A table of audit entries; each row leads to its entry.
import type { AuditEntry } from "../api/types.ts";
import { Link } from "../router.tsx";
import { visible } from "./format.ts";
import { PolicyIds } from "./problem.tsx";
import { Effect, Entity, Time } from "./values.tsx";

const POLICIES_SHOWN_MAX = 2;

export function EntryTable({ entries, caption }: { entries: AuditEntry[]; caption: string }) {
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label={caption}>
      <table className="entries">
        <caption className="unseen">{caption}</caption>
        <thead>
          <tr>
            <th scope="col" className="number">
              Entry
            </th>
            <th scope="col">Time</th>
            <th scope="col">Effect</th>
            <th scope="col">Kind</th>
            <th scope="col">Principal</th>
            <th scope="col">Action</th>
            <th scope="col">Resource</th>
            <th scope="col">Reason</th>
            <th scope="col">Policies</th>
          </tr>
        </thead>
        <tbody>
          {entries.map((entry) => (
            <tr key={entry.index} className={entry.effect === "deny" ? "deny" : undefined}>
              <td className="number">
                <Link to={`/audit/${entry.index}`}>{entry.index}</Link>
              </td>
              <td className="nowrap">
                <Time iso={entry.time} />
              </td>
              <td className="nowrap">
                <Effect effect={entry.effect} />
              </td>
              <td>{entry.kind}</td>
              <td>
                <Entity uid={entry.principal} />
              </td>
              <td>
                <code>{visible(entry.action) || "–"}</code>
              </td>
              <td className="wide">
                <Entity uid={entry.resource} />
              </td>
              <td>{entry.reason !== "" && <code>{visible(entry.reason)}</code>}</td>
              <td>
                <PolicyIds ids={entry.policies.slice(0, POLICIES_SHOWN_MAX)} />
                {entry.policies.length > POLICIES_SHOWN_MAX && (
                  <span className="quiet"> +{entry.policies.length - POLICIES_SHOWN_MAX}</span>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
