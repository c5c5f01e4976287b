import { beforeEach, expect, test } from "vitest";
import type { Bytes } from "./bytes.ts";
import { checkContinuity, KeyChanged, pinnedKey, repin } from "./trust.ts";
import { leafHash, nodeHash } from "./tree.ts";

const KEY = "logs.example/demo+7ef7b89e+AepKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs";
const stored = new Map<string, string>();
const memory = {
  getItem: (name: string) => stored.get(name) ?? null,
  setItem: (name: string, value: string) => void stored.set(name, value),
  removeItem: (name: string) => void stored.delete(name),
};
beforeEach(() => stored.clear());

const [a, b, c] = (await Promise.all([1, 2, 3].map((n) => leafHash(Uint8Array.of(n))))) as [Bytes, Bytes, Bytes];
const two = { origin: "log", size: 2n, root: await nodeHash(a, b) };
const three = { origin: "log", size: 3n, root: await nodeHash(two.root, c) };
const tile = async (path: string): Promise<Bytes> => {
  const width = Number(path.split("/").at(-1));
  return Uint8Array.from([a, b, c].slice(0, width).flatMap((hash) => Array.from(hash)));
};

test("a key is pinned at first sight, and a changed one refused", async () => {
  expect((await pinnedKey(`${KEY}\n`, memory)).isNew).toBe(true);
  expect((await pinnedKey(KEY, memory)).isNew).toBe(false);
  stored.set("dataos.log.key", "logs.example/demo+00000000+another");
  await expect(pinnedKey(KEY, memory)).rejects.toBeInstanceOf(KeyChanged);
});

test("a new key is pinned only if it came from elsewhere too", async () => {
  stored.set("dataos.log.key", "old");
  await expect(repin(KEY, "old", memory)).rejects.toThrow("not the key");
  await repin(KEY, ` ${KEY}\n`, memory);
  expect((await pinnedKey(KEY, memory)).isNew).toBe(false);
});

test("heads of one history are accepted in any order", async () => {
  expect(await checkContinuity(two, memory, tile)).toEqual({ seen: "first" });
  expect(await checkContinuity(two, memory, tile)).toEqual({ seen: "same", remembered: 2n });
  expect(await checkContinuity(three, memory, tile)).toEqual({ seen: "newer", remembered: 2n });
  expect(await checkContinuity(two, memory, tile)).toEqual({ seen: "older", remembered: 3n });
});

test("another history is refused, and not remembered", async () => {
  await checkContinuity(two, memory, tile);
  const fork = { ...three, root: await nodeHash(await nodeHash(b, a), c) };
  await expect(checkContinuity(fork, memory, tile)).rejects.toThrow("rewritten");
  await expect(checkContinuity({ ...two, root: a }, memory, tile)).rejects.toThrow("rewritten");
  expect(await checkContinuity(three, memory, tile)).toEqual({ seen: "newer", remembered: 2n });
});
