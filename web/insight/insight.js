// The page's way to the insight module. The page speaks of it from the start; the module itself, and the style sheet of
// what it draws, are fetched when they are first needed.

let loading = null;
let module = null;
let told = () => {};

/** Has `hear` called once when the module is there, whoever asked for it. */
export function whenLoaded(hear) {
  told = hear;
}

/** Fetches the module, once. Where that fails, the next call tries again. */
export function load() {
  loading ??= start().catch((error) => {
    loading = null;
    throw error;
  });
  return loading;
}

async function start() {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = new URL("./insight/insight.css", import.meta.url).href;
  const styled = new Promise((done) => (style.onload = style.onerror = done));
  document.head.append(style);
  const address = new URL("./insight/stagewright_insight.js", import.meta.url).href;
  const [loaded] = await Promise.all([import(address), styled]);
  await loaded.default();
  module = loaded;
  told();
  return module;
}

/** Whether the module is there. */
export const isHere = () => module !== null;

/** Calls a function of the module, which has to be there: text in, text out. */
export function call(name, ...given) {
  return module[name](...given);
}

/** Puts a view into its place. Who had the keyboard keeps it. */
export function put(host, html) {
  const before = host.contains(document.activeElement) ? document.activeElement.dataset.do : null;
  host.innerHTML = html;
  if (before) host.querySelector(`[data-do="${CSS.escape(before)}"]`)?.focus({ preventScroll: true });
}

/**
 * Tells `done(what, value)` of everything that is pressed, chosen or dropped in a view. A file's name goes along with
 * what is asked, its text is the value.
 */
export function listen(host, done) {
  const doer = (event) => event.target.closest?.("[data-do]");
  const take = async (what, files) => {
    for (const file of files) done(`${what} ${file.name}`, await file.text());
  };
  host.addEventListener("click", (event) => {
    const pressed = doer(event);
    if (pressed?.matches("button")) done(pressed.dataset.do, pressed.value);
  });
  host.addEventListener("change", (event) => {
    const chosen = doer(event);
    if (chosen?.type === "file") take(chosen.dataset.do, chosen.files);
    else if (chosen?.matches("select, input")) done(chosen.dataset.do, chosen.value);
  });
  const asking = () => host.querySelector('input[type="file"][data-do]');
  host.addEventListener("dragover", (event) => {
    if (asking() && event.dataTransfer.types.includes("Files")) event.preventDefault();
  });
  host.addEventListener("drop", (event) => {
    if (!asking() || !event.dataTransfer.files.length) return;
    event.preventDefault();
    take(asking().dataset.do, event.dataTransfer.files);
  });
}
