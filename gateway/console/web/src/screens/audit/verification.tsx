// Verifying in the browser, and showing each step of it.
import { useState, type FormEvent } from "react";
import { getText, Problem } from "../../api/client.ts";
import { visible } from "../../parts/format.ts";
import { useLoad } from "../../parts/load.ts";
import { Panel } from "../../parts/page.tsx";
import { ProblemBox } from "../../parts/problem.tsx";
import { toBase64, toHex, type Bytes } from "../../proof/bytes.ts";
import type { Header } from "../../proof/entry.ts";
import type { VerifierKey } from "../../proof/note.ts";
import type { Verified } from "../../proof/receipt.ts";
import { checkContinuity, KeyChanged, pinnedKey, repin, type Continuity } from "../../proof/trust.ts";

type Result =
  | { is: "true"; verified: Verified; key: VerifierKey; isNewKey: boolean; continuity: Continuity; tookMs: number }
  | { is: "false"; error: Error };

interface Props {
  /** Changes when something else is to be verified. */
  id: string;
  /** What is claimed to be an entry, with its verb, such as `this is`. */
  what: string;
  verify: (key: VerifierKey, signal: AbortSignal) => Promise<Verified>;
  fetchTile: (path: string) => Promise<Bytes>;
}

export function Verification({ id, what, verify, fetchTile }: Props) {
  const { value, problem, again } = useLoad<Result>(id, async (signal) => {
    const started = performance.now();
    const given = (await getText("/log/key", { signal })).value;
    try {
      const { key, isNew } = await pinnedKey(given, localStorage);
      const verified = await verify(key, signal);
      const continuity = await checkContinuity(verified.checkpoint, localStorage, fetchTile);
      return { is: "true", verified, key, isNewKey: isNew, continuity, tookMs: performance.now() - started };
    } catch (error) {
      // A refused or failed call is no verdict on the proof.
      if (error instanceof Problem) throw error;
      return { is: "false", error: error as Error };
    }
  });
  if (problem) return <ProblemBox problem={problem} what="fetching the proof" again={again} />;
  if (!value) return <p className="waiting">Verifying…</p>;
  if (value.is === "false") return <Refuted error={value.error} again={again} />;
  return <Shown what={what} result={value} />;
}

function Shown({ what, result }: { what: string; result: Extract<Result, { is: "true" }> }) {
  const { verified, key, isNewKey, continuity, tookMs } = result;
  const { checkpoint, steps, header, leaf } = verified;
  const tone = header === null ? "half" : "good";
  return (
    <Panel title="Proof" className={`proof ${tone}`} note={`${tookMs.toFixed(0)} ms with fetching`}>
      <p className={`verdict ${tone}`} role="status">
        {header === null ? (
          <>
            <span aria-hidden="true">◐</span> Half verified: the log {checkpoint.origin} has an entry{" "}
            {String(verified.index)}, but the server sent nothing that ties it to what is shown here.
          </>
        ) : (
          <>
            <span aria-hidden="true">✓</span> Verified: {what} entry {String(verified.index)} of the log {checkpoint.origin}.
          </>
        )}
      </p>
      <ul className="checks">
        <li>
          Its {steps.length === 1 ? "one hash leads" : `${steps.length} hashes lead`} from the entry to the root of{" "}
          {String(checkpoint.size)} entries.
        </li>
        <li>
          The root is signed by <code>{key.name}</code> (Ed25519 key {key.id.toString(16).padStart(8, "0")}),{" "}
          {isNewKey ? "a key that this browser saw for the first time: it is remembered from now on." : "the key that this browser knows."}
        </li>
        <li>{continuityWords(continuity)}</li>
        {header && <Held header={header} />}
      </ul>
      <p className="quiet">
        The server that is checked here also sent this script. <code>dataos-ctl audit verify RECEIPT</code> on a machine of
        your own is the stronger check.
      </p>
      <details>
        <summary>The path, hash by hash</summary>
        <ol className="path">
          <li>
            <span>entry</span> <code>{toHex(leaf)}</code>
          </li>
          {steps.map(({ side, sibling, parent }, at) => (
            <li key={at}>
              <span>{side === "left" ? "sibling on its left" : "sibling on its right"}</span> <code>{toHex(sibling)}</code>
              <span>{at === steps.length - 1 ? "root" : "together"}</span> <code>{toHex(parent)}</code>
            </li>
          ))}
        </ol>
        <pre tabIndex={0}>
          {checkpoint.origin}
          {"\n"}
          {String(checkpoint.size)}
          {"\n"}
          {toBase64(checkpoint.root)}
        </pre>
      </details>
    </Panel>
  );
}

function Held({ header }: { header: Header }) {
  return (
    <li>
      The log holds for it: {header.kind}
      {header.effect && `, ${header.effect}`}
      {header.action && `, action ${header.action}`}, request {header.requestId || "–"},{" "}
      {new Date(header.timeMs).toISOString()}. Who and on what is committed to by a salted hash, which{" "}
      <code>dataos-ctl audit verify --log</code> checks.
    </li>
  );
}

function continuityWords(continuity: Continuity): string {
  switch (continuity.seen) {
    case "first":
      return "It is the first head of this log that this browser sees; later ones must continue it.";
    case "same":
      return `It is the head of ${continuity.remembered} entries that this browser saw before.`;
    case "newer":
      return `It continues the head of ${continuity.remembered} entries that this browser saw before: nothing was rewritten.`;
    case "older":
      return `The head of ${continuity.remembered} entries that this browser saw before continues it: nothing was rewritten.`;
  }
}

function Refuted({ error, again }: { error: Error; again: () => void }) {
  return (
    <Panel title="Proof" className="proof bad">
      <p className="verdict bad" role="alert">
        <span aria-hidden="true">✕</span> Not verified: {visible(error.message)}.
      </p>
      {error instanceof KeyChanged ? (
        <ChangedKey error={error} again={again} />
      ) : (
        <p>
          Do not rely on it. Keep it, and show it to whoever audits this log; <code>dataos-ctl audit verify</code> says more.
        </p>
      )}
    </Panel>
  );
}

function ChangedKey({ error, again }: { error: KeyChanged; again: () => void }) {
  const [text, setText] = useState("");
  const [wrong, setWrong] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    repin(error.given, text, localStorage).then(again, (cause: Error) => setWrong(cause.message));
  };
  return (
    <>
      <dl className="facts wide">
        <div>
          <dt>This browser knows</dt>
          <dd>
            <code>{error.pinned}</code>
          </dd>
        </div>
        <div>
          <dt>The server gives</dt>
          <dd>
            <code>{error.given}</code>
          </dd>
        </div>
      </dl>
      <p>
        Either this is another installation at the same address, or somebody answers in place of the log. Ask the operator for
        the key, by another way than this server, and enter it whole; only if it is the one that the server gives is it
        remembered.
      </p>
      <form className="row" onSubmit={submit}>
        <div className="field grow">
          <label htmlFor="operator-key">Key from the operator</label>
          <input
            id="operator-key"
            value={text}
            spellCheck={false}
            required
            aria-describedby={wrong ? "operator-key-wrong" : undefined}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </div>
        <button type="submit">Compare and remember</button>
      </form>
      {wrong && (
        <p className="field-problem" id="operator-key-wrong" role="alert">
          {wrong}
        </p>
      )}
    </>
  );
}
