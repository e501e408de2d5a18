// Colours of words. A mode (`dockerfile-mode.js`, `plain-modes.js`) reads a line from left to right and names what it
// finds; this remembers how each line begins and paints the lines in sight. CodeMirror's own languages could do it too,
// and bring a parser along that nothing here needs before somebody types.
import { RangeSetBuilder } from "@codemirror/state";
import { Decoration, ViewPlugin } from "@codemirror/view";

/** Longer lines are data rather than text: they stay in one colour. */
const LONGEST = 4000;

/** A line, read from left to right. */
class Reader {
  constructor(string) {
    this.string = string;
    this.pos = 0;
    this.start = 0;
  }
  sol() {
    return this.pos === 0;
  }
  eol() {
    return this.pos >= this.string.length;
  }
  next() {
    return this.eol() ? undefined : this.string.charAt(this.pos++);
  }
  eatWhile(pattern) {
    const from = this.pos;
    while (!this.eol() && pattern.test(this.string.charAt(this.pos))) this.pos++;
    return this.pos > from;
  }
  eatSpace() {
    return this.eatWhile(/\s/);
  }
  skipToEnd() {
    this.pos = this.string.length;
  }
  skipTo(text) {
    const found = this.string.indexOf(text, this.pos);
    if (found < 0) return false;
    this.pos = found;
    return true;
  }
  match(pattern) {
    if (typeof pattern === "string") {
      const here = this.string.startsWith(pattern, this.pos);
      if (here) this.pos += pattern.length;
      return here;
    }
    const found = this.string.slice(this.pos).match(pattern);
    if (!found || found.index > 0) return null;
    this.pos += found[0].length;
    return found;
  }
  current() {
    return this.string.slice(this.start, this.pos);
  }
}

const paints = new Map();

function paint(name) {
  if (!paints.has(name)) paints.set(name, Decoration.mark({ class: `word-${name}` }));
  return paints.get(name);
}

/** Reads a line on from `state` and answers how the next one begins; `found(from, to, name)` hears of each word. */
function read(mode, state, text, found) {
  const after = mode.copyState?.(state) ?? { ...state };
  if (text.length > LONGEST) return after;
  const reader = new Reader(text);
  while (!reader.eol()) {
    reader.start = reader.pos;
    const name = mode.token(reader, after);
    // A mode that takes nothing would keep the page waiting for ever.
    if (reader.pos === reader.start) reader.next();
    if (name) found?.(reader.start, reader.pos, name);
  }
  return after;
}

/** Paints a text as `mode` reads it. */
export function painter(mode) {
  class Painter {
    constructor(view) {
      /** How each line begins, as far as is known. */
      this.beginnings = [mode.startState()];
      this.draw(view);
    }
    update({ docChanged, viewportChanged, changes, startState, view }) {
      if (docChanged) {
        let first = startState.doc.length;
        changes.iterChangedRanges((from) => (first = Math.min(first, from)));
        this.beginnings.length = Math.min(this.beginnings.length, startState.doc.lineAt(first).number);
      }
      if (docChanged || viewportChanged) this.draw(view);
    }
    draw(view) {
      const { doc } = view.state;
      const words = new RangeSetBuilder();
      for (const range of view.visibleRanges) {
        const first = doc.lineAt(range.from).number;
        const last = doc.lineAt(range.to).number;
        for (let number = Math.min(first, this.beginnings.length); number <= last; number++) {
          const { from: start, text } = doc.line(number);
          const found = number >= first && ((from, to, name) => words.add(start + from, start + to, paint(name)));
          this.beginnings[number] = read(mode, this.beginnings[number - 1], text, found || undefined);
        }
      }
      this.decorations = words.finish();
    }
  }
  return ViewPlugin.fromClass(Painter, { decorations: (painter) => painter.decorations });
}
