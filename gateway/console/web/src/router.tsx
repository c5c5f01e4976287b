// URL <-> screen, for a handful of screens: the path names the screen, the search part holds all
// that changes what is seen, the fragment what must not reach the server. A router library is ten
// times this file; its data loading is not needed, since a screen loads with `parts/load.ts`.
import {
  createContext,
  useContext,
  useSyncExternalStore,
  type AnchorHTMLAttributes,
  type MouseEvent,
} from "react";

export const BASE = "/console";
const MOVED = "dataos:moved";

/** Parts of the path that the pattern names, such as `index` in `/audit/:index`. */
export const Params = createContext<Record<string, string>>({});

export function useParam(name: string): string {
  return useContext(Params)[name] ?? "";
}

export interface Place {
  path: string;
  search: URLSearchParams;
  hash: URLSearchParams;
}

export function usePlace(): Place {
  return parse(useSyncExternalStore(subscribe, () => location.href));
}

export function here(): string {
  return location.pathname.slice(BASE.length) + location.search + location.hash;
}

export function go(to: string, how: "push" | "replace" = "push"): void {
  if (how === "push") history.pushState(null, "", BASE + to);
  else history.replaceState(null, "", BASE + to);
  dispatchEvent(new Event(MOVED));
}

/** The same path with other search parameters; an empty value takes one away. */
export function withSearch(patch: Record<string, string | undefined>): string {
  const { path, search } = parse(location.href);
  for (const [name, value] of Object.entries(patch)) {
    if (value) search.set(name, value);
    else search.delete(name);
  }
  return search.size > 0 ? `${path}?${search}` : path;
}

type LinkProps = Omit<AnchorHTMLAttributes<HTMLAnchorElement>, "href"> & { to: string };

export function Link({ to, ...rest }: LinkProps) {
  const follow = (event: MouseEvent<HTMLAnchorElement>) => {
    const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!isPlain) return;
    event.preventDefault();
    go(to);
  };
  return <a {...rest} href={BASE + to} onClick={follow} />;
}

/** Matches `/audit/:index` and the like; null if the path has another shape. */
export function match(pattern: string, path: string): Record<string, string> | null {
  const [wanted, found] = [pattern, path].map((text) => text.split("/").filter((part) => part !== ""));
  if (wanted === undefined || found === undefined || wanted.length !== found.length) return null;
  const params: Record<string, string> = {};
  for (const [at, part] of wanted.entries()) {
    const value = found[at] ?? "";
    if (part.startsWith(":")) params[part.slice(1)] = value;
    else if (part !== value) return null;
  }
  return params;
}

function parse(href: string): Place {
  const url = new URL(href);
  return {
    path: url.pathname.slice(BASE.length) || "/",
    search: url.searchParams,
    hash: new URLSearchParams(url.hash.slice(1)),
  };
}

function subscribe(listener: () => void): () => void {
  const names = ["popstate", "hashchange", MOVED];
  for (const name of names) addEventListener(name, listener);
  return () => {
    for (const name of names) removeEventListener(name, listener);
  };
}
