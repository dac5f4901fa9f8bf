// The golden story is written by the server's tests: both sides are held to the same entries.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { EMPTY, fold, reduce, type Item } from '../src/lib/reduce.ts';
import type { Entry } from '../src/lib/api.gen.ts';

const story: Entry[] = readFileSync(new URL('./story.jsonl', import.meta.url), 'utf8')
  .trim().split('\n').map((line) => JSON.parse(line) as Entry);

test('the whole story is told', () => {
  const state = fold(story);
  const [first, second] = state.turns;
  assert.equal(state.count, story.length);
  assert.equal(state.phase, 'ended');
  assert.deepEqual(state.accepted?.mounts[0]?.mode, 'rw');
  assert.deepEqual(state.accepted?.label.integrity, ['mail']);
  assert.equal(state.queued?.ahead, 2);
  assert.equal(state.sandbox?.startUs, 8250);
  assert.deepEqual(state.usage, { input: 900, output: 40, requests: 1, modelMs: 12, model: 'remit-demo' });
  assert.equal(first?.prompt, 'write hi to a.md');
  assert.equal(first?.reply, 'I wrote it.');
  assert.equal(second?.outcome?.kind, 'failed');
  assert.equal(state.ended?.failure?.code, 'agent_died');
  const kinds = first?.items.map((item) => item.kind);
  assert.deepEqual(kinds, ['thought', 'plan', 'message', 'tool', 'question', 'adopted', 'diagnostic', 'commit', 'refused', 'held']);
  const find = (kind: Item['kind']) => first?.items.find((item) => item.kind === kind) as never;
  assert.equal((find('message') as { text: string }).text, 'I wrote it.');
  assert.equal((find('thought') as { text: string }).text, 'A file is asked for. I write it.');
  const tool = find('tool') as Extract<Item, { kind: 'tool' }>;
  assert.deepEqual([tool.status, tool.title, tool.result, tool.arguments], ['completed', 'Wrote a.md', '2 bytes', { path: 'a.md', content: 'hi' }]);
  assert.equal(tool.diffs.length, 1);
  assert.equal((find('question') as Extract<Item, { kind: 'question' }>).answer?.by, 'policy');
});

test('an entry that comes again changes nothing, and no entry changes an earlier state', () => {
  let state = EMPTY;
  for (const entry of story) {
    const before = structuredClone(state);
    const next = reduce(state, entry);
    assert.deepEqual(state, before);
    assert.equal(reduce(next, entry), next);
    state = next;
  }
  assert.deepEqual(fold([...story, ...story]), state);
  assert.deepEqual(fold(story.flatMap((entry, at) => [entry, ...story.slice(0, at)])), state);
});

test('any cut and its rest give the whole', () => {
  const whole = fold(story);
  for (let at = 0; at <= story.length; at += 1) assert.deepEqual(fold(story.slice(at), fold(story.slice(0, at))), whole);
});

test('a further word costs the same at the end of a long answer', () => {
  const entry = (n: number, text: string): Entry => ({ id: `1-${n}`, at: n, event: { type: 'message', item: 'm', text } });
  const turn: Entry = { id: '1-1', at: 1, event: { type: 'turn_accepted', turn: 't', number: 1, prompt: 'p' } };
  let state = reduce(EMPTY, turn);
  const from = performance.now();
  for (let n = 2; n < 50_002; n += 1) state = reduce(state, entry(n, 'word '));
  const each = (performance.now() - from) / 50_000;
  assert.equal(state.turns[0]?.items.length, 1);
  assert.ok(each < 0.5, `${each} ms a word`);
});
