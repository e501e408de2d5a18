// What nobody needs before the editor is used: its keys and its history, searching, completion. It is fetched when a
// hand or the keyboard comes to the editor, so that the page is there sooner.
import { closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab, toggleComment } from "@codemirror/commands";
import { bracketMatching, indentUnit } from "@codemirror/language";
import { lintKeymap } from "@codemirror/lint";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { keymap } from "@codemirror/view";
import { load } from "../insight/insight.js";
import { services } from "./services.js";

/** Has the insight module fetched, whose knowledge the services are; without it the editor edits all the same. */
export const knowledge = () => load().catch(() => null);

/** For one file. `words()` gives what the page knows beside the text of a Dockerfile. */
export function extras({ isDockerfile, path, words }) {
  return [
    history(),
    bracketMatching(),
    closeBrackets(),
    indentUnit.of(path.endsWith(".go") ? "\t" : "    "),
    search({ top: true }),
    highlightSelectionMatches(),
    isDockerfile ? services(words) : [],
    keymap.of([
      { key: "Mod-/", run: toggleComment },
      ...closeBracketsKeymap, ...searchKeymap, ...completionKeymap, ...historyKeymap, ...lintKeymap, ...defaultKeymap,
      indentWithTab,
    ]),
  ];
}
