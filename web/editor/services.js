// What the editor knows of a Dockerfile beyond the colours of its words: completion, what things mean, where names come
// from, renaming, formatting, folding. All of it is the insight module's knowledge; until that is there, and where it
// cannot be fetched, the editor does without.
import { autocompletion } from "@codemirror/autocomplete";
import { codeFolding, foldKeymap, foldService } from "@codemirror/language";
import { EditorSelection, StateEffect, StateField } from "@codemirror/state";
import { Decoration, EditorView, ViewPlugin, hoverTooltip, keymap, showTooltip } from "@codemirror/view";
import { call, isHere, load } from "../insight/insight.js";
import { Offsets } from "./offsets.js";
import { prose } from "./prose.js";

/** What was worked out of a text, by the text: the editor asks for the same again and again. */
const known = new WeakMap();

function about(doc) {
  if (!known.has(doc)) known.set(doc, { text: doc.toString(), offsets: null, answers: new Map() });
  const entry = known.get(doc);
  entry.offsets ??= new Offsets(entry.text);
  return entry;
}

/** Asks about a text; nothing where the module is not there. */
function ask(doc, name, ...more) {
  if (!isHere()) return null;
  return JSON.parse(call(name, about(doc).text, ...more) || "null");
}

/** The same, remembered with the text. */
function once(doc, name) {
  const { answers } = about(doc);
  if (!answers.has(name) && isHere()) answers.set(name, ask(doc, name));
  return answers.get(name) ?? [];
}

const place = (doc, span) => {
  const { offsets } = about(doc);
  return { from: offsets.unit(span.start), to: offsets.unit(span.end) };
};

const changes = (doc, edits) => edits.map(({ span, text }) => ({ ...place(doc, span), insert: text }));

// Completion

const TYPES = { keyword: "keyword", directive: "keyword", flag: "property", option: "property", stage: "class", image: "constant", variable: "variable" };

function completion(words) {
  const source = async (context) => {
    const { state, pos } = context;
    await load().catch(() => null);
    if (!isHere()) return null;
    const line = state.doc.lineAt(pos);
    // A word that was begun asks by itself; an empty place has to be asked for, but right behind a flag or a variable.
    const before = line.text.slice(0, pos - line.from);
    if (!context.explicit && !/[\w$./:-]$|[=,]$|^\s*$|--$|FROM\s$|\$\{$/i.test(before)) return null;
    if (!context.explicit && /^\s*$/.test(before)) return null;
    const { options, files, images } = words();
    const found = ask(state.doc, "complete", JSON.stringify(options ?? {}), about(state.doc).offsets.byte(pos), JSON.stringify({ files, images }));
    if (!found?.length) return null;
    const { from } = place(state.doc, found[0].edit.span);
    return {
      from,
      options: found.map(({ label, kind, detail, documentation, edit }) => ({
        label,
        detail,
        type: TYPES[kind] ?? "text",
        info: documentation ? () => prose(documentation) : undefined,
        apply: (view) => view.dispatch({ changes: changes(state.doc, [edit]).map((change) => ({ ...change, to: view.state.selection.main.head })), selection: { anchor: from + edit.text.length }, userEvent: "input.complete" }),
      })),
      validFor: /^[\w$./:=-]*$/,
    };
  };
  return autocompletion({ override: [source], icons: false, activateOnTyping: true });
}

// What things mean

const meaning = (words) =>
  hoverTooltip((view, pos) => {
    const { doc } = view.state;
    const said = ask(doc, "hover", JSON.stringify(words().options ?? {}), about(doc).offsets.byte(pos));
    if (!said) return null;
    const { from, to } = place(doc, said.span);
    return { pos: from, end: to, above: true, create: () => ({ dom: prose(said.markdown) }) };
  });

// Where names come from

function definitionAt(view, pos) {
  const { doc } = view.state;
  const span = ask(doc, "definition", about(doc).offsets.byte(pos));
  if (!span) return false;
  const { from, to } = place(doc, span);
  view.dispatch({ selection: EditorSelection.range(from, to), scrollIntoView: true, userEvent: "select" });
  return true;
}

const follow = EditorView.domEventHandlers({
  mousedown(event, view) {
    if (event.button !== 0 || !(event.ctrlKey || event.metaKey)) return false;
    const pos = view.posAtCoords(event);
    return pos !== null && definitionAt(view, pos);
  },
});

const sameName = Decoration.mark({ class: "same-name" });

/** The places that mean what the cursor is on. */
const occurrences = ViewPlugin.fromClass(
  class {
    constructor(view) {
      this.decorations = Decoration.none;
      this.draw(view);
    }
    update({ docChanged, selectionSet, view }) {
      if (docChanged || selectionSet) this.draw(view);
    }
    draw(view) {
      const { doc, selection } = view.state;
      const { head, empty } = selection.main;
      const spans = empty && doc.length < 60_000 ? ask(doc, "references", about(doc).offsets.byte(head)) ?? [] : [];
      const places = spans.map((span) => place(doc, span)).filter(({ from, to }) => to > from);
      this.decorations = places.length > 1 ? Decoration.set(places.map(({ from, to }) => sameName.range(from, to)), true) : Decoration.none;
    }
  },
  { decorations: (plugin) => plugin.decorations },
);

// Renaming

const setRename = StateEffect.define();

/** The field in which a new name is typed, at the old one. */
const renaming = StateField.define({
  create: () => null,
  update(value, transaction) {
    for (const effect of transaction.effects) if (effect.is(setRename)) return effect.value;
    return transaction.docChanged ? null : value;
  },
  provide: (field) => showTooltip.from(field, (at) => at && { pos: at.from, above: true, create: (view) => ({ dom: nameField(view, at), mount: () => nameFieldFocus(view) }) }),
});

const nameFieldFocus = (view) => {
  const input = view.dom.querySelector(".rename-field input");
  input?.focus();
  input?.select();
};

function nameField(view, { at, name }) {
  const form = document.createElement("form");
  form.className = "rename-field";
  const input = form.appendChild(document.createElement("input"));
  Object.assign(input, { value: name, spellcheck: false, autocomplete: "off" });
  input.setAttribute("aria-label", `New name of ${name}`);
  input.setAttribute("data-testid", "rename");
  const complaint = form.appendChild(document.createElement("p"));
  complaint.setAttribute("role", "alert");
  const close = () => {
    view.dispatch({ effects: setRename.of(null) });
    view.focus();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const { doc } = view.state;
    const { edits, error } = ask(doc, "rename", about(doc).offsets.byte(at), input.value.trim());
    if (error) {
      complaint.textContent = error;
      return;
    }
    view.dispatch({ changes: changes(doc, edits), effects: setRename.of(null), userEvent: "input.rename" });
    view.focus();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.preventDefault();
      close();
    }
  });
  return form;
}

