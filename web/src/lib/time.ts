// Times for people, in their own zone and words.

const day = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const dayYear = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', year: 'numeric' });
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const counted = new Intl.NumberFormat();

/** Milliseconds since 1970 of a time as the API tells it. */
export function ms(time: string | number): number {
  return typeof time === 'number' ? time : Date.parse(time);
}

/** `14:05` today, `3 Nov` this year, else with the year. */
export function short(time: string | number, now = Date.now()): string {
  const at = new Date(ms(time));
  const today = new Date(now);
  if (at.toDateString() === today.toDateString()) return clock.format(at);
  return (at.getFullYear() === today.getFullYear() ? day : dayYear).format(at);
}

export function full(time: string | number): string {
  return exact.format(ms(time));
}

/** `just now`, `4 min ago`, `3 h ago`, then the date. */
export function ago(time: string | number, now = Date.now()): string {
  const seconds = Math.max(0, (now - ms(time)) / 1000);
  if (seconds < 45) return 'just now';
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  if (seconds < 86_400) return `${Math.round(seconds / 3600)} h ago`;
  return short(time, now);
}

/** `340 ms`, `2.4 s`, `1 min 20 s`. */
export function lasting(milliseconds: number): string {
  const time = Math.max(0, milliseconds);
  if (time < 10) return `${time.toFixed(1).replace(/\.0$/, '')} ms`;
  if (time < 1000) return `${Math.round(time)} ms`;
  if (time < 60_000) return `${(time / 1000).toFixed(1)} s`;
  const minutes = Math.floor(time / 60_000);
  if (minutes < 60) return `${minutes} min ${Math.floor((time % 60_000) / 1000)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function count(number: number): string {
  return counted.format(number);
}

/** `1.2k`, for tight places. */
export function brief(number: number): string {
  if (number < 1000) return String(number);
  if (number < 100_000) return `${(number / 1000).toFixed(1)}k`;
  return number < 1_000_000 ? `${Math.round(number / 1000)}k` : `${(number / 1_000_000).toFixed(1)}M`;
}

export function bytes(size: number): string {
  if (size < 1024) return `${size} B`;
  if (size < 1024 * 1024) return `${(size / 1024).toFixed(1)} KiB`;
  return `${(size / 1024 / 1024).toFixed(1)} MiB`;
}

/** Amounts of money are millionths of the currency that the server counts in. */
export function money(micros: number): string {
  return `$${(micros / 1_000_000).toFixed(micros < 10_000 ? 4 : 2)}`;
}
