// The one way to the server: same origin, session cookie, problem+json turned into `Problem`.
import type { ProblemBody } from "./types.ts";

/** How long an ordinary call may take, and a query, in milliseconds. */
const CALL_MS_MAX = 30_000;
export const QUERY_MS_MAX = 300_000;

export interface Answer<T> {
  value: T;
  requestId: string;
  receipt: string;
}

export interface CallOptions {
  body?: unknown;
  query?: Record<string, string | undefined>;
  signal?: AbortSignal;
  timeoutMs?: number;
}

/** An answer that is not a success, or none. `kind` is a kind of docs/api.md, `unreachable` or `foreign`. */
export class Problem extends Error {
  override readonly name = "Problem";
  readonly kind: string;
  readonly title: string;
  readonly status: number;
  readonly requestId: string;
  readonly body: Partial<ProblemBody>;

  constructor(kind: string, title: string, detail: string, status = 0, body: Partial<ProblemBody> = {}, requestId = "") {
    super(detail);
    this.kind = kind;
    this.title = title;
    this.status = status;
    this.body = body;
    this.requestId = body.instance ?? requestId;
  }
}

type Listener = (problem: Problem) => void;
let onRefused: Listener = () => {};

/** Who hears of each 401 and 403: the session, which alone can tell a denial from an expiry. */
export function whenRefused(listener: Listener): void {
  onRefused = listener;
}

export async function getJson<T>(path: string, options: CallOptions = {}): Promise<Answer<T>> {
  return json<T>("GET", path, options);
}

export async function postJson<T>(path: string, options: CallOptions = {}): Promise<Answer<T>> {
  return json<T>("POST", path, options);
}

/** Null where the server has nothing to say. */
export async function deleteCall<T>(path: string): Promise<T | null> {
  const response = await send("DELETE", path, {});
  return response.status === 204 ? null : ((await response.json()) as T);
}

export async function getText(path: string, options: CallOptions = {}): Promise<Answer<string>> {
  const response = await send("GET", path, options);
  return answer(response, await response.text());
}

export async function getBytes(path: string, options: CallOptions = {}): Promise<Uint8Array> {
  const response = await send("GET", path, options);
  return new Uint8Array(await response.arrayBuffer());
}

async function json<T>(method: string, path: string, options: CallOptions): Promise<Answer<T>> {
  const response = await send(method, path, options);
  const text = await response.text();
  try {
    return answer(response, JSON.parse(text) as T);
  } catch {
    throw foreign(response, text);
  }
}

function answer<T>(response: Response, value: T): Answer<T> {
  return {
    value,
    requestId: response.headers.get("DataOS-Request-Id") ?? "",
    receipt: response.headers.get("DataOS-Receipt") ?? "",
  };
}

async function send(method: string, path: string, options: CallOptions): Promise<Response> {
  const { body, query = {}, signal, timeoutMs = CALL_MS_MAX } = options;
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value) search.set(name, value);
  const url = search.size > 0 ? `${path}?${search}` : path;
  const timeout = AbortSignal.timeout(timeoutMs);
  const headers: Record<string, string> = {};
  if (method !== "GET") headers["X-DataOS-CSRF"] = "1";
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(url, {
      method,
      headers,
      cache: "no-store",
      body: body === undefined ? null : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    const why = timeout.aborted ? `no answer within ${timeoutMs / 1000} s` : "no connection";
    throw new Problem("unreachable", "The server cannot be reached", `${location.host}: ${why}`);
  }
  if (response.ok) return response;
  const problem = await toProblem(response);
  if (problem.status === 401 || problem.status === 403) onRefused(problem);
  throw problem;
}

async function toProblem(response: Response): Promise<Problem> {
  const text = await response.text();
  const requestId = response.headers.get("DataOS-Request-Id") ?? "";
  try {
    const body = JSON.parse(text) as Partial<ProblemBody>;
    const kind = (body.type ?? "").replace("urn:dataos:problem:", "") || "internal";
    const title = body.title ?? `Status ${response.status}`;
    const receipt = body.receipt ?? response.headers.get("DataOS-Receipt") ?? "";
    return new Problem(kind, title, body.detail ?? "", response.status, { ...body, receipt }, requestId);
  } catch {
    return foreign(response, text);
  }
}

function foreign(response: Response, text: string): Problem {
  const first = text.trim().split("\n", 1)[0]?.slice(0, 120) ?? "";
  const detail = `status ${response.status}, which begins: ${first || "(nothing)"}`;
  return new Problem("foreign", "The answer is not from a DataOS server, or is cut off", detail, response.status);
}
