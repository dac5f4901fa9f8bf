import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Graph } from '../src/lib/api.gen.ts';
import { Layout, nextIn, spots } from '../src/lib/layout.ts';

const graph = (names: string[], edges: [string, string][]): Graph => ({
  nodes: names.map((path) => ({ path, title: path, kind: null, trust: 'unverified', stale: false })),
  edges: edges.map(([from, to]) => ({ from, to })), partial: false,
});

test('a link counts once, and one to nowhere or to itself not at all', () => {
  const [a, b] = spots(graph(['a', 'b'], [['a', 'b'], ['a', 'b'], ['a', 'a'], ['a', 'gone'], ['b', 'a']]));
  assert.deepEqual([a?.to, a?.from, b?.to, b?.from], [[1], [1], [0], [0]]);
});

test('the same graph stands the same, whatever slices it settles in', () => {
  const names = Array.from({ length: 60 }, (_, at) => `p${at}`);
  const edges = names.slice(1).map((name, at): [string, string] => [name, `p${Math.floor(at / 3)}`]);
  const places = (slice: number) => {
    const layout = new Layout(spots(graph(names, edges)));
    while (!layout.settle(slice));
    return layout.spots.map(({ x, y }) => [x, y]);
  };
  assert.deepEqual(places(0), places(1000));
  assert.ok(places(0).every((it) => it.every(Number.isFinite)));
});

test('an arrow goes to the nearest page in its direction', () => {
  const all = spots(graph(['here', 'right', 'far', 'up'], []));
  [[0, 0], [10, 2], [100, 0], [1, -8]].forEach(([x, y], at) => Object.assign(all[at] as object, { x, y }));
  assert.deepEqual([nextIn(all, 0, 1, 0), nextIn(all, 0, 0, -1), nextIn(all, 0, -1, 0), nextIn(all, 1, 1, 0)], [1, 3, 0, 2]);
});
