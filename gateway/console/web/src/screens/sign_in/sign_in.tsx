// Signing in with a local account or a provider, and back to where one was. That place stands in the fragment: it
// may hold a statement, and a fragment is not sent.
import { useEffect, useRef, useState, type FormEvent } from "react";
import { Problem } from "../../api/client.ts";
import type { Provider } from "../../api/types.ts";
import { go, usePlace } from "../../router.tsx";
import { SIGN_IN } from "../../routes.ts";
import { beginning, isOwnPath, leave, providers, signIn, useSession } from "../../session/session.ts";

export default function SignIn() {
  const session = useSession();
  const asked = usePlace().hash.get("return") ?? "/";
  const back = isOwnPath(asked) && !asked.startsWith(SIGN_IN) ? asked : "/";
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [others, setOthers] = useState<Provider[]>([]);
  const first = useRef<HTMLInputElement>(null);
  const secret = useRef<HTMLInputElement>(null);
  useEffect(() => {
    document.title = "Sign in · DataOS";
    first.current?.focus();
    void providers().then(setOthers);
  }, []);
  const isIn = session.is === "in";
  useEffect(() => {
    if (isIn) go(back, "replace");
  }, [isIn, back]);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await signIn(user.trim(), password);
    } catch (error) {
      setPassword("");
      setProblem(error as Problem);
      secret.current?.focus();
    }
    setBusy(false);
  };

  return (
    <main className="alone">
      <form className="sign-in" onSubmit={(event) => void submit(event)} aria-labelledby="sign-in-title">
        <h1 id="sign-in-title">
          <svg viewBox="0 0 16 16" aria-hidden="true">
            <path d="M8 0 15 3v5c0 4-3 7-7 8-4-1-7-4-7-8V3z" />
            <path className="tick" d="m4.8 8 2.2 2.3 4.2-4.6" />
          </svg>
          Sign in to DataOS
        </h1>
        {session.is === "out" && session.why === "ended" && (
          <p role="status">Your session has ended. After signing in you come back to where you were.</p>
        )}
        {session.is === "out" && session.why === "left" && <p role="status">You are signed out.</p>}
        <label htmlFor="user">User</label>
        <input
          id="user"
          ref={first}
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          required
          value={user}
          onInput={(event) => setUser(event.currentTarget.value)}
        />
        <label htmlFor="password">Password</label>
        <input
          id="password"
          ref={secret}
          type="password"
          autoComplete="current-password"
          required
          aria-describedby={problem ? "sign-in-problem" : undefined}
          aria-invalid={problem !== null}
          value={password}
          onInput={(event) => setPassword(event.currentTarget.value)}
        />
        {problem && (
          <p className="field-problem" id="sign-in-problem" role="alert">
            {words(problem)}
          </p>
        )}
        <button type="submit" className="primary" disabled={isBusy}>
          {isBusy ? "Signing in…" : "Sign in"}
        </button>
        {others.map((provider) => (
          <a key={provider.name} className="button" href={beginning(provider, back)} onClick={() => leave(back)}>
            Sign in with {provider.title}
          </a>
        ))}
      </form>
    </main>
  );
}

function words(problem: Problem): string {
  if (problem.status === 401) return "User and password do not match an account.";
  return [problem.title, problem.message, problem.body.hint].filter(Boolean).join(": ");
}
