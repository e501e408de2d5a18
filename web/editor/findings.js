// What is wrong, where it stands: underlined, with a mark beside the line and the words under the pointer. It is fetched
// with the first finding, as most files have none.
import { lintGutter, setDiagnostics } from "@codemirror/lint";

function words(message, hint) {
  const text = document.createElement("span");
  text.textContent = message;
  if (hint) {
    const advice = text.appendChild(document.createElement("span"));
    advice.className = "hint";
    advice.textContent = hint;
  }
  return text;
}

const gutter = lintGutter({ hoverTime: 150 });

/** Shows `all` in the place of what was shown before; `place` is the compartment they live in. */
export function show(view, place, all) {
  if (place.get(view.state) !== gutter) view.dispatch({ effects: place.reconfigure(gutter) });
  const inside = (offset) => Math.max(0, Math.min(offset, view.state.doc.length));
  const found = all.map(({ from, to, severity, message, hint }) => ({
    from: inside(from),
    to: Math.max(inside(from), inside(to)),
    severity,
    message,
    renderMessage: () => words(message, hint),
  }));
  view.dispatch(setDiagnostics(view.state, found));
}
