// Who is signed in. The session itself is a cookie that no script can read; this is what the server
// says about it.
import { deleteCall, getJson, postJson, Problem, whenRefused } from "../api/client.ts";
import type { Provider, Session, SignedIn } from "../api/types.ts";
import { BASE, go, here } from "../router.tsx";
import { useSyncExternalStore } from "react";

export type State =
  | { is: "asking" }
  | { is: "out"; why: "never" | "ended" | "left" }
  | { is: "in"; who: Session }
  | { is: "failed"; problem: Problem };

const ENDS_AT = "dataos.session.ends_at";
const BACK = "dataos.session.back";
const PATH = "/api/v1/session";

let state: State = { is: "asking" };
const listeners = new Set<() => void>();

export function useSession(): State {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => state,
  );
}

/** Asks the server who this is. */
export async function ask(): Promise<void> {
  try {
    const { value } = await getJson<Session>(PATH);
    if (isNobody(value)) return set({ is: "out", why: whyOut() });
    comeBack();
    set({ is: "in", who: value });
  } catch (error) {
    const problem = error as Problem;
    const isRefused = problem.status === 401 || problem.status === 403;
    set(isRefused ? { is: "out", why: whyOut() } : { is: "failed", problem });
  }
}

/** Throws the server's problem if it does not accept the pair. */
export async function signIn(user: string, password: string): Promise<void> {
  const { value } = await postJson<SignedIn>(PATH, { body: { user, password } });
  sessionStorage.setItem(ENDS_AT, value.expires_at);
  await ask();
}

/** Whom people can sign in with instead; nobody if the server does not say. */
export async function providers(): Promise<Provider[]> {
  const asked = getJson<{ providers: Provider[] }>("/api/v1/login/providers");
  return asked.then(({ value }) => value.providers).catch(() => []);
}

/** Where signing in with a provider begins; it leads back to this place, whose fragment stays here. */
export function beginning(provider: Provider, back: string): string {
  return `${provider.path}?return=${encodeURIComponent(BASE + withoutFragment(back))}`;
}

/** Remembers the place while the browser is elsewhere. */
export function leave(back: string): void {
  sessionStorage.setItem(BACK, back);
}

function comeBack(): void {
  const back = sessionStorage.getItem(BACK);
  sessionStorage.removeItem(BACK);
  if (back !== null && withoutFragment(back) === withoutFragment(here())) go(back, "replace");
}

function withoutFragment(place: string): string {
  return place.split("#", 1)[0] ?? "";
}

export async function signOut(): Promise<void> {
  const answer = await deleteCall<{ continue: string }>(PATH);
  sessionStorage.removeItem(ENDS_AT);
  set({ is: "out", why: "left" });
  // Whoever signed in with a provider leaves it too.
  if (answer !== null && isOwnPath(answer.continue)) location.assign(answer.continue);
}

/** A path of this server, so that nothing crafted leads elsewhere. */
export function isOwnPath(path: string): boolean {
  return path.startsWith("/") && !path.startsWith("//");
}

/** When the session ends, in milliseconds since 1970; null if it was begun in another tab. */
export function endsAt(): number | null {
  const text = sessionStorage.getItem(ENDS_AT);
  return text === null ? null : Date.parse(text);
}

// A 401 is an ended session. So is a 403 if the server takes us for nobody by now: an expired
// cookie is not sent at all.
let isChecking = false;
whenRefused((problem) => {
  if (state.is !== "in" || isChecking) return;
  if (problem.status === 401) {
    set({ is: "out", why: "ended" });
    return;
  }
  isChecking = true;
  void getJson<Session>(PATH)
    .then(({ value }) => isNobody(value))
    .catch((error: Problem) => error.status === 401 || error.status === 403)
    .then((isOut) => {
      isChecking = false;
      if (isOut) set({ is: "out", why: "ended" });
    });
});

function isNobody(who: Session): boolean {
  return who.kind === "anonymous" || who.user === "anonymous";
}

function whyOut(): "never" | "ended" {
  return sessionStorage.getItem(ENDS_AT) === null ? "never" : "ended";
}

function set(next: State): void {
  state = next;
  for (const listener of listeners) listener();
}
