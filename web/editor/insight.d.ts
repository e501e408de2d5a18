/**
 * The bridge between the page and the insight module.
 *
 * The module is WebAssembly of its own (package `stagewright-insight`, folder `web/insight`), served as
 * `insight/stagewright_insight.js`. The page fetches it when it is first used, never before, so everything here is
 * asynchronous from the page's point of view; once it is there its functions are called directly.
 *
 * Rules that hold for all of it:
 * - Whatever crosses is a string, a number, or JSON in a string. No object lives on both sides.
 * - Offsets are UTF-16 code units of the text that crossed in the same call (or in the last `update`).
 * - No function throws. JSON that cannot be read is treated as if nothing had been said.
 * - Colours are the page's CSS variables (`static/styles/tokens.css`); the module brings no style sheet of its own.
 */

// ---- What the module exports --------------------------------------------------------------------------------

/** Loads the module: `await init({ module_or_path: url })`, as wasm-bindgen's `--target web` writes it. */
export default function init(from: { module_or_path: string | URL }): Promise<unknown>;

/**
 * Puts the views into `element`, which is empty and stays on the page; called once. Nothing is drawn before the first
 * `update`, nor while `State.view` is `null`.
 */
export function mount(element: Element, host: Host): void;

/** The page changed: JSON of `State`. It is called only while a view is shown, and once with `view: null` when it is left. */
export function update(state: string): void;

/** What lint has to say: JSON of `Finding[]`, in the order of the source; `options` is JSON of `Options`. */
export function lint(source: string, options: string): string;

/** The one Dockerfile that does what several and a script do: JSON of `Joined`; `files` is JSON of `TextFile[]`. */
export function join(files: string): string;

// The editing service (`complete`, `hover`, `definition`, ...) is exported by the same module, from core's feature `insight`.

// ---- What the page offers -----------------------------------------------------------------------------------

/** Callbacks of the page. All may be called at any time, and return at once. */
export interface Host {
  /** Selects a range of the planned Dockerfile in the editor and brings it into view. */
  select(start: number, end: number): void;
  /** Changes the planned Dockerfile, as one step of the editor's history: JSON of `Edit[]`, not overlapping, any order. */
  replace(edits: string): void;
  /** Puts another text in the place of the whole planned Dockerfile, as one step of the editor's history. */
  replaceSource(text: string): void;
  /** Chooses the stage to build; an empty name stands for the last one. */
  setTarget(name: string): void;
  /** Shows a file of the workspace in the editor. */
  openFile(path: string): void;
  /** Asks for a file of the computer, a rawjson log; it arrives as `State.trace`. */
  openTrace(): void;
}

// ---- What crosses -------------------------------------------------------------------------------------------

/** All a view may need. */
export interface State {
  /** The view that is shown; `null` for none of the module's. */
  view: "problems" | "whatif" | "timeline" | "image" | "context" | null;
  /** Whether the page is too narrow for panes side by side (a phone). */
  narrow: boolean;
  /** Whether the page has dark colours. CSS variables follow by themselves; this is for what cannot use them. */
  dark: boolean;
  /** The Dockerfile that is planned. */
  path: string;
  /** Its text. */
  source: string;
  /** What else decides the plan. */
  options: Options;
  /** The files of the build context before .dockerignore, sorted by path. */
  files: { path: string; size: number }[];
  /** The .dockerignore that holds for this Dockerfile; `null` where there is none. */
  ignore: TextFile | null;
  /** What is laid over the plan: the page's last build, or a log that was opened. `null` for neither. */
  trace: Trace | null;
}

/** Core's `Options` (core/src/js/types.d.ts); everything may be left out. */
export interface Options {
  target?: string | null;
  buildArgs?: Record<string, string>;
  platform?: string | null;
  /** What registries said, by full reference. */
  images?: Record<string, unknown>;
}

/** A record of a build, in the form of `buildx build --progress=rawjson`. */
export interface Trace {
  /** The file's name, or the build's title. */
  name: string;
  /** Whether it is a build of this page, whose digests are those of the plan it was made from. */
  own: boolean;
  /** Lines of JSON (`client.SolveStatus`). */
  text: string;
}

/** A file with a text. */
export interface TextFile {
  path: string;
  text: string;
}

/** Something to say of a place in the source. */
export interface Finding {
  /** `error`, `warning` or `info`. */
  severity: "error" | "warning" | "info";
  /** The rule's name, such as `StageNameCasing`, or the code of a diagnostic. */
  rule: string;
  /** What is wrong, in one sentence. */
  message: string;
  /** What to do about it. */
  hint: string | null;
  /** Where the rule is explained. */
  url: string | null;
  start: number;
  end: number;
  /** Lines from 1, both included. */
  lines: { start: number; end: number };
  /** What would put it right; the first is the one to prefer. */
  fixes: { title: string; edits: Edit[] }[];
}

/** `text` in the place of what stands from `start` to `end`. */
export interface Edit {
  start: number;
  end: number;
  text: string;
}

/** What `join` makes. */
export interface Joined {
  /** The new Dockerfile; `null` where the files cannot be joined. */
  source: string | null;
  /** What could not be carried over, or why nothing was, a sentence each. */
  notes: string[];
}
