// Where the rows of a long list stand, as far as their heights are known.

/** The upper edge of each row, in px, and after them the lower edge of the last one. */
export function edges<T>(rows: readonly T[], height: (row: T) => number): Float64Array {
  const edges = new Float64Array(rows.length + 1);
  let edge = 0;
  for (let row = 0; row < rows.length; row += 1) {
    edge += height(rows[row] as T);
    edges[row + 1] = edge;
  }
  return edges;
}

/** Which row is at a height, or next to it. */
export function rowAt(edges: Float64Array, y: number): number {
  let from = 0;
  let to = Math.max(0, edges.length - 2);
  while (from < to) {
    const middle = (from + to + 1) >> 1;
    if ((edges[middle] ?? 0) <= y) from = middle;
    else to = middle - 1;
  }
  return from;
}
