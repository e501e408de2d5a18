// What nobody needs before the editor is used: searching, and completion. It is fetched when the editor first gets
// the keyboard, so that the page is there sooner.
import { closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { keymap } from "@codemirror/view";
import { completion } from "./completion.js";

/** `words()` gives what completion offers; only Dockerfiles have any. */
export function extras(isDockerfile, words) {
  return [
    closeBrackets(),
    search({ top: true }),
    highlightSelectionMatches(),
    isDockerfile ? completion(words) : [],
    keymap.of([...closeBracketsKeymap, ...searchKeymap, ...completionKeymap]),
  ];
}
