// What the tree says of an entry against what the server shows of it.
import type { AuditEntry } from "../../api/types.ts";
import type { Header } from "../../proof/entry.ts";

/** Fields in which the two differ, in words; the details are covered by a salted hash alone. */
export function differences(header: Header, entry: AuditEntry): string[] {
  const pairs: [string, unknown, unknown][] = [
    ["kind", header.kind, entry.kind],
    ["time", header.timeMs, Math.floor(Date.parse(entry.time))],
    ["request id", header.requestId, entry.request_id],
    ["effect", header.effect, entry.effect],
    ["action", header.action, entry.action],
    ["request digest", header.requestDigest, entry.request_digest],
    ["policy set", header.policySet, entry.policy_set],
  ];
  return pairs
    .filter(([, held, shown]) => held !== shown)
    .map(([name, held, shown]) => `${name} is ${String(held)} in the log, ${String(shown)} here`);
}
