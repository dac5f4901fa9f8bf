// A person at the workbench: the real program, its demo model, a real browser; wide and on a phone.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { faults, launch, open, SEEN_MS, sticksOut } from './browser.mjs';
import { serve } from './server.mjs';
import { cleanly, message, PHONE, pressUntil, say, STEP, untilDone, untilSaid, upTo, WIDE, wordsSaid } from './talk.mjs';
import { ANSWER, tracker } from './tracker.mjs';
import { SENTENCE, vendor } from './vendor.mjs';

const page = (title, links, more = '') => `---\ntype: note\ntitle: ${title}\n${more}---\n# ${title}\n\nSee ${links.map((it) => `[[${it}]]`).join(', ')}.\n`;
const REVIEWED = 'verified:\n  - by: human:usr_e2e\n    at: 2026-01-01\n';
const KEY = 'canary-key-of-a-person-0011';
/** Some pages that link to each other. */
const PAGES = {
  'birds/heron.md': page('Heron', ['reeds', 'kingfisher', 'pond'], REVIEWED),
  'birds/kingfisher.md': page('Kingfisher', ['pond', 'reeds'], 'stale_after: 2020-01-01\n'),
  'birds/bittern.md': page('Bittern', ['reeds', 'heron']),
  'plants/reeds.md': page('Reeds', ['pond'], REVIEWED),
  'plants/willow.md': page('Willow', ['pond', 'weaving']),
  'pond.md': page('Pond', ['heron', 'willow', 'frogs']),
  'frogs.md': page('Frogs', ['pond', 'heron']),
  'weaving.md': page('Weaving baskets', ['willow', 'reeds', 'market']),
  'market.md': page('Market days', ['weaving'], 'stale_after: 2020-01-01\n'),
};
/** Where the page of this title stands. */
const pathOf = (title) => ({ Home: 'README.md', Hello: 'hello.md' })[title] ?? Object.keys(PAGES).find((path) => PAGES[path].includes(`title: ${title}\n`));

let browser;
before(async () => { browser = await launch(); }, STEP);
after(async () => { await browser?.close(); }, STEP);

const gone = (what) => (timeout) => what.waitFor({ state: 'detached', timeout });

