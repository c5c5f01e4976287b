// The canonical bytes of a log entry: the public header and the hash of the details. The layout is
// that of audit/proof/src/entry.rs.
import { Cursor, ProofError, toHex, type Bytes } from "./bytes.ts";

/** All kinds of entries; the position is the code. */
export const KINDS = [
  "decision",
  "outcome",
  "policy_change",
  "resource_change",
  "identity_change",
  "metadata_change",
  "key",
  "config",
  "shutdown",
  "gap",
  "state",
];
const EFFECTS = [null, "allow", "deny"] as const;
const REQUEST_ID_BYTES_MAX = 128;
const ACTION_BYTES_MAX = 64;

/** What the tree says of an entry. */
export interface Header {
  kind: string;
  timeMs: number;
  requestId: string;
  effect: "allow" | "deny" | null;
  action: string;
  requestDigest: string;
  policySet: string;
  detailsHash: string;
}

export function decodeEntry(bytes: Bytes): Header {
  const cursor = new Cursor(bytes, "entry");
  const version = cursor.u8("version");
  if (version !== 1) throw new ProofError(`entry version ${version} is not known; this page reads version 1`);
  const kind = cursor.u8("kind");
  const timeMs = Number(BigInt.asIntN(64, cursor.uint(8, "time")));
  const requestId = text(cursor, "request id", REQUEST_ID_BYTES_MAX);
  const code = cursor.u8("effect");
  const effect = EFFECTS[code];
  if (effect === undefined) throw new ProofError(`entry effect ${code} is not known`);
  const action = text(cursor, "action", ACTION_BYTES_MAX);
  const [requestDigest = "", policySet = "", detailsHash = ""] = [
    "request digest",
    "policy set",
    "details hash",
  ].map((field) => toHex(cursor.take(32, field)));
  cursor.end();
  const name = KINDS[kind] ?? `kind ${kind}`;
  return { kind: name, timeMs, requestId, effect, action, requestDigest, policySet, detailsHash };
}

function text(cursor: Cursor, field: string, bytesMax: number): string {
  const length = cursor.u8(field);
  const bytes = cursor.take(length, field);
  let value: string;
  try {
    value = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new ProofError(`the ${field} is not plain UTF-8 text`);
  }
  if (/\p{Cc}/u.test(value)) throw new ProofError(`the ${field} is not plain UTF-8 text`);
  if (length > bytesMax) throw new ProofError(`the ${field} has ${length} bytes; at most ${bytesMax} fit`);
  return value;
}
