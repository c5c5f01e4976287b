// One entry of the audit log, whole, and the proof that it is in the log.
import type { ReactNode } from "react";
import { getBytes, getJson, getText } from "../../api/client.ts";
import type { AuditEntry } from "../../api/types.ts";
import { visible } from "../../parts/format.ts";
import { useLoad } from "../../parts/load.ts";
import { Page, Panel } from "../../parts/page.tsx";
import { PolicyIds, ProblemBox } from "../../parts/problem.tsx";
import { Digest, Effect, Entity, Time } from "../../parts/values.tsx";
import { ProofError } from "../../proof/bytes.ts";
import { openCheckpoint } from "../../proof/note.ts";
import { parseLogProof, verifyLeaf, verifyLogProof } from "../../proof/receipt.ts";
import { leafOf } from "../../proof/tiles.ts";
import { go, Link, useParam, usePlace, withSearch } from "../../router.tsx";
import { differences } from "./compare.ts";
import { Verification } from "./verification.tsx";

export default function Entry() {
  const index = useParam("index");
  const verifies = usePlace().search.get("verify") === "1";
  const { value, problem, again } = useLoad(index, async (signal) => {
    return (await getJson<AuditEntry>(`/api/v1/audit/entries/${encodeURIComponent(index)}`, { signal })).value;
  });
  return (
    <Page
      title={`Audit entry ${index}`}
      actions={
        <>
          <Link to="/audit">All entries</Link>
          {value && !verifies && (
            <button type="button" className="primary" onClick={() => go(withSearch({ verify: "1" }), "replace")}>
              Verify in this browser
            </button>
          )}
        </>
      }
    >
      {problem && <ProblemBox problem={problem} what={`entry ${index}`} again={again} />}
      {value && (
        <>
          {verifies && <Proven entry={value} />}
          <Details entry={value} />
        </>
      )}
      {!value && !problem && <p className="waiting">Loading…</p>}
    </Page>
  );
}

function Proven({ entry }: { entry: AuditEntry }) {
  const path = `/api/v1/audit/entries/${entry.index}/proof`;
  return (
    <Verification
      id={`entry ${entry.index}`}
      what="this is"
      verify={async (key, signal) => {
        const proof = parseLogProof((await getText(path, { signal })).value);
        if (proof.index !== BigInt(entry.index)) throw new ProofError(`the proof is of entry ${proof.index}`);
        if (proof.extra === null) {
          const { size } = await openCheckpoint(proof.checkpoint, key);
          return verifyLeaf(proof, await leafOf(proof.index, size, fetchTile), key);
        }
        const verified = await verifyLogProof(proof, proof.extra, key);
        const wrong = verified.header === null ? [] : differences(verified.header, entry);
        if (wrong.length > 0) throw new ProofError(`what the log holds is not what is shown: ${wrong.join("; ")}`);
        return verified;
      }}
      fetchTile={fetchTile}
    />
  );
}

async function fetchTile(path: string) {
  return new Uint8Array(await getBytes(`/log/${path}`));
}

function Details({ entry }: { entry: AuditEntry }) {
  const facts = Object.entries(entry.facts);
  return (
    <div className="columns two">
      <Panel title="What happened">
        <dl className="facts wide">
          <Row name="Time">
            <Time iso={entry.time} /> <span className="quiet">{entry.time}</span>
          </Row>
          <Row name="Kind">{entry.kind}</Row>
          <Row name="Effect">
            <Effect effect={entry.effect} />
          </Row>
          <Row name="Principal">
            <Search name="principal" value={entry.principal} />
          </Row>
          <Row name="Action">{entry.action === "" ? "–" : <code>{visible(entry.action)}</code>}</Row>
          <Row name="Resource">
            <Search name="resource" value={entry.resource} />
          </Row>
          <Row name="Reason">{entry.reason === "" ? "–" : <code>{visible(entry.reason)}</code>}</Row>
          <Row name="Policies">{entry.policies.length > 0 ? <PolicyIds ids={entry.policies} /> : "none"}</Row>
          <Row name="Obligations">{entry.obligations.length > 0 ? <PolicyIds ids={entry.obligations} /> : "none"}</Row>
          <Row name="Request">
            <code>{visible(entry.request_id)}</code>{" "}
            <Link to={`/audit?request_id=${encodeURIComponent(entry.request_id)}`}>all its entries</Link>
          </Row>
          {entry.completes !== null && (
            <Row name="Completes">
              <Link to={`/audit/${entry.completes}`}>entry {entry.completes}</Link>
            </Row>
          )}
        </dl>
      </Panel>
      <Panel title="Facts" note={facts.length === 0 ? "none" : undefined}>
        <dl className="facts wide">
          {facts.map(([name, value]) => (
            <Row key={name} name={name}>
              <bdi className={value.includes("\n") || name.includes("sql") ? "block-code" : undefined}>{visible(value)}</bdi>
            </Row>
          ))}
        </dl>
      </Panel>
      <Panel title="Decided under">
        <dl className="facts wide">
          <Row name="Policy set">
            <Digest hash={entry.policy_set} />
          </Row>
          <Row name="Entities">
            <Digest hash={entry.entities} />
          </Row>
          <Row name="Request digest">
            <Digest hash={entry.request_digest} />
          </Row>
        </dl>
      </Panel>
      <Panel title="As JSON">
        <details>
          <summary>Show</summary>
          <pre tabIndex={0}>{visible(JSON.stringify(entry, null, 2))}</pre>
        </details>
      </Panel>
    </div>
  );
}

function Row(props: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{props.name}</dt>
      <dd>{props.children}</dd>
    </div>
  );
}

function Search({ name, value }: { name: string; value: string }) {
  if (value === "") return <span className="quiet">–</span>;
  return (
    <>
      <Entity uid={value} /> <Link to={`/audit?${name}=${encodeURIComponent(value)}`}>other entries</Link>
    </>
  );
}
