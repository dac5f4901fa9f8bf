// A real browser, what it must not do, and what it is asked to find.

import { readFile, mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const SHOTS = process.env.REMIT_E2E_SHOTS;
const CHROMIUM = process.env.REMIT_E2E_CHROMIUM;
/** How long anything may take to be seen. */
export const SEEN_MS = 60_000;

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export async function launch() {
  await mkdir(SHOTS, { recursive: true });
  return chromium.launch({
    executablePath: CHROMIUM,
    timeout: SEEN_MS,
    args: [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
    ],
  });
}

/** A page that remembers what it complained of and what it asked of other hosts. */
export async function open(browser, { width, height }, origin, { touch = false } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: 'light', reducedMotion: 'reduce', deviceScaleFactor: 1, hasTouch: touch, isMobile: touch });
  context.setDefaultTimeout(SEEN_MS);
  const page = await context.newPage();
  const complaints = [];
  const foreign = [];
  const missing = new Set();
  let away = false;
  page.on('console', (message) => {
    // While the server is down, the browser itself says that it cannot be reached.
    if (away && /ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY|ERR_NETWORK/.test(message.text())) return;
    if (missing.has(message.location().url) && message.text().includes('status of 404')) return;
    if (['error', 'warning'].includes(message.type())) complaints.push(`${message.type()}: ${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', (error) => complaints.push(`uncaught: ${error.stack}`));
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.origin !== origin && !['data:', 'blob:'].includes(url.protocol)) foreign.push(request.url());
  });
  return {
    page, context, complaints, foreign,
    serverIsAway(is) { away = is; },
    /** Goes to an address that is none, of which the browser may complain. */
    async astray(address) {
      missing.add(address);
      return page.goto(address);
    },
    async shot(name) {
      // What is measured before it is shown, as long lists are, takes a few frames.
      await page.evaluate(() => document.fonts.ready.then(() => new Promise((done) => {
        let frames = 6;
        const next = () => (frames-- === 0 ? done() : requestAnimationFrame(next));
        next();
      })));
      await page.screenshot({ path: join(SHOTS, `${name}.png`) });
    },
  };
}

/** What axe finds wrong with the page as it is, in few words. */
export async function faults(page) {
  const found = await page.evaluate(`(async () => {
    ${axe};
    const run = await axe.run(document, { resultTypes: ['violations'] });
    return run.violations.map((it) => it.id + ' (' + it.impact + '): ' + it.nodes.slice(0, 4).map((node) => node.html.slice(0, 160) + ' ' + (node.any[0]?.message ?? '')).join(' | '));
  })()`);
  return found;
}

/** How far something sticks out to the side, if it does. */
export async function sticksOut(page) {
  const out = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  return out > 0 ? [`${out} px stick out`] : [];
}
