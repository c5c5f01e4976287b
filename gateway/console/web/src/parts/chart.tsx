// Bars over the last seconds, drawn as one SVG path each; the figures stand beside it as text.

const WIDTH = 600;
const HEIGHT = 96;

export function Bars(props: { all: number[]; part: number[]; label: string }) {
  const { all, part, label } = props;
  const top = Math.max(1, ...all);
  return (
    <figure className="chart">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label}>
        <path className="bar-all" d={bars(all, top)} />
        <path className="bar-part" d={bars(part, top)} />
      </svg>
      <figcaption>
        <span>60 s ago</span>
        <span>highest {top === 1 && Math.max(...all, 0) === 0 ? 0 : top}/s</span>
        <span>now</span>
      </figcaption>
    </figure>
  );
}

function bars(values: number[], top: number): string {
  const step = WIDTH / Math.max(values.length, 1);
  return values
    .map((value, at) => {
      // A value that is not nothing is at least a pixel high.
      const height = value > 0 ? Math.max(1.5, (value / top) * HEIGHT) : 0;
      return `M${(at * step + 1).toFixed(1)} ${HEIGHT}v${(-height).toFixed(1)}h${(step - 2).toFixed(1)}v${height.toFixed(1)}z`;
    })
    .join("");
}
