import { expect, test } from "vitest";
import { count, duration, entity, span, visible } from "./format.ts";

test.each([
  [0, "0 µs"],
  [999, "999 µs"],
  [1_234, "1.23 ms"],
  [56_789, "56.8 ms"],
  [2_500_000, "2.50 s"],
])("duration %i", (us, text) => expect(duration(us)).toBe(text));

test.each([
  [0, "0 s"],
  [59.9, "59 s"],
  [60, "1 min"],
  [3_725, "1 h 2 min"],
  [90_000, "1 d 1 h"],
])("span %d", (seconds, text) => expect(span(seconds)).toBe(text));

test.each([
  ['User::"ada"', "User", "ada"],
  ['DataOS::Dataset::"demo/tpch/orders"', "Dataset", "demo/tpch/orders"],
  ['DataOS::User::"a\\"b"', "User", 'a"b'],
  ["plain", "", "plain"],
  ["", "", ""],
])("entity %s", (uid, type, id) => expect(entity(uid)).toEqual({ type, id }));

test("counts have separators", () => expect(count(1_234_567)).toBe("1,234,567"));

test.each([
  ["plain ü 日本", "plain ü 日本"],
  ["two\nlines\tand a tab", "two\nlines\tand a tab"],
  ["user\u202Enimda", "user⟨U+202E⟩nimda"],
  ["a\u0000b\u001B[31m", "a⟨U+0000⟩b⟨U+001B⟩[31m"],
  ["\u2066x\u2069", "⟨U+2066⟩x⟨U+2069⟩"],
])("visible %j", (text, shown) => expect(visible(text)).toBe(shown));
