// Verifier keys, signed notes and checkpoints (C2SP signed-note, tlog-checkpoint) with Ed25519.
import { Cursor, fromBase64, ProofError, sha256, toBase64, toHex, type Bytes } from "./bytes.ts";

const ED25519 = 1;
const NOTE_CHARS_MAX = 128 * 1024;
const SIGNATURES_MAX = 16;
const NAME_BYTES_MAX = 200;

/** `name+id+base64(0x01, public key)`, parsed; the id was checked against name and key. */
export interface VerifierKey {
  name: string;
  id: bigint;
  publicKey: Bytes;
  text: string;
}

export interface Checkpoint {
  origin: string;
  size: bigint;
  root: Bytes;
}

export async function parseKey(text: string): Promise<VerifierKey> {
  const trimmed = text.trimEnd();
  const [name = "", id = "", ...rest] = trimmed.split("+");
  checkName(name);
  const key = fromBase64(rest.join("+"), "the verifier key");
  if (key[0] !== ED25519) throw new ProofError("the verifier key is not of type Ed25519");
  if (key.length !== 33) throw new ProofError("an Ed25519 key has 32 bytes");
  const digest = await sha256(new TextEncoder().encode(`${name}\n`), key);
  if (toHex(digest.slice(0, 4)) !== id) {
    throw new ProofError("the id of the verifier key does not belong to its name and key");
  }
  return { name, id: BigInt(`0x${id}`), publicKey: key.slice(1), text: trimmed };
}

export async function isSigned(key: VerifierKey, text: string, signature: Bytes): Promise<boolean> {
  const imported = await crypto.subtle.importKey("raw", key.publicKey, "Ed25519", false, ["verify"]);
  return crypto.subtle.verify("Ed25519", imported, signature, new TextEncoder().encode(text));
}

/** The three lines that a log signs. */
export function checkpointText(checkpoint: Checkpoint): string {
  return `${checkpoint.origin}\n${checkpoint.size}\n${toBase64(checkpoint.root)}\n`;
}

/** Parses and verifies a checkpoint note of the log that `key` belongs to. */
export async function openCheckpoint(note: string, key: VerifierKey): Promise<Checkpoint> {
  const { text, signatures } = splitNote(note);
  const ours = signatures.filter((line) => line.name === key.name && line.id === key.id);
  if (ours.length === 0) throw new ProofError(`the checkpoint is not signed by ${key.name}`);
  for (const line of ours) {
    if (!(await isSigned(key, text, line.signature))) {
      throw new ProofError(`the signature of ${key.name} does not match the checkpoint`);
    }
  }
  const [origin = "", sizeText = "", rootText = "", ...rest] = text.slice(0, -1).split("\n");
  if (rest.length > 0 || rootText === "") throw new ProofError("a checkpoint has three lines: origin, size, root");
  if (origin !== key.name) throw new ProofError(`the checkpoint is of log ${origin}, not of ${key.name}`);
  const root = fromBase64(rootText, "the root of the checkpoint");
  if (root.length !== 32) throw new ProofError("the root of the checkpoint is not a SHA-256");
  return { origin, size: parseDecimal(sizeText, "the size of the checkpoint"), root };
}

/** A decimal number without sign or leading zeroes, below 2^64. */
export function parseDecimal(text: string, what: string): bigint {
  if (!/^(0|[1-9][0-9]{0,19})$/.test(text) || BigInt(text) >= 1n << 64n) {
    throw new ProofError(`${what} is not a decimal number`);
  }
  return BigInt(text);
}

function splitNote(note: string) {
  if (note.length > NOTE_CHARS_MAX) throw new ProofError("the checkpoint is too long");
  if (/[\x00-\x09\x0b-\x1f]/.test(note)) throw new ProofError("the checkpoint holds a control character");
  const at = note.lastIndexOf("\n\n");
  if (at < 0 || !note.endsWith("\n")) throw new ProofError("the checkpoint is not a signed note");
  const lines = note.slice(at + 2, -1).split("\n");
  if (lines.length > SIGNATURES_MAX) throw new ProofError("the checkpoint has too many signatures");
  return { text: note.slice(0, at + 1), signatures: lines.map(parseSignature) };
}

function parseSignature(line: string) {
  const [, name = "", encoded = ""] = /^\u2014 ([^ ]+) ([^ ]+)$/.exec(line) ?? [];
  if (encoded === "") throw new ProofError("a signature line of the checkpoint is malformed");
  checkName(name);
  const bytes = fromBase64(encoded, "a signature");
  const id = new Cursor(bytes, "signature").uint(4, "key id");
  return { name, id, signature: bytes.slice(4) };
}

function checkName(name: string): void {
  const length = new TextEncoder().encode(name).length;
  if (length === 0 || length > NAME_BYTES_MAX || /[\s+\p{Cc}]/u.test(name)) {
    throw new ProofError("a key name has 1 to 200 bytes without spaces, plus signs or control characters");
  }
}
