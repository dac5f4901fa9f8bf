// What waits for a person: questions of running agents, and proposals of those that may not write.

import { ask, dispatchPath, get, query } from './api.ts';
import type { FileDiff } from './diffs.ts';
import type { HeldReason, Launcher, PermissionOption } from './vocabulary.ts';

export interface Permission {
  dispatch: string; ask: string; call: string; tool: string; title: string; arguments: unknown; options: PermissionOption[];
  asked: string; expires: string; subject: string; launcher: Launcher; runner: string;
}

/** A proposal as the list tells it. */
export interface Proposed {
  id: string; workspace: string; workspace_name: string; state: 'open' | 'approved' | 'denied' | 'expired'; reason: HeldReason;
  dispatch: string | null; subject: string; launcher: Launcher; input_trust: string; title: string; paths: string[]; flags: string[];
  created: string; expires: string | null; decided: null | { by: string; at: string; reason?: string | null; commit?: string | null };
}

/** A proposal with what it changes, against the folder as it stands now. */
export interface Proposal extends Proposed {
  head: string; moved: boolean; conflicts: string[]; digest: string; refused: { path: string; reason: string }[]; files: FileDiff[];
}

/** What is taken of one file. */
export type Choice = { path: string } & ({ all: true } | { hunks: number[] } | { content: string });
/** What is taken of a proposal. The digest binds it to what was shown. */
export type Approval = { digest: string } & ({ all: true } | { files: Choice[] });

const proposalPath = (id: string) => `/agent/proposals/${encodeURIComponent(id)}`;

export const proposals = async (state: 'open' | 'all', limit = 100) => (await get<{ proposals: Proposed[] }>(`/agent/proposals${query({ state, limit })}`)).proposals;
export const proposal = (id: string) => get<Proposal>(proposalPath(id));
export const approve = (id: string, approval: Approval) => ask<{ commit: string | null }>('POST', `${proposalPath(id)}/approve`, approval);
export const deny = (id: string, reason: string) => ask('POST', `${proposalPath(id)}/deny`, reason === '' ? {} : { reason });

export const permissions = async () => (await get<{ permissions: Permission[] }>('/agent/permissions')).permissions;

/** Answers a question; without an option the agent may not. */
export const answer = (of: Permission, option: string | null) =>
  ask('POST', `${dispatchPath(of.dispatch)}/permissions/${encodeURIComponent(of.ask)}`, { option });

/** No two questions share it. */
export const keyOf = (of: Permission) => `${of.dispatch}/${of.ask}`;

/** The option that says yes once, and no more than that. */
export const yes = (of: Permission) => of.options.find((it) => it.kind === 'allow_once') ?? null;

/** The option that says no; where there is none, the empty answer does. */
export const no = (of: Permission) => of.options.find((it) => it.kind === 'reject_once') ?? null;

/** What else may be answered. */
export const others = (of: Permission) => of.options.filter((it) => it !== yes(of) && it !== no(of));
