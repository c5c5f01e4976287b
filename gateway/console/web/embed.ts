// The last step of `vite build`: stores each file once, as brotli where that is smaller, and lists
// the files for `build.rs`, one line each: path, stored file, encoding or `-`, content type, SHA-256.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";
import type { Plugin } from "vite";

/** What the console is built from; `build.rs` hashes the same list. */
const SOURCES = [
  "embed.ts",
  "index.html",
  "package-lock.json",
  "package.json",
  "public",
  "src",
  "tsconfig.json",
  "vite.config.ts",
];

const CONTENT_TYPES: Record<string, string> = {
  css: "text/css; charset=utf-8",
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  json: "application/json",
  svg: "image/svg+xml",
};

export function embed(root: string): Plugin {
  let outDir = "";
  return {
    name: "dataos-embed",
    apply: "build",
    configResolved: (config) => {
      outDir = join(config.root, config.build.outDir);
      if (config.build.outDir.startsWith("/")) outDir = config.build.outDir;
    },
    closeBundle: () => {
      const lines = files(outDir, "").map((path) => store(outDir, path));
      writeFileSync(join(outDir, "assets.tsv"), lines.map((line) => `${line}\n`).join(""));
      // Written last: a folder with a stamp is whole.
      writeFileSync(join(outDir, ".dataos-stamp"), stamp(root));
    },
  };
}

function store(outDir: string, path: string): string {
  const extension = path.slice(path.lastIndexOf(".") + 1);
  const contentType = CONTENT_TYPES[extension];
  if (contentType === undefined) throw new Error(`embed.ts knows no content type for ${path}`);
  const plain = readFileSync(join(outDir, path));
  const digest = createHash("sha256").update(plain).digest("hex");
  const small = brotliCompressSync(plain, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
      [constants.BROTLI_PARAM_SIZE_HINT]: plain.length,
    },
  });
  if (small.length >= plain.length) return [path, path, "-", contentType, digest].join("\t");
  writeFileSync(join(outDir, `${path}.br`), small);
  rmSync(join(outDir, path));
  return [path, `${path}.br`, "br", contentType, digest].join("\t");
}

/** FNV-1a over name and content of each file, in order of name: a cache key, not a proof. */
function stamp(root: string): string {
  const names = SOURCES.flatMap((source) => {
    const isFolder = statSync(join(root, source)).isDirectory();
    return isFolder ? files(join(root, source), `${source}/`) : [source];
  });
  names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  let hash = 0xcbf29ce484222325n;
  const feed = (bytes: Buffer) => {
    for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
    hash = BigInt.asUintN(64, hash * 0x100000001b3n);
  };
  for (const name of names) {
    feed(Buffer.from(name));
    feed(readFileSync(join(root, name)));
  }
  return hash.toString(16).padStart(16, "0");
}

/** Files below `folder`, with slashes, each with `prefix` before it. */
function files(folder: string, prefix: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const name = `${prefix}${entry.name}`;
    return entry.isDirectory() ? files(join(folder, entry.name), `${name}/`) : [name];
  });
}
