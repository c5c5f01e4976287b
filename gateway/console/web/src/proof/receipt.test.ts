// The same vectors that the Rust verifier is tested with; each side must agree on every one.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fromBase64, toBase64, toHex } from "./bytes.ts";
import { openCheckpoint, parseKey } from "./note.ts";
import { decodeReceipt, parseLogProof, verifyLogProof, verifyReceipt } from "./receipt.ts";

interface Expected {
  index: number;
  tree_size: number;
  root: string;
  hashes: number;
  kind: number;
  kind_name: string | null;
  time_ms: number;
  request_id: string;
  effect: string | null;
  action: string;
  request_digest: string;
  policy_set: string;
  details_hash: string;
  checkpoint: string;
}

interface Vectors {
  vkey: string;
  valid: { name: string; receipt: string; expect: Expected }[];
  invalid: { name: string; receipt: string; error: string }[];
}

const file = new URL("../../../../../audit/proof/vectors/receipts.json", import.meta.url);
const vectors = JSON.parse(readFileSync(file, "utf8")) as Vectors;

/** The tlog-proof text of a valid receipt, with the entry as its extra line. */
function logProof(receipt: string, checkpoint: string): string {
  const { index, entry, proof } = decodeReceipt(receipt);
  const hashes = proof.map((hash) => `${toBase64(hash)}\n`).join("");
  return `c2sp.org/tlog-proof@v1\nextra ${toBase64(entry)}\nindex ${index}\n${hashes}\n${checkpoint}`;
}

test("there are vectors of both kinds", () => {
  expect(vectors.valid.length).toBeGreaterThan(5);
  expect(vectors.invalid.length).toBeGreaterThan(15);
});

describe("valid receipts", () => {
  test.each(vectors.valid)("$name", async ({ receipt, expect: want }) => {
    const key = await parseKey(vectors.vkey);
    const { index, header, steps, checkpoint } = await verifyReceipt(receipt, key);
    expect([Number(index), Number(checkpoint.size)]).toEqual([want.index, want.tree_size]);
    expect(toHex(checkpoint.root)).toBe(want.root);
    expect(steps.length).toBe(want.hashes);
    expect(header).toEqual({
      kind: want.kind_name ?? `kind ${want.kind}`,
      timeMs: want.time_ms,
      requestId: want.request_id,
      effect: want.effect,
      action: want.action,
      requestDigest: want.request_digest,
      policySet: want.policy_set,
      detailsHash: want.details_hash,
    });
  });

  test.each(vectors.valid)("$name, as a tlog-proof", async ({ receipt, expect: want }) => {
    const key = await parseKey(vectors.vkey);
    const proof = parseLogProof(logProof(receipt, want.checkpoint));
    expect(proof.extra).not.toBeNull();
    const verified = await verifyLogProof(proof, proof.extra!, key);
    expect(toHex(verified.checkpoint.root)).toBe(want.root);
    expect(verified.header?.requestId).toBe(want.request_id);
  });
});

describe("invalid receipts", () => {
  test.each(vectors.invalid)("$name", async ({ receipt, error }) => {
    const key = await parseKey(vectors.vkey);
    const words = error.replace("this build", "this page");
    await expect(verifyReceipt(receipt, key)).rejects.toThrow(words);
  });

  test("any changed byte", async () => {
    const key = await parseKey(vectors.vkey);
    const receipt = vectors.valid.at(-1)!.receipt;
    const standard = receipt.replaceAll("-", "+").replaceAll("_", "/");
    const bytes = fromBase64(standard + "=".repeat((4 - (standard.length % 4)) % 4), "the vector");
    for (let at = 0; at < bytes.length; at++) {
      const changed = bytes.slice();
      changed[at]! ^= 1;
      const text = toBase64(changed).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
      await expect(verifyReceipt(text, key), `byte ${at}`).rejects.toThrow();
    }
  });

  test("another key", async () => {
    const other = { ...(await parseKey(vectors.vkey)), name: "logs.example/other" };
    await expect(verifyReceipt(vectors.valid[0]!.receipt, other)).rejects.toThrow("signature");
  });
});

describe("malformed tlog-proofs", () => {
  const longest = vectors.valid.toSorted((a, b) => b.expect.hashes - a.expect.hashes)[0]!;
  const { receipt, expect: want } = longest;
  const good = logProof(receipt, want.checkpoint);
  const lines = good.split("\n");
  const check = async (text: string, words: string) => {
    const key = await parseKey(vectors.vkey);
    const verify = async () => {
      const proof = parseLogProof(text);
      return verifyLogProof(proof, proof.extra!, key);
    };
    await expect(verify()).rejects.toThrow(words);
  };

  test.each([
    ["another first line", good.replace("@v1", "@v2"), "c2sp.org/tlog-proof@v1"],
    ["no index", good.replace(/index .*\n/, ""), "no index line"],
    ["an index with a leading zero", good.replace("index ", "index 0"), "decimal"],
    ["another index", good.replace(/index .*/, `index ${want.index ^ 1}`), "root that the log signed"],
    ["one hash less", lines.toSpliced(3, 1).join("\n"), "do not prove"],
    ["two hashes swapped", lines.toSpliced(3, 2, lines[4]!, lines[3]!).join("\n"), "root that the log signed"],
    ["a hash that is cut", lines.toSpliced(3, 1, lines[3]!.slice(4)).join("\n"), "SHA-256"],
    ["no checkpoint", good.slice(0, good.indexOf("\n\n")), "not a c2sp.org/tlog-proof@v1"],
    ["another tree size", good.replace(`\n${want.tree_size}\n`, `\n${want.tree_size + 1}\n`), "signature"],
    ["no signature line", good.slice(0, good.lastIndexOf("\u2014")), "malformed"],
    ["a hyphen for the dash", good.replace("\u2014", "-"), "malformed"],
    ["another signer", good.replace(/\u2014 \S+/, "\u2014 someone.else"), "not signed by"],
  ])("%s", (_name, text, words) => check(text, words));
});

test("a checkpoint opens", async () => {
  const { expect: want } = vectors.valid[0]!;
  const checkpoint = await openCheckpoint(want.checkpoint, await parseKey(vectors.vkey));
  expect([checkpoint.origin, Number(checkpoint.size)]).toEqual([vectors.vkey.split("+")[0], want.tree_size]);
});

test.each([
  ["nothing", ""],
  ["no id", "logs.example/demo+AepK"],
  ["another id", vectors.vkey.replace(/\+[0-9a-f]{8}\+/, "+00000000+")],
  ["another name", `x${vectors.vkey}`],
  ["another type", vectors.vkey.replace("+Ae", "+Be")],
])("refused verifier key: %s", async (_name, text) => {
  await expect(parseKey(text)).rejects.toThrow();
});
