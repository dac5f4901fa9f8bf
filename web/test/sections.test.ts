import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exists, sections } from '../src/lib/sections.ts';

test('an address is a page, or none', () => {
  const at = (path: string) => exists(path.split('/').filter((part) => part !== ''));
  for (const { name } of sections) assert.ok(at(`/${name}`), name);
  for (const path of ['/', '/login', '/chat/ses_1', '/dispatches/dsp_1', '/inbox/prp_1', '/workspace/home/files/a/b.md', '/workspace/home/history/c0ffee', '/workspace/home/graph']) assert.ok(at(path), path);
  for (const path of ['/nowhere', '/chat/ses_1/x', '/keys/1', '/login/x', '/workspace/home/other', '/workspace/home/graph/x', '/workspace/home/history/a/b', '/constructor', '/__proto__']) assert.ok(!at(path), path);
});
