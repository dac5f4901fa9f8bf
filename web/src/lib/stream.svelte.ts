// One dispatch as it is shown: its state, folded from its stream, told to the page once a frame.

import type { Entry } from './api.gen.ts';
import type { Problem } from './api.ts';
import { follow, type Link } from './follow.ts';
import { EMPTY, fold, reduce, type State } from './reduce.ts';

/** Where the entries are kept, the state is kept after every so many of them, so that any earlier one is near. */
const MARK = 100;

export class Stream {
  readonly id: string;
  #state: State = EMPTY;
  #shown = $state.raw<State>(EMPTY);
  #link = $state<Link>('connecting');
  #problem = $state.raw<Problem | null>(null);
  #entries: Entry[] | null;
  #marks: State[] = [EMPTY];
  #length = $state(0);
  #frame = 0;
  #stop: (() => void) | null = null;

  /** `keep`: the entries themselves are wanted, too, for replay and raw view. */
  constructor(id: string, keep: 'state' | 'entries' = 'state') {
    this.id = id;
    this.#entries = keep === 'entries' ? [] : null;
  }

  get state(): State { return this.#shown; }
  get link(): Link { return this.#link; }
  get problem(): Problem | null { return this.#problem; }
  /** The entries so far, if they are kept. Reading it follows its growth. */
  get entries(): readonly Entry[] { void this.#length; return this.#entries ?? []; }
  /** How many of them are shown. */
  get length(): number { return this.#length; }

  /** The state after the first so many entries, which are kept. */
  at(count: number): State {
    if (count >= this.#length) return this.#shown;
    const mark = Math.floor(count / MARK);
    return fold((this.#entries ?? []).slice(mark * MARK, count), this.#marks[mark]);
  }

  start(): this {
    this.#stop ??= follow(this.id, this.#state.last, {
      entries: (entries) => this.take(entries),
      link: (link, problem) => {
        this.#link = link;
        this.#problem = problem ?? null;
      },
    });
    return this;
  }

  stop(): void {
    this.#stop?.();
    this.#stop = null;
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#show();
  }

  take(entries: Entry[]): void {
    for (const entry of entries) {
      this.#state = reduce(this.#state, entry);
      if (this.#entries && this.#entries.push(entry) % MARK === 0) this.#marks.push(this.#state);
    }
    // A page in the background draws no frames; what it shows then is of no interest to anybody.
    this.#frame ||= requestAnimationFrame(() => this.#show());
  }

  /** Takes entries and shows them at once. */
  now(entries: Entry[]): this {
    this.take(entries);
    this.#show();
    return this;
  }

  #show(): void {
    this.#frame = 0;
    this.#shown = this.#state;
    this.#length = this.#entries?.length ?? 0;
  }
}
