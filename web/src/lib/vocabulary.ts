// The vocabulary of streams: model::Event of the server, word for word. A test on the server's side
// writes one sample of every event to `vocabulary.samples.ts`, which must fit these types.

/** `<epoch>-<n>`. */
export type EventId = string;

export interface Entry {
  id: EventId;
  /** Milliseconds since 1970. */
  at: number;
  event: Event;
}

export type Mode = 'ro' | 'rw' | 'propose';

export interface Mount {
  workspace: string;
  name: string;
  mode: Mode;
  base: string | null;
  purpose?: string;
}

export interface Label {
  integrity: string[];
  secrecy: string[];
}

export interface Launcher {
  kind: 'user' | 'schedule' | 'integration';
  id: string;
}

export interface Failure {
  code: string;
  message: string;
}

export type ToolKind =
  | 'read' | 'edit' | 'delete' | 'move' | 'search' | 'execute' | 'think' | 'fetch' | 'other';
export type ToolStatus = 'pending' | 'in_progress' | 'completed' | 'failed';

export interface Diff {
  path: string;
  old?: string;
  new: string;
}

export interface PlanStep {
  text: string;
  status: string;
}

export interface PermissionOption {
  option: string;
  name: string;
  kind: string;
}

export interface Refusal {
  path: string;
  reason: string;
}

export type HeldReason = 'conflict' | 'propose_only';
export type End =
  | 'completed' | 'stopped' | 'reaped' | 'failed' | 'out_of_memory' | 'start_failed' | 'max_lifetime';

export type TurnOutcome =
  | { kind: 'completed' }
  | { kind: 'stopped' }
  | { kind: 'failed'; failure: Failure };

export type Event =
  | { type: 'accepted'; subject: string; launcher: Launcher; runner: string; session: string; mounts: Mount[]; label: Label }
  | { type: 'queued'; ahead: number }
  | { type: 'sandbox_started'; sandbox: string; backend: string; start_us: number; isolates: boolean }
  | { type: 'sandbox_adopted'; sandbox: string }
  | { type: 'turn_accepted'; turn: string; number: number; prompt: string }
  | { type: 'turn_started'; turn: string }
  | { type: 'message'; item: string; text: string }
  | { type: 'thought'; item: string; text: string }
  | { type: 'tool_call'; call: string; tool: string; title: string; kind: ToolKind; arguments: unknown; locations?: string[] }
  | { type: 'tool_update'; call: string; tool?: string; status?: ToolStatus; title?: string; arguments?: unknown; result?: string; diffs?: Diff[] }
  | { type: 'plan'; steps: PlanStep[] }
  | { type: 'permission_asked'; ask: string; call: string; title: string; options: PermissionOption[] }
  | { type: 'permission_answered'; ask: string; option: string | null; by: string }
  | { type: 'usage'; model: string; input_tokens: number; output_tokens: number; elapsed_ms: number }
  | { type: 'commit'; workspace: string; commit: string; changed: number; paths: string[] }
  | { type: 'refused'; workspace: string; count: number; refusals: Refusal[] }
  | { type: 'held'; workspace: string; reference: string; commit: string; reason: HeldReason; paths: string[] }
  | { type: 'proposed'; proposal: string; workspace: string; reason: HeldReason; paths: string[] }
  | { type: 'session_saved'; session: string; commit: string }
  | { type: 'diagnostic'; source: string; text: string }
  | { type: 'turn_ended'; turn: string; outcome: TurnOutcome; reply: string }
  | { type: 'ended'; end: End; failure?: Failure };
