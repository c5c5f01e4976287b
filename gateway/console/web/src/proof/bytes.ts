// Strict reading of bytes and of base64: what does not round-trip is refused.

/** Malformed or false; the text is for people. */
export class ProofError extends Error {
  override readonly name = "ProofError";
}

export type Bytes = Uint8Array<ArrayBuffer>;

/** Big-endian cursor; every read is checked, nothing is skipped. */
export class Cursor {
  private at = 0;
  private readonly bytes: Bytes;
  private readonly what: string;

  constructor(bytes: Bytes, what: string) {
    this.bytes = bytes;
    this.what = what;
  }

  take(length: number, field: string): Bytes {
    if (this.at + length > this.bytes.length) {
      throw new ProofError(`the ${this.what} ends within its ${field}`);
    }
    this.at += length;
    return this.bytes.slice(this.at - length, this.at);
  }

  /** An unsigned integer of `length` bytes. */
  uint(length: number, field: string): bigint {
    return this.take(length, field).reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
  }

  u8(field: string): number {
    return Number(this.uint(1, field));
  }

  end(): void {
    const left = this.bytes.length - this.at;
    if (left > 0) throw new ProofError(`${left} bytes follow the ${this.what}`);
  }
}

export function fromBase64(text: string, what: string): Bytes {
  let bytes: Bytes | undefined;
  try {
    bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    bytes = undefined;
  }
  // atob accepts left-over bits, white space and missing padding; writing it back does not.
  if (bytes === undefined || toBase64(bytes) !== text) throw new ProofError(`${what} is not base64`);
  return bytes;
}

export function fromBase64Url(text: string, what: string): Bytes {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) throw new ProofError(`${what} is not unpadded base64url`);
  const standard = text.replaceAll("-", "+").replaceAll("_", "/");
  try {
    return fromBase64(standard + "=".repeat((4 - (standard.length % 4)) % 4), what);
  } catch {
    throw new ProofError(`${what} is not unpadded base64url`);
  }
}

export function toBase64(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

export function concat(...parts: Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export async function sha256(...parts: Uint8Array[]): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", concat(...parts)));
}
