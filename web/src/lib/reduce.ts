// What a dispatch is, folded from what it said and did. Pure: the same entries always give the same
// state, so that the live page, the page after a refresh and every step of a replay show the same.

import type {
  Diff, End, Entry, Event, EventId, Failure, HeldReason, Label, Launcher, Mount, PermissionOption,
  PlanStep, Refusal, ToolKind, ToolStatus, TurnOutcome,
} from './api.gen.ts';

export type Phase = 'queued' | 'starting' | 'running' | 'idle' | 'ended';

export interface Words { kind: 'message' | 'thought'; key: string; at: number; item: string; text: string }
export interface ToolCall {
  kind: 'tool'; key: string; at: number; call: string; tool: string; title: string; does: ToolKind;
  arguments: unknown; locations: string[]; status: ToolStatus; result: string | null; diffs: Diff[];
  ended: number | null;
}
export interface Question {
  kind: 'question'; key: string; at: number; ask: string; call: string; title: string;
  options: PermissionOption[]; answer: { option: string | null; by: string; at: number } | null;
}
export interface Plan { kind: 'plan'; key: string; at: number; steps: PlanStep[] }
export interface Commit { kind: 'commit'; key: string; at: number; workspace: string; commit: string; changed: number; paths: string[] }
export interface Refused { kind: 'refused'; key: string; at: number; workspace: string; count: number; refusals: Refusal[] }
export interface Held { kind: 'held'; key: string; at: number; workspace: string; reason: HeldReason; paths: string[]; commit: string; proposal: string | null }
export interface Diagnostic { kind: 'diagnostic'; key: string; at: number; source: string; text: string }
export interface Adopted { kind: 'adopted'; key: string; at: number; sandbox: string }
export type Item = Words | ToolCall | Question | Plan | Commit | Refused | Held | Diagnostic | Adopted;

export interface Turn {
  id: string; number: number; prompt: string; accepted: number; started: number | null;
  ended: number | null; outcome: TurnOutcome | null; reply: string; items: readonly Item[];
}

export interface State {
  /** The last entry that was folded in; none before the first. */
  last: EventId | null;
  count: number;
  phase: Phase;
  accepted: { at: number; subject: string; launcher: Launcher; runner: string; session: string; mounts: Mount[]; label: Label } | null;
  queued: { at: number; ahead: number } | null;
  sandbox: { at: number; id: string; backend: string; startUs: number; isolates: boolean } | null;
  turns: readonly Turn[];
  usage: { input: number; output: number; requests: number; modelMs: number; model: string | null };
  commits: number;
  saved: number | null;
  ended: { at: number; end: End; failure: Failure | null } | null;
}

export const EMPTY: State = {
  last: null, count: 0, phase: 'queued', accepted: null, queued: null, sandbox: null, turns: [],
  usage: { input: 0, output: 0, requests: 0, modelMs: 0, model: null }, commits: 0, saved: null, ended: null,
};

/** Where an id stands: its number, which grows by one over the whole life of a stream. */
export function numberOf(id: EventId | null): number {
  return id === null ? 0 : Number(id.slice(id.indexOf('-') + 1));
}

/** The state after one more entry. One that was folded in before changes nothing. */
export function reduce(state: State, entry: Entry): State {
  if (numberOf(entry.id) <= numberOf(state.last)) return state;
  return after({ ...state, last: entry.id, count: state.count + 1 }, entry.id, entry.at, entry.event);
}

/** The state after these entries, from the beginning. */
export function fold(entries: Iterable<Entry>, from: State = EMPTY): State {
  let state = from;
  for (const entry of entries) state = reduce(state, entry);
  return state;
}

