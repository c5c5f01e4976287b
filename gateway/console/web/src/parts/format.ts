// How figures, times and digests are written, everywhere alike.

const LOCAL = new Intl.DateTimeFormat(undefined, {
  year: "numeric",
  month: "2-digit",
  day: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const COUNT = new Intl.NumberFormat("en-GB");

export function count(value: number): string {
  return COUNT.format(value);
}

/** Microseconds with a unit that leaves three digits. */
export function duration(us: number): string {
  if (us < 1_000) return `${Math.round(us)} µs`;
  if (us < 1_000_000) return `${(us / 1_000).toPrecision(3)} ms`;
  return `${(us / 1_000_000).toPrecision(3)} s`;
}

/** How long ago, or how long, in the two largest units. */
export function span(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const units: [number, string][] = [
    [86_400, "d"],
    [3_600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  const first = units.findIndex(([size]) => whole >= size);
  if (first < 0) return "0 s";
  let rest = whole;
  const parts = units.slice(first, first + 2).map(([size, unit]) => {
    const amount = Math.floor(rest / size);
    rest %= size;
    return amount > 0 ? `${amount} ${unit}` : "";
  });
  return parts.filter((part) => part !== "").join(" ");
}

export function localTime(iso: string): string {
  const time = Date.parse(iso);
  if (Number.isNaN(time)) return iso;
  const parts = Object.fromEntries(LOCAL.formatToParts(time).map((part) => [part.type, part.value]));
  const { year, month, day, hour, minute, second } = parts;
  return `${year}-${month}-${day} ${hour}:${minute}:${second}`;
}

/** The first digits of a digest; the whole stands in the title. */
export function shortHash(hash: string): string {
  return hash.slice(0, 10);
}

/**
 * Text from elsewhere with the characters made visible that would hide or reorder what stands around
 * them: controls, and those that turn the direction of writing.
 */
export function visible(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]|[\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/gu, (char) => {
    return `⟨U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}

/** `DataOS::User::"ada"` as its type and id. */
export function entity(uid: string): { type: string; id: string } {
  const found = /^(?:.*::)?([A-Za-z_]+)::"(.*)"$/s.exec(uid);
  return found ? { type: found[1] ?? "", id: (found[2] ?? "").replace(/\\(.)/g, "$1") } : { type: "", id: uid };
}
