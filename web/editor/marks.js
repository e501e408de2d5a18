// What the planner and a build have to say about lines: the stage's rail beside them, a note at their right end,
// the step that is lit, the step that failed. All of it arrives as one value and replaces what was there.
import { RangeSet, RangeSetBuilder, StateEffect, StateField } from "@codemirror/state";
import { Decoration, EditorView, GutterMarker, WidgetType, gutter } from "@codemirror/view";

class Rail extends GutterMarker {
  constructor(colour) {
    super();
    this.elementClass = `rail stage-colour-${colour}`;
  }
  eq(other) {
    return other.elementClass === this.elementClass;
  }
}

class Note extends WidgetType {
  constructor(text, kind) {
    super();
    this.text = text;
    this.kind = kind;
  }
  eq(other) {
    return other.text === this.text && other.kind === this.kind;
  }
  toDOM() {
    const note = document.createElement("span");
    note.className = `line-note line-note-${this.kind}`;
    note.textContent = this.text;
    note.setAttribute("aria-hidden", "true");
    return note;
  }
  ignoreEvent() {
    return true;
  }
}

const replaceMarks = StateEffect.define();
const NOTHING = { rails: RangeSet.empty, lines: RangeSet.empty };

/** `marks` speaks of lines from 1; a line that is no longer there is left out. */
function draw(doc, marks) {
  const rails = new RangeSetBuilder();
  for (const { from, to, colour } of marks.rails) {
    const rail = new Rail(colour);
    for (let line = from; line <= to && line <= doc.lines; line++) {
      const at = doc.line(line).from;
      rails.add(at, at, rail);
    }
  }
  const lines = [];
  const paint = (range, name) => {
    for (let line = range.from; line <= range.to && line <= doc.lines; line++) {
      lines.push(Decoration.line({ class: name }).range(doc.line(line).from));
    }
  };
  if (marks.lit) paint(marks.lit, `lit-line stage-colour-${marks.lit.colour}`);
  for (const failed of marks.failed) paint(failed, "failed-line");
  for (const { line, text, kind } of marks.notes) {
    if (line > doc.lines) continue;
    const place = doc.line(line);
    lines.push(Decoration.line({ class: "noted-line" }).range(place.from));
    lines.push(Decoration.widget({ widget: new Note(text, kind), side: 1 }).range(place.to));
  }
  return { rails: rails.finish(), lines: Decoration.set(lines, true) };
}

const field = StateField.define({
  create: () => NOTHING,
  update(value, transaction) {
    for (const effect of transaction.effects) {
      if (effect.is(replaceMarks)) return draw(transaction.state.doc, effect.value);
    }
    if (!transaction.docChanged) return value;
    return { rails: value.rails.map(transaction.changes), lines: value.lines.map(transaction.changes) };
  },
  provide: (self) => EditorView.decorations.from(self, (value) => value.lines),
});

export const marks = [
  field,
  gutter({ class: "rails", markers: (view) => view.state.field(field).rails }),
];

export const setMarks = (value) => replaceMarks.of(value);
