// What happens right now: decisions, denials, how fast, how healthy, and whether it is recorded.
import { getJson } from "../../api/client.ts";
import type { AuditEntry, Overview } from "../../api/types.ts";
import { Bars } from "../../parts/chart.tsx";
import { EntryTable } from "../../parts/entries.tsx";
import { count, duration, shortHash, span } from "../../parts/format.ts";
import { usePoll } from "../../parts/load.ts";
import { Page, Panel } from "../../parts/page.tsx";
import { ProblemBox } from "../../parts/problem.tsx";
import { Entity } from "../../parts/values.tsx";
import { go, Link, usePlace, withSearch } from "../../router.tsx";

const INTERVAL_MS = 1_000;
const ROWS_MAX = 20;
const RATE_SECONDS = 10;
/** Who did what is the audit log's to tell: the server leaves it out for others. */
const HIDDEN = "Shown to those who may search the audit log.";
/** A checkpoint is signed each second; one this old, in seconds, means that something is stuck. */
const CHECKPOINT_AGE_S_MAX = 30;

export default function OverviewScreen() {
  const { search } = usePlace();
  const isLive = search.get("refresh") !== "off";
  const showsPolls = search.get("polls") === "shown";
  const { value, problem, at, again } = usePoll(isLive, INTERVAL_MS, async (signal) => {
    return (await getJson<Overview>("/api/v1/overview", { signal })).value;
  });
  const toggle = (name: string, word: string, isOn: boolean) =>
    go(withSearch({ [name]: isOn ? word : undefined }), "replace");
  return (
    <Page
      title="Overview"
      actions={
        value && (
          <>
            <Age at={at} isLive={isLive} isFailing={problem !== null} />
            <button type="button" aria-pressed={!isLive} onClick={() => toggle("refresh", "off", isLive)}>
              {isLive ? "Pause" : "Resume"}
            </button>
          </>
        )
      }
    >
      {problem && <ProblemBox problem={problem} what="the overview" again={again} />}
      {value && (
        <>
          <Alarms overview={value} />
          <Figures overview={value} />
          <div className="columns">
            <Panel title="Decisions per second" note="the last minute">
              <Bars
                all={value.rates_per_second}
                part={value.denials_per_second}
                label={`Decisions per second over the last minute, ${rate(value.rates_per_second)} on average of late, of them denied ${rate(value.denials_per_second)}`}
              />
              <p className="legend">
                <span className="swatch all" /> decisions <span className="swatch part" /> denied
              </p>
            </Panel>
            <TopDenied overview={value} />
            <Health overview={value} />
          </div>
          <Recent
            entries={value.recent}
            showsPolls={showsPolls}
            toggle={() => toggle("polls", "shown", !showsPolls)}
          />
        </>
      )}
      {!value && !problem && <p className="waiting">Loading…</p>}
    </Page>
  );
}

function Age({ at, isLive, isFailing }: { at: number; isLive: boolean; isFailing: boolean }) {
  const old = span((Date.now() - at) / 1_000);
  if (isLive && !isFailing) return <span className="quiet">live, each second</span>;
  return <span className={isFailing ? "warn" : "quiet"}>{isFailing ? `as of ${old} ago` : "paused"}</span>;
}

function Alarms({ overview }: { overview: Overview }) {
  const { log, policy_set } = overview;
  const refusing = log.stopped ?? log.full;
  return (
    <>
      {refusing && (
        <p className="problem failed" role="alert">
          <strong>The audit log takes no entries:</strong> {refusing}. Until it does, governed calls are refused.
        </p>
      )}
      {policy_set.load_error && (
        <p className="problem failed" role="alert">
          <strong>The policies on disk do not load;</strong> the set before them stays in force: {policy_set.load_error}
        </p>
      )}
    </>
  );
}

