import { expect, test } from "vitest";
import type { Bytes } from "./bytes.ts";
import { consistencyProof, leafOf, tilePath } from "./tiles.ts";
import { isConsistent, leafHash, nodeHash } from "./tree.ts";

const leaves = await Promise.all(
  Array.from({ length: 700 }, (_, at) => leafHash(Uint8Array.of(at >> 8, at & 255))),
);

/** RFC 6962, 2.1, word for word: the oracle. */
async function root(hashes: Bytes[]): Promise<Bytes> {
  if (hashes.length === 1) return hashes[0]!;
  let split = 1;
  while (split * 2 < hashes.length) split *= 2;
  return nodeHash(await root(hashes.slice(0, split)), await root(hashes.slice(split)));
}

async function fetchTile(path: string): Promise<Bytes> {
  const [, level, number, width = "256"] = /^tile\/(\d)\/(\d{3})(?:\.p\/(\d+))?$/.exec(path)!;
  const span = 256 ** Number(level);
  const hashes = Array.from({ length: Number(width) }, (_, at) => {
    const from = (Number(number) * 256 + at) * span;
    return root(leaves.slice(from, from + span));
  });
  const bytes = new Uint8Array(32 * hashes.length);
  (await Promise.all(hashes)).forEach((hash, at) => bytes.set(hash, 32 * at));
  return bytes;
}

const sizes = [1, 2, 3, 4, 7, 8, 255, 256, 257, 511, 512, 513, 600, 700];
const pairs = sizes.flatMap((old) => sizes.filter((now) => old <= now).map((now) => [old, now]));

test.each(pairs)("from %i to %i", async (old, now) => {
  const head = async (size: number) => ({ size: BigInt(size), root: await root(leaves.slice(0, size)) });
  const [before, after] = [await head(old!), await head(now!)];
  const proof = await consistencyProof(before.size, after.size, fetchTile);
  expect(await isConsistent(before, after, proof)).toBe(true);
  const forked = { ...before, root: leaves[699]! };
  expect(await isConsistent(forked, after, proof)).toBe(false);
  if (proof.length > 0) {
    expect(await isConsistent(before, after, proof.slice(1))).toBe(false);
    expect(await isConsistent(before, after, [...proof, leaves[0]!])).toBe(false);
  }
});

test.each([0, 1, 255, 256, 300, 699])("leaf %i", async (index) => {
  expect(await leafOf(BigInt(index), 700n, fetchTile)).toEqual(leaves[index]);
});

test.each([
  [0n, 0n, 256n, "tile/0/000"],
  [1n, 3n, 7n, "tile/1/003.p/7"],
  [0n, 1234067n, 256n, "tile/0/x001/x234/067"],
])("path of tile %i/%i, %i wide", (level, number, width, path) => {
  expect(tilePath(level, number, width)).toBe(path);
});
