// What nobody needs before the editor is used: its keys and its history, searching, completion. It is fetched when a
// hand or the keyboard comes to the editor, so that the page is there sooner.
import { closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab, toggleComment } from "@codemirror/commands";
import { bracketMatching, indentUnit } from "@codemirror/language";
import { lintKeymap } from "@codemirror/lint";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { keymap } from "@codemirror/view";
import { completion } from "./completion.js";

/** For one file. `words()` gives what completion offers; only Dockerfiles have any. */
export function extras({ isDockerfile, path, words }) {
  return [
    history(),
    bracketMatching(),
    closeBrackets(),
    indentUnit.of(path.endsWith(".go") ? "\t" : "    "),
    search({ top: true }),
    highlightSelectionMatches(),
    isDockerfile ? completion(words) : [],
    keymap.of([
      { key: "Mod-/", run: toggleComment },
      ...closeBracketsKeymap, ...searchKeymap, ...completionKeymap, ...historyKeymap, ...lintKeymap, ...defaultKeymap,
      indentWithTab,
    ]),
  ];
}
