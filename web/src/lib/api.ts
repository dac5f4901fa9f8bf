// Asks the server. Who asks, the browser's cookie says; nothing is kept here.

import { base } from './place.svelte.ts';

/** What went wrong, as the server told it. Status 0: it was not reached. */
export class Problem extends Error {
  status: number;
  code: string;
  body: Record<string, unknown>;
  constructor(status: number, code: string, detail: string, body: Record<string, unknown> = {}) {
    super(detail);
    this.status = status;
    this.code = code;
    this.body = body;
  }
}

let onLoggedOut: () => void = () => {};

/** What is done when the server does not know this browser any more. */
export function whenLoggedOut(act: () => void): void {
  onLoggedOut = act;
}

/** The problem behind an answer that is none. */
export async function problemOf(response: Response): Promise<Problem> {
  const body = (await response.json().catch(() => ({}))) as Record<string, unknown>;
  const text = (name: string) => (typeof body[name] === 'string' ? (body[name] as string) : '');
  if (response.status === 401) onLoggedOut();
  return new Problem(response.status, text('code'), text('detail') || response.statusText, body);
}

/** Sends a request; refuses an answer that is an error. */
export async function send(method: string, path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  const headers = new Headers(init.headers);
  if (!headers.has('accept')) headers.set('accept', 'application/json, application/problem+json');
  try {
    response = await fetch(base + path, { ...init, method, headers, credentials: 'same-origin' });
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    throw new Problem(0, 'unreachable', 'The server cannot be reached. Trying again may help.');
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await send('GET', path, { signal: signal ?? null })).json()) as T;
}

export async function ask<T>(method: string, path: string, body?: unknown): Promise<T> {
  const init: RequestInit = {};
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { 'content-type': 'application/json' };
  }
  const response = await send(method, path, init);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

/** A query of what is there; empty values are left out. */
export function query(values: Record<string, string | number | boolean | null | undefined>): string {
  const pairs = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== '');
  const text = new URLSearchParams(pairs.map(([name, value]) => [name, String(value)])).toString();
  return text === '' ? '' : `?${text}`;
}

export const dispatchPath = (id: string) => `/agent/dispatches/${encodeURIComponent(id)}`;
