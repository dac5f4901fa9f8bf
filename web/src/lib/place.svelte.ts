// The address is the state: what is shown, and which part of it.

/** Under which path the workbench is reached: empty, or `/…` without a slash at its end. */
const self = import.meta.url;
export const base = new URL('..', self).pathname.replace(/\/$/, '');

export interface Place {
  /** The parts of the path under the base, decoded. */
  parts: string[];
  query: URLSearchParams;
  hash: string;
}

/** The browser is told of another query when there was none for so long: to tell takes it long, and it allows few. */
const TELL_MS = 120;

/** Path and query of what is shown; the browser's own follows. */
let address = location.pathname + location.search;
let telling: ReturnType<typeof setTimeout> | undefined;

function read(): Place {
  const { pathname, searchParams: query } = new URL(address, location.origin);
  const parts = pathname.slice(base.length).split('/').filter((part) => part !== '').map(decode);
  return { parts, query, hash: location.hash.slice(1) };
}

/** Brings the browser's address up to date. */
function tell(): void {
  if (telling === undefined) return;
  clearTimeout(telling);
  telling = undefined;
  history.replaceState(null, '', address);
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

let place = $state.raw(read());

export function here(): Place {
  return place;
}

/** The address of a place, for links. */
export function href(path: string, query: Record<string, string | null | undefined> = {}): string {
  const pairs = Object.entries(query).filter((pair): pair is [string, string] => !!pair[1]);
  const text = new URLSearchParams(pairs).toString();
  return `${base}${path}${text === '' ? '' : `?${text}`}`;
}

export function segments(...parts: string[]): string {
  return parts.map((part) => `/${part.split('/').map(encodeURIComponent).join('/')}`).join('');
}

/** Goes to an address that `href` made. */
export function go(to: string, how: 'push' | 'replace' = 'push'): void {
  if (to === address) return;
  tell();
  if (how === 'push') history.pushState(null, '', to);
  else history.replaceState(null, '', to);
  address = to;
  place = read();
}

/** Changes parts of the query and stays where one is. */
export function setQuery(changes: Record<string, string | null>): void {
  const { pathname, searchParams: query } = new URL(address, location.origin);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === '') query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  address = pathname + (text === '' ? '' : `?${text}`);
  place = read();
  clearTimeout(telling);
  telling = setTimeout(tell, TELL_MS);
}

/** Follows links and the browser's buttons. */
export function listen(): () => void {
  const moved = () => {
    clearTimeout(telling);
    telling = undefined;
    address = location.pathname + location.search;
    place = read();
  };
  const clicked = (event: MouseEvent) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest?.('a');
    if (!link?.href || link.target !== '' || link.hasAttribute('download')) return;
    const to = new URL(link.href);
    if (to.origin !== location.origin || !to.pathname.startsWith(`${base}/`)) return;
    if (to.hash !== '' && to.pathname === location.pathname) return;
    event.preventDefault();
    go(to.pathname + to.search);
  };
  addEventListener('popstate', moved);
  addEventListener('pagehide', tell);
  document.addEventListener('click', clicked);
  return () => {
    removeEventListener('popstate', moved);
    removeEventListener('pagehide', tell);
    document.removeEventListener('click', clicked);
  };
}
