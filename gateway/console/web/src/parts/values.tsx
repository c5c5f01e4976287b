// Small values that look the same on every screen: time, effect, entity, digest.
import { entity, localTime, shortHash, visible } from "./format.ts";

export function Time({ iso }: { iso: string }) {
  return (
    <time dateTime={iso} title={`${iso} (UTC)`}>
      {localTime(iso)}
    </time>
  );
}

export function Effect({ effect }: { effect: "allow" | "deny" | null }) {
  if (effect === null) return <span className="quiet">–</span>;
  return (
    <span className={`effect ${effect}`}>
      <span aria-hidden="true">{effect === "allow" ? "✓" : "✕"}</span> {effect}
    </span>
  );
}

export function Entity({ uid }: { uid: string }) {
  if (uid === "") return <span className="quiet">–</span>;
  const { type, id } = entity(uid);
  return (
    <span className="entity" title={uid}>
      {type !== "" && <span className="quiet">{type} </span>}
      <bdi>{visible(id)}</bdi>
    </span>
  );
}

export function Digest({ hash }: { hash: string }) {
  if (/^0*$/.test(hash)) return <span className="quiet">none</span>;
  return <code title={hash}>{shortHash(hash)}…</code>;
}
