// What stands around every screen: skip link, navigation, who is signed in, and what to do when a
// screen cannot be shown.
import { Component, Suspense, useEffect, useState, type ReactNode } from "react";
import { localTime } from "./parts/format.ts";
import { Page } from "./parts/page.tsx";
import { ProblemBox } from "./parts/problem.tsx";
import { BASE, go, here, Link, match, Params, usePlace } from "./router.tsx";
import { ROUTES, SIGN_IN } from "./routes.ts";
import SignIn from "./screens/sign_in/sign_in.tsx";
import { ask, endsAt, signOut, useSession } from "./session/session.ts";
import type { Session } from "./api/types.ts";
import type { Problem } from "./api/client.ts";
import { currentTheme, THEMES, useTheme } from "./theme.ts";

export function Shell() {
  const session = useSession();
  const { path } = usePlace();
  useEffect(() => void ask(), []);
  const isOut = session.is === "out";
  useEffect(() => {
    if (isOut && path !== SIGN_IN) go(`${SIGN_IN}#${new URLSearchParams({ return: here() })}`, "replace");
  }, [isOut, path]);
  if (session.is === "asking") return <p className="waiting">Asking the server who you are…</p>;
  if (session.is === "failed") {
    return (
      <main className="alone">
        <ProblemBox problem={session.problem} what="asking who you are" again={() => void ask()} />
      </main>
    );
  }
  if (session.is === "out" || path === SIGN_IN) return <SignIn />;
  return <Framed who={session.who} path={path} />;
}

function Framed({ who, path }: { who: Session; path: string }) {
  const isOpen = (pattern: string) => (pattern === "/" ? path === "/" : path.startsWith(pattern));
  return (
    <>
      <a className="skip" href={`${BASE}${path}#main`} onClick={focusMain}>
        Skip to content
      </a>
      <header className="bar">
        <Link to="/" className="brand">
          <svg viewBox="0 0 16 16" aria-hidden="true">
            <path d="M8 0 15 3v5c0 4-3 7-7 8-4-1-7-4-7-8V3z" />
            <path className="tick" d="m4.8 8 2.2 2.3 4.2-4.6" />
          </svg>
          DataOS
        </Link>
        <nav aria-label="Screens">
          {ROUTES.filter((route) => route.nav).map((route) => (
            <Link key={route.pattern} to={route.pattern} aria-current={isOpen(route.pattern) ? "page" : undefined}>
              {route.nav}
            </Link>
          ))}
        </nav>
        <Account who={who} />
      </header>
      <Ending />
      <main id="main" tabIndex={-1}>
        <Boundary key={path}>
          <Suspense fallback={<p className="waiting">Loading…</p>}>
            <Screen path={path} />
          </Suspense>
        </Boundary>
      </main>
    </>
  );
}

function Screen({ path }: { path: string }) {
  for (const route of ROUTES) {
    const params = match(route.pattern, path);
    if (params === null) continue;
    return (
      <Params.Provider value={params}>
        <route.screen />
      </Params.Provider>
    );
  }
  return (
    <Page title="No such page">
      <p>
        Nothing is at <code>{BASE + path}</code>. <Link to="/">Go to the overview</Link>.
      </p>
    </Page>
  );
}

function Account({ who }: { who: Session }) {
  const [problem, setProblem] = useState<Problem | null>(null);
  const rows: [string, string[]][] = [
    ["Groups", who.groups],
    ["Roles", who.roles],
    ["Tags", who.tags],
    ["Attributes", Object.entries(who.attributes).map(([name, value]) => `${name} = ${text(value)}`)],
    ["Signed in by", [who.authentication]],
  ];
  return (
    <div className="account">
      <ThemeChoice />
      <details className="menu">
        <summary>{who.user}</summary>
        <div className="menu-body">
          <p className="quiet">Policies decide on what is written here.</p>
          <dl className="facts">
            {rows.map(([name, values]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{values.length > 0 ? values.join(", ") : <span className="quiet">none</span>}</dd>
              </div>
            ))}
          </dl>
          {problem && <ProblemBox problem={problem} what="signing out" />}
          <button type="button" onClick={() => void signOut().catch(setProblem)}>
            Sign out
          </button>
        </div>
      </details>
    </div>
  );
}

function text(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function ThemeChoice() {
  const [theme, setTheme] = useTheme();
  const next = THEMES[(THEMES.indexOf(currentTheme()) + 1) % THEMES.length] ?? "system";
  return (
    <button type="button" className="plain" onClick={() => setTheme(next)} title={`Colours: ${theme}; change to ${next}`}>
      <span aria-hidden="true">◐</span>
      <span className="unseen">Colours: {theme}. Change to {next}</span>
    </button>
  );
}

/** How long before its end a session warns, in milliseconds. */
const WARNING_MS = 120_000;

function Ending() {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 5_000);
    return () => clearInterval(timer);
  }, []);
  const end = endsAt();
  if (end === null || end - now > WARNING_MS) return null;
  return (
    <p className="banner" role="status">
      Your session ends at {localTime(new Date(end).toISOString()).slice(11)}. What you typed stays; you will come back
      here after signing in again.
    </p>
  );
}

function focusMain(event: { preventDefault: () => void }) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

/** A screen that cannot be drawn; most likely its script is of a version that is gone. */
class Boundary extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state = { error: null as Error | null };

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    const { error } = this.state;
    if (error === null) return this.props.children;
    return (
      <div className="problem failed" role="alert">
        <p className="problem-title">This screen cannot be shown</p>
        <p>{error.message}</p>
        <p>If DataOS was upgraded while this page was open, loading it again helps.</p>
        <button type="button" onClick={() => location.reload()}>
          Load again
        </button>
      </div>
    );
  }
}
