// What every journey does in the chat, and what it reads there.

import assert from 'node:assert/strict';
import { SEEN_MS } from './browser.mjs';

export const WIDE = { width: 1360, height: 860 };
export const PHONE = { width: 360, height: 740 };
export const STEP = { timeout: 480_000 };

export const message = (page) => page.getByRole('textbox', { name: 'Message' });

export async function say(page, text) {
  await message(page).fill(text);
  await page.getByRole('button', { name: 'Send' }).click();
}

/** The numbers of the words that the demo model said in the last turn, as they stand on the page. */
export const wordsSaid = (page) => page.evaluate(() =>
  [...document.querySelectorAll('article.turn:last-of-type .said')].flatMap((it) => [...it.textContent.matchAll(/\bw(\d+)\b/g)].map((found) => Number(found[1]))));

export const upTo = (count) => Array.from({ length: count }, (_, at) => at + 1);

export async function untilDone(page) {
  await page.locator('article.turn').last().getByText('Done', { exact: true }).waitFor();
}

export async function untilSaid(page, word) {
  await page.waitForFunction((word) => document.querySelector('article.turn:last-of-type .answer')?.textContent.includes(word), word, { timeout: SEEN_MS });
}

/**
 * Presses a key until it has had its effect, for which `reached` waits so many ms: it counts only for what was seen for
 * a moment. A key that had the server asked for something is not pressed again, for it might count for what comes next.
 */
export async function pressUntil(page, key, reached) {
  let counted = false;
  const note = (request) => { counted ||= request.method() !== 'GET'; };
  page.on('request', note);
  try {
    for (let tries = 0; tries < 20 && !counted; tries += 1) {
      await page.keyboard.press(key);
      if (await reached(700).then(() => true, () => false)) return;
    }
    if (!counted) assert.fail(`the key ${key} did nothing`);
    await reached(SEEN_MS);
  } finally {
    page.off('request', note);
  }
}

/** Does the steps and puts everything away; the console must be clean, and nobody else be asked. */
export async function cleanly(server, seen, steps) {
  try {
    await steps(seen.page);
    assert.deepEqual(seen.complaints, [], 'the console is clean');
    assert.deepEqual(seen.foreign, [], 'no request leaves the origin');
  } finally {
    await seen.context.close();
    await server.stop();
  }
}
