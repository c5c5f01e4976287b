// Who is signed in. The session itself is a cookie that no script can read; this is what the server
// says about it.
import { deleteCall, getJson, postJson, Problem, whenRefused } from "../api/client.ts";
import type { Session, SignedIn } from "../api/types.ts";
import { useSyncExternalStore } from "react";

export type State =
  | { is: "asking" }
  | { is: "out"; why: "never" | "ended" | "left" }
  | { is: "in"; who: Session }
  | { is: "failed"; problem: Problem };

const ENDS_AT = "dataos.session.ends_at";
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
    set(isNobody(value) ? { is: "out", why: whyOut() } : { is: "in", who: value });
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

export async function signOut(): Promise<void> {
  await deleteCall(PATH);
  sessionStorage.removeItem(ENDS_AT);
  set({ is: "out", why: "left" });
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
