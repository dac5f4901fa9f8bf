// The whole way once with nothing but a keyboard, and once with nothing but fingers at 360 px.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { faults, launch, open, SEEN_MS, sticksOut } from './browser.mjs';
import { serve } from './server.mjs';
import { cleanly, message, PHONE, pressUntil, STEP, untilDone, untilSaid, upTo, WIDE, wordsSaid } from './talk.mjs';

/** So many times somebody presses Tab before they give up. */
const TABS_MAX = 150;

let browser;
before(async () => { browser = await launch(); }, STEP);
after(async () => { await browser?.close(); }, STEP);

/** Hands on a keyboard. Nothing is clicked, and what has the focus can be seen to have it. */
function keyboard(page) {
  async function to(target) {
    await target.waitFor();
    for (let tabs = 0; tabs < TABS_MAX; tabs += 1) {
      const focus = await target.evaluate((it) => {
        if (it !== document.activeElement) return null;
        const outlined = [it, it.parentElement].some((at) => getComputedStyle(at).outlineStyle !== 'none');
        return it.matches(':focus-visible') && outlined ? 'seen' : 'unseen';
      });
      if (focus === 'seen') return;
      assert.equal(focus, null, `the focus on ${target} cannot be seen`);
      await page.keyboard.press('Tab');
    }
    assert.fail(`Tab does not come to ${target}`);
  }
  const palette = async (text) => {
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox').waitFor();
    await page.keyboard.type(text);
    await page.getByRole('option', { name: text }).first().waitFor();
    await page.keyboard.press('Enter');
    await page.getByRole('combobox').waitFor({ state: 'detached' });
  };
  return {
    async press(target) { await to(target); await page.keyboard.press('Enter'); },
    async tick(target) { await to(target); await page.keyboard.press('Space'); },
    async pick(target, value) {
      await to(target);
      for (const option of await target.locator('option').all()) {
        if (await target.inputValue() === value) return;
        assert.ok(option);
        await page.keyboard.press('ArrowDown');
      }
      assert.equal(await target.inputValue(), value);
    },
    async say(text) {
      await message(page).waitFor();
      // In a choice, every key chooses.
      if (await page.evaluate(() => document.activeElement instanceof HTMLSelectElement)) await to(message(page));
      else await page.keyboard.press('/');
      await page.keyboard.type(text);
      await page.keyboard.press('Enter');
      // Where one writes, keys are letters.
      await page.keyboard.press('Escape');
    },
    async write(target, text) { await to(target); await page.keyboard.press('Control+a'); await page.keyboard.type(text); },
    async inbox() { await page.keyboard.press('g'); await page.keyboard.press('i'); },
    async dispatches() { await page.keyboard.press('g'); await page.keyboard.press('d'); },
    conversation: palette,
    key: (key, _, reached) => pressUntil(page, key, reached),
    // Pressed again it would go further.
    async step(key, _, reached) { await page.keyboard.press(key); await reached(SEEN_MS); },
  };
}

/** Fingers on a phone. */
function touch(page) {
  const tapped = async (_, name, reached) => {
    await page.getByRole('button', { name }).first().tap();
    await reached(SEEN_MS);
  };
  return {
    press: (target) => target.tap(),
    tick: (target) => target.tap(),
    pick: (target, value) => target.selectOption(value),
    async say(text) {
      await message(page).tap();
      await page.keyboard.insertText(text);
      await page.getByRole('button', { name: 'Send' }).tap();
    },
    async write(target, text) { await target.tap(); await target.fill(text); },
    inbox: () => page.getByRole('link', { name: /^Inbox/ }).first().tap(),
    dispatches: () => page.getByRole('link', { name: 'Dispatches' }).first().tap(),
    async conversation(title) {
      await page.getByRole('link', { name: 'Chat', exact: true }).tap();
      await page.getByRole('button', { name: 'Conversations' }).tap();
      await page.getByRole('complementary', { name: 'Conversations' }).getByRole('link', { name: title }).tap();
    },
    key: tapped,
    step: tapped,
  };
}