function journey(name, size) {
  test(name, { timeout: 840_000 }, async (t) => {
    const service = await vendor();
    t.after(() => service.stop());
    const outside = await tracker();
    t.after(() => outside.stop());
    // Of the operator's models, the built-in agent reaches these by name alone.
    const team = `[model.team]\nurl = "${service.url}"\nname = "large"\nmodels = ["small"]\nrunners = ["claude-code"]\n`;
    const before = (data) => writeFileSync(join(dirname(data), 'remit.toml'), outside.settings + team);
    const server = await serve({ before, settings: { REMIT_MODEL__PERSONS: service.url, REMIT_RECORDING__ALLOWED: 'yes' } });
    const seen = await open(browser, size, new URL(server.url).origin);
    const { shot } = seen;
    const phone = size.width < 720;
    const found = [];
    await cleanly(server, seen, async (page) => {
      await t.test('logs in by the link that works once', STEP, async () => {
        await page.goto(server.login);
        await message(page).waitFor();
        assert.equal(new URL(page.url()).hash, '', 'the token must leave the address');
        await shot(`${name}-1-chat-empty`);
      });

      await t.test('has a page written, and sees the commit', STEP, async () => {
        await say(page, 'write "Hello from the browser" to hello.md');
        await untilDone(page);
        await page.getByText('Committed 1 file').waitFor();
        await shot(`${name}-2-chat-edit`);
        await page.getByRole('link', { name: 'See the commit' }).click();
        await page.locator('.file').getByText('hello.md').waitFor();
        await page.getByText('Hello from the browser').first().waitFor();
        await shot(`${name}-3-changes`);
        await page.goBack();
        await message(page).waitFor();
      });

      await t.test('reloads in the middle of a stream', STEP, async () => {
        await say(page, 'say 4000 words in 4 seconds; say 1200 words');
        await untilSaid(page, 'w40');
        await page.reload();
        await untilDone(page);
        assert.deepEqual(await wordsSaid(page), [...upTo(4000), ...upTo(1200)]);
      });

      await t.test('goes on when the server is killed while words stream', STEP, async () => {
        await say(page, 'say 1600 words in 16 seconds');
        await untilSaid(page, 'w100');
        seen.serverIsAway(true);
        await server.kill();
        await page.getByText('The server is away').waitFor();
        const before = await wordsSaid(page);
        assert.ok(before.length < 1600, 'it was killed in the middle of an answer');
        assert.deepEqual(before, upTo(before.length));
        await server.again();
        await untilDone(page);
        seen.serverIsAway(false);
        assert.deepEqual(await wordsSaid(page), upTo(1600));
      });

      await t.test('goes on when the server is killed in the middle of a turn', STEP, async () => {
        await say(page, 'say 1200 words; run sleep 12; say 1200 words');
        await untilSaid(page, 'Run sleep 12');
        assert.deepEqual(await wordsSaid(page), [], 'it works, and has not spoken yet');
        seen.serverIsAway(true);
        await server.kill();
        await page.getByText('The server is away').waitFor();
        await shot(`${name}-4-away`);
        await server.again();
        await untilDone(page);
        seen.serverIsAway(false);
        assert.deepEqual(await wordsSaid(page), [...upTo(1200), ...upTo(1200)]);
      });

      await t.test('replays the dispatch from the start', STEP, async () => {
        await page.getByRole('link', { name: 'Open the dispatch' }).click();
        await page.getByRole('link', { name: 'Timeline' }).waitFor();
        await shot(`${name}-5-dispatch`);
        await page.getByRole('link', { name: 'Replay' }).click();
        await page.getByRole('button', { name: 'To the beginning' }).click();
        await page.getByText('Before the first event').waitFor();
        await page.getByRole('button', { name: 'One event on' }).click();
        await page.getByText(/^Event 1 of/).waitFor();
        await page.getByRole('button', { name: 'To the end' }).click();
        await untilDone(page);
        await shot(`${name}-6-replay`);
        await page.getByRole('link', { name: 'Events' }).click();
        await page.getByText('turn_accepted').first().waitFor();
        await shot(`${name}-7-events`);
      });

      await t.test('reads a page of the workspace, edits it, and sees its history', STEP, async () => {
        await page.goto(`${server.url}/workspace/home`);
        await page.getByRole('link', { name: 'hello.md' }).waitFor();
        await shot(`${name}-8-files`);
        await page.getByRole('link', { name: 'hello.md' }).click();
        await page.getByText('Hello from the browser').waitFor();
        await page.getByRole('button', { name: 'Edit', exact: true }).click();
        await page.getByRole('textbox', { name: /^Edit/ }).fill('# Hello\n\nChanged by a person. See [[README]] and [[nowhere]].\n\n- [ ] one\n- [x] two\n');
        await shot(`${name}-9-edit`);
        await page.getByRole('button', { name: 'Save' }).click();
        await page.getByRole('heading', { name: 'Hello', exact: true }).waitFor();
        await shot(`${name}-9-saved`);
        if (phone) await page.getByRole('link', { name: 'Files' }).first().click();
        await page.getByRole('searchbox', { name: 'Search the pages' }).fill('"by a person"');
        await page.locator('mark', { hasText: 'person' }).waitFor();
        await shot(`${name}-9-search`);
        await page.getByRole('link', { name: 'README.md' }).first().click();
        await page.getByRole('navigation', { name: 'Linked from' }).getByRole('link', { name: 'Hello' }).waitFor();
        await page.getByRole('link', { name: 'History' }).first().click();
        const newest = page.locator('.history aside li a').first();
        await newest.getByText('hello.md').waitFor();
        await newest.click();
        await page.getByText('Changed by a person').waitFor();
        await shot(`${name}-10-history`);
      });

      await t.test('sees how pages hang together, as a list and as a picture', STEP, async () => {
        for (const [path, content] of Object.entries(PAGES)) await server.ask('PUT', '/agent/workspace/file', { path, content });
        await page.goto(`${server.url}/workspace/home/graph`);
        const list = page.getByRole('list', { name: 'As a list' });
        await list.getByRole('button', { name: /^Heron/ }).click();
        await list.getByText('Links to').waitFor();
        await list.getByRole('button', { name: 'Reeds', exact: true }).waitFor();
        await shot(`${name}-9-graph-list`);
        found.push(...await faults(page), ...await sticksOut(page));
        if (phone) await page.getByRole('button', { name: 'As a picture' }).click();
        const picture = page.getByRole('application');
        await page.locator('[data-settled=true]').waitFor();
        await shot(`${name}-9-graph`);
        found.push(...await faults(page), ...await sticksOut(page));
        await picture.focus();
        await page.keyboard.press('Escape');
        await page.keyboard.press('ArrowRight');
        await page.keyboard.press('ArrowLeft');
        const chosen = pathOf(await page.locator('.show').getByRole('status').textContent());
        assert.ok(chosen, 'an arrow chooses a page');
        await page.keyboard.press('Enter');
        await page.waitForURL(`**/workspace/home/files/${chosen}`);
        assert.deepEqual(found, []);
      });

      await t.test('answers the questions of an agent that asks before it acts', STEP, async () => {
        await page.goto(`${server.url}/chat`);
        await page.getByRole('checkbox', { name: 'Asks first' }).check();
        await say(page, 'write "Asked for" to asked.md; write "Not wanted" to denied.md');
        await page.getByText('Asks whether it may').first().waitFor();
        const conversation = page.url();
        await page.getByRole('link', { name: /^Inbox/ }).first().getByText('1').waitFor();
        await page.getByRole('link', { name: /^Inbox/ }).first().click();
        await page.getByRole('heading', { name: 'Write asked.md' }).waitFor();
        await page.getByText('Asked for', { exact: true }).waitFor();
        await shot(`${name}-12-inbox`);
        found.push(...await faults(page), ...await sticksOut(page));
        if (phone) await page.getByRole('button', { name: 'Approve' }).click();
        else await pressUntil(page, 'a', gone(page.getByRole('heading', { name: 'Write asked.md' })));
        const second = page.getByRole('heading', { name: 'Write denied.md' });
        await second.waitFor();
        if (phone) await page.getByRole('button', { name: 'Deny' }).click();
        else await pressUntil(page, 'd', gone(second));
        await page.getByText('Nothing waits for you').waitFor();
        await page.goto(conversation);
        await untilDone(page);
        await page.getByText('Committed 1 file').waitFor();
        assert.equal(await page.locator('.paths', { hasText: 'asked.md' }).count(), 1);
        await shot(`${name}-13-answered`);
        assert.deepEqual(found, []);
      });

      await t.test('decides a proposal, part by part, and refuses another with a reason', STEP, async () => {
        await page.goto(`${server.url}/chat?workspace=home:propose`);
        await say(page, 'write "Proposed" to proposed.md; write "Left out" to left.md');
        await untilDone(page);
        await shot(`${name}-14-proposed`);
        await page.getByRole('link', { name: 'See the proposal' }).click();
        await page.locator('.line', { hasText: 'Left out' }).waitFor();
        await shot(`${name}-15-proposal`);
        found.push(...await faults(page), ...await sticksOut(page));
        await page.getByRole('checkbox', { name: 'Include left.md' }).uncheck();
        await page.getByRole('button', { name: 'Approve 1 of 2' }).click();
        await page.getByRole('link', { name: 'See the commit' }).click();
        await page.locator('.file').getByText('proposed.md').waitFor();
        assert.equal(await page.locator('.file').count(), 1, 'only what was chosen lands');

        await page.goto(`${server.url}/chat?workspace=home:propose`);
        await say(page, 'write "Unwanted" to unwanted.md');
        await untilDone(page);
        await page.goto(`${server.url}/inbox`);
        await page.getByRole('link', { name: /unwanted\.md/ }).first().click();
        await page.locator('.line', { hasText: 'Unwanted' }).waitFor();
        await page.getByRole('button', { name: 'Deny' }).click();
        await page.getByRole('textbox', { name: /Why not/ }).fill('not now');
        await page.getByRole('dialog').getByRole('button', { name: 'Deny' }).click();
        await page.getByText('not now').waitFor();
        await page.goto(`${server.url}/inbox`);
        await page.getByText('Decided lately').waitFor();
        await shot(`${name}-16-decided`);
        assert.deepEqual(found, []);
      });

      await t.test('brings a model endpoint of its own, and talks to it', STEP, async () => {
        await page.goto(`${server.url}/keys`);
        const field = (name) => page.getByLabel(name, { exact: true });
        await field('Name').fill('mine');
        await field('Address').fill(service.url);
        await field('Models').fill('tiny');
        await field('Key').fill(KEY);
        await page.getByRole('button', { name: 'Keep and try it' }).click();
        await page.getByText(/^It answers, in/).waitFor();
        await shot(`${name}-19-endpoint`);
        await page.goto(`${server.url}/chat`);
        await message(page).waitFor();
        await page.getByRole('combobox', { name: 'Model' }).selectOption('@mine/tiny');
        await say(page, 'who are you?');
        await untilSaid(page, SENTENCE);
        await untilDone(page);
        await shot(`${name}-20-own-model`);
        assert.ok(service.keys.length >= 2 && service.keys.every((it) => it === `Bearer ${KEY}`), `${service.keys}`);
        assert.ok(!(await page.content()).includes(KEY) && !server.log.includes(KEY), 'it is never shown again');
      });

      await t.test('chooses among the models of the operator', STEP, async () => {
        await page.goto(`${server.url}/chat`);
        await message(page).waitFor();
        const models = page.getByRole('combobox', { name: 'Model' });
        const told = await models.locator('optgroup').evaluateAll((groups) => groups.map((it) => [it.label, ...[...it.children].map((option) => option.value)]));
        assert.deepEqual(told, [['The operator’s', 'team/large', 'team/small'], ['Yours', '@mine/tiny']]);
        assert.equal(await models.locator('option').first().textContent(), 'remit-demo');
        await models.selectOption('team/small');
        await shot(`${name}-20-models`);
        found.push(...await faults(page), ...await sticksOut(page));
        await say(page, 'who are you?');
        await untilSaid(page, SENTENCE);
        await untilDone(page);
        await page.getByRole('link', { name: 'Open the dispatch' }).click();
        await page.getByRole('complementary', { name: 'Dispatches' }).getByText('team/small', { exact: true }).waitFor();
        await page.goto(`${server.url}/chat?runner=claude-code`);
        await message(page).waitFor();
        assert.equal(await models.locator('option').first().textContent(), 'large', 'what answers where none is chosen');
        assert.deepEqual(found, []);
      });

      await t.test('gives a conversation tools, and sees them called', STEP, async () => {
        await page.goto(`${server.url}/chat`);
        await message(page).waitFor();
        const tools = page.getByRole('group', { name: 'Tools' });
        const add = tools.getByRole('combobox', { name: 'Add tools' });
        await add.selectOption('tracker');
        await tools.getByText('outside', { exact: true }).waitFor();
        await tools.getByText('changes things', { exact: true }).waitFor();
        await add.selectOption('knowledge.search');
        await tools.getByRole('button', { name: 'Do not give tracker' }).click();
        await add.selectOption('tracker.find');
        assert.equal(await add.locator('option[value="tracker.find"]').count(), 0, 'what is given is not offered');
        await page.waitForURL((url) => url.searchParams.get('tools') === 'knowledge.search,tracker.find');
        await page.reload();
        await tools.getByText('tracker.find').waitFor();
        for (const look of ['dark', 'light']) {
          await page.emulateMedia({ colorScheme: look });
          await shot(`${name}-${look}-tools`);
          found.push(...await faults(page), ...await sticksOut(page));
        }
        await say(page, 'call tracker.find {"id":7}');
        await untilSaid(page, ANSWER);
        await untilDone(page);
        await shot(`${name}-22-tools`);
        await page.getByRole('link', { name: 'Open the dispatch' }).click();
        const facts = page.getByRole('complementary', { name: 'Dispatches' });
        for (const told of ['knowledge.search', 'tracker.find', 'tools:tracker']) await facts.getByText(told, { exact: true }).waitFor();
        assert.deepEqual(found, []);
      });

      await t.test('downloads what the models of a recorded dispatch were asked', STEP, async () => {
        const { code, err } = await server.run(['run', 'write "Kept" to kept.md; run ls; say 3 words', '--record']);
        assert.equal(code, 0, err);
        const { dispatches } = await server.ask('GET', '/agent/dispatches?limit=1');
        await page.goto(`${server.url}/dispatches/${dispatches[0].id}`);
        const [download] = await Promise.all([
          page.waitForEvent('download'),
          page.getByRole('link', { name: 'What its models were asked and answered' }).click(),
        ]);
        assert.equal(download.suggestedFilename(), `${dispatches[0].id}.jsonl`);
        await download.delete();
      });

      await t.test('finds nothing to complain of on any page, light or dark', STEP, async () => {
        await page.goto(`${server.url}/dispatches`);
        const dispatch = await page.locator('a[href*="/dispatches/dsp_"]').first().getAttribute('href');
        await page.goto(`${server.url}/chat`);
        const chat = await page.locator('a[href*="/chat/"]').first().getAttribute('href');
        const routes = {
          chat: '/chat', conversation: chat, dispatches: '/dispatches', timeline: dispatch, replay: `${dispatch}?view=replay`, changes: `${dispatch}?view=diff`,
          events: `${dispatch}?view=events`, files: '/workspace/home', page: '/workspace/home/files/hello.md', history: '/workspace/home/history',
          graph: `/workspace/home/graph${phone ? '?as=picture' : ''}`, members: '/workspace/home/members', keys: '/keys', inbox: '/inbox',
        };
        for (const look of ['light', 'dark']) {
          await page.emulateMedia({ colorScheme: look });
          for (const [route, path] of Object.entries(routes)) {
            await page.goto(server.url + path);
            await page.locator('main#content').waitFor();
            await page.waitForLoadState('load');
            await page.waitForFunction(() => document.querySelector('main#content').children.length > 0 && !document.body.textContent.includes('Loading…'), null, { timeout: SEEN_MS });
            await shot(`${name}-${look}-${route}`);
            found.push(...(await faults(page)).map((it) => `${look} ${route}: ${it}`));
            found.push(...(await sticksOut(page)).map((it) => `${look} ${route}: ${it}`));
          }
        }
        assert.deepEqual(found, []);
      });

      await t.test('has its endpoint forgotten', STEP, async () => {
        await page.goto(`${server.url}/keys`);
        const mine = page.getByText(service.url, { exact: true });
        await mine.waitFor();
        await page.getByRole('button', { name: 'Remove' }).click();
        await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
        await mine.waitFor({ state: 'detached' });
      });

      await t.test('goes anywhere by its name', STEP, async () => {
        await page.goto(`${server.url}/chat`);
        await message(page).waitFor();
        await page.keyboard.press('Control+k');
        const field = page.getByRole('combobox', { name: /^Search/ });
        await field.waitFor();
        await shot(`${name}-17-palette`);
        assert.ok(await field.evaluate((it) => it.getBoundingClientRect().bottom < innerHeight / 2), 'it stands before all else');
        assert.deepEqual([...await faults(page), ...await sticksOut(page)], []);
        await page.keyboard.type('go to the inbox');
        await page.keyboard.press('Enter');
        await page.getByRole('heading', { name: 'Inbox', exact: true }).waitFor();
        const help = page.getByRole('dialog', { name: 'Keyboard' });
        await pressUntil(page, '?', (timeout) => help.waitFor({ timeout }));
        await shot(`${name}-18-keyboard`);
        await page.keyboard.press('Escape');
        await help.waitFor({ state: 'detached' });
      });

      await t.test('is told where there is no page, and finds back', STEP, async () => {
        const told = page.getByRole('heading', { name: 'There is no such page', level: 1 });
        for (const look of ['light', 'dark']) {
          await page.emulateMedia({ colorScheme: look });
          assert.equal((await seen.astray(`${server.url}/nowhere/at/all`)).status(), 404);
          await told.waitFor();
          assert.match(await page.title(), /^There is no such page/);
          await shot(`${name}-${look}-nowhere`);
          found.push(...await faults(page), ...await sticksOut(page));
        }
        await page.getByRole('main').getByRole('link', { name: 'Go to the chat' }).click();
        await message(page).waitFor();
        await page.goto(`${server.url}/workspace/home/nothing`);
        await told.waitFor();
        await page.goBack();
        await message(page).waitFor();
        assert.deepEqual(found, []);
      });

      await t.test('logs out', STEP, async () => {
        await page.goto(`${server.url}/keys`);
        if (phone) await page.getByRole('button', { name: 'More' }).click();
        await page.getByRole('button', { name: 'Log out' }).click();
        await page.getByRole('heading', { name: 'Log in' }).waitFor();
        await shot(`${name}-11-login`);
        assert.deepEqual(await faults(page), []);
        await seen.astray(`${server.url}/nowhere`);
        await page.getByRole('heading', { name: 'There is no such page' }).waitFor();
        await shot(`${name}-21-nowhere`);
        assert.deepEqual(await faults(page), []);
      });
    });
  });
}

journey('wide', WIDE);
journey('phone', PHONE);
