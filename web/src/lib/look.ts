// Light, dark, or as the system is. The one thing that this browser keeps for itself.

export type Look = 'auto' | 'light' | 'dark';

export function look(): Look {
  try {
    const kept = localStorage.getItem('remit.look');
    return kept === 'light' || kept === 'dark' ? kept : 'auto';
  } catch {
    return 'auto';
  }
}

export function setLook(next: Look): void {
  try {
    localStorage.setItem('remit.look', next);
  } catch {
    // A browser that keeps nothing shows it all the same.
  }
  keepLook(next);
}

export function keepLook(now: Look = look()): void {
  if (now === 'auto') delete document.documentElement.dataset['look'];
  else document.documentElement.dataset['look'] = now;
}
