// What waits for a person: questions of running agents, and proposals of those that may not write.

import type { Approval, Approved, Denial, PermissionAnswer, ProposalInFull, Proposals, Question, Questions } from './api.gen.ts';
import { ask, dispatchPath, get, query } from './api.ts';

const proposalPath = (id: string) => `/agent/proposals/${encodeURIComponent(id)}`;

export const proposals = async (state: 'open' | 'all', limit = 100) => (await get<Proposals>(`/agent/proposals${query({ state, limit })}`)).proposals;
export const proposal = (id: string) => get<ProposalInFull>(proposalPath(id));
export const approve = (id: string, approval: Approval) => ask<Approved>('POST', `${proposalPath(id)}/approve`, approval);
export const deny = (id: string, reason: string) => ask('POST', `${proposalPath(id)}/deny`, (reason === '' ? {} : { reason }) satisfies Denial);

export const questions = async () => (await get<Questions>('/agent/permissions')).permissions;

/** Answers a question; without an option the agent may not. */
export const answer = (of: Question, option: string | null) =>
  ask('POST', `${dispatchPath(of.dispatch)}/permissions/${encodeURIComponent(of.ask)}`, { option } satisfies PermissionAnswer);

/** No two questions share it. */
export const keyOf = (of: Question) => `${of.dispatch}/${of.ask}`;

/** The option that says yes once, and no more than that. */
export const yes = (of: Question) => of.options.find((it) => it.kind === 'allow_once') ?? null;

/** The option that says no; where there is none, the empty answer does. */
export const no = (of: Question) => of.options.find((it) => it.kind === 'reject_once') ?? null;

/** What else may be answered. */
export const others = (of: Question) => of.options.filter((it) => it !== yes(of) && it !== no(of));
