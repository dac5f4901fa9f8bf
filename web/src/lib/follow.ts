// Follows the stream of a dispatch over refresh, sleep and restart of the server: every entry comes
// once and in order, whatever happens to the connection.

import type { Entry, EventId } from './api.gen.ts';
import { dispatchPath, problemOf, send, type Problem } from './api.ts';
import { base } from './place.svelte.ts';
import { numberOf } from './reduce.ts';

/** How a follower stands: `away` means that it tries again by itself. */
export type Link = 'connecting' | 'live' | 'away' | 'over' | 'failed';

export interface Listener {
  entries(entries: Entry[]): void;
  link(link: Link, problem?: Problem): void;
}

/** The server says something at least every 15 s. */
const SILENCE_MS = 40_000;
const AGAIN_MS = [150, 300, 600, 1200, 2500, 5000];
/** So long a hidden page keeps its connection: a browser has few. */
const HIDDEN_MS = 60_000;

/** Follows `dispatch` after `last`; call what it returns to stop. */
export function follow(dispatch: string, last: EventId | null, to: Listener): () => void {
  let stopped = false;
  let over = false;
  let seen = last;
  let tries = 0;
  let current: AbortController | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let hidden: ReturnType<typeof setTimeout> | undefined;

  const take = (entries: Entry[]) => {
    const fresh = entries.filter((entry) => numberOf(entry.id) > numberOf(seen));
    const end = fresh.at(-1);
    if (end === undefined) return;
    seen = end.id;
    over ||= fresh.some((entry) => entry.event.type === 'ended');
    to.entries(fresh);
  };

  const again = () => {
    if (stopped || over || document.visibilityState === 'hidden') return;
    const wait = AGAIN_MS[Math.min(tries, AGAIN_MS.length - 1)] ?? 0;
    tries += 1;
    clearTimeout(timer);
    timer = setTimeout(connect, wait);
  };

  const connect = async () => {
    if (stopped || over || current !== null) return;
    const connection = (current = new AbortController());
    let alarm = setTimeout(() => connection.abort(), SILENCE_MS);
    try {
      const headers: Record<string, string> = { accept: 'text/event-stream, application/problem+json' };
      if (seen !== null) headers['last-event-id'] = seen;
      const url = `${base}${dispatchPath(dispatch)}/events`;
      const response = await fetch(url, { headers, signal: connection.signal, cache: 'no-store' });
      if (!response.ok || response.body === null) {
        const problem = await problemOf(response);
        // What is gone or forbidden stays so; everything else may pass.
        if (problem.status >= 400 && problem.status < 500 && ![408, 429].includes(problem.status)) {
          stopped = true;
          to.link('failed', problem);
        }
        throw problem;
      }
      tries = 0;
      to.link('live');
      for await (const entries of frames(response.body)) {
        clearTimeout(alarm);
        alarm = setTimeout(() => connection.abort(), SILENCE_MS);
        take(entries);
      }
    } catch {
      // Told below: what ended the connection makes no difference to those who look on.
    } finally {
      clearTimeout(alarm);
      if (current === connection) current = null;
    }
    if (over) to.link('over');
    else if (!stopped) {
      to.link('away');
      again();
    }
  };

  const seenAgain = () => {
    clearTimeout(hidden);
    if (document.visibilityState === 'hidden') {
      hidden = setTimeout(() => current?.abort(), HIDDEN_MS);
    } else if (current === null) {
      tries = 0;
      clearTimeout(timer);
      void connect();
    }
  };
  document.addEventListener('visibilitychange', seenAgain);
  addEventListener('online', seenAgain);
  addEventListener('pageshow', seenAgain);
  to.link('connecting');
  void connect();

  return () => {
    stopped = true;
    clearTimeout(timer);
    clearTimeout(hidden);
    current?.abort();
    document.removeEventListener('visibilitychange', seenAgain);
    removeEventListener('online', seenAgain);
    removeEventListener('pageshow', seenAgain);
  };
}

/** The entries of the frames, as many at once as came at once. A comment gives an empty list. */
async function* frames(body: ReadableStream<Uint8Array>): AsyncGenerator<Entry[]> {
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  let buffer = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      buffer += value;
      const end = buffer.lastIndexOf('\n\n');
      if (end < 0) {
        yield [];
        continue;
      }
      const whole = buffer.slice(0, end);
      buffer = buffer.slice(end + 2);
      yield parse(whole);
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

export function parse(text: string): Entry[] {
  const entries: Entry[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('data: ')) entries.push(JSON.parse(line.slice(6)) as Entry);
  }
  return entries;
}

/** All entries that are there now. */
export async function past(dispatch: string, signal?: AbortSignal): Promise<Entry[]> {
  const path = `${dispatchPath(dispatch)}/events?follow=false`;
  const response = await send('GET', path, { headers: { accept: 'application/jsonl' }, signal: signal ?? null });
  const text = await response.text();
  return text.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Entry);
}
