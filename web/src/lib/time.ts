// Times for people, in their own zone and words.

const day = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const dayYear = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', year: 'numeric' });
const clock = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });
const clockExact = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit', second: '2-digit' });
const counted = new Intl.NumberFormat();

/** Milliseconds since 1970 of a time as the API tells it. */
export function ms(time: string | number): number {
  return typeof time === 'number' ? time : Date.parse(time);
}

/** `14:05` today, `3 Nov` this year, else with the year. */
export function short(time: string | number, now = Date.now()): string {
  const at = new Date(ms(time));
  const today = new Date(now);
  if (dayOf(at) === dayOf(today)) return clock.format(at);
  return dated(at, at.getFullYear() === today.getFullYear() ? day : dayYear);
}

/** No two days of the calendar have the same. */
const dayOf = (at: Date) => (at.getFullYear() * 12 + at.getMonth()) * 31 + at.getDate();

const DAYS_MAX = 1000;
const days = new Map<string, string>();

/** Lists name the same few days many times, and to name one takes long. */
function dated(at: Date, as: Intl.DateTimeFormat): string {
  const key = `${dayOf(at)}${as === day}`;
  let text = days.get(key);
  if (text === undefined) {
    if (days.size >= DAYS_MAX) days.clear();
    days.set(key, text = as.format(at));
  }
  return text;
}

export function full(time: string | number): string {
  const at = new Date(ms(time));
  return `${dated(at, dayYear)}, ${clockExact.format(at)}`;
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
