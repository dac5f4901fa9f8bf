// The lines that a tool says it changed: old and new text as one list. The commit is what counts;
// its diff is made by the server.

export interface Line { kind: ' ' | '+' | '-'; text: string }

const CELLS_MAX = 4_000_000;

/** The changed lines with three lines around each change. Large texts are shown as all old, all new. */
export function changed(old: string | undefined, now: string): Line[] {
  const a = old === undefined ? [] : split(old);
  const b = split(now);
  let from = 0;
  while (from < a.length && from < b.length && a[from] === b[from]) from += 1;
  let tail = 0;
  while (tail < a.length - from && tail < b.length - from && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;
  const middle = between(a.slice(from, a.length - tail), b.slice(from, b.length - tail));
  const same = (text: string): Line => ({ kind: ' ', text });
  const all = [...a.slice(0, from).map(same), ...middle, ...a.slice(a.length - tail).map(same)];
  return around(all, 3);
}

function split(text: string): string[] {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

/** The longest common lines, by the table that every textbook has. */
function between(a: string[], b: string[]): Line[] {
  const gone: Line[] = a.map((text) => ({ kind: '-', text }));
  const come: Line[] = b.map((text) => ({ kind: '+', text }));
  if (a.length * b.length > CELLS_MAX || a.length === 0 || b.length === 0) return [...gone, ...come];
  const width = b.length + 1;
  const table = new Uint32Array((a.length + 1) * width);
  const at = (i: number, j: number) => table[i * width + j] ?? 0;
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      table[i * width + j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const lines: Line[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push({ kind: ' ', text: a[i] ?? '' });
      i += 1;
      j += 1;
    } else if (j >= b.length || (i < a.length && at(i + 1, j) >= at(i, j + 1))) {
      lines.push({ kind: '-', text: a[i] ?? '' });
      i += 1;
    } else {
      lines.push({ kind: '+', text: b[j] ?? '' });
      j += 1;
    }
  }
  return lines;
}

function around(lines: Line[], by: number): Line[] {
  const near = new Set<number>();
  lines.forEach((line, at) => {
    if (line.kind === ' ') return;
    for (let it = at - by; it <= at + by; it += 1) near.add(it);
  });
  return lines.filter((_, at) => near.has(at));
}
