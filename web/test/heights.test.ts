import assert from 'node:assert/strict';
import { test } from 'node:test';
import { edges, rowAt } from '../src/lib/heights.ts';

test('rows stand one below the other', () => {
  assert.deepEqual([...edges([10, 30, 5], (it) => it)], [0, 10, 40, 45]);
});

test('a row is found by any height within it', () => {
  const at = edges([10, 30, 5], (it) => it);
  assert.deepEqual([0, 9, 10, 39, 40, 44].map((y) => rowAt(at, y)), [0, 0, 1, 1, 2, 2]);
});

test('above the first row is the first, below the last the last', () => {
  const at = edges([10, 30, 5], (it) => it);
  assert.deepEqual([-100, 45, 1000].map((y) => rowAt(at, y)), [0, 2, 2]);
});

test('in a list of nothing the first row is where it would be', () => {
  assert.equal(rowAt(edges([], () => 1), 100), 0);
});
