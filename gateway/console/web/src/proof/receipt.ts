// The compact receipt of the header DataOS-Receipt, and the C2SP tlog-proof text: both end in the
// same fact, an entry under a head that the log signed. Layout: audit/proof/src/receipt.rs.
import { Cursor, fromBase64, fromBase64Url, isEqual, ProofError, type Bytes } from "./bytes.ts";
import { decodeEntry, type Header } from "./entry.ts";
import {
  checkpointText,
  isSigned,
  openCheckpoint,
  parseDecimal,
  type Checkpoint,
  type VerifierKey,
} from "./note.ts";
import { inclusionPath, leafHash, PROOF_HASHES_MAX, type Step } from "./tree.ts";

const RECEIPT_CHARS_MAX = 4 * Math.ceil((88 + 301 + 32 * PROOF_HASHES_MAX) / 3);
const PROOF_CHARS_MAX = 256 * 1024;

/** What a valid proof shows. */
export interface Verified {
  index: bigint;
  /** What the tree says of the entry; null if only its hash is known. */
  header: Header | null;
  leaf: Bytes;
  steps: Step[];
  checkpoint: Checkpoint;
}

/** Verifies the text of a receipt with the log's key alone. */
export async function verifyReceipt(text: string, key: VerifierKey): Promise<Verified> {
  const receipt = decodeReceipt(text);
  const header = decodeEntry(receipt.entry);
  const { index, size } = receipt;
  const leaf = await leafHash(receipt.entry);
  const steps = await inclusionPath(leaf, index, size, receipt.proof);
  if (receipt.keyId !== key.id) {
    const [found, expected] = [receipt.keyId, key.id].map((id) => id.toString(16).padStart(8, "0"));
    throw new ProofError(`the receipt is signed by key ${found}, not by ${expected}`);
  }
  const checkpoint = { origin: key.name, size, root: steps.at(-1)?.parent ?? leaf };
  if (!(await isSigned(key, checkpointText(checkpoint), receipt.signature))) {
    throw new ProofError("the signature does not match: the receipt was changed, or is of another log");
  }
  return { index, header, leaf, steps, checkpoint };
}

export function decodeReceipt(text: string) {
  if (text.length > RECEIPT_CHARS_MAX) {
    throw new ProofError(`the receipt has ${text.length} characters; the longest has ${RECEIPT_CHARS_MAX}`);
  }
  const cursor = new Cursor(fromBase64Url(text, "the receipt"), "receipt");
  const version = cursor.u8("version");
  if (version !== 1) throw new ProofError(`receipt version ${version} is not known; this page reads version 1`);
  const index = cursor.uint(8, "index");
  const size = cursor.uint(8, "tree size");
  const keyId = cursor.uint(4, "key id");
  const signature = cursor.take(64, "signature");
  const entry = cursor.take(Number(cursor.uint(2, "entry length")), "entry");
  const count = cursor.u8("number of hashes");
  if (count > PROOF_HASHES_MAX) {
    throw new ProofError(`the receipt has ${count} inclusion hashes; at most ${PROOF_HASHES_MAX} make sense`);
  }
  const proof = Array.from({ length: count }, () => cursor.take(32, "inclusion hashes"));
  cursor.end();
  return { index, size, keyId, signature, entry, proof };
}

/** A parsed tlog-proof; `extra` holds the entry's canonical bytes if the server sent them. */
export interface LogProof {
  index: bigint;
  extra: Bytes | null;
  hashes: Bytes[];
  checkpoint: string;
}

export function parseLogProof(text: string): LogProof {
  if (text.length > PROOF_CHARS_MAX) throw new ProofError("the proof is too long");
  const at = text.indexOf("\n\n");
  const lines = text.slice(0, Math.max(at, 0)).split("\n");
  if (lines.shift() !== "c2sp.org/tlog-proof@v1") throw new ProofError("the text is not a c2sp.org/tlog-proof@v1");
  const extra = lines[0]?.startsWith("extra ") ? fromBase64((lines.shift() ?? "").slice(6), "the extra line") : null;
  const indexLine = lines.shift() ?? "";
  if (!indexLine.startsWith("index ")) throw new ProofError("the proof has no index line");
  const index = parseDecimal(indexLine.slice(6), "the index of the proof");
  if (lines.length > PROOF_HASHES_MAX) throw new ProofError(`${lines.length} hashes are more than any proof has`);
  const hashes = lines.map((line) => fromBase64(line, "a hash of the proof"));
  if (hashes.some((hash) => hash.length !== 32)) throw new ProofError("a hash of the proof is not a SHA-256");
  return { index, extra, hashes, checkpoint: text.slice(at + 2) };
}

/** Verifies a tlog-proof over the entry's canonical bytes. */
export async function verifyLogProof(proof: LogProof, entry: Bytes, key: VerifierKey): Promise<Verified> {
  const header = decodeEntry(entry);
  return { ...(await verifyLeaf(proof, await leafHash(entry), key)), header };
}

/** Verifies a tlog-proof over the hash of a leaf, which says nothing of what the leaf holds. */
export async function verifyLeaf(proof: LogProof, leaf: Bytes, key: VerifierKey): Promise<Verified> {
  const checkpoint = await openCheckpoint(proof.checkpoint, key);
  const steps = await inclusionPath(leaf, proof.index, checkpoint.size, proof.hashes);
  if (!isEqual(steps.at(-1)?.parent ?? leaf, checkpoint.root)) {
    throw new ProofError("the path from the entry does not end in the root that the log signed");
  }
  return { index: proof.index, header: null, leaf, steps, checkpoint };
}
