// Markdown as tokens. Nothing here makes HTML: what an agent writes becomes data that components show.

import { marked, type Token, type Tokens } from 'marked';

export interface Wikilink { type: 'wikilink'; raw: string; target: string; label: string }
export interface Footnote { type: 'footnote'; raw: string; name: string }
export type Piece = Token | Wikilink | Footnote;

marked.use({
  gfm: true,
  extensions: [
    {
      name: 'wikilink',
      level: 'inline',
      start: (text: string) => text.indexOf('[['),
      tokenizer(text: string) {
        const found = /^\[\[([^[\]|\n]{1,300})(?:\|([^[\]\n]{1,300}))?\]\]/.exec(text);
        if (!found?.[1]) return undefined;
        const target = found[1].trim();
        return { type: 'wikilink', raw: found[0], target, label: (found[2] ?? target).trim() };
      },
    },
    {
      name: 'footnote',
      level: 'inline',
      start: (text: string) => text.indexOf('[^'),
      tokenizer(text: string) {
        const found = /^\[\^([\w-]{1,40})\](?!:)/.exec(text);
        return found?.[1] ? { type: 'footnote', raw: found[0], name: found[1] } : undefined;
      },
    },
  ],
});

export function lex(text: string): Token[] {
  return marked.lexer(text);
}

/** Splits `---` frontmatter off: its lines as pairs, and the rest. */
export function frontmatter(text: string): { pairs: [string, string][]; body: string } {
  const found = /^---\r?\n([\s\S]{0,20000}?)\r?\n---\r?\n?/.exec(text);
  if (!found) return { pairs: [], body: text };
  const pairs: [string, string][] = [];
  for (const line of (found[1] ?? '').split(/\r?\n/)) {
    const at = line.indexOf(':');
    if (at > 0 && !/^\s/.test(line)) pairs.push([line.slice(0, at).trim(), line.slice(at + 1).trim()]);
  }
  return { pairs, body: text.slice(found[0].length) };
}

/**
 * Lexes a text that only grows: what is surely over is not looked at again, so that a further word
 * costs as much as the last paragraph is long, not as the whole text is.
 */
export class Growing {
  #text = '';
  #done: Token[] = [];
  #doneLength = 0;
  #shown: Token[] = [];

  read(text: string): Token[] {
    if (!text.startsWith(this.#text)) {
      this.#done = [];
      this.#doneLength = 0;
    } else if (text.length === this.#text.length) {
      return this.#shown;
    }
    this.#text = text;
    // Line ends are normalised by the lexer, and then lengths are not those of the text.
    if (text.includes('\r')) return (this.#shown = lex(text));
    const tokens = lex(text.slice(this.#doneLength));
    // The last block may grow, and so may a list or a table that a blank line stands after.
    let keep = tokens.length - 1;
    while (keep > 0 && tokens[keep]?.type === 'space') keep -= 1;
    for (const token of tokens.slice(0, Math.max(0, keep))) {
      this.#done.push(token);
      this.#doneLength += token.raw.length;
    }
    this.#shown = [...this.#done, ...tokens.slice(Math.max(0, keep))];
    return this.#shown;
  }
}

/** Where a link may lead: the web and mail, in a new tab; nothing that runs. */
export function safeHref(href: string): string | null {
  return /^(https?:|mailto:)/i.test(href) ? href : null;
}

export type { Token, Tokens };
