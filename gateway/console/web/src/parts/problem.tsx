// Why something did not happen: in words, with everything that helps whoever is asked next.
import type { ReactNode } from "react";
import type { Problem } from "../api/client.ts";
import { Link } from "../router.tsx";
import { visible } from "./format.ts";

const HEADINGS: Record<string, string> = {
  denied: "Denied by policy",
  unreachable: "The server cannot be reached",
  unavailable: "Something the server needs is not there",
  not_found: "Not found",
  timeout: "It took too long",
};

export function ProblemBox({ problem, what, again }: { problem: Problem; what: string; again?: () => void }) {
  const { body, kind, title, message, requestId } = problem;
  const place = body.location;
  return (
    <div className={`problem ${kind === "denied" ? "denied" : "failed"}`} role="alert">
      <p className="problem-title">
        <span aria-hidden="true">{kind === "denied" ? "✕" : "⚠"}</span> {HEADINGS[kind] ?? title}
        <span className="quiet"> · {what}</span>
      </p>
      {message !== "" && <p>{visible(message)}</p>}
      {body.hint && <p>{visible(body.hint)}</p>}
      <dl className="facts">
        {body.reason && <Fact name="Reason">{<code>{body.reason}</code>}</Fact>}
        {body.policies !== undefined && body.policies.length > 0 && (
          <Fact name="Policies">
            <PolicyIds ids={body.policies} />
          </Fact>
        )}
        {place?.line !== undefined && (
          <Fact name="Where">
            line {place.line}, column {place.column ?? 1}
          </Fact>
        )}
        {requestId !== "" && (
          <Fact name="Request">
            <code>{requestId}</code>
          </Fact>
        )}
        {body.receipt && (
          <Fact name="Receipt">
            <Link to={`/receipt#receipt=${body.receipt}`}>verify that this answer is in the log</Link>
          </Fact>
        )}
      </dl>
      {again && (
        <button type="button" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}

function Fact(props: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{props.name}</dt>
      <dd>{props.children}</dd>
    </div>
  );
}

export function PolicyIds({ ids }: { ids: string[] }) {
  return (
    <span className="chips">
      {ids.map((id) => (
        <code className="chip" key={id}>
          {visible(id)}
        </code>
      ))}
    </span>
  );
}
