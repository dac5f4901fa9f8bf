// Claude Code, as it comes from npm, in the browser: on the demo model, in the real sandbox.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch, open } from './browser.mjs';
import { serve } from './server.mjs';
import { cleanly, message, say, STEP, untilDone, WIDE } from './talk.mjs';

const PROGRAM = process.env.REMIT_E2E_CLAUDE_CODE;
const skip = PROGRAM ? false : (process.env.REMIT_E2E_NO_CLAUDE_CODE ?? 'it is not installed');

let browser;
before(async () => { if (!skip) browser = await launch(); }, STEP);
after(async () => { await browser?.close(); }, STEP);

/** Where an administrator would have put it: by hard links, for it is only read. */
function place(data) {
  mkdirSync(join(data, 'runners'), { recursive: true });
  for (const how of ['-al', '-a']) {
    if (spawnSync('cp', [how, PROGRAM, join(data, 'runners')]).status === 0) return;
  }
  assert.fail('claude-code could not be copied');
}

test('claude-code', { timeout: 600_000, skip }, async (t) => {
  const server = await serve({ before: place });
  const seen = await open(browser, WIDE, new URL(server.url).origin);
  const { shot } = seen;
  await cleanly(server, seen, async (page) => {
    await t.test('passes its test, and can then be picked', { timeout: 300_000 }, async () => {
      const { code, out, err } = await server.run(['runner', 'test', 'claude-code', '--json']);
      assert.equal(code, 0, `${out}\n${err}`);
      await page.goto(server.login);
      await message(page).waitFor();
      await page.getByRole('combobox', { name: 'Runner' }).selectOption('claude-code');
    });

    await t.test('has a page written, and sees the commit', STEP, async () => {
      await say(page, 'write "Hello from Claude Code" to claude.md');
      await page.getByRole('region', { name: /^Write/ }).first().waitFor();
      await untilDone(page);
      await page.getByText('Committed 1 file').waitFor();
      await shot('claude-chat');
      await page.getByRole('link', { name: 'See the commit' }).click();
      await page.locator('.file').getByText('claude.md').waitFor();
      await page.locator('.line', { hasText: 'Hello from Claude Code' }).first().waitFor();
    });

    await t.test('goes on with the conversation, and replays it', STEP, async () => {
      await page.goBack();
      await message(page).waitFor();
      await say(page, 'read claude.md');
      await page.locator('article.turn').nth(1).waitFor();
      await untilDone(page);
      await page.locator('article.turn').nth(1).getByText('claude.md says').waitFor();
      await page.getByRole('link', { name: 'Open the dispatch' }).click();
      await page.getByRole('link', { name: 'Replay' }).click();
      await page.getByRole('button', { name: 'To the beginning' }).click();
      await page.getByText('Before the first event').waitFor();
      await page.getByRole('button', { name: 'To the end' }).click();
      await untilDone(page);
      await shot('claude-replay');
    });
  });
});
