import { expect, test } from "vitest";
import { fromInput, toInput } from "./times.ts";

test.each(["2026-11-22T17:15:00Z", "2026-01-01T00:00:00Z", "1999-12-31T23:59:59Z"])("%s comes back", (iso) => {
  expect(fromInput(toInput(iso))).toBe(iso);
});

test.each(["", "yesterday", "2026-99-99"])("%j is no time", (text) => {
  expect(toInput(text)).toBe("");
  expect(fromInput(text)).toBeUndefined();
});
