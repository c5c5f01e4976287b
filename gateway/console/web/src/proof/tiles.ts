// Consistency proofs out of the log's public hash tiles (C2SP tlog-tiles), so that the server is
// asked for data alone, never for a verdict.
import { ProofError, type Bytes } from "./bytes.ts";
import { nodeHash } from "./tree.ts";

/** Hashes of the tile at this path below `/log/`, such as `tile/0/x001/234.p/8`. */
export type FetchTile = (path: string) => Promise<Bytes>;

const TILE_HEIGHT = 8n;
const TILE_WIDTH = 256n;

/** The RFC 6962 consistency proof from `oldSize` to `newSize`, both at least 1. */
export async function consistencyProof(oldSize: bigint, newSize: bigint, fetchTile: FetchTile): Promise<Bytes[]> {
  const tree = new TileTree(newSize, fetchTile);
  const proof = async (known: bigint, low: bigint, high: bigint, isSeed: boolean): Promise<Bytes[]> => {
    const size = high - low;
    if (known === size) return isSeed ? [] : [await tree.root(low, high)];
    const split = low + largestPowerBelow(size);
    if (known <= split - low) {
      return [...(await proof(known, low, split, isSeed)), await tree.root(split, high)];
    }
    return [...(await proof(known - (split - low), split, high, false)), await tree.root(low, split)];
  };
  return proof(oldSize, 0n, newSize, true);
}

/** The hash of one leaf, as the tree holds it. */
export function leafOf(index: bigint, size: bigint, fetchTile: FetchTile): Promise<Bytes> {
  return new TileTree(size, fetchTile).root(index, index + 1n);
}

class TileTree {
  private readonly tiles = new Map<string, Promise<Bytes>>();
  private readonly size: bigint;
  private readonly fetchTile: FetchTile;

  constructor(size: bigint, fetchTile: FetchTile) {
    this.size = size;
    this.fetchTile = fetchTile;
  }

  /** Root over the leaves `low..high`; `low` is a multiple of the power of two that covers them. */
  async root(low: bigint, high: bigint): Promise<Bytes> {
    const size = high - low;
    const level = BigInt(size.toString(2).length - 1);
    if (size === 1n << level) return this.node(level, low >> level);
    const split = low + largestPowerBelow(size);
    return nodeHash(await this.root(low, split), await this.root(split, high));
  }

  /** The complete node at `level` and `position`. */
  private async node(level: bigint, position: bigint): Promise<Bytes> {
    const tileLevel = level / TILE_HEIGHT;
    const height = level % TILE_HEIGHT;
    const first = position << height;
    const number = first / TILE_WIDTH;
    const there = (this.size >> (TILE_HEIGHT * tileLevel)) - number * TILE_WIDTH;
    const hashes = await this.tile(tileLevel, number, there < TILE_WIDTH ? there : TILE_WIDTH);
    const from = Number(first % TILE_WIDTH);
    let row = hashes.slice(from, from + Number(1n << height));
    while (row.length > 1) {
      const pairs = Array.from({ length: row.length / 2 }, (_, at) => [row[2 * at], row[2 * at + 1]]);
      row = await Promise.all(pairs.map(([left, right]) => nodeHash(left!, right!)));
    }
    const [hash] = row;
    if (hash === undefined) throw new ProofError("a hash tile of the log is too short");
    return hash;
  }

  private async tile(level: bigint, number: bigint, width: bigint): Promise<Bytes[]> {
    const path = tilePath(level, number, width);
    const cached = this.tiles.get(path) ?? this.fetchTile(path);
    this.tiles.set(path, cached);
    const bytes = await cached;
    if (bytes.length !== Number(width) * 32) throw new ProofError(`the log's ${path} has a wrong length`);
    return Array.from({ length: Number(width) }, (_, at) => bytes.slice(32 * at, 32 * at + 32));
  }
}

export function tilePath(level: bigint, number: bigint, width: bigint): string {
  const digits = number.toString().padStart(3 * Math.ceil(number.toString().length / 3), "0");
  const groups = digits.match(/.{3}/g) ?? [];
  const name = groups.map((group, at) => (at < groups.length - 1 ? `x${group}` : group)).join("/");
  return `tile/${level}/${name}${width < TILE_WIDTH ? `.p/${width}` : ""}`;
}

/** The largest power of two that is smaller than `size`, which is at least 2. */
function largestPowerBelow(size: bigint): bigint {
  return 1n << BigInt((size - 1n).toString(2).length - 1);
}
