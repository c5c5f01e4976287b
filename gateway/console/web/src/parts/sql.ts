// SQL for reading: tokens with a class for colour, and line breaks before clauses. Nothing but white
// space outside of tokens changes; a test keeps that.

export interface Token {
  kind: "word" | "keyword" | "text" | "number" | "comment" | "sign" | "space";
  text: string;
}

const KEYWORDS = new Set(
  `all and any as asc between by case cast cross desc distinct else end except exists extract false fetch filter first
   following for from full group having ilike in inner intersect interval is join last lateral left like limit natural not
   null nulls offset on or order outer over partition preceding range recursive right row rows select similar some then true
   unbounded union using values when where window with`.split(/\s+/),
);

/** Words that begin a line. */
const LINE_STARTS = new Set(["from", "where", "group", "having", "order", "limit", "union", "intersect", "except", "window"]);
const JOIN_STARTS = new Set(["join", "left", "right", "inner", "full", "cross", "natural"]);
const TOKEN =
  /(?<space>\s+)|(?<comment>--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|(?<text>'(?:[^']|'')*(?:'|$))|(?<word>"(?:[^"]|"")*(?:"|$)|[\p{L}_][\p{L}\p{N}_$]*)|(?<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?<sign>[\s\S])/guy;

export function tokens(sql: string): Token[] {
  return Array.from(sql.matchAll(TOKEN), (found) => {
    const [name] = Object.entries(found.groups ?? {}).find(([, text]) => text !== undefined) ?? ["sign"];
    const kind = name === "word" && KEYWORDS.has(found[0].toLowerCase()) ? "keyword" : (name as Token["kind"]);
    return { kind, text: found[0] };
  });
}

/** Tokens with breaks before clauses, for SQL that was printed on one line. */
export function layOut(sql: string): Token[] {
  const all = tokens(sql);
  if (all.some((token) => token.text.includes("\n") && token.kind === "space")) return all;
  const out: Token[] = [];
  const stack: boolean[] = [];
  let isJoin = false;
  for (const [at, token] of all.entries()) {
    const word = token.kind === "keyword" ? token.text.toLowerCase() : "";
    if (token.text === "(" && token.kind === "sign") {
      const next = nextWord(all, at);
      const isQuery = next === "select" || next === "with";
      stack.push(isQuery);
      out.push(token);
      if (isQuery) out.push(newline(stack));
      continue;
    }
    if (token.text === ")" && token.kind === "sign") {
      if (stack.pop() === true) out.push(newline(stack));
      out.push(token);
      continue;
    }
    // A clause word within parentheses that hold no query is a function's: extract(year from x).
    const isBreakable = stack.length === 0 || stack.at(-1) === true;
    const startsJoin = JOIN_STARTS.has(word) && !isJoin;
    if (isBreakable && (LINE_STARTS.has(word) || startsJoin)) {
      while (out.at(-1)?.kind === "space") out.pop();
      if (out.length > 0) out.push(newline(stack));
    }
    if (token.kind !== "space") isJoin = JOIN_STARTS.has(word) || (isJoin && word === "outer");
    out.push(token);
  }
  return out;
}

function newline(stack: boolean[]): Token {
  return { kind: "space", text: `\n${"  ".repeat(stack.filter(Boolean).length)}` };
}

function nextWord(all: Token[], at: number): string {
  return all.slice(at + 1, at + 3).find((other) => other.kind !== "space")?.text.toLowerCase() ?? "";
}
