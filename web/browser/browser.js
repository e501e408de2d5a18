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
