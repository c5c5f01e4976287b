// Entries of the audit log as they come. The browser itself comes back to a stream that ended, with the id of the
// last event, so that none is missed and none is shown twice.
import { useEffect, useState } from "react";
import type { AuditEntry } from "../api/types.ts";

/** Most entries that are kept; older ones are found by a search. */
export const LIVE_ENTRIES_MAX = 200;
/** What comes together is shown together. */
const SHOW_MS = 100;

export interface Followed {
  /** Newest first. */
  entries: AuditEntry[];
  state: "connecting" | "open" | "ended";
  /** Why the stream ended, if it said so. */
  reason: string;
}

const NOTHING: Followed = { entries: [], state: "connecting", reason: "" };

/** Those that came, which are oldest first, before those that were there. */
export function withNewer(entries: AuditEntry[], came: AuditEntry[]): AuditEntry[] {
  return [...came.toReversed(), ...entries].slice(0, LIVE_ENTRIES_MAX);
}

/** Follows the stream at `url`; null follows nothing. */
export function useLive(url: string | null): Followed {
  const [followed, setFollowed] = useState(NOTHING);
  useEffect(() => {
    setFollowed(NOTHING);
    if (url === null) return;
    const source = new EventSource(url);
    let came: AuditEntry[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const show = () => {
      timer = undefined;
      const newer = came;
      came = [];
      setFollowed((old) => ({ ...old, entries: withNewer(old.entries, newer) }));
    };
    source.addEventListener("entry", (event) => {
      came.push(JSON.parse(event.data) as AuditEntry);
      timer ??= setTimeout(show, SHOW_MS);
    });
    source.addEventListener("end", (event) => {
      const { reason } = JSON.parse(event.data) as { reason: string };
      setFollowed((old) => ({ ...old, reason }));
    });
    source.onopen = () => setFollowed((old) => ({ ...old, state: "open", reason: "" }));
    source.onerror = () => {
      const state = source.readyState === EventSource.CLOSED ? "ended" : "connecting";
      setFollowed((old) => ({ ...old, state }));
    };
    return () => {
      source.close();
      clearTimeout(timer);
    };
  }, [url]);
  return followed;
}
