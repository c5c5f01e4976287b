// SQL, coloured, for reading.
import { visible } from "./format.ts";
import { layOut } from "./sql.ts";

export function SqlText({ sql, label }: { sql: string; label: string }) {
  return (
    <pre className="sql" tabIndex={0} role="region" aria-label={label}>
      {layOut(sql).map((token, at) =>
        token.kind === "space" || token.kind === "sign" || token.kind === "word" ? (
          visible(token.text)
        ) : (
          <span key={at} className={`sql-${token.kind}`}>
            {visible(token.text)}
          </span>
        ),
      )}
    </pre>
  );
}