function Figures({ overview }: { overview: Overview }) {
  const { counts, latency_us, log, policy_set, rates_per_second, uptime_seconds, version } = overview;
  const decided = counts.allow + counts.deny;
  const share = decided > 0 ? `${((100 * counts.deny) / decided).toFixed(1)} %` : "–";
  const age = (Date.now() - Date.parse(log.checkpoint_at)) / 1_000;
  const isOld = age > CHECKPOINT_AGE_S_MAX;
  const figures: [string, string, string, string?][] = [
    ["Decisions", `${rate(rates_per_second)}/s`, `${count(decided)} since start`],
    ["Denied", share, `${count(counts.deny)} of ${count(decided)}`],
    ["Errors", count(counts.errors), "failed within the server", counts.errors > 0 ? "warn" : undefined],
    ["Latency, p50", duration(latency_us.p50), "half of calls are faster"],
    ["Latency, p99", duration(latency_us.p99), "1 in 100 is slower"],
    ["Audit log", count(log.size), "entries"],
    ["Checkpoint", `${span(age)} old`, isOld ? "should be a second" : "signed head of the log", isOld ? "warn" : undefined],
    ["Policies", count(policy_set.count), `set ${shortHash(policy_set.hash)}`],
    ["Up for", span(uptime_seconds), `version ${version}`],
  ];
  return (
    <dl className="figures">
      {figures.map(([name, value, note, tone]) => (
        <div key={name} className={tone}>
          <dt>{name}</dt>
          <dd>
            <strong>{value}</strong>
            <span className="quiet">{note}</span>
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** The mean of the last seconds; the newest one is still going on. */
function rate(perSecond: number[]): string {
  const last = perSecond.slice(-RATE_SECONDS - 1, -1);
  const mean = last.reduce((sum, value) => sum + value, 0) / Math.max(last.length, 1);
  return mean < 10 ? mean.toFixed(1) : count(Math.round(mean));
}

function TopDenied({ overview }: { overview: Overview }) {
  return (
    <Panel title="Most denied" note="since start">
      {overview.top_denied.length === 0 && (
        <p className="empty">{overview.counts.deny > 0 ? HIDDEN : "Nobody was denied anything."}</p>
      )}
      <ol className="ranking">
        {overview.top_denied.map(({ principal, count: times }) => (
          <li key={principal}>
            <Link to={`/audit?effect=deny&principal=${encodeURIComponent(principal)}`}>
              <Entity uid={principal} />
            </Link>
            <span className="number">{count(times)}</span>
          </li>
        ))}
      </ol>
    </Panel>
  );
}

function Health({ overview }: { overview: Overview }) {
  return (
    <Panel title="Health">
      <ul className="health">
        {overview.health.map(({ component, state, detail }) => {
          const isGood = ["ok", "up", "ready", "healthy"].includes(state);
          return (
            <li key={component}>
              <span className={isGood ? "state good" : "state bad"}>
                <span aria-hidden="true">{isGood ? "●" : "▲"}</span> {state}
              </span>
              <span>{component}</span>
              <span className="quiet">{detail}</span>
            </li>
          );
        })}
      </ul>
    </Panel>
  );
}

/** The calls that this very screen makes: shown, they would crowd out all others. */
function isPoll(entry: AuditEntry): boolean {
  return entry.action === "view_health";
}

function Recent(props: { entries: AuditEntry[]; showsPolls: boolean; toggle: () => void }) {
  const others = props.entries.filter((entry) => !isPoll(entry));
  const shown = (props.showsPolls ? props.entries : others).slice(0, ROWS_MAX);
  const why = props.entries.length === 0 ? HIDDEN : "No decision yet but the polls of this screen.";
  return (
    <Panel
      title="Recent decisions"
      note={
        <>
          <label>
            <input type="checkbox" checked={props.showsPolls} onChange={props.toggle} /> with the console's own polls
          </label>{" "}
          · <Link to="/audit">search all</Link>
        </>
      }
    >
      {shown.length === 0 ? (
        <p className="empty">{why}</p>
      ) : (
        <EntryTable entries={shown} caption="Recent decisions, newest first" />
      )}
    </Panel>
  );
}
