// What pages cost where there is much to show. An interaction: processor time of the page's thread, all of it. A word:
// script, style and layout, because painting goes by the frame. Prints one JSON object; the bars stand in xtask.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { launch, open, SEEN_MS } from './browser.mjs';
import { serve } from './server.mjs';
import { message, say, untilDone, untilSaid, upTo, WIDE, wordsSaid } from './talk.mjs';

const DISPATCHES = 10_000;
const EVENTS = 5_000;
/** In one paragraph, which is what costs most. */
const WORDS = 1_000;

const ALL = ['ThreadTime'];
const WORK = ['ScriptDuration', 'RecalcStyleDuration', 'LayoutDuration'];

const quantile = (samples, share) => samples.toSorted((a, b) => a - b)[Math.min(samples.length - 1, Math.floor(samples.length * share))];
const round = (number) => Math.round(number * 100) / 100;

/** Two frames: what was caused is drawn. */
const drawn = (page) => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));

async function meter(page) {
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');
  const busy = async (parts) => {
    const { metrics } = await session.send('Performance.getMetrics');
    return 1000 * metrics.filter((it) => parts.includes(it.name)).reduce((sum, it) => sum + it.value, 0);
  };
  return {
    page, busy,
    /** How long the page worked for this, in ms. */
    async of(act) {
      await drawn(page);
      const before = await busy(ALL);
      await act();
      await drawn(page);
      return await busy(ALL) - before;
    },
  };
}

/** Does each of these so often; what the middle one and the longest cost beyond two empty frames, in ms. */
async function each(gauge, times, acts) {
  const idle = [];
  for (let n = 0; n < 9; n += 1) idle.push(await gauge.of(() => gauge.page.evaluate(() => {})));
  const nothing = quantile(idle, 0.5);
  const samples = [];
  for (let n = 0; n < times; n += 1) for (const act of acts) samples.push(Math.max(0, await gauge.of(() => act(n)) - nothing));
  return { p50: round(quantile(samples, 0.5)), p95: round(quantile(samples, 0.95)), max: round(Math.max(...samples)) };
}

/** What it costs to draw so many plain rows of text, which says how fast the machine was. */
const yardstick = (page, gauge) => each(gauge, 9, [() => page.evaluate(() => {
  const rows = document.createElement('div');
  for (let row = 0; row < 100; row += 1) rows.appendChild(document.createElement('p')).textContent = `row ${row} ${performance.now()}`;
  document.querySelector('#yardstick')?.remove();
  rows.id = 'yardstick';
  document.body.prepend(rows);
})]);

/** How many rows a list has made; those that one should see are among them. */
async function rowsOf(page) {
  const { many, gap } = await page.evaluate(() => {
    const list = document.querySelector('.list').getBoundingClientRect();
    const rows = [...document.querySelectorAll('.list [data-key]')].map((it) => it.getBoundingClientRect());
    return { many: rows.length, gap: rows.length === 0 || rows[0].top > list.top || rows.at(-1).bottom < list.bottom };
  });
  assert.ok(!gap, 'the list is full of rows where one looks');
  return many;
}

/** Scrolls to a share of the whole; what looks for an element by role would be measured, too. */
const jump = (page, list, to) => page.evaluate(([list, to]) => { const it = document.querySelector(list); it.scrollTo({ top: to * it.scrollHeight }); }, [list, to]);

async function listOf(page, gauge, url) {
  await page.goto(`${url}/dispatches`);
  const rows = page.locator('.list');
  await rows.waitFor();
  const shown = async () => Number.parseInt(await page.locator('.count').textContent(), 10);
  const typing = [() => page.keyboard.press('t'), () => page.keyboard.press('9'), () => page.keyboard.press('Backspace'), () => page.keyboard.press('Backspace')];
  await page.getByRole('searchbox').focus();
  const few = await each(gauge, 6, typing);
  for (let before = -1; before < DISPATCHES;) {
    await drawn(page);
    before = await shown();
    await rows.evaluate((it) => it.scrollTo({ top: it.scrollHeight }));
    await page.waitForFunction((before) => Number.parseInt(document.querySelector('.count').textContent, 10) > before || !document.querySelector('.count').textContent.includes('+'), before, { timeout: SEEN_MS });
    if (!(await page.locator('.count').textContent()).includes('+')) break;
  }
  assert.ok(await shown() >= DISPATCHES, 'all are in the list');
  await page.getByRole('searchbox').focus();
  const filter = await each(gauge, 6, typing);
  const scroll = await each(gauge, 12, [(n) => jump(page, '.list', ((n * 7) % 12) / 12)]);
  return { filter, scroll, filter_over_200: round(filter.p50 / few.p50) };
}

async function longOf(page, gauge, url, id) {
  await page.goto(`${url}/dispatches/${id}`);
  await page.getByText('Step 0').first().waitFor();
  const tab = (name) => () => page.evaluate((name) => [...document.querySelectorAll('.tabs a')].find((it) => it.textContent === name).click(), name);
  const scroll = await each(gauge, 12, [(n) => jump(page, '.view .list', ((n * 5 + 1) % 12) / 12)]);
  assert.ok(await rowsOf(page) < 100, 'only rows that can be seen are made');
  const views = await each(gauge, 3, [tab('Events'), tab('Replay'), tab('Timeline')]);
  await tab('Replay')();
  await page.getByRole('slider').waitFor();
  const replay = await each(gauge, 4, ['ArrowLeft', 'ArrowLeft', 'ArrowRight', 'Home', 'End'].map((key) => () => page.keyboard.press(key)));
  return { scroll, views, replay };
}

async function words(page, gauge, url) {
  await page.goto(`${url}/chat`);
  await message(page).waitFor();
  await say(page, `say ${WORDS} words in 10 seconds`);
  await untilSaid(page, 'w40');
  const [from, busy] = [(await wordsSaid(page)).length, await gauge.busy(WORK)];
  // Whoever looks in every frame makes the frames that are measured.
  await page.waitForFunction((word) => document.querySelector('.said')?.textContent.includes(word), `w${WORDS - 100}`, { timeout: SEEN_MS, polling: 2000 });
  const each = (await gauge.busy(WORK) - busy) / ((await wordsSaid(page)).length - from);
  await untilDone(page);
  assert.deepEqual(await wordsSaid(page), upTo(WORDS));
  return { append: Math.round(each * 1000) / 1000 };
}

const server = await serve();
const browser = await launch();
try {
  const me = await server.ask('GET', '/auth/me');
  await server.stopped();
  const { long } = JSON.parse(execFileSync(process.env.REMIT_E2E_FILL, [server.data, me.user_id, String(DISPATCHES), String(EVENTS)], { encoding: 'utf8' }));
  await server.again();
  const seen = await open(browser, WIDE, new URL(server.url).origin);
  const { page } = seen;
  await page.goto(server.login);
  await message(page).waitFor();
  const gauge = await meter(page);
  const figures = { yardstick_ms: await yardstick(page, gauge), token_ms: await words(page, gauge, server.url), list_ms: await listOf(page, gauge, server.url), long_ms: await longOf(page, gauge, server.url, long) };
  assert.deepEqual(seen.complaints, []);
  console.log(JSON.stringify(figures));
} finally {
  await browser.close();
  await server.stop();
}
