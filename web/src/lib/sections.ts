// The sections of the workbench, for the rail, the palette and the keyboard alike.

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
