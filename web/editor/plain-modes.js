// Colours for the files around a Dockerfile. One small scanner serves them all: comments, strings, numbers and
// the words of the language. A grammar for each would weigh more than the rest of the editor.

const words = (text) => new Set(text.split(" "));

const LANGUAGES = {
  go: {
    comment: "//",
    block: true,
    raw: "`",
    words: words(
      "break case chan const continue default defer else fallthrough for func go goto if import interface map package range return select struct switch type var nil true false",
    ),
  },
  c: {
    comment: "//",
    block: true,
    words: words(
      "auto break case catch class const continue default do else enum export extends false finally fn for from function if impl import in int interface let loop match mod mut new null pub public private return static struct super switch this throw true try type use var void while yield async await",
    ),
  },
  shell: {
    comment: "#",
    variables: true,
    words: words(
      "if then else elif fi for while until do done case esac in function return exit set export local echo cd trap",
    ),
  },
  python: {
    comment: "#",
    words: words(
      "and as assert async await break class continue def del elif else except False finally for from global if import in is lambda None nonlocal not or pass raise return True try while with yield",
    ),
  },
  list: { comment: "#", words: new Set() },
};

const BY_ENDING = {
  go: "go", rs: "c", c: "c", h: "c", cc: "c", cpp: "c", java: "c", js: "c", mjs: "c", ts: "c", json: "c",
  sh: "shell", bash: "shell", py: "python", yml: "list", yaml: "list", toml: "list", conf: "shell",
  dockerignore: "list",
};

function define(language) {
  return {
    comment: language.comment,
    startState: () => ({ until: null }),
    token(stream, state) {
      if (state.until) {
        if (stream.skipTo(state.until)) {
          stream.match(state.until);
          state.until = null;
        } else stream.skipToEnd();
        return language.raw ? "string" : "comment";
      }
      if (stream.eatSpace()) return null;
      if (stream.match(language.comment)) {
        stream.skipToEnd();
        return "comment";
      }
      if (language.block && stream.match("/*")) {
        while (!stream.eol()) if (stream.match("*/")) return "comment"; else stream.next();
        return "comment";
      }
      if (language.variables && stream.match(/^\$(\{[^}]*\}?|\w+|[@*#?$!-])/)) return "variable";
      if (stream.match(/^\d[\w.]*/)) return "number";
      const word = stream.match(/^[A-Za-z_]\w*/);
      if (word) return language.words.has(word[0]) ? "keyword" : null;
      const character = stream.next();
      if (character === language.raw) {
        state.until = character;
        return "string";
      }
      if (character === '"' || character === "'") {
        while (!stream.eol()) {
          const next = stream.next();
          if (next === character) break;
          if (next === "\\") stream.next();
        }
        return "string";
      }
      return null;
    },
  };
}

const defined = new Map();

/** How a file is read, by its name; nothing for one that is not known. */
export function modeFor(path) {
  const name = BY_ENDING[path.split(".").pop()];
  if (!LANGUAGES[name]) return null;
  if (!defined.has(name)) defined.set(name, define(LANGUAGES[name]));
  return defined.get(name);
}
