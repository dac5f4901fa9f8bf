// What waits for a person: questions of running agents.

import { ask, dispatchPath, get } from './api.ts';
import type { Launcher, PermissionOption } from './vocabulary.ts';

export interface Permission {
  dispatch: string; ask: string; call: string; tool: string; title: string; arguments: unknown; options: PermissionOption[];
  asked: string; expires: string; subject: string; launcher: Launcher; runner: string;
}

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
