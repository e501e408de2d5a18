// Colours for Dockerfiles. It only paints: what a file means is the planner's business, so this knows no more
// than keywords, flags, strings, variables and comments.

const KEYWORD =
  /^(add|arg|cmd|copy|entrypoint|env|expose|from|healthcheck|label|maintainer|onbuild|run|shell|stopsignal|user|volume|workdir)(?=\s|$)/i;

export const keywords = [
  "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "ONBUILD", "RUN",
  "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
];

/** Takes a quoted string; one that is not closed ends with its line. */
function quoted(stream, quote) {
  while (!stream.eol()) {
    const next = stream.next();
    if (next === quote) return;
    if (next === "\\" && quote === '"') stream.next();
  }
}

function argument(stream, state) {
  if (stream.eatSpace()) return null;
  if (stream.match(/^\$(\{[^}]*\}?|\w+)/)) return "variable";
  const flag = state.flags && stream.match(/^--[\w-]+/);
  if (flag) return "flag";
  const heredoc = stream.match(/^<<(-?)(["']?)(\w+)\2/);
  if (heredoc) {
    state.heredocs.push({ end: heredoc[3], tabs: heredoc[1] === "-" });
    return "string";
  }
  const character = stream.next();
  if (character === '"' || character === "'") {
    quoted(stream, character);
    return "string";
  }
  if (state.flags && character !== "=") {
    // The first word that is no flag ends the flags; the value of one follows its `=`.
    stream.eatWhile(/[^\s$"']/);
    if (!state.value) state.flags = false;
    state.value = false;
    return state.name ? wordOfFrom(stream) : null;
  }
  if (character === "=") {
    state.value = state.flags;
    return "operator";
  }
  stream.eatWhile(/[^\s$"'=<]/);
  return state.name ? wordOfFrom(stream) : null;
}

function wordOfFrom(stream) {
  return /^as$/i.test(stream.current()) ? "keyword" : null;
}

export const dockerfile = {
  comment: "#",
  startState: () => ({ inside: false, flags: false, value: false, name: false, heredocs: [], body: false }),
  copyState: (state) => ({ ...state, heredocs: state.heredocs.map((heredoc) => ({ ...heredoc })) }),
  token(stream, state) {
    if (stream.sol() && state.heredocs.length && !state.inside) {
      const [heredoc] = state.heredocs;
      const line = heredoc.tabs ? stream.string.replace(/^\t+/, "") : stream.string;
      stream.skipToEnd();
      if (line === heredoc.end) state.heredocs.shift();
      return "string";
    }
    if (stream.sol() && stream.match(/^\s*#.*/)) return "comment";
    if (!state.inside) {
      if (stream.eatSpace()) return null;
      const keyword = stream.match(KEYWORD);
      const name = keyword ? keyword[1].toLowerCase() : "";
      if (!keyword) stream.eatWhile(/\S/);
      Object.assign(state, { inside: name !== "onbuild", flags: true, value: false, name: name === "from" });
      if (stream.eol()) state.inside = false;
      return keyword ? "keyword" : "invalid";
    }
    if (stream.match(/^[\\`]\s*$/)) return "operator";
    const style = argument(stream, state);
    if (stream.eol()) state.inside = false;
    return style;
  },
};
