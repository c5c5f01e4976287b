import { expect, test } from "vitest";
import type { AuditEntry } from "../api/types.ts";
import { LIVE_ENTRIES_MAX, withNewer } from "./live.ts";

const entries = (first: number, count: number) =>
  Array.from({ length: count }, (_, at) => ({ index: first + at }) as AuditEntry);
const indexes = (list: AuditEntry[]) => list.map((entry) => entry.index);

test("what came is shown newest first, before what was there", () => {
  const shown = withNewer(withNewer([], entries(1, 2)), entries(3, 3));
  expect(indexes(shown)).toEqual([5, 4, 3, 2, 1]);
});

test("only so many are kept", () => {
  const shown = withNewer(withNewer([], entries(0, 5)), entries(5, LIVE_ENTRIES_MAX - 1));
  expect(shown.length).toBe(LIVE_ENTRIES_MAX);
  expect(shown.at(-1)?.index).toBe(4);
});
