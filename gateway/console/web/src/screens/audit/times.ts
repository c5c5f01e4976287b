// Times of a filter: RFC 3339 UTC in the URL and the API, local time in the input.

/** `2026-11-22T17:15:00Z` as a `datetime-local` input writes it; empty if it is no time. */
export function toInput(iso: string): string {
  const time = Date.parse(iso);
  if (Number.isNaN(time)) return "";
  const local = new Date(time - new Date(time).getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 19);
}

/** The input's text as RFC 3339 UTC; undefined if it is empty or no time. */
export function fromInput(text: string): string | undefined {
  const time = new Date(text).getTime();
  return Number.isNaN(time) ? undefined : new Date(time).toISOString().replace(".000Z", "Z");
}
