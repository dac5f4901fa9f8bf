// What of a proposal lands, as it was chosen: whole files, parts of them, or a person's own text.

import type { Approval, FileApproval, FileDiff, HunkDiff } from './api.gen.ts';

/** By path, the numbers of the parts that are taken. A file without parts is part -1. */
export type Chosen = ReadonlyMap<string, ReadonlySet<number>>;
/** By path, what a person wrote instead of what was proposed. */
export type Texts = ReadonlyMap<string, string>;

export interface Landing { path: string; how: 'whole' | 'parts' | 'own'; parts: number; of: number }

export const partsOf = (file: FileDiff): number[] => (file.hunks.length === 0 ? [-1] : file.hunks.map((it) => it.index));

const LINK_MODES = ['120000', '160000'];

/** Whether its text may be replaced: it is one, it is here, and it stays. */
export function canBeEdited(file: FileDiff): boolean {
  const linked = [file.old_mode, file.new_mode].some((mode) => LINK_MODES.includes(mode ?? ''));
  return !file.binary && !file.too_large && file.status !== 'deleted' && file.hunks.length > 0 && !linked;
}

/** How each file lands, in order; what is not here stays out. */
export function landings(files: FileDiff[], chosen: Chosen, texts: Texts): Landing[] {
  return files.flatMap((file): Landing[] => {
    const all = partsOf(file);
    const parts = all.filter((it) => chosen.get(file.path)?.has(it)).length;
    if (parts === 0) return [];
    const how = texts.has(file.path) ? 'own' : parts === all.length ? 'whole' : 'parts';
    return [{ path: file.path, how, parts, of: all.length }];
  });
}

/** The approval of exactly that. */
export function approval(digest: string, files: FileDiff[], chosen: Chosen, texts: Texts): Approval {
  const lands = landings(files, chosen, texts);
  if (lands.length === files.length && lands.every((it) => it.how === 'whole') && !files.some((it) => it.conflict)) return { digest, all: true };
  return { digest, files: lands.map((it) => choice(it, chosen, texts)) };
}

function choice({ path, how }: Landing, chosen: Chosen, texts: Texts): FileApproval {
  if (how === 'own') return { path, content: texts.get(path) ?? '' };
  if (how === 'whole') return { path, all: true };
  return { path, hunks: [...(chosen.get(path) ?? [])].toSorted((a, b) => a - b) };
}

/** The text before with these parts of its change done to it. */
export function patched(before: string, hunks: HunkDiff[], taken: (hunk: number) => boolean): string {
  const old = before.split(/(?<=\n)/);
  const text: string[] = [];
  let at = 0;
  for (const hunk of hunks.filter((it) => taken(it.index))) {
    const start = hunk.old_start - (hunk.old_lines > 0 ? 1 : 0);
    text.push(...old.slice(at, start));
    for (const line of hunk.lines) if (line.kind !== '-') text.push(line.no_newline ? line.text : `${line.text}\n`);
    at = start + hunk.old_lines;
  }
  return text.concat(old.slice(at)).join('');
}

/** A field knows one end of a line; a text keeps those that it came with. */
export function endedLike(text: string, like: string): string {
  const windows = like.includes('\r\n') && !/(^|[^\r])\n/.test(like);
  return windows ? text.replaceAll(/\r?\n/g, '\r\n') : text;
}
