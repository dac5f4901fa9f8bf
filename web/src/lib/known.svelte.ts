// What many screens want to know: who one is, what there is to choose from, what waits.

import { get, type Me, type Models, type Runners, type Session } from './api.ts';
import { permissions, proposals, type Permission, type Proposed } from './inbox.ts';

class Known {
  me = $state.raw<Me | null>(null);
  runners = $state.raw<Runners | null>(null);
  models = $state.raw<Models | null>(null);
  sessions = $state.raw<Session[] | null>(null);
  workspaces = $state.raw<Workspace[]>([]);
  /** The questions of agents that wait in the inbox. */
  permissions = $state.raw<Permission[]>([]);
  /** The proposals that wait there. */
  proposals = $state.raw<Proposed[]>([]);

  /** Whether this browser is logged in. Asked before anything else, so that no request fails. */
  async isIn(): Promise<boolean> {
    return (await get<{ logged_in: boolean }>('/auth/login')).logged_in;
  }

  async begin(): Promise<void> {
    const [me, runners, models] = await Promise.all([get<Me>('/auth/me'), get<Runners>('/agent/runners'), get<Models>('/agent/models')]);
    this.me = me;
    this.runners = runners;
    this.models = models;
    await Promise.all([this.refreshSessions(), this.refreshWorkspaces()]).catch(() => {});
  }

  get demo(): boolean { return this.models?.chat_model === 'remit-demo'; }

  /** How many things wait in the inbox. */
  get waiting(): number { return this.permissions.length + this.proposals.length; }

  async refreshWaiting(): Promise<void> {
    const [now, proposed] = await Promise.all([permissions(), proposals('open')]);
    // The same list as before is no change: what is shown keeps its place.
    if (JSON.stringify(now) !== JSON.stringify(this.permissions)) this.permissions = now;
    if (JSON.stringify(proposed) !== JSON.stringify(this.proposals)) this.proposals = proposed;
  }

  async refreshSessions(): Promise<void> {
    this.sessions = (await get<{ sessions: Session[] }>('/agent/sessions')).sessions;
  }

  async refreshWorkspaces(): Promise<void> {
    this.workspaces = (await get<{ workspaces: Workspace[] }>('/agent/workspaces')).workspaces;
  }
}

export interface Workspace {
  id: string; name: string; owner: string; role: 'owner' | 'contributor' | 'viewer'; active: boolean; purpose: string | null; created: string; head: string | null;
}

export const known = new Known();
