// Completion of what the planner knows: keywords, the names of stages and images, build args.
import { autocompletion } from "@codemirror/autocomplete";
import { keywords } from "./dockerfile-mode.js";

const FLAGS = {
  FROM: ["--platform="],
  COPY: ["--from=", "--chown=", "--chmod=", "--link", "--parents", "--exclude="],
  ADD: ["--chown=", "--chmod=", "--checksum=", "--keep-git-dir", "--link", "--exclude="],
  RUN: ["--mount=type=cache,target=", "--mount=type=bind,", "--mount=type=secret,id=", "--network=none"],
  HEALTHCHECK: ["--interval=", "--timeout=", "--start-period=", "--retries="],
};

/** `words()` gives `{stages, images, args}`. */
export function completion(words) {
  const source = (context) => {
    const line = context.state.doc.lineAt(context.pos);
    const before = line.text.slice(0, context.pos - line.from);
    const offer = (from, options) => (options.length ? { from, options, validFor: /^[\w$./:=-]*$/ } : null);
    const name = before.match(/(?:^\s*FROM\s+(?:--\S+\s+)*|--from=|[,\s]from=)([\w./:-]*)$/i);
    if (name) {
      const { stages, images } = words();
      return offer(context.pos - name[1].length, [
        ...stages.map((label) => ({ label, detail: "stage", type: "class" })),
        ...images.map((label) => ({ label, detail: "image", type: "constant" })),
      ]);
    }
    const keyword = before.match(/^\s*([A-Za-z]+)$/);
    if (keyword && (context.explicit || keyword[1].length > 0)) {
      return offer(context.pos - keyword[1].length, keywords.map((label) => ({ label, apply: `${label} `, type: "keyword" })));
    }
    const flag = before.match(/^\s*([A-Za-z]+)\s+(?:--\S+\s+)*(--[\w-]*)$/);
    if (flag) {
      const flags = FLAGS[flag[1].toUpperCase()] ?? [];
      return offer(context.pos - flag[2].length, flags.map((label) => ({ label, type: "property" })));
    }
    const variable = before.match(/\$\{?(\w*)$/);
    if (variable) return offer(context.pos - variable[1].length, words().args.map((label) => ({ label, type: "variable" })));
    return null;
  };
  return autocompletion({ override: [source], icons: false, activateOnTyping: true });
}
