// Rows of a result, windowed: only what is near the visible part is in the document.
import { useState, type UIEvent } from "react";
import { visible } from "./format.ts";

export interface GridColumn {
  name: string;
  type: string;
  masked: boolean;
}

const ROW_PX = 26;
/** Rows drawn beyond the visible part, above and below. */
const ROWS_BEYOND = 12;
const HEIGHT_PX = 420;
/** Characters of a cell that are drawn; the rest is in its title. */
const CELL_CHARS_MAX = 200;
/** Types whose values stand to the right, so that digits are under digits. */
const NUMERIC = /^(u?int|float|double|decimal|numeric|real|bigint|smallint|integer)/i;

export function Grid({ columns, rows, label }: { columns: GridColumn[]; rows: unknown[][]; label: string }) {
  const [top, setTop] = useState(0);
  const first = Math.max(0, Math.floor(top / ROW_PX) - ROWS_BEYOND);
  const last = Math.min(rows.length, Math.ceil((top + HEIGHT_PX) / ROW_PX) + ROWS_BEYOND);
  const follow = (event: UIEvent<HTMLDivElement>) => {
    const now = event.currentTarget.scrollTop;
    if (Math.abs(now - top) > (ROWS_BEYOND / 2) * ROW_PX || now === 0) setTop(now);
  };
  return (
    <div className="grid" tabIndex={0} role="region" aria-label={label} onScroll={follow}>
      <table aria-rowcount={rows.length + 1}>
        <caption className="unseen">{label}</caption>
        <thead>
          <tr aria-rowindex={1}>
            <th scope="col" className="number">
              Row
            </th>
            {columns.map((column, at) => (
              <th scope="col" key={at} className={tone(column)}>
                {visible(column.name)} <span className="type">{column.type}</span>
                {column.masked && <span className="mark">masked</span>}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          <Gap rows={first} width={columns.length + 1} />
          {rows.slice(first, last).map((row, at) => (
            <tr key={first + at} aria-rowindex={first + at + 2}>
              <th scope="row" className="number">
                {first + at + 1}
              </th>
              {columns.map((column, cell) => (
                <Cell key={cell} value={row[cell]} column={column} />
              ))}
            </tr>
          ))}
          <Gap rows={rows.length - last} width={columns.length + 1} />
        </tbody>
      </table>
    </div>
  );
}

function Cell({ value, column }: { value: unknown; column: GridColumn }) {
  if (value === null || value === undefined) return <td className={`null ${tone(column)}`}>NULL</td>;
  const text = visible(typeof value === "object" ? JSON.stringify(value) : String(value));
  const isLong = text.length > CELL_CHARS_MAX;
  return (
    <td className={tone(column)} title={isLong ? text : undefined}>
      <bdi>{isLong ? `${text.slice(0, CELL_CHARS_MAX)}…` : text}</bdi>
    </td>
  );
}

function tone(column: GridColumn): string {
  return `${NUMERIC.test(column.type) ? "number" : ""} ${column.masked ? "masked" : ""}`.trim();
}

/** Stands for rows that are not drawn. */
function Gap({ rows, width }: { rows: number; width: number }) {
  if (rows <= 0) return null;
  return (
    <tr aria-hidden="true" className="gap">
      <td colSpan={width} style={{ height: `${rows * ROW_PX}px` }} />
    </tr>
  );
}
