// What this browser remembers of the log: its key since the first visit, and the newest head seen.
// A log that changes its key, or whose new head does not continue the remembered one, is shown as
// such; there is no button to go on regardless.
import { fromBase64, isEqual, ProofError, toBase64, type Bytes } from "./bytes.ts";
import { parseKey, type Checkpoint, type VerifierKey } from "./note.ts";
import { consistencyProof, type FetchTile } from "./tiles.ts";
import { isConsistent } from "./tree.ts";

const KEY = "dataos.log.key";
const HEAD = "dataos.log.head";

type Memory = Pick<Storage, "getItem" | "setItem" | "removeItem">;

/** The key that the server gives is not the one this browser knows. */
export class KeyChanged extends ProofError {
  readonly pinned: string;
  readonly given: string;

  constructor(pinned: string, given: string) {
    super("the log's key is not the one this browser knows");
    this.pinned = pinned;
    this.given = given;
  }
}

/** The pinned key; pins `given` if there is none. Says whether it was pinned just now. */
export async function pinnedKey(given: string, memory: Memory): Promise<{ key: VerifierKey; isNew: boolean }> {
  const key = await parseKey(given);
  const pinned = memory.getItem(KEY);
  if (pinned !== null && pinned !== key.text) throw new KeyChanged(pinned, key.text);
  memory.setItem(KEY, key.text);
  return { key, isNew: pinned === null };
}

/** Pins a new key, which the person has from elsewhere; it must be the one the server gives. */
export async function repin(given: string, fromOperator: string, memory: Memory): Promise<void> {
  const key = await parseKey(given);
  if (fromOperator.trim() !== key.text) {
    throw new ProofError("this is not the key that the server gives: one of the two is not the log's");
  }
  memory.setItem(KEY, key.text);
  memory.removeItem(HEAD);
}

/** How a head relates to the one remembered. */
export type Continuity = { seen: "first" } | { seen: "same" | "newer" | "older"; remembered: bigint };

/** Demands that `head` and the remembered head are one history; remembers the larger one. */
export async function checkContinuity(head: Checkpoint, memory: Memory, fetchTile: FetchTile): Promise<Continuity> {
  const old = recall(memory, head.origin);
  if (old === null || old.size === 0n) {
    remember(memory, head);
    return { seen: "first" };
  }
  const [small, large] = old.size <= head.size ? [old, head] : [head, old];
  const isSame = small.size === large.size && isEqual(small.root, large.root);
  if (!isSame && (small.size === large.size || !(await isPrefix(small, large, fetchTile)))) {
    throw new ProofError(
      `the log was rewritten: its head of size ${head.size} with root ${toBase64(head.root)} and the head ` +
        `of size ${old.size} with root ${toBase64(old.root)}, seen before, are not one history`,
    );
  }
  if (large === head) remember(memory, head);
  if (isSame) return { seen: "same", remembered: old.size };
  return { seen: large === head ? "newer" : "older", remembered: old.size };
}

async function isPrefix(small: Checkpoint, large: Checkpoint, fetchTile: FetchTile): Promise<boolean> {
  return isConsistent(small, large, await consistencyProof(small.size, large.size, fetchTile));
}

function remember(memory: Memory, head: Checkpoint): void {
  memory.setItem(HEAD, JSON.stringify([head.origin, head.size.toString(), toBase64(head.root)]));
}

function recall(memory: Memory, origin: string): { origin: string; size: bigint; root: Bytes } | null {
  const text = memory.getItem(HEAD);
  if (text === null) return null;
  const [name, size, root] = JSON.parse(text) as [string, string, string];
  return name === origin ? { origin, size: BigInt(size), root: fromBase64(root, "the remembered root") } : null;
}
