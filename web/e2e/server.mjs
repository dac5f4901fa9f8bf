// The real program, on a port of its own and over a folder of its own; may be killed and come back.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const PROGRAM = process.env.REMIT_E2E_PROGRAM;
const START_MS = 120_000;
const STOP_MS = 20_000;
const COMMAND_MS = 240_000;

/** `before`: what is to be done to the folder of its data before it starts; `settings`: in its environment. */
export async function serve({ before = () => {}, settings = {} } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'remit-e2e-'));
  const data = join(folder, 'data');
  const env = { PATH: process.env.PATH, HOME: folder, XDG_CONFIG_HOME: folder, ...settings };
  let child = null;
  let told = null;
  let said = '';

  async function start(listen) {
    child = spawn(PROGRAM, ['up', '--data', data, '--listen', listen, '--json'], { stdio: ['ignore', 'pipe', 'pipe'], env, cwd: folder });
    child.stderr.on('data', (bytes) => (said = (said + bytes).slice(-20_000)));
    told = JSON.parse(await firstLine(child, () => said));
  }

  async function end(signal) {
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    const hard = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await gone;
    clearTimeout(hard);
  }

  before(data);
  await start('127.0.0.1:0');
  return {
    get url() { return told.url; },
    get login() { return told.login; },
    get key() { return told.key; },
    get log() { return said; },
    /** The folder of its data. */
    data,
    kill: () => end('SIGKILL'),
    stopped: () => end('SIGTERM'),
    /** Comes back on the same port, over the same folder. */
    again: () => start(new URL(told.url).host),
    /** Another command of the program, on this machine, beside the server. */
    async run(args) {
      const command = spawn(PROGRAM, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...env, REMIT_SERVER__DATA: data }, cwd: folder });
      let [out, err] = ['', ''];
      command.stdout.on('data', (bytes) => (out += bytes));
      command.stderr.on('data', (bytes) => (err += bytes));
      const late = setTimeout(() => command.kill('SIGKILL'), COMMAND_MS);
      const [code] = await once(command, 'close');
      clearTimeout(late);
      return { code, out, err };
    },
    /** Asks the server with the key that it made. */
    async ask(method, path, body) {
      const headers = { 'x-api-key': told.key, 'content-type': 'application/json', accept: 'application/json, application/problem+json' };
      const answer = await fetch(told.url + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal: AbortSignal.timeout(COMMAND_MS) });
      if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
      return answer.json();
    },
    async stop() {
      await end('SIGTERM');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** What the program says first on stdout. */
async function firstLine(child, log) {
  const lines = createInterface({ input: child.stdout });
  let late;
  try {
    return await new Promise((done, failed) => {
      late = setTimeout(() => failed(new Error(`the server said nothing in ${START_MS} ms:\n${log()}`)), START_MS);
      lines.once('line', done);
      child.once('error', failed);
      child.once('exit', (code) => failed(new Error(`the server ended with ${code}:\n${log()}`)));
    });
  } finally {
    clearTimeout(late);
  }
}
