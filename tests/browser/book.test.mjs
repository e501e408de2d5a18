// The gallery's small book, built by mdBook with the preprocessor, and read in a browser.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";

import { launch } from "./support/browser.mjs";
import { serveFolders } from "./support/files.mjs";
import * as places from "./support/places.mjs";

describe("a book with plans", () => {
  let scratch, built, browser, server;

  before(async () => {
    scratch = places.scratch("book");
    cpSync(join(places.root, "docs/gallery/book"), join(scratch.folder, "book"), { recursive: true });
    built = spawnSync(places.mdbook, ["build", join(scratch.folder, "book"), "--dest-dir", join(scratch.folder, "out")], {
      // What book.toml names is looked for there.
      env: { ...process.env, PATH: `${dirname(places.worker)}:${process.env.PATH}` },
      encoding: "utf8",
    });
    if (built.error) throw new Error(`mdBook does not start (${built.error.message}); cargo install mdbook, or name it in STAGEWRIGHT_MDBOOK`);
    server = await serveFolders({ book: join(scratch.folder, "out") });
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    server?.stop();
    scratch?.remove();
  });

  const open = async (chapter, options = {}) => {
    const context = await browser.newContext({ viewport: { width: 1200, height: 1000 }, ...options });
    const page = await context.newPage();
    await page.goto(`${server.address}/book/${chapter}.html`);
    return page;
  };
  const paper = (page) => page.locator(".stagewright-plan .paper").first().evaluate((paper) => getComputedStyle(paper).fill);

  it("is built, mistakes or not, and says where they are", () => {
    assert.equal(built.status, 0, built.stderr);
    assert.match(built.stderr, /warning: mistake\.md, line 10: There is no stage biuld/);
    assert.match(built.stderr, /warning: mistake\.md, line 11: /);
    assert.doesNotMatch(built.stderr, /warning: (two-stages|diamond)/);
  });

  it("shows its drawings without script, each in its place, with source and link", async () => {
    const page = await open("two-stages", { javaScriptEnabled: false });
    const plans = page.locator(".stagewright-plan");
    assert.equal(await plans.count(), 2);
    assert.deepEqual(await page.locator(".stagewright-plan svg .title").allTextContents(), ["build", "stage-1", "build", "stage-1"]);
    assert.equal(await page.getByRole("img", { name: "A build in two stages" }).count(), 1);
    assert.equal(await page.locator("li .stagewright-plan").count(), 1, "the one in a list is in the list");
    assert.match(await page.locator("details[open] code").innerText(), /^FROM golang:1\.22 AS build\nWORKDIR \/src/);
    assert.equal(await page.locator("details").count(), 1);
    assert.match(await page.locator("pre code").last().innerText(), /^FROM scratch\s*$/, "other blocks are left alone");
    const link = new URL(await plans.nth(1).locator("a").getAttribute("href"));
    assert.equal(link.origin, "http://127.0.0.1:7070");
    const { unpack } = await import(join(places.root, "web/browser/link.js"));
    const { files, target } = JSON.parse(await unpack(link.hash.slice(3)));
    assert.equal(target, "build");
    assert.match(files[0].text, /^FROM golang:1\.22 AS build\n/, "without the list's indentation");
    const outside = await plans.evaluateAll((all) => all.filter((plan) => plan.getBoundingClientRect().right > innerWidth).length);
    assert.equal(outside, 0);
    await page.screenshot({ path: join(places.screenshots, "book-no-script.png") });
    await page.context().close();
  });

  it("goes with the themes of the book", async () => {
    const page = await open("two-stages");
    assert.equal(await paper(page), "rgb(251, 250, 247)");
    await page.screenshot({ path: join(places.screenshots, "book-light.png") });
    await page.evaluate(() => document.documentElement.classList.replace("light", "navy"));
    assert.equal(await paper(page), "rgb(14, 18, 22)");
    await page.screenshot({ path: join(places.screenshots, "book-navy.png") });
    await page.context().close();
    const dark = await open("diamond", { colorScheme: "dark" });
    assert.equal(await paper(dark), "rgb(14, 18, 22)");
    await dark.screenshot({ path: join(places.screenshots, "book-diamond.png") });
    await dark.context().close();
  });

  it("shows mistakes as text", async () => {
    const page = await open("mistake");
    const said = await page.locator(".stagewright-findings li").allInnerTexts();
    assert.ok(said.some((text) => /line 5: There is no stage biuld/.test(text)), String(said));
    assert.ok(said.some((text) => /^Error in line 6/.test(text)), String(said));
    await page.screenshot({ path: join(places.screenshots, "book-mistake.png") });
    await page.context().close();
  });

  it("is read on a phone", async () => {
    const page = await open("two-stages", { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true });
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    const width = await page.locator(".stagewright-plan svg").first().evaluate((svg) => svg.getBoundingClientRect().width);
    assert.ok(width >= 560, `it is scrolled rather than too small to read: ${width}`);
    await page.screenshot({ path: join(places.screenshots, "book-phone.png") });
    await page.context().close();
  });
});
