// RFC 6962 hashing and RFC 9162 proofs.
import { isEqual, ProofError, sha256, type Bytes } from "./bytes.ts";

/** Most hashes in any proof: a tree of 2^64 leaves is 64 levels high. */
export const PROOF_HASHES_MAX = 63;

/** One step of an inclusion proof, for drawing: on which side the sibling stands, and the result. */
export interface Step {
  side: "left" | "right";
  sibling: Bytes;
  parent: Bytes;
}

export function leafHash(entry: Bytes): Promise<Bytes> {
  return sha256(Uint8Array.of(0), entry);
}

export function nodeHash(left: Bytes, right: Bytes): Promise<Bytes> {
  return sha256(Uint8Array.of(1), left, right);
}

/** The path from a leaf to the root (RFC 9162, 2.1.3.2); the last parent is the root. */
export async function inclusionPath(leaf: Bytes, index: bigint, size: bigint, proof: Bytes[]): Promise<Step[]> {
  const shape = new ProofError(`${proof.length} hashes do not prove entry ${index} in a tree of ${size}`);
  if (index >= size) throw shape;
  const steps: Step[] = [];
  let [node, last, hash] = [index, size - 1n, leaf];
  for (const sibling of proof) {
    if (last === 0n) throw shape;
    const side = node % 2n === 1n || node === last ? "left" : "right";
    hash = side === "left" ? await nodeHash(sibling, hash) : await nodeHash(hash, sibling);
    // A node without a right sibling moves up unchanged.
    while (side === "left" && node % 2n === 0n && node !== 0n) [node, last] = [node >> 1n, last >> 1n];
    [node, last] = [node >> 1n, last >> 1n];
    steps.push({ side, sibling, parent: hash });
  }
  if (last !== 0n) throw shape;
  return steps;
}

/** Whether `proof` shows that the new tree begins with the old one (RFC 9162, 2.1.4.2). */
export async function isConsistent(
  old: { size: bigint; root: Bytes },
  now: { size: bigint; root: Bytes },
  proof: Bytes[],
): Promise<boolean> {
  if (old.size === 0n) return proof.length === 0;
  if (old.size === now.size) return proof.length === 0 && isEqual(old.root, now.root);
  if (old.size > now.size) return false;
  const isWhole = (old.size & (old.size - 1n)) === 0n;
  const [seed, ...path] = isWhole ? [old.root, ...proof] : proof;
  if (seed === undefined) return false;
  let [node, last] = [old.size - 1n, now.size - 1n];
  while (node % 2n === 1n) [node, last] = [node >> 1n, last >> 1n];
  let [oldHash, newHash] = [seed, seed];
  for (const sibling of path) {
    if (last === 0n) return false;
    if (node % 2n === 1n || node === last) {
      oldHash = await nodeHash(sibling, oldHash);
      newHash = await nodeHash(sibling, newHash);
      while (node % 2n === 0n && node !== 0n) [node, last] = [node >> 1n, last >> 1n];
    } else {
      newHash = await nodeHash(newHash, sibling);
    }
    [node, last] = [node >> 1n, last >> 1n];
  }
  return last === 0n && isEqual(oldHash, old.root) && isEqual(newHash, now.root);
}
