// Share links: what one person sees, another sees too, and nothing is done for having opened one.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { deflateRawSync } from "node:zlib";

import { launch } from "./support/browser.mjs";
import { eventually } from "./support/eventually.mjs";
import * as places from "./support/places.mjs";
import { Playground } from "./support/playground.mjs";
import { Worker } from "./support/worker.mjs";

const kept = JSON.parse(readFileSync(join(places.fixtures, "links.json"), "utf8"));
const two = "FROM alpine AS one\nRUN date > /now\n\nFROM scratch\nCOPY --from=one /now /\n";

describe("share links", () => {
  let worker, browser;

  before(async () => {
    worker = await Worker.start();
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await worker?.stop();
  });

  /** Opens an address on the worker, with a token where `invited`. */
  const open = async (fragment, { invited = false, ...options } = {}) => {
    const page = invited ? `${await worker.invitation()}&${fragment.slice(1)}` : `${worker.address}${fragment}`;
    return Playground.open(browser, page, { permissions: ["clipboard-read", "clipboard-write"], ...options });
  };
  const notices = (playground) => playground.get("notice").allInnerTexts();
  const said = async (playground, pattern) =>
    eventually(`${pattern} is said`, async () => (await notices(playground)).some((text) => pattern.test(text)));
  const text = (playground) => playground.page.locator(".cm-content").innerText();
  /** Presses Share and one of its entries, and answers what is in the clipboard then. */
  const copied = async (playground, entry = "copy-link") => {
    await playground.page.evaluate(() => navigator.clipboard.writeText(""));
    await playground.get("share").click();
    await playground.get(entry).click();
    return eventually("it is copied", () => playground.page.evaluate(() => navigator.clipboard.readText()));
  };

  it("a copied link shows another person the same page", async () => {
    const mine = await open("");
    await mine.writeDockerfile(two);
    await mine.get("target").selectOption("one");
    await mine.get("args").click();
    await mine.get("new-arg").fill("V=1 ü");
    await mine.page.keyboard.press("Enter");
    await mine.page.keyboard.press("Escape");
    await mine.get("tab-steps").click();
    const address = await copied(mine);
    assert.match(address, new RegExp(`^${worker.address}#s=[\\w-]+$`));
    await said(mine, /^Copied: \d+ characters.*on this machine/s);
    const markdown = await copied(mine, "copy-markdown");
    assert.equal(markdown, `[Dockerfile in Stagewright](${address})`);
    const digest = await mine.planDigest();

    const other = await open(new URL(address).hash);
    assert.deepEqual(await other.stages().catch(() => []), []);
    assert.equal(await other.get("tab-steps").getAttribute("aria-selected"), "true");
    await other.get("tab-graph").click();
    assert.deepEqual(await other.stages(), ["one", "stage-1"]);
    assert.equal(await other.get("target").inputValue(), "one");
    assert.equal(await other.planDigest(), digest);
    assert.equal(new URL(other.page.url()).hash, "", "an address that was opened is not opened again by a reload");
    await other.writeDockerfile("FROM scratch\n");
    await other.page.reload();
    await eventually("the work is there again", async () => (await text(other)).trim() === "FROM scratch");
    for (const playground of [mine, other]) {
      assert.deepEqual(playground.errors, []);
      await playground.close();
    }
  });

  for (const { name, fragment, link } of kept) {
    it(`a kept link is opened: ${name}`, async () => {
      const playground = await open(fragment);
      await said(playground, /^Opened from a link/);
      for (const path of link.leftOut ?? []) await said(playground, new RegExp(path));
      const shown = link.files.find(({ path }) => path === (link.shown ?? link.dockerfile));
      assert.equal((await text(playground)).trim().split(/\r?\n/)[0], shown.text.split(/\r?\n/)[0]);
      const view = link.view ?? "graph";
      assert.equal(await playground.get(`tab-${view}`).getAttribute("aria-selected"), "true");
      const again = new URL(await copied(playground));
      const carried = await playground.page.evaluate(async (packed) => JSON.parse(await (await import("./browser.js")).unpack(packed)), again.hash.slice(3));
      const { leftOut, ...same } = link;
      assert.deepEqual(carried, same);
      assert.deepEqual(playground.errors, []);
      await playground.close();
    });
  }

  it("a link and a worker's token stand in one address", async () => {
    const playground = await open(kept[0].fragment, { invited: true });
    await eventually("the page is connected", async () => (await playground.connection()) === "online");
    await said(playground, /^Opened from a link/);
    assert.equal(new URL(playground.page.url()).hash, "");
    await playground.close();
  });

  it("opening a link builds nothing and has no registry asked, until somebody acts", async () => {
    const playground = await open(kept[0].fragment, { invited: true });
    const asked = [];
    playground.page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => asked.push(String(payload))));
    await playground.page.evaluate((fragment) => (location.hash = fragment), kept[0].fragment);
    await playground.page.reload();
    await eventually("the page is connected", async () => (await playground.connection()) === "online");
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const methods = () => asked.map((frame) => JSON.parse(frame).method);
    assert.ok(methods().includes("hello"), String(methods()));
    assert.deepEqual(methods().filter((method) => method !== "hello"), []);
    assert.equal(await playground.buildId(), null);
    await playground.writeDockerfile("FROM alpine\n");
    await eventually("the registry is asked", () => methods().includes("image.resolve"));
    await playground.close();
  });

  it("what was written before comes back", async () => {
    const playground = await open("");
    await playground.writeDockerfile(two);
    await playground.page.evaluate((fragment) => (location.hash = fragment), kept[1].fragment);
    await said(playground, /What you had before is kept/);
    assert.deepEqual(await playground.stages().catch(() => []), []);
    await playground.page.reload();
    await playground.get("examples").click();
    await playground.get("bring-back").click();
    await eventually("the text is there again", async () => (await text(playground)).includes("RUN date > /now"));
    assert.deepEqual(await playground.stages(), ["one", "stage-1"]);
    await playground.get("examples").click();
    await playground.get("bring-back").click();
    await eventually("the link's text is there again", async () => (await text(playground)).includes("ENTRYPOINT"));
    await playground.close();
  });

  it("a link that is broken, or of a later version, is explained and leaves the page usable", async () => {
    const { fragment } = kept[0];
    for (const [bad, why] of [
      [fragment.slice(0, -30), /not whole/],
      ["#s=%%%", /not whole/],
      ["#s=Ag", /newer Stagewright/],
      ["#s=AA", /not whole/],
      ["#s=Ab3bRBarVkrLzEktVrKKrlYqSCzJULJScslPzk4tAgkr6SiVpFaUKFkpuQX5-yoUJxclliRnxOQp1cbW", /not whole/],
    ]) {
      const playground = await open(bad);
      await said(playground, why);
      await eventually("the first example is drawn", async () => (await playground.stages()).length === 2);
      assert.deepEqual(playground.errors, []);
      await playground.close();
    }
  });

  it("a small link that would become large is not opened", async () => {
    const playground = await open("");
    // The page packs no such thing.
    const json = JSON.stringify({ files: [{ path: "Dockerfile", text: `FROM scratch\n#${"x".repeat(3 << 20)}` }] });
    const bomb = Buffer.concat([Buffer.from([1, 0, 0, 0, 0]), deflateRawSync(json)]).toString("base64url");
    assert.ok(bomb.length < 8_000, String(bomb.length));
    await playground.page.evaluate((packed) => (location.hash = `#s=${packed}`), bomb);
    await said(playground, /more than a link may/);
    await playground.close();
  });

  it("a link that is too long for many programs says so", async () => {
    const playground = await open("");
    const noise = Array.from({ length: 9000 }, (_, index) => ((index * 2654435761) >>> 7).toString(36)).join("");
    await playground.writeDockerfile(`FROM scratch\n# ${noise}\n`);
    assert.ok((await copied(playground)).length > 8_000);
    await said(playground, /Many programs cut such long links off/);
    await playground.close();
  });

  it("what is too much for any link is not copied, and the page says why", async () => {
    const playground = await open("");
    await playground.writeDockerfile(`FROM scratch\n# ${"x".repeat(1 << 20)}\n`);
    await playground.page.evaluate(() => navigator.clipboard.writeText("before"));
    await playground.get("share").click();
    await playground.get("copy-link").click();
    await said(playground, /more than the 1 MiB that a link holds/);
    assert.equal(await playground.page.evaluate(() => navigator.clipboard.readText()), "before");
    await playground.close();
  });

  it("where the page may not copy, the link is shown instead", async () => {
    const playground = await open("");
    await playground.page.evaluate(() => Object.defineProperty(navigator, "clipboard", { value: undefined }));
    await playground.get("share").click();
    await playground.get("copy-link").click();
    await said(playground, /does not let the page copy\. The link: http:\S+#s=[\w-]+$/);
    await playground.close();
  });

  it("the button is at hand on a desk, in the dark and on a phone", async () => {
    for (const [name, options] of Object.entries({
      light: {},
      dark: { colorScheme: "dark" },
      phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true },
    })) {
      const playground = await open(kept[1].fragment, options);
      await said(playground, /^Opened from a link/);
      await playground.get("tab-graph").click();
      await playground.get("share").click();
      const menu = await playground.page.locator(".popover").boundingBox();
      const { width } = playground.page.viewportSize();
      assert.ok(menu.x >= 0 && menu.x + menu.width <= width, JSON.stringify(menu));
      await playground.screenshot(`share-${name}`);
      await playground.get("copy-link").click();
      await said(playground, /^Copied/);
      await playground.close();
    }
  });
});
