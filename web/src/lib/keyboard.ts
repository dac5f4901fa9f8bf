// Keys that mean something, where nobody writes.

export type Bindings = Record<string, (event: KeyboardEvent) => void>;

/** How the key for commands is called where this page is looked at. */
export const paletteKey = /Mac|iPhone|iPad/.test(navigator.platform) ? '⌘K' : 'Ctrl K';

const layers: Bindings[] = [];

/** Adds keys until what is returned is called; what was added last is asked first. */
export function bind(bindings: Bindings): () => void {
  layers.push(bindings);
  return () => {
    const at = layers.indexOf(bindings);
    if (at >= 0) layers.splice(at, 1);
  };
}

let begun: string | null = null;
let timer: ReturnType<typeof setTimeout> | undefined;

function writes(target: EventTarget | null): boolean {
  const element = target as HTMLElement | null;
  return !!element?.closest?.('input:not([type=checkbox]):not([type=range]), textarea, select, [contenteditable=true]');
}

export function listenToKeys(): () => void {
  const pressed = (event: KeyboardEvent) => {
    if (event.defaultPrevented || event.isComposing) return;
    const command = event.metaKey || event.ctrlKey;
    if (command && event.key.toLowerCase() === 'k') {
      obey('mod+k', event);
      return;
    }
    if (command || event.altKey || writes(event.target) || document.querySelector('[role=dialog],[role=alertdialog]')) return;
    if (begun !== null) {
      const both = `${begun} ${event.key}`;
      begun = null;
      if (obey(both, event)) return;
    }
    if (event.key === 'g') {
      begun = 'g';
      clearTimeout(timer);
      timer = setTimeout(() => (begun = null), 1200);
      return;
    }
    obey(event.key.length === 1 ? event.key.toLowerCase() : event.key, event);
  };
  addEventListener('keydown', pressed as (event: KeyboardEvent) => void);
  return () => removeEventListener('keydown', pressed as (event: KeyboardEvent) => void);
}

function obey(key: string, event: KeyboardEvent): boolean {
  const layer = layers.findLast((bindings) => key in bindings);
  if (layer === undefined) return false;
  event.preventDefault();
  layer[key]?.(event);
  return true;
}
