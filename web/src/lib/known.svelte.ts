// What many screens want to know: who one is, what there is to choose from, what waits.

import type { Endpoints, IsIn, Launcher, Me, Models, Proposal, Question, Runners, Session, Sessions, ToolServer, ToolServers, Workspace, Workspaces } from './api.gen.ts';
import { get } from './api.ts';
import { proposals, questions } from './inbox.ts';
import { words } from './words.ts';

/** The model that answers where the operator has named none. */
export const DEMO = 'remit-demo';

class Known {
  me = $state.raw<Me | null>(null);
  runners = $state.raw<Runners | null>(null);
  models = $state.raw<Models | null>(null);
  /** The model endpoints that one brings. */
  endpoints = $state.raw<Endpoints | null>(null);
  /** The servers of tools that conversations may be given. */
  tools = $state.raw<ToolServer[]>([]);
  sessions = $state.raw<Session[] | null>(null);
  workspaces = $state.raw<Workspace[]>([]);
  /** The questions of agents that wait in the inbox. */
  questions = $state.raw<Question[]>([]);
  /** The proposals that wait there. */
  proposals = $state.raw<Proposal[]>([]);

  /** Whether this browser is logged in. Asked before anything else, so that no request fails. */
  async isIn(): Promise<boolean> {
    return (await get<IsIn>('/auth/login')).logged_in;
  }

  async begin(): Promise<void> {
    const [me, runners, models] = await Promise.all([get<Me>('/auth/me'), get<Runners>('/agent/runners'), get<Models>('/agent/models')]);
    this.me = me;
    this.runners = runners;
    this.models = models;
    await Promise.all([this.refreshSessions(), this.refreshWorkspaces(), this.refreshEndpoints(), this.refreshTools()]).catch(() => {});
  }

  /** A person, as this one calls them. */
  person(user: string): string { return user === this.me?.user_id ? words.app.you : user; }

  /** What started something, as this one calls it. */
  launcher({ kind, id }: Launcher): string { return kind === 'user' ? this.person(id) : `${kind} ${id}`; }

  get demo(): boolean { return this.models?.chat_model === DEMO; }

  /** How many things wait in the inbox. */
  get waiting(): number { return this.questions.length + this.proposals.length; }

  async refreshWaiting(): Promise<void> {
    const [now, proposed] = await Promise.all([questions(), proposals('open')]);
    // The same list as before is no change: what is shown keeps its place.
    if (JSON.stringify(now) !== JSON.stringify(this.questions)) this.questions = now;
    if (JSON.stringify(proposed) !== JSON.stringify(this.proposals)) this.proposals = proposed;
  }

  async refreshSessions(): Promise<void> {
    this.sessions = (await get<Sessions>('/agent/sessions')).sessions;
  }

  async refreshEndpoints(): Promise<void> {
    this.endpoints = await get<Endpoints>('/auth/endpoints');
  }

  async refreshTools(): Promise<void> {
    this.tools = (await get<ToolServers>('/agent/tools')).servers.filter((it) => it.tools.length > 0);
  }

  async refreshWorkspaces(): Promise<void> {
    this.workspaces = (await get<Workspaces>('/agent/workspaces')).workspaces;
  }
}

export const known = new Known();
