import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FileDiff } from '../src/lib/api.gen.ts';
import { approval, canBeEdited, endedLike, landings, patched } from '../src/lib/landing.ts';

const before = 'one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine';
const hunks: FileDiff['hunks'] = [
  { index: 0, old_start: 1, old_lines: 2, new_start: 1, new_lines: 3, lines: [{ kind: '+', text: 'zero' }, { kind: ' ', text: 'one' }, { kind: '-', text: 'two' }, { kind: '+', text: '2' }] },
  { index: 1, old_start: 9, old_lines: 1, new_start: 10, new_lines: 1, lines: [{ kind: '-', text: 'nine', no_newline: true }, { kind: '+', text: 'end' }] },
];
const file = (path: string, more: Partial<FileDiff> = {}): FileDiff =>
  ({ path, status: 'modified', binary: false, too_large: false, flags: [], conflict: false, hunks, ...more });

test('the parts that are taken are done to the text', () => {
  const check = (taken: number[], text: string) => assert.equal(patched(before, hunks, (it) => taken.includes(it)), text);
  check([], before);
  check([0], 'zero\none\n2\nthree\nfour\nfive\nsix\nseven\neight\nnine');
  check([1], 'one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nend\n');
  check([0, 1], 'zero\none\n2\nthree\nfour\nfive\nsix\nseven\neight\nend\n');
  const added: FileDiff['hunks'] = [{ index: 0, old_start: 0, old_lines: 0, new_start: 1, new_lines: 1, lines: [{ kind: '+', text: 'hi', no_newline: true }] }];
  assert.equal(patched('', added, () => true), 'hi');
});

test('all of it is said as all, anything else file by file', () => {
  const files = [file('a'), file('b'), file('c', { hunks: [], binary: true })];
  const chosen = new Map([['a', new Set([0, 1])], ['b', new Set([1])], ['c', new Set([-1])]]);
  const none = new Map<string, string>();
  assert.deepEqual(approval('d', files, new Map([...chosen, ['b', new Set([0, 1])]]), none), { digest: 'd', all: true });
  assert.deepEqual(approval('d', files, chosen, none), { digest: 'd', files: [{ path: 'a', all: true }, { path: 'b', hunks: [1] }, { path: 'c', all: true }] });
  const texts = new Map([['a', 'mine'], ['b', '']]);
  assert.deepEqual(approval('d', files, chosen, texts), { digest: 'd', files: [{ path: 'a', content: 'mine' }, { path: 'b', content: '' }, { path: 'c', all: true }] });
  assert.deepEqual(landings(files, new Map([['b', new Set<number>()]]), texts), []);
});

test('a file in conflict is never taken as all of it', () => {
  const files = [file('a', { conflict: true })];
  assert.deepEqual(approval('d', files, new Map([['a', new Set([0, 1])]]), new Map([['a', 'both']])), { digest: 'd', files: [{ path: 'a', content: 'both' }] });
});

test('what is no text that stays cannot be edited', () => {
  assert.ok(canBeEdited(file('a')));
  for (const no of [{ binary: true }, { too_large: true }, { status: 'deleted' }, { hunks: [] }, { new_mode: '120000' }] as Partial<FileDiff>[]) assert.ok(!canBeEdited(file('a', no)));
});

test('lines end as they ended', () => {
  assert.equal(endedLike('a\nb\n', 'x\r\ny\r\n'), 'a\r\nb\r\n');
  assert.equal(endedLike('a\nb', 'x\ny\r\n'), 'a\nb');
  assert.equal(endedLike('a\nb', ''), 'a\nb');
});
