import assert from 'node:assert/strict';
import { test } from 'node:test';
import { frontmatter, Growing, lex, safeHref } from '../src/lib/markdown.ts';
import { changed } from '../src/lib/lines.ts';

test('a growing text is read as the whole text is', () => {
  const text = '# A\n\nSome *words* and [[a link|shown]].\n\n- one\n- two\n\n  more\n\n```js\nlet a;\n\nlet b;\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nend<script>';
  const growing = new Growing();
  const kinds = (tokens: { type: string; raw: string }[]) => tokens.filter((it) => it.type !== 'space').map((it) => [it.type, it.raw.trim()]);
  for (let at = 0; at <= text.length; at += 1) growing.read(text.slice(0, at));
  assert.deepEqual(kinds(growing.read(text)), kinds(lex(text)));
});

test('another text begins anew', () => {
  const growing = new Growing();
  growing.read('# one\n\ntwo\n\nthree');
  assert.deepEqual(growing.read('four').map((it) => it.raw), ['four']);
});

test('wikilinks and footnotes are found in text and not in code', () => {
  const inline = (text: string) => (lex(text)[0] as unknown as { tokens: { type: string; target?: string; label?: string }[] }).tokens;
  const link = inline('see [[Notes/Idea|the idea]] and[^1]').find((it) => it.type === 'wikilink');
  assert.deepEqual([link?.target, link?.label], ['Notes/Idea', 'the idea']);
  assert.ok(inline('a[^1]').some((it) => it.type === 'footnote'));
  assert.ok(!inline('`[[x]]`').some((it) => it.type === 'wikilink'));
});

test('frontmatter is split off', () => {
  assert.deepEqual(frontmatter('---\ntitle: A\ntags: [x]\n---\n# B'), { pairs: [['title', 'A'], ['tags', '[x]']], body: '# B' });
  assert.deepEqual(frontmatter('# B'), { pairs: [], body: '# B' });
});

test('links that run something lead nowhere', () => {
  for (const bad of ['javascript:alert(1)', 'data:text/html,x', ' javascript:x', 'vbscript:x', '//evil']) assert.equal(safeHref(bad), null);
  assert.equal(safeHref('https://example.org'), 'https://example.org');
});

test('changed lines stand with their surroundings', () => {
  const lines = (old: string | undefined, now: string) => changed(old, now).map((line) => line.kind + line.text);
  assert.deepEqual(lines(undefined, 'a\nb\n'), ['+a', '+b']);
  assert.deepEqual(lines('a\nb\nc\n', 'a\nx\nc\n'), [' a', '-b', '+x', ' c']);
  assert.deepEqual(lines('1\n2\n3\n4\n5\n6\n7\n8\n9', '1\n2\n3\n4\n5\n6\n7\n8\nx'), [' 6', ' 7', ' 8', '-9', '+x']);
});
