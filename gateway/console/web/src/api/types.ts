// The shapes of docs/api.md, as the server writes them.

export interface Session {
  user: string;
  kind: string;
  groups: string[];
  roles: string[];
  tags: string[];
  attributes: Record<string, unknown>;
  authentication: string;
  issuer: string | null;
}

export interface SignedIn {
  user: string;
  expires_at: string;
}

/** Somebody else who says who people are. */
export interface Provider {
  name: string;
  title: string;
  path: string;
}

export interface AuditEntry {
  index: number;
  time: string;
  kind: string;
  request_id: string;
  effect: "allow" | "deny" | null;
  action: string;
  principal: string;
  resource: string;
  reason: string;
  policies: string[];
  obligations: string[];
  policy_set: string;
  entities: string;
  request_digest: string;
  completes: number | null;
  facts: Record<string, string>;
}

export interface AuditPage {
  entries: AuditEntry[];
  next_before?: number | null;
}

export interface Overview {
  started_at: string;
  uptime_seconds: number;
  version: string;
  policy_set: { hash: string; count: number; load_error?: string | null };
  log: { size: number; checkpoint_at: string; stopped?: string | null; full?: string | null };
  counts: { allow: number; deny: number; errors: number };
  rates_per_second: number[];
  denials_per_second: number[];
  latency_us: { p50: number; p99: number };
  top_denied: { principal: string; count: number }[];
  recent: AuditEntry[];
  health: { component: string; state: string; detail: string }[];
}

export interface DatasetSummary {
  address: string;
  sql_name: string;
  depot: string;
  collection: string;
  name: string;
  tags: string[];
  owner: string | null;
  row_count: number | null;
  column_count: number;
}

export interface Dataset extends DatasetSummary {
  columns: { name: string; type: string; nullable: boolean; tags: string[] }[];
}

export interface CellRule {
  when: string;
  outcome: string;
  policy?: string | null;
}

export interface TableAccess {
  dataset: string;
  rows: string;
  row_policies: string[];
  columns: { name: string; outcome: string; rules: CellRule[]; policies: string[] }[];
}

export interface QueryResult {
  columns: { name: string; type: string; masked: boolean }[];
  rows: unknown[][];
  row_count: number;
  truncated: boolean;
  certificate: {
    policy_set: string;
    entities: string;
    statement: string;
    governed_sql: string;
    engine: string;
    receipt: string;
    index: number;
    /** What policies of the tables say of themselves, by id. */
    descriptions?: Record<string, string>;
    tables: TableAccess[];
  };
}

export interface Policies {
  hash: string;
  activated_at: string;
  count: number;
  load_error?: string | null;
  policies: {
    id: string;
    effect: string;
    source: string;
    annotations: Record<string, string>;
    text: string;
  }[];
}

export interface ProblemBody {
  type: string;
  title: string;
  status: number;
  detail: string;
  instance: string;
  reason: string;
  policies: string[];
  hint: string;
  location: { file?: string; line?: number; column?: number; field?: string };
  receipt: string;
}
