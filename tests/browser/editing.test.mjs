// What the editor knows of a Dockerfile: it is fetched when the editor is first used, and then helps while one writes.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";

import { launch } from "./support/browser.mjs";
import { eventually } from "./support/eventually.mjs";
import { serveFolders } from "./support/files.mjs";
import * as places from "./support/places.mjs";
import { Playground } from "./support/playground.mjs";

const source = "FROM alpine AS builder\nARG VERSION=1\nRUN make \\\n  VERSION=$VERSION\nFROM alpine\nCOPY --from=builder /app /\n";

describe("the editor's services", () => {
  let server, browser, playground;

  before(async () => {
    server = await serveFolders({ page: places.page });
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    server?.stop();
  });
  afterEach(async () => {
    const errors = playground?.errors ?? [];
    await playground?.close();
    playground = null;
    assert.deepEqual(errors, []);
  });

  /** A page with `text` in its editor, and with all that the editor fetches when it is used. */
  async function write(text) {
    playground = await Playground.open(browser, `${server.address}/page/index.html`);
    await playground.get("stage").first().waitFor();
    await playground.writeDockerfile(text);
    await eventually("words have their meanings' colours", async () => (await playground.page.locator(".word-stage, .word-image").count()) > 0);
  }

  const text = () => playground.page.evaluate(() => [...document.querySelectorAll(".cm-line")].map((line) => line.childNodes.length && [...line.childNodes].filter((node) => !node.classList?.contains("line-note")).map((node) => node.textContent).join("")).map((line) => line || "").join("\n"));

  /** Puts the cursor into a word, and answers where it is on the page. */
  async function into(word, nth = 0) {
    const box = await playground.page.evaluate(([word, nth]) => {
      const walker = document.createTreeWalker(document.querySelector(".cm-content"), NodeFilter.SHOW_TEXT);
      for (let node; (node = walker.nextNode()); ) {
        let at = -1;
        while ((at = node.data.indexOf(word, at + 1)) >= 0) {
          if (nth-- > 0) continue;
          const range = document.createRange();
          range.setStart(node, at);
          range.setEnd(node, at + word.length);
          const { x, y, width, height } = range.getBoundingClientRect();
          return { x: x + width / 2, y: y + height / 2 };
        }
      }
      return null;
    }, [word, nth]);
    assert.ok(box, `${word} is in the editor`);
    await playground.page.mouse.click(box.x, box.y);
    return box;
  }

  const selected = () => playground.page.evaluate(() => document.getSelection().toString());

  it("what may stand at a place is offered", async () => {
    await write(source);
    await playground.page.keyboard.press("ControlOrMeta+End");
    await playground.page.keyboard.type("COPY --from=bui");
    const option = playground.page.locator(".cm-tooltip-autocomplete li", { hasText: "builder" });
    await option.waitFor();
    await playground.screenshot("editor-completion");
    await option.click();
    await eventually("it is taken", async () => (await text()).includes("COPY --from=builder /app /\nCOPY --from=builder"));
  });

  it("the chord that builds leaves the text alone", async () => {
    await write(source);
    const before = await text();
    await playground.page.keyboard.press("ControlOrMeta+Enter");
    assert.equal(await text(), before);
  });

  it("a word under the pointer is explained", async () => {
    await write(source);
    const { x, y } = await into("--from");
    await playground.page.mouse.move(x + 40, y + 200);
    await playground.page.mouse.move(x, y, { steps: 3 });
    const said = playground.page.locator(".cm-tooltip-hover .prose");
    await said.waitFor();
    assert.ok((await said.innerText()).length > 20);
    await playground.screenshot("editor-hover");
  });

  it("F12 goes to where a name comes from", async () => {
    await write(source);
    await into("builder", 1);
    await playground.page.keyboard.press("F12");
    await eventually("the stage's name is selected", async () => (await selected()) === "builder");
    await eventually("in the line of its FROM", async () => playground.page.evaluate(() => document.getSelection().anchorNode.parentElement.closest(".cm-line").innerText.startsWith("FROM")));
  });

  it("F2 renames a stage everywhere, and says what cannot be", async () => {
    await write(source);
    await into("builder", 1);
    await playground.page.keyboard.press("F2");
    const field = playground.get("rename");
    await field.fill("1 2");
    await field.press("Enter");
    await eventually("it says why not", async () => (await playground.page.locator(".rename-field [role=alert]").innerText()).includes("cannot be"));
    await playground.screenshot("editor-rename");
    await field.fill("maker");
    await field.press("Enter");
    await eventually("both places have the new name", async () => {
      const now = await text();
      return now.includes("AS maker") && now.includes("--from=maker") && !now.includes("builder");
    });
    await playground.page.keyboard.press("ControlOrMeta+z");
    await eventually("it is one step of the history", async () => (await text()).includes("AS builder"));
  });

  it("Shift-Alt-F changes white space and case, and nothing that a build would notice", async () => {
    await write("from   alpine  as one\nrun   true\n");
    const before = await playground.planDigest();
    await playground.page.keyboard.press("Shift+Alt+F");
    await eventually("it is tidy", async () => (await text()).includes("FROM alpine AS one"));
    assert.equal(await playground.planDigest(), before);
  });

  it("what can be folded is folded by its keys", async () => {
    await write(source);
    await into("make");
    await playground.page.keyboard.press("Control+Shift+BracketLeft");
    await eventually("the rest of the instruction is away", async () => (await playground.page.locator(".cm-foldPlaceholder").count()) === 1);
  });
});