function way(name, size, hands) {
  test(name, { timeout: 840_000 }, async (t) => {
    const server = await serve();
    const seen = await open(browser, size, new URL(server.url).origin, { touch: hands === touch });
    const by = hands(seen.page);
    await cleanly(server, seen, async (page) => {
      await t.test('logs in and has a page written, once that is approved', STEP, async () => {
        await page.goto(server.login);
        await message(page).waitFor();
        await by.tick(page.getByRole('checkbox', { name: 'Asks first' }));
        await by.say('write "Made by hand" to hand.md');
        await page.getByText('Asks whether it may').waitFor();
        await by.inbox();
        const question = page.getByRole('heading', { name: 'Write hand.md' });
        await question.waitFor();
        await by.key('a', 'Approve', (timeout) => question.waitFor({ state: 'detached', timeout }));
        await page.getByText('Nothing waits for you').waitFor();
      });

      await t.test('sees the commit', STEP, async () => {
        await by.conversation('write "Made by hand"');
        await untilDone(page);
        await by.press(page.getByRole('link', { name: 'See the commit' }));
        await page.locator('.file').getByText('hand.md').waitFor();
        await page.locator('.line', { hasText: 'Made by hand' }).waitFor();
      });

      await t.test('finds the dispatch in the list', STEP, async () => {
        await by.dispatches();
        await by.press(page.getByRole('list', { name: 'Dispatches' }).getByRole('link', { name: 'hand.md' }));
        await page.getByRole('link', { name: 'Timeline' }).waitFor();
        await page.getByText('Committed 1 file').waitFor();
      });

      await t.test('says more, and reloads in the middle of the answer', STEP, async () => {
        await by.conversation('write "Made by hand"');
        await untilDone(page);
        await by.say('say 600 words in 15 seconds');
        await untilSaid(page, 'w40');
        assert.ok((await wordsSaid(page)).length < 600, 'the answer is not over');
        await page.reload();
        await untilDone(page);
        assert.deepEqual(await wordsSaid(page), upTo(600));
      });

      await t.test('replays it', STEP, async () => {
        await by.press(page.getByRole('link', { name: 'Open the dispatch' }));
        await by.press(page.getByRole('link', { name: 'Replay' }));
        const before = page.getByText('Before the first event');
        await page.getByRole('slider', { name: 'Position in the stream' }).waitFor();
        await by.key('Home', 'To the beginning', (timeout) => before.waitFor({ timeout }));
        await by.step('ArrowRight', 'One event on', (timeout) => page.getByText(/^Event 1 of/).waitFor({ timeout }));
        await by.key('End', 'To the end', (timeout) => page.getByText(/^Event (\d+) of \1/).waitFor({ timeout }));
        await untilDone(page);
        await seen.shot(`${name}-replay`);
      });

      await t.test('changes a proposal before it lands', STEP, async () => {
        await page.goto(`${server.url}/chat`);
        await by.pick(page.getByRole('combobox', { name: /^home: / }), 'propose');
        await by.say('write "What an agent wrote" to words.md');
        await untilDone(page);
        await by.press(page.getByRole('link', { name: 'See the proposal' }));
        await page.locator('.line', { hasText: 'What an agent wrote' }).waitFor();
        const text = page.getByRole('textbox', { name: /^New text of/ });
        await by.key('e', 'Edit words.md', (timeout) => text.waitFor({ timeout }));
        await by.write(text, 'What a person made of it');
        await seen.shot(`${name}-editing`);
        assert.deepEqual([...await faults(page), ...await sticksOut(page)], []);
        await by.press(page.getByRole('button', { name: 'Use this text' }));
        await page.locator('.line', { hasText: 'What a person made of it' }).waitFor();
        await seen.shot(`${name}-edited`);
        assert.deepEqual([...await faults(page), ...await sticksOut(page)], []);
        const commit = page.getByRole('link', { name: 'See the commit' });
        await by.key('a', 'Approve with your text', (timeout) => commit.waitFor({ timeout }));
        await by.press(commit);
        await page.locator('.line', { hasText: 'What a person made of it' }).waitFor();
        assert.equal(await page.locator('.line', { hasText: 'What an agent wrote' }).count(), 0, 'only what the person wrote lands');
      });
    });
  });
}

way('keyboard', WIDE, keyboard);
way('touch', PHONE, touch);
