// What a person wrote is not lost, and the keyboard is where it was.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";

import { launch } from "./support/browser.mjs";
import { eventually } from "./support/eventually.mjs";
import { serveFolders } from "./support/files.mjs";
import * as places from "./support/places.mjs";
import { Playground } from "./support/playground.mjs";

describe("what a person did", () => {
  let server, browser, playground;

  before(async () => {
    server = await serveFolders({ page: places.page });
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    server?.stop();
  });
  beforeEach(async () => {
    playground = await Playground.open(browser, `${server.address}/page/index.html`);
    await playground.get("stage").first().waitFor();
  });
  afterEach(async () => {
    const errors = playground.errors;
    await playground.close();
    assert.deepEqual(errors, []);
  });

  const shows = (text) => eventually(`${text} is shown`, async () => (await playground.page.locator(".cm-content").innerText()).trim().startsWith(text));
  const focused = () => playground.page.evaluate(() => document.activeElement.dataset.testid ?? document.activeElement.ariaLabel);

  it("edits of every example outlive a reload of the page", async () => {
    await playground.choose("diamond");
    await playground.writeDockerfile("FROM one");
    await playground.choose("external-image");
    await playground.writeDockerfile("FROM two");
    await playground.choose("builder-pattern");
    await playground.page.reload();
    await playground.choose("diamond");
    await shows("FROM one");
    await playground.choose("external-image");
    await shows("FROM two");
  });

  it("what was written before starting over can be brought back", async () => {
    await playground.writeDockerfile("FROM mine");
    await playground.get("examples").click();
    await playground.get("start-over").click();
    await eventually("it is as it came", async () => (await playground.stages()).length > 1);
    await playground.get("notice").filter({ hasText: "see the end of Examples" }).waitFor();
    await playground.get("examples").click();
    await playground.get("bring-back").click();
    await shows("FROM mine");
  });

  it("a file with something in it is removed only if that is meant", async () => {
    const questions = [];
    let answer = "dismiss";
    playground.page.on("dialog", (dialog) => {
      questions.push(dialog.message());
      return dialog[answer]();
    });
    const path = await playground.get("file-tab").last().getAttribute("data-path");
    await playground.show(path);
    await playground.get("remove-file").click();
    assert.deepEqual(questions, [`Remove ${path}? What is in it is lost.`]);
    const tab = playground.page.locator(`[data-testid="file-tab"][data-path="${path}"]`);
    assert.equal(await tab.count(), 1);
    answer = "accept";
    await playground.get("remove-file").click();
    await eventually("it is gone", async () => (await tab.count()) === 0);
  });

  it("arrow keys go from tab to tab", async () => {
    await playground.get("tab-graph").focus();
    await playground.page.keyboard.press("ArrowRight");
    assert.equal(await focused(), "tab-steps");
    await playground.page.keyboard.press("Enter");
    assert.equal(await playground.get("tab-steps").getAttribute("aria-selected"), "true");
    await playground.page.keyboard.press("ArrowLeft");
    await playground.page.keyboard.press("ArrowLeft");
    assert.equal(await focused(), "tab-graph");
  });

  it("the keyboard stays in a dialog, and goes back to where it was", async () => {
    await playground.get("connection").click();
    const dialog = playground.get("worker-help");
    await dialog.waitFor();
    for (let press = 0; press < 8; press += 1) {
      await playground.page.keyboard.press("Tab");
      const outside = await dialog.evaluate((dialog) => ![dialog, document.body].includes(document.activeElement) && !dialog.contains(document.activeElement));
      assert.equal(outside, false, `after ${press + 1} presses`);
    }
    await playground.page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    assert.equal(await focused(), "connection");
    await playground.get("connection").click();
    await playground.page.mouse.click(5, 5);
    await dialog.waitFor({ state: "detached" });
  });
});
