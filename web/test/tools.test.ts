import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ToolServer } from '../src/lib/api.gen.ts';
import { given, named, others } from '../src/lib/tools.ts';

const server = (name: string, tools: string[]): ToolServer => ({ name, about: '', built_in: false, untrusted: false, tools: tools.map((it) => ({ name: it, effect: 'reads' })) });
const servers = [server('knowledge', ['search', 'links']), server('tracker', ['find'])];

test('what is given is what is named and is there, a server instead of its tools', () => {
  const check = (text: string, names: string) => assert.equal(named(given(servers, text)), names, text);
  check('', '');
  check('knowledge.links,knowledge.links', 'knowledge.links');
  check('tracker.find,knowledge.search', 'knowledge.search,tracker.find');
  check('knowledge.search,knowledge', 'knowledge');
  check('ghost,knowledge.delete,KNOWLEDGE', '');
});

test('what is given already is not offered', () => {
  const left = (text: string) => others(servers, given(servers, text)).map((it) => [it.server.name, it.whole, ...it.tools.map((tool) => tool.name)]);
  assert.deepEqual(left(''), [['knowledge', true, 'search', 'links'], ['tracker', false, 'find']]);
  assert.deepEqual(left('knowledge.links,tracker.find'), [['knowledge', true, 'search']]);
  assert.deepEqual(left('knowledge,tracker'), []);
});
