// What a change looks like, as the server compares it.

export interface DiffLine { kind: ' ' | '+' | '-'; text: string; no_newline?: boolean }
export interface Hunk { index: number; old_start: number; old_lines: number; new_start: number; new_lines: number; lines: DiffLine[] }
export interface FileDiff {
  path: string; from?: string | null; status: 'added' | 'modified' | 'deleted' | 'renamed' | 'mode'; old_mode?: string | null; new_mode?: string | null;
  binary: boolean; too_large: boolean; flags: string[]; conflict: boolean; hunks: Hunk[];
}
