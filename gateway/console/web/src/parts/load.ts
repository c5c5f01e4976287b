// Loading for a screen: cancels when it goes, keeps the last value while the next one comes.
import { useCallback, useEffect, useRef, useState } from "react";
import type { Problem } from "../api/client.ts";

export interface Loaded<T> {
  value: T | null;
  problem: Problem | null;
  isLoading: boolean;
  /** When `value` arrived, in milliseconds since 1970. */
  at: number;
  again: () => void;
}

/** Runs `load` when `key` changes; null as key loads nothing. */
export function useLoad<T>(key: string | null, load: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [round, setRound] = useState(0);
  const [state, setState] = useState({ value: null as T | null, problem: null as Problem | null, done: "", at: 0 });
  const loader = useRef(load);
  loader.current = load;
  const wanted = key === null ? "" : `${round} ${key}`;
  useEffect(() => {
    if (wanted === "") return;
    const abort = new AbortController();
    loader.current(abort.signal).then(
      (value) => {
        if (!abort.signal.aborted) setState({ value, problem: null, done: wanted, at: Date.now() });
      },
      (problem: Problem) => {
        if (!abort.signal.aborted) setState((old) => ({ ...old, problem, done: wanted }));
      },
    );
    return () => abort.abort();
  }, [wanted]);
  const again = useCallback(() => setRound((old) => old + 1), []);
  const { value, problem, done, at } = state;
  return { value, problem, isLoading: wanted !== "" && done !== wanted, at, again };
}

/** Backing off from a failing server: the interval doubles up to this, in milliseconds. */
const BACKOFF_MS_MAX = 30_000;

/**
 * `useLoad` again and again, `intervalMs` after each answer. A hidden tab does not ask, and a denial
 * is an answer: asking again only fills the log.
 */
export function usePoll<T>(
  isOn: boolean,
  intervalMs: number,
  load: (signal: AbortSignal) => Promise<T>,
): Loaded<T> {
  const loaded = useLoad("poll", load);
  const failures = useRef(0);
  const { isLoading, problem, again } = loaded;
  useEffect(() => {
    if (isLoading || !isOn || problem?.kind === "denied") return;
    failures.current = problem === null ? 0 : failures.current + 1;
    const waitMs = Math.min(intervalMs * 2 ** failures.current, Math.max(BACKOFF_MS_MAX, intervalMs));
    let timer = setTimeout(ask, waitMs);
    function ask() {
      if (document.visibilityState === "visible") again();
      else timer = setTimeout(ask, waitMs);
    }
    return () => clearTimeout(timer);
  }, [isLoading, isOn, problem, intervalMs, again]);
  return loaded;
}