function rename(view) {
  const { doc, selection } = view.state;
  const at = selection.main.head;
  const span = (ask(doc, "references", about(doc).offsets.byte(at)) ?? []).map((span) => place(doc, span)).find(({ from, to }) => from <= at && at <= to);
  if (!span) return false;
  view.dispatch({ effects: setRename.of({ at, from: span.from, name: doc.sliceString(span.from, span.to) }) });
  return true;
}

// Formatting and folding

function format(view) {
  const { doc } = view.state;
  const edits = ask(doc, "format");
  if (edits?.length) view.dispatch({ changes: changes(doc, edits), userEvent: "input.format" });
  return true;
}

const folding = foldService.of((state, from, to) => {
  const line = state.doc.lineAt(from).number;
  const range = once(state.doc, "folding").find((range) => range.lines.start === line);
  return range ? { from: to, to: place(state.doc, range.span).to } : null;
});

// Colours by what words mean rather than by how they look

const painted = new Map();
const paint = (kind) => {
  if (!painted.has(kind)) painted.set(kind, Decoration.mark({ class: `word-${kind}` }));
  return painted.get(kind);
};

/** Lines are painted by core's own reading of the file; a long file keeps the colours it has. */
const colours = ViewPlugin.fromClass(
  class {
    constructor(view) {
      this.draw(view);
    }
    update({ docChanged, view }) {
      // The module comes a little later than the first text.
      if (docChanged || this.drawn !== isHere()) this.draw(view);
    }
    draw(view) {
      this.drawn = isHere();
      const { doc } = view.state;
      const tokens = doc.length < 60_000 ? once(doc, "highlight") : [];
      const ranges = tokens.map(({ span, kind }) => ({ ...place(doc, span), kind })).filter(({ from, to }) => to > from);
      this.decorations = Decoration.set(ranges.map(({ from, to, kind }) => paint(kind).range(from, to)), true);
    }
  },
  { decorations: (plugin) => plugin.decorations },
);

/** For a Dockerfile. `words()` gives `{options, files, images}`: what the page knows beside the text. */
export function services(words) {
  return [
    completion(words),
    meaning(words),
    follow,
    occurrences,
    renaming,
    codeFolding(),
    folding,
    colours,
    keymap.of([
      { key: "F12", run: (view) => definitionAt(view, view.state.selection.main.head) },
      { key: "F2", run: rename },
      { key: "Shift-Alt-f", run: format },
      ...foldKeymap,
    ]),
  ];
}
