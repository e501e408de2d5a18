// The one door between the page and CodeMirror. The page speaks of files, lines and UTF-16 offsets; nothing of
// CodeMirror's own types crosses over.
import { Compartment, EditorState } from "@codemirror/state";
import { EditorView, drawSelection, highlightActiveLineGutter, highlightSpecialChars, keymap, lineNumbers } from "@codemirror/view";
import { dockerfile } from "./dockerfile-mode.js";
import { look } from "./look.js";
import { marks, setMarks } from "./marks.js";
import { painter } from "./painter.js";
import { modeFor } from "./plain-modes.js";

/** Where the extras go once they are there, and what makes them. */
const later = new Compartment();
/** Where findings are shown once there are any. */
const findings = new Compartment();
let extras = null;
const NOTHING = [];

export class Editor {
  /**
   * `onChange(text)` after every edit by a person, `onLine(line)` when the cursor comes to another line.
   */
  constructor(parent, onChange, onLine) {
    this.onChange = onChange;
    this.onLine = onLine;
    this.path = null;
    this.states = new Map();
    this.words = {};
    this.hadFindings = false;
    this.line = 0;
    this.quiet = false;
    this.view = new EditorView({ parent, state: EditorState.create() });
    // A hand that comes near is about to use it; the keyboard comes by focus alone.
    for (const sign of ["pointerenter", "focusin"]) parent.addEventListener(sign, () => this.fetchExtras(), { once: true });
  }

  /** Without a connection the editor does without them, and tries again when it is used again. */
  async fetchExtras() {
    const loaded = extras ? null : await import("./extras.js").catch(() => null);
    extras ??= loaded?.extras;
    this.useExtras();
    // What the services know arrives a little later: the text is looked at again then.
    await loaded?.knowledge();
    if (loaded) this.view.dispatch({});
  }

  useExtras() {
    if (extras && later.get(this.view.state) === NOTHING) {
      const added = extras({ isDockerfile: this.kind === "dockerfile", path: this.path, words: () => this.words });
      this.view.dispatch({ effects: later.reconfigure(added) });
    }
  }

  /** Shows a file. One that was shown before comes back with its cursor and its undo history, unless `fresh`. */
  show(path, text, kind, fresh) {
    if (this.path !== null) this.states.set(this.path, this.view.state);
    const kept = this.states.get(path);
    this.path = path;
    this.kind = kind;
    const state = kept && !fresh && kept.doc.toString() === text ? kept : this.create(text, kind);
    this.states.set(path, state);
    this.quiet = true;
    this.view.setState(state);
    this.quiet = false;
    this.useExtras();
    this.tellLine(true);
  }

  /** Forgets the history of files; called when another example takes their place. */
  forget() {
    this.states.clear();
    this.path = null;
  }

  /** Underlines findings: `[{from, to, severity, message, hint}]` in UTF-16 offsets. What shows them comes with the first. */
  async setFindings(json) {
    this.findings = JSON.parse(json);
    if (!this.findings.length && !this.hadFindings) return;
    this.hadFindings = true;
    const shown = await import("./findings.js").catch(() => null);
    // Others may have come meanwhile; they are shown then.
    shown?.show(this.view, findings, this.findings);
  }

  /** Marks lines: `{rails: [{from, to, colour}], notes: [{line, text, kind}], lit: {from, to, colour}?, failed: [{from, to}]}`. */
  setMarks(json) {
    this.view.dispatch({ effects: setMarks(JSON.parse(json)) });
  }

  /** What the page knows beside the text: `{options, files, images}`. */
  setWords(json) {
    this.words = JSON.parse(json);
  }

  /** Makes changes, `[{from, to, insert}]`, as one step of the history: the extras bring that along. */
  async replace(json) {
    const { doc } = this.view.state;
    await this.fetchExtras();
    if (this.view.state.doc === doc) this.view.dispatch({ changes: JSON.parse(json), userEvent: "input.fix" });
  }

  /** Puts the cursor into a line and brings it into view; `focus` takes the keyboard along. */
  reveal(line, focus) {
    const place = this.view.state.doc.line(Math.max(1, Math.min(line, this.view.state.doc.lines)));
    const here = this.view.state.doc.lineAt(this.view.state.selection.main.head);
    const selection = here.number === place.number ? undefined : { anchor: place.to };
    this.view.dispatch({ selection, effects: EditorView.scrollIntoView(place.from, { y: "nearest", yMargin: 44 }) });
    if (focus) this.view.focus();
  }

  /** Takes the editor off the page. */
  destroy() {
    this.view.destroy();
  }

  create(text, kind) {
    const mode = kind === "dockerfile" ? dockerfile : modeFor(this.path);
    return EditorState.create({
      doc: text,
      extensions: [
        findings.of(NOTHING),
        lineNumbers(),
        marks,
        mode ? [painter(mode), EditorState.languageData.of(() => [{ commentTokens: { line: mode.comment } }])] : [],
        highlightActiveLineGutter(),
        highlightSpecialChars(),
        drawSelection(),
        // The page has its own use for this chord; CodeMirror's keys, which come later, would insert a line.
        keymap.of([{ key: "Mod-Enter", run: () => true }]),
        later.of(NOTHING),
        EditorState.tabSize.of(4),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ "aria-label": `Contents of ${this.path}`, spellcheck: "false", autocorrect: "off", autocapitalize: "off" }),
        EditorState.readOnly.of(kind === "binary"),
        look,
        EditorView.updateListener.of((update) => {
          if (this.quiet) return;
          if (update.docChanged) this.onChange(update.state.doc.toString());
          if (update.docChanged || update.selectionSet) this.tellLine(false);
        }),
      ],
    });
  }

  tellLine(always) {
    const line = this.view.state.doc.lineAt(this.view.state.selection.main.head).number;
    if (always || line !== this.line) this.onLine(line);
    this.line = line;
  }
}
