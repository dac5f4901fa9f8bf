// One conversation: the dispatches that it went through, and what is being said.
//
// What is said is sent with a turn id of our own, so that it may be sent again when the connection
// breaks and never runs twice. The answer is read from the stream of its dispatch.

import type { Chat, Dispatch, Dispatches, WhichSession } from './api.gen.ts';
import { get, problemOf, Problem, query, send } from './api.ts';
import { past } from './follow.ts';
import { base } from './place.svelte.ts';
import { Stream } from './stream.svelte.ts';

/** Earlier dispatches that are shown at once. */
const PAGE = 6;
const SEND_AGAIN_MS = [250, 500, 1000, 2000, 4000, 4000, 4000, 4000];

export interface Choice { runner: string | null; workspaces: string | null; asks: boolean; model: string | null; tools: string | null }

export interface Unsent { turn: string; prompt: string; at: number; problem: Problem | null }

export class Conversation {
  session = $state<string | null>(null);
  streams = $state.raw<Stream[]>([]);
  unsent = $state.raw<Unsent | null>(null);
  loading = $state(false);
  problem = $state.raw<unknown>(null);
  /** Earlier dispatches that are not shown yet. */
  earlier = $state.raw<Dispatch[]>([]);
  stopping = $state(false);
  #gone = false;

  constructor(session: string | null) {
    this.session = session;
  }

  get current(): Stream | undefined { return this.streams.at(-1); }

  get turns() {
    return this.streams.flatMap((stream) => stream.state.turns.map((turn) => ({ turn, stream })));
  }

  get live(): boolean {
    const state = this.current?.state;
    return this.unsent?.problem === null || (state !== undefined && state.phase !== 'ended' && state.turns.some((turn) => turn.ended === null));
  }

  get asks(): boolean {
    const turn = this.current?.state.turns.at(-1);
    return turn?.ended === null && turn.items.some((item) => item.kind === 'question' && item.answer === null);
  }

  async load(): Promise<void> {
    if (this.session === null) return;
    this.loading = true;
    this.problem = null;
    try {
      const list = await get<Dispatches>(`/agent/dispatches${query({ session: this.session, limit: 200 })}`);
      if (list.dispatches.length === 0) await get(`/agent/sessions/${encodeURIComponent(this.session)}/history`);
      this.earlier = list.dispatches.slice(PAGE);
      await this.#show(list.dispatches.slice(0, PAGE));
    } catch (problem) {
      this.problem = problem;
    } finally {
      this.loading = false;
    }
  }

  async showEarlier(): Promise<void> {
    const next = this.earlier.slice(0, PAGE);
    this.earlier = this.earlier.slice(PAGE);
    await this.#show(next);
  }

  /** Shows dispatches, which come newest first, before those that are shown. */
  async #show(dispatches: Dispatch[]): Promise<void> {
    const streams = await Promise.all(dispatches.toReversed().map(async (dispatch) => {
      const stream = new Stream(dispatch.id).now(await past(dispatch.id));
      return stream.state.phase === 'ended' || this.#gone ? stream : stream.start();
    }));
    this.streams = [...streams, ...this.streams.filter((it) => !streams.some((other) => other.id === it.id))];
  }

  /** Says something. Whether it was accepted. */
  async say(prompt: string, choice: Choice): Promise<boolean> {
    const turn = `t_${crypto.randomUUID?.() ?? Math.random().toString(36).slice(2)}`;
    this.unsent = { turn, prompt, at: Date.now(), problem: null };
    return this.#send(choice);
  }

  /** Sends once more what could not be sent. */
  async sayAgain(choice: Choice): Promise<boolean> {
    if (this.unsent === null) return false;
    this.unsent = { ...this.unsent, problem: null };
    return this.#send(choice);
  }

  async #send(choice: Choice): Promise<boolean> {
    const unsent = this.unsent;
    if (unsent === null) return false;
    for (let tries = 0; !this.#gone; tries += 1) {
      try {
        await this.#post(unsent, choice);
        return true;
      } catch (cause) {
        const problem = cause instanceof Problem ? cause : new Problem(0, 'unreachable', String(cause));
        const passing = problem.status === 0 || problem.status === 503;
        const wait = SEND_AGAIN_MS[tries];
        if (!passing || wait === undefined) {
          this.unsent = { ...unsent, problem };
          return false;
        }
        await new Promise((done) => setTimeout(done, wait));
      }
    }
    return false;
  }

  async #post(unsent: Unsent, choice: Choice): Promise<void> {
    const leave = new AbortController();
    const fresh = this.session === null;
    const path = `/agent/chat${query({ runner: fresh ? choice.runner : null, workspace: choice.workspaces, permissions: choice.asks ? 'ask' : null, model: fresh ? choice.model : null, tools: fresh ? choice.tools : null })}`;
    const body: Chat = { prompt: unsent.prompt, turn_id: unsent.turn, ...(fresh ? {} : { session: this.session }) };
    const response = await fetch(base + path, {
      method: 'POST', signal: leave.signal, body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', accept: 'text/event-stream, application/problem+json' },
    }).catch(() => { throw new Problem(0, 'unreachable', 'The server cannot be reached.'); });
    if (!response.ok) throw await problemOf(response);
    const dispatch = response.headers.get('x-unit-id');
    // Leaving does not stop the turn: it is followed by its dispatch.
    leave.abort();
    this.session = response.headers.get('x-chat-session');
    if (dispatch !== null && !this.streams.some((stream) => stream.id === dispatch)) {
      this.streams = [...this.streams, new Stream(dispatch).start()];
    }
  }

  /** Forgets what was being sent once its turn is there. */
  settle(): void {
    const turn = this.unsent?.turn;
    if (turn !== undefined && this.streams.some((stream) => stream.state.turns.some((it) => it.id === turn))) this.unsent = null;
  }

  drop(): void { this.unsent = null; }

  async stop(): Promise<void> {
    if (this.session === null) return;
    this.stopping = true;
    try {
      await send('POST', '/agent/chat/stop', { body: JSON.stringify({ session: this.session } satisfies WhichSession), headers: { 'content-type': 'application/json' } });
    } catch (problem) {
      this.problem = problem;
    } finally {
      this.stopping = false;
    }
  }

  leave(): void {
    this.#gone = true;
    for (const stream of this.streams) stream.stop();
  }
}
