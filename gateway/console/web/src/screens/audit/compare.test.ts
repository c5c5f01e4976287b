import { expect, test } from "vitest";
import type { AuditEntry } from "../../api/types.ts";
import type { Header } from "../../proof/entry.ts";
import { differences } from "./compare.ts";

const header: Header = {
  kind: "decision",
  timeMs: 1_790_000_000_123,
  requestId: "r-1",
  effect: "deny",
  action: "select",
  requestDigest: "11",
  policySet: "22",
  detailsHash: "33",
};
const entry: AuditEntry = {
  index: 7,
  time: new Date(header.timeMs).toISOString(),
  kind: "decision",
  request_id: "r-1",
  effect: "deny",
  action: "select",
  principal: 'User::"ada"',
  resource: "",
  reason: "",
  policies: [],
  obligations: [],
  policy_set: "22",
  entities: "",
  request_digest: "11",
  completes: null,
  facts: {},
};

test("the same entry has no difference", () => expect(differences(header, entry)).toEqual([]));

test.each([
  ["kind", { kind: "outcome" }],
  ["time", { time: "2020-01-01T00:00:00Z" }],
  ["request id", { request_id: "r-2" }],
  ["effect", { effect: "allow" as const }],
  ["action", { action: "insert" }],
  ["request digest", { request_digest: "12" }],
  ["policy set", { policy_set: "23" }],
])("another %s is found", (name, change) => {
  const found = differences(header, { ...entry, ...change });
  expect(found).toHaveLength(1);
  expect(found[0]).toContain(`${name} is`);
});
