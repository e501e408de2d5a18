// The little Markdown that the editing service writes, as elements: paragraphs, lists, `code`, **bold** and fenced
// blocks. Text stays text.

/** Puts a line's text into `parent`, with its code and what is bold. */
function inline(parent, text) {
  for (const part of text.split(/(`[^`]+`|\*\*[^*]+\*\*)/)) {
    if (part.startsWith("`") && part.length > 1) parent.appendChild(document.createElement("code")).textContent = part.slice(1, -1);
    else if (part.startsWith("**")) parent.appendChild(document.createElement("strong")).textContent = part.slice(2, -2);
    else if (part) parent.append(part);
  }
  return parent;
}

/** An element with all of it. */
export function prose(markdown) {
  const box = document.createElement("div");
  box.className = "prose";
  let list = null;
  let paragraph = null;
  let code = null;
  for (const line of markdown.split("\n")) {
    if (line.startsWith("```")) {
      code = code ? null : box.appendChild(document.createElement("pre"));
      list = paragraph = null;
    } else if (code) {
      code.textContent += `${line}\n`;
    } else if (/^[-*] /.test(line)) {
      list ??= box.appendChild(document.createElement("ul"));
      inline(list.appendChild(document.createElement("li")), line.slice(2));
      paragraph = null;
    } else if (line.trim() === "") {
      list = paragraph = null;
    } else {
      list = null;
      if (paragraph) paragraph.append(" ");
      paragraph ??= box.appendChild(document.createElement("p"));
      inline(paragraph, line);
    }
  }
  return box;
}
