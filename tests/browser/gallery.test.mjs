// The gallery of docs/gallery, as `cargo xtask gallery` serves it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import { launch } from "./support/browser.mjs";
import { eventually } from "./support/eventually.mjs";
import * as places from "./support/places.mjs";

describe("the gallery", () => {
  let browser, server, address, book;

  before(async () => {
    // Its book has tests of its own.
    book = places.scratch("gallery");
    server = spawn(process.execPath, [join(places.root, "docs/gallery/serve.mjs"), "0", places.planner, book.folder], { stdio: ["ignore", "pipe", "inherit"] });
    address = await new Promise((found) => createInterface({ input: server.stdout }).on("line", (line) => found(line.match(/http\S+/)[0])));
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    server?.kill();
    book?.remove();
  });

  for (const [name, options] of Object.entries({
    light: {},
    dark: { colorScheme: "dark" },
    phone: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
  })) {
    it(`shows every plan it has, ${name}`, async () => {
      const context = await browser.newContext({ viewport: { width: 1000, height: 900 }, ...options });
      const page = await context.newPage();
      const refused = [];
      page.on("console", (message) => /Content.Security.Policy|Refused/i.test(message.text()) && refused.push(message.text()));
      page.on("pageerror", (error) => refused.push(String(error)));
      await page.goto(address);
      const all = await page.locator("stagewright-plan").count();
      await eventually("all are drawn", async () => {
        await page.evaluate(async () => {
          for (let at = 0; at < document.documentElement.scrollHeight; at += 400) {
            scrollTo(0, at);
            await new Promise((done) => setTimeout(done, 50));
          }
        });
        // One shows what it looks like when there is nothing to draw.
        return (await page.locator("stagewright-plan svg").count()) === all - 1;
      });
      assert.equal(await page.locator("stagewright-plan [role=alert]").count(), 1);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing sticks out");
      assert.deepEqual(refused, []);
      await page.evaluate(() => scrollTo(0, 0));
      await page.screenshot({ path: join(places.screenshots, `gallery-${name}.png`), fullPage: true });
      await context.close();
    });
  }

  it("leads nowhere but into its folders", async () => {
    for (const path of ["/gallery/../../Cargo.toml", "/gallery/%2e%2e/%2e%2e/Cargo.toml", "/planner/..%2f..%2fCargo.toml", "/constructor/x", "/%", "/nothing"]) {
      assert.equal((await fetch(new URL(path, address))).status, 404, path);
    }
  });
});
