// The views beside the drawing. Each is linked with the source: what is pressed in it lights up in editor and drawing.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";

import { launch } from "./support/browser.mjs";
import { eventually } from "./support/eventually.mjs";
import { serveFolders } from "./support/files.mjs";
import * as places from "./support/places.mjs";
import { Playground } from "./support/playground.mjs";

const messy = "from alpine AS Base\nMAINTAINER me\nRUNN make\n\nFROM alpine\nCOPY --from=bse /app /\nCMD ./app\n";

describe("the views beside the drawing", () => {
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

  async function open(options) {
    playground = await Playground.open(browser, `${server.address}/page/index.html`, options);
    await playground.get("stage").first().waitFor();
    return playground;
  }

  /** The text of the editor's line that is lit. */
  const lit = () => playground.page.locator(".cm-line.lit-line").allInnerTexts();

  it("the module is fetched with the first view that needs it, and not before", async () => {
    await open();
    const fetched = () => playground.page.evaluate(() => performance.getEntriesByType("resource").map((entry) => entry.name));
    assert.ok(!(await fetched()).some((name) => name.includes("stagewright_insight")), "not with the page");
    await playground.view("problems");
    assert.ok((await fetched()).some((name) => name.includes("stagewright_insight_bg.wasm")));
  });

  it("a module that cannot be fetched costs its view alone, and is fetched when asked again", async () => {
    await open();
    await playground.page.route("**/stagewright_insight_bg.wasm", (route) => route.abort());
    await playground.get("tab-problems").click();
    const again = playground.page.getByRole("button", { name: "Try again" });
    await again.waitFor();
    await playground.screenshot("view-missing");
    await playground.page.unroute("**/stagewright_insight_bg.wasm");
    await again.click();
    await playground.view("problems");
    assert.equal(await again.count(), 0);
  });

  /** Whether a step's row lies within the drawing's pane. */
  const isSeen = (stage, step) =>
    playground.page.evaluate(
      ([stage, step]) => {
        const pane = document.querySelector('[data-testid="graph"] .canvas').getBoundingClientRect();
        const row = document.querySelector(`[data-testid="step"][data-stage="${stage}"][data-step="${step}"]`).getBoundingClientRect();
        return row.top >= pane.top && row.bottom <= pane.bottom && row.left >= pane.left && row.right <= pane.right;
      },
      [stage, step],
    );

  it("the drawing goes where a step is chosen or focused, and shows all of another example", async () => {
    await open();
    await playground.writeDockerfile(`FROM scratch AS a\n${"RUN x\n".repeat(40)}`);
    await playground.page.getByRole("button", { name: "Zoom in" }).click({ clickCount: 5 });
    assert.equal(await isSeen("a", 39), false, "it is large enough to go beyond the pane");
    await playground.page.locator('[data-testid="step"][data-stage="a"][data-step="39"]').focus();
    await eventually("the focused step is seen", () => isSeen("a", 39));
    await playground.page.locator(".cm-content").focus();
    await playground.page.keyboard.press("ControlOrMeta+Home");
    await playground.page.keyboard.press("ArrowDown");
    await eventually("the step of the line is seen", () => isSeen("a", 0));
    await playground.choose("diamond");
    await eventually("all of the example is seen", async () => (await playground.get("stage").count()) === 4 && (await isSeen("base", 0)));
  });

  it("problems say errors and lint together, with their places", async () => {
    await open();
    await playground.writeDockerfile(messy);
    const view = await playground.view("problems");
    const codes = await view.locator('[data-testid="problem"]').evaluateAll((all) => all.map((one) => one.dataset.code));
    for (const code of ["MaintainerDeprecated", "unknown-instruction", "unknown-stage", "JSONArgsRecommended"]) {
      assert.ok(codes.includes(code), `${code} in ${codes}`);
    }
    assert.ok(await view.locator('[data-code="unknown-instruction"] mark').innerText(), "RUNN");
    await view.locator('[data-code="JSONArgsRecommended"] button').first().click();
    await eventually("its line is lit", async () => (await lit()).some((line) => line.includes("CMD ./app")));
    await playground.screenshot("view-problems");
  });

  it("a quick fix changes the text, and can be undone", async () => {
    await open();
    await playground.writeDockerfile("FROM scratch as one\nCOPY app.go /\n");
    let view = await playground.view("problems");
    await view.locator('[data-code="FromAsCasing"] [data-testid="fix"]').first().click();
    const text = () => playground.page.locator(".cm-content").innerText();
    await eventually("the text is mended", async () => (await text()).includes("FROM scratch AS one"));
    await eventually("the finding is gone", async () => (await playground.page.locator('[data-code="FromAsCasing"]').count()) === 0);
    await playground.page.locator(".cm-content").press("ControlOrMeta+z");
    await eventually("the text is back", async () => (await text()).includes("FROM scratch as one"));
  });

  it("all that is safe is fixed at once", async () => {
    await open();
    await playground.writeDockerfile("from scratch AS one\nCOPY app.go /\nFROM scratch as two\nCOPY --from=one /app.go /\n");
    const view = await playground.view("problems");
    await view.locator('[data-testid="fix-all"]').click();
    await eventually("the text is mended", async () => {
      const text = await playground.page.locator(".cm-content").innerText();
      return text.includes("FROM scratch AS one") && text.includes("FROM scratch AS two");
    });
  });

  it("what if: a changed file marks what reruns, in drawing and editor, and says why", async () => {
    await open();
    await playground.choose("diamond");
    let view = await playground.view("whatif");
    await view.locator('[data-testid="change"]').selectOption("file left.txt");
    view = await playground.view("whatif");
    await eventually("the forecast is drawn", async () => (await view.locator('[data-testid="rerun"]').count()) > 0);
    const marked = (await playground.steps()).filter(({ state }) => state === "waiting").map(({ stage, keyword }) => `${stage} ${keyword}`);
    assert.ok(marked.some((step) => step.startsWith("left ")), String(marked));
    assert.ok(!marked.some((step) => step.startsWith("right ")), String(marked));
    const notes = await playground.page.locator(".line-note").allInnerTexts();
    assert.ok(notes.includes("reruns") && notes.includes("cached"), String(notes));
    assert.match(await view.locator(".reasons").first().innerText(), /left\.txt/);
    await view.locator('[data-testid="rerun"] button').first().click();
    await eventually("its line is lit", async () => (await lit()).length > 0);
    await playground.screenshot("view-whatif");
    await playground.get("tab-graph").click();
    await eventually("the marks are gone with the view", async () => (await playground.steps()).every(({ state }) => state === "idle"));
  });

  it("what if: what was typed since the plan was kept", async () => {
    await open();
    await playground.choose("diamond");
    let view = await playground.view("whatif");
    await view.locator('[data-testid="keep-plan"]').click();
    const source = readFileSync(join(places.examples, "diamond/Dockerfile"), "utf8");
    await playground.writeDockerfile(source.replace(/^(RUN .*)$/m, "$1 && true"));
    view = await playground.view("whatif");
    await eventually("something reruns", async () => (await view.locator('[data-testid="rerun"]').count()) > 0);
  });

  it("a log of buildx is laid over the plan", async () => {
    await open();
    await playground.writeDockerfile("FROM scratch AS one\nADD https://example.com/a /a\nFROM scratch\nCOPY --from=one /a /b\n");
    const digests = await opDigests();
    const times = digests.map((digest, index) => ({
      digest,
      name: `op ${index}`,
      started: `2026-01-01T00:00:0${index}Z`,
      completed: `2026-01-01T00:00:0${index + 1}.5Z`,
    }));
    const log = times.map((vertex) => JSON.stringify({ vertexes: [vertex] })).join("\n");
    const view = await playground.view("timeline");
    await view.locator('[data-testid="open-log"]').setInputFiles({ name: "rawjson.log", mimeType: "text/plain", buffer: Buffer.from(log) });
    await eventually("the log's times are drawn", async () => (await view.locator('[data-testid="bar"][data-how="done"]').count()) === 2);
    assert.match(await view.locator('[data-testid="timeline-about"]').innerText(), /rawjson\.log/);
    await view.locator('[data-testid="bar"]').last().click();
    await eventually("its line is lit", async () => (await lit()).some((line) => line.includes("--from=one")));
    await playground.screenshot("view-timeline-log");
  });

  /** The digests of all ops but the last, as the LLB view has them. */
  async function opDigests() {
    await playground.get("tab-llb").click();
    const all = await playground.get("op").evaluateAll((ops) => ops.map((op) => op.dataset.digest));
    return all.slice(0, -1);
  }

  it("the image says its layers and how it starts", async () => {
    await open();
    await playground.writeDockerfile('FROM scratch AS one\nCOPY app.go /\nFROM one\nCOPY app.go /b\nUSER me\nENV A=1\nENTRYPOINT ["/b"]\n');
    const view = await playground.view("image");
    assert.equal(await view.locator('[data-testid="image-layer"]').count(), 2);
    assert.equal(await view.locator('[data-fact="Entrypoint"]').innerText(), '["/b"]');
    assert.equal(await view.locator('[data-fact="User"]').innerText(), "me");
    await view.locator('[data-testid="image-layer"]').first().click();
    await eventually("its line is lit", async () => (await lit()).some((line) => line === "COPY app.go /"));
    await playground.screenshot("view-image");
  });

  it("the context says what .dockerignore does, and which step reads a file", async () => {
    await open();
    await playground.choose("diamond");
    const state = (path) => playground.page.locator(`[data-testid="context-file"][data-path="${path}"]`).getAttribute("data-state");
    let view = await playground.view("context");
    assert.equal(await state("left.txt"), "read");
    await playground.get("add-file").click();
    await playground.get("file-name").fill(".dockerignore");
    await playground.get("file-name").press("Enter");
    await playground.write("right.*\n");
    view = await playground.view("context");
    await eventually("right.txt stays behind", async () => (await state("right.txt")) === "kept-out");
    await playground.screenshot("view-context");
    await view.locator('[data-path="left.txt"] .reader').first().click();
    await eventually("the step's line is lit", async () => (await lit()).some((line) => line.startsWith("COPY left.txt")));
  });

  it("what nobody measured is expected, and the steps that decide stand out", async () => {
    await open();
    await playground.choose("diamond");
    const view = await playground.view("timeline");
    assert.ok((await view.locator('[data-testid="bar"][data-how="planned"]').count()) > 5);
    assert.ok((await view.locator(".critical").count()) > 0);
    await playground.screenshot("view-timeline");
    await view.locator('[data-testid="durations"]').selectOption("equal");
    await eventually("every step takes a second", async () => (await playground.page.locator(".bar-time").allInnerTexts()).filter((time) => time === "1.0 s").length > 5);
  });

  it("the builder pattern becomes one file, which can be opened", async () => {
    await open();
    await playground.choose("builder-pattern");
    const view = await playground.view("pattern");
    assert.match(await view.locator('[data-testid="converted"]').innerText(), /COPY --from=/);
    assert.equal(await view.locator('[data-testid="pattern-picture"] svg').count(), 1);
    await playground.screenshot("view-pattern");
    await view.locator('[data-testid="open-converted"]').click();
    await eventually("the file is shown and planned", async () => (await playground.stages()).length === 2 || (await playground.get("tab-graph").click(), false));
  });

  it("on a phone every view can be reached, and none is wider than the page", async () => {
    await open({ viewport: { width: 390, height: 844 }, hasTouch: true });
    for (const name of ["problems", "whatif", "timeline", "image", "context"]) {
      await playground.view(name);
      const width = await playground.page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= 390, `${name} is ${width} pixels wide`);
      await playground.screenshot(`phone-${name}`);
    }
  });

  it("views follow the colours of the page", async () => {
    await open({ colorScheme: "dark" });
    await playground.writeDockerfile(messy);
    for (const name of ["problems", "whatif", "timeline", "image", "context"]) {
      await playground.view(name);
      await playground.screenshot(`dark-${name}`);
    }
  });

  it("views can be used by the keyboard alone", async () => {
    await open();
    await playground.writeDockerfile(messy);
    const view = await playground.view("problems");
    await view.locator('[data-code="JSONArgsRecommended"] button').first().focus();
    await playground.page.keyboard.press("Enter");
    await eventually("the line is lit", async () => (await lit()).some((line) => line.includes("CMD ./app")));
    await eventually("the keyboard stays where it was", () =>
      playground.page.evaluate(() => document.activeElement?.closest("[data-code]")?.dataset.code === "JSONArgsRecommended" || document.activeElement?.dataset.do?.startsWith("line ")),
    );
  });
});
