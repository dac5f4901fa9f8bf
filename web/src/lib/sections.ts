// The sections of the workbench, for the rail, the palette and the keyboard alike, and which addresses are pages.

import type { IconName } from '../ui/Icon.svelte';
import { words } from './words.ts';

export interface Section { name: keyof typeof words.sections; icon: IconName; key: string; goes: string }

export const sections: Section[] = [
  { name: 'chat', icon: 'chat', key: 'c', goes: words.keyboard.goChat },
  { name: 'dispatches', icon: 'list', key: 'd', goes: words.keyboard.goDispatches },
  { name: 'inbox', icon: 'inbox', key: 'i', goes: words.keyboard.goInbox },
  { name: 'workspace', icon: 'folder', key: 'w', goes: words.keyboard.goWorkspace },
  { name: 'keys', icon: 'key', key: 'k', goes: words.keyboard.goKeys },
];

/** What is shown of a workspace. */
export const workspaceViews = ['files', 'history', 'graph', 'members'] as const;

/** Whether there is a page at this address. Whether there is what it is about, the page finds out. */
export function exists(parts: string[]): boolean {
  const [section = '', , view = 'files'] = parts;
  switch (section) {
    case '': return true;
    case 'login': case 'keys': return parts.length === 1;
    case 'chat': case 'dispatches': case 'inbox': return parts.length <= 2;
    case 'workspace': return view === 'files' || (view === 'history' && parts.length <= 4) || ((view === 'graph' || view === 'members') && parts.length <= 3);
    default: return false;
  }
}
