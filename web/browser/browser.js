// What the page asks of the browser and says shorter in the browser's own language.
export { pack, unpack } from "./link.js";

/** Puts a text where other programs find it, where the page may do that. */
export const copy = async (text) => navigator.clipboard.writeText(text);

/** The bytes of a file beside the page. */
export async function read(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

/** Where a tab has the keyboard, an arrow key gives it to the one beside. */
export function goToTabBeside({ key, target, altKey, ctrlKey, metaKey }) {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[key];
  if (!by || altKey || ctrlKey || metaKey || target.role !== "tab") return;
  const tabs = [...target.closest("[role=tablist]").querySelectorAll("[role=tab]")];
  tabs[tabs.indexOf(target) + by]?.focus();
}

/** Shows a dialog over everything else, which cannot be used until it is closed. */
export const showModal = (dialog) => dialog.showModal();