function after(state: State, key: string, at: number, event: Event): State {
  switch (event.type) {
    case 'accepted': {
      const { type: _, ...rest } = event;
      return { ...state, accepted: { at, ...rest } };
    }
    case 'queued':
      return { ...state, queued: { at, ahead: event.ahead } };
    case 'sandbox_started': {
      const { sandbox: id, backend, start_us: startUs, isolates } = event;
      return { ...state, phase: 'starting', sandbox: { at, id, backend, startUs, isolates } };
    }
    case 'sandbox_adopted':
      return add(state, { kind: 'adopted', key, at, sandbox: event.sandbox });
    case 'turn_accepted': {
      const turn: Turn = {
        id: event.turn, number: event.number, prompt: event.prompt, accepted: at, started: null,
        ended: null, outcome: null, reply: '', items: [],
      };
      const phase = state.phase === 'idle' ? 'running' : state.phase;
      return { ...state, phase, turns: [...state.turns, turn] };
    }
    case 'turn_started':
      return inTurn({ ...state, phase: 'running' }, event.turn, (turn) => ({ ...turn, started: at }));
    case 'message':
    case 'thought':
      return say(state, event.type, key, at, event.item, event.text);
    case 'tool_call':
      return add(state, {
        kind: 'tool', key, at, call: event.call, tool: event.tool, title: event.title,
        does: event.kind, arguments: event.arguments, locations: event.locations ?? [],
        status: 'in_progress', result: null, diffs: [], ended: null,
      });
    case 'tool_update':
      return patch(state, (item) => item.kind === 'tool' && item.call === event.call, (item) => {
        const over = event.status === 'completed' || event.status === 'failed';
        const tool = item as ToolCall;
        return {
          ...tool,
          tool: event.tool ?? tool.tool,
          title: event.title ?? tool.title,
          arguments: event.arguments ?? tool.arguments,
          status: event.status ?? tool.status,
          result: event.result ?? tool.result,
          diffs: event.diffs?.length ? event.diffs : tool.diffs,
          ended: over ? at : tool.ended,
        };
      });
    case 'plan': {
      const turn = state.turns.at(-1);
      const plan: Plan = { kind: 'plan', key, at, steps: event.steps };
      if (!turn?.items.some((item) => item.kind === 'plan')) return add(state, plan);
      return patch(state, (item) => item.kind === 'plan', (item) => ({ ...plan, key: item.key, at: item.at }));
    }
    case 'permission_asked':
      return add(state, {
        kind: 'question', key, at, ask: event.ask, call: event.call, title: event.title,
        options: event.options, answer: null,
      });
    case 'permission_answered':
      return patch(state, (item) => item.kind === 'question' && item.ask === event.ask, (item) => ({
        ...(item as Question), answer: { option: event.option ?? null, by: event.by, at },
      }));
    case 'usage': {
      const { input, output, requests, modelMs } = state.usage;
      return {
        ...state,
        usage: {
          input: input + event.input_tokens, output: output + event.output_tokens,
          requests: requests + 1, modelMs: modelMs + event.elapsed_ms, model: event.model,
        },
      };
    }
    // The gate's word on a call that the agent tells of itself: in the list of events, and nowhere twice.
    case 'brokered':
      return state;
    case 'commit': {
      const { workspace, commit, changed, paths } = event;
      const more = { ...state, commits: state.commits + 1 };
      return add(more, { kind: 'commit', key, at, workspace, commit, changed, paths });
    }
    case 'refused': {
      const { workspace, count, refusals } = event;
      return add(state, { kind: 'refused', key, at, workspace, count, refusals });
    }
    case 'held': {
      const { workspace, reason, paths, commit } = event;
      return add(state, { kind: 'held', key, at, workspace, reason, paths, commit, proposal: null });
    }
    case 'proposed': {
      const { workspace, proposal } = event;
      const waits = (item: Item) => item.kind === 'held' && item.workspace === workspace && item.proposal === null;
      return patch(state, waits, (item) => ({ ...(item as Held), proposal }));
    }
    case 'session_saved':
      return { ...state, saved: at };
    case 'diagnostic':
      return add(state, { kind: 'diagnostic', key, at, source: event.source, text: event.text });
    case 'turn_ended': {
      const { outcome, reply } = event;
      const idle: State = { ...state, phase: 'idle' };
      return inTurn(idle, event.turn, (turn) => ({ ...turn, ended: at, outcome, reply, items: settled(turn.items, at) }));
    }
    case 'ended': {
      const failure = event.failure ?? null;
      const turns = state.turns.map((turn) => (turn.ended === null ? { ...turn, ended: at, items: settled(turn.items, at) } : turn));
      return { ...state, phase: 'ended', turns, ended: { at, end: event.end, failure } };
    }
    default:
      // What a newer server says, an older page passes over.
      event satisfies never;
      return state;
  }
}

/** With the end of its turn, nothing is at work any more. */
function settled(items: readonly Item[], at: number): readonly Item[] {
  const open = (item: Item) => item.kind === 'tool' && item.ended === null;
  if (!items.some(open)) return items;
  return items.map((item) => (open(item) ? { ...(item as ToolCall), ended: at } : item));
}

function inTurn(state: State, id: string, change: (turn: Turn) => Turn): State {
  const at = state.turns.findLastIndex((turn) => turn.id === id);
  const turn = state.turns[at];
  return turn === undefined ? state : { ...state, turns: state.turns.with(at, change(turn)) };
}

function withItems(state: State, change: (items: readonly Item[]) => readonly Item[]): State {
  const turn = state.turns.at(-1);
  if (turn === undefined) return state;
  return { ...state, turns: state.turns.with(-1, { ...turn, items: change(turn.items) }) };
}

function add(state: State, item: Item): State {
  return withItems(state, (items) => [...items, item]);
}

function patch(state: State, which: (item: Item) => boolean, change: (item: Item) => Item): State {
  return withItems(state, (items) => {
    const at = items.findLastIndex(which);
    const item = items[at];
    return item === undefined ? items : items.with(at, change(item));
  });
}

function say(state: State, kind: Words['kind'], key: string, at: number, item: string, text: string): State {
  return withItems(state, (items) => {
    const place = items.findLastIndex((it) => it.kind === kind && it.item === item);
    const grown = items[place] as Words | undefined;
    if (grown === undefined) return [...items, { kind, key, at, item, text }];
    return items.with(place, { ...grown, text: grown.text + text });
  });
}
