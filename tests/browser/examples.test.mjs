// Every example is drawn with its stages and with what flows between them, and there are pictures of each to look at.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { launch } from "./support/browser.mjs";
import { eventually } from "./support/eventually.mjs";
import { Playground } from "./support/playground.mjs";
import { Worker } from "./support/worker.mjs";

const go = "golang:1.7.3";
const alpine = "alpine:latest";

const expected = {
  "href-counter": {
    stages: ["stage-0", "stage-1"],
    edges: [`base ${go} -> stage-0`, "copy context -> stage-0: app.go", `base ${alpine} -> stage-1`, "copy stage-0 -> stage-1: app"],
  },
  "href-counter-named": {
    stages: ["builder", "stage-1"],
    edges: [`base ${go} -> builder`, "copy context -> builder: app.go", `base ${alpine} -> stage-1`, "copy builder -> stage-1: app"],
  },
  "href-counter-target": {
    stages: ["builder", "stage-1"],
    needed: ["builder"],
    edges: [`base ${go} -> builder`, "copy context -> builder: app.go", `base ${alpine} -> stage-1`, "copy builder -> stage-1: app"],
  },
  "external-image": {
    stages: ["stage-0"],
    edges: [`base ${alpine} -> stage-0`, "copy nginx:latest -> stage-0: nginx.conf"],
  },
  diamond: {
    stages: ["base", "left", "right", "stage-3"],
    edges: [
      `base ${alpine} -> base`,
      "base base -> left",
      "base base -> right",
      "base base -> stage-3",
      "copy context -> left: left.txt",
      "copy context -> right: right.txt",
      "copy left -> stage-3: out.txt",
      "copy right -> stage-3: out.txt",
    ],
  },
  "builder-pattern": {
    stages: ["stage-0"],
    edges: [`base ${go} -> stage-0`, "copy context -> stage-0: app.go"],
  },
};

describe("the examples, drawn", () => {
  let worker, browser, playground;

  before(async () => {
    worker = await Worker.start();
    browser = await launch();
    playground = await Playground.open(browser, await worker.invitation());
    await playground.online();
  });
  after(async () => {
    await browser?.close();
    await worker?.stop();
  });

  for (const [example, { stages, edges, needed }] of Object.entries(expected)) {
    it(`${example} shows its stages and copy edges`, async () => {
      await playground.choose(example);
      await eventually("its stages are drawn", async () => String(await playground.stages()) === String(stages));
      await playground.imagesResolved();
      assert.deepEqual(await playground.edges(), [...edges].sort());
      assert.deepEqual(await playground.neededStages(), needed ?? stages);
      assert.deepEqual(await playground.errorsSaid(), []);
      await playground.screenshot(`${example}-light`);
    });
  }

  it("each Dockerfile of the builder pattern is planned by itself", async () => {
    await playground.choose("builder-pattern");
    await playground.show("Dockerfile");
    await eventually("the second Dockerfile is drawn", async () => (await playground.edges()).includes("copy context -> stage-0: app"));
    await playground.show("build.sh");
    assert.deepEqual(await playground.stages(), ["stage-0"], "a file that is no Dockerfile leaves the plan as it is");
    await playground.show("Dockerfile.multistage");
    await eventually("the one-file version is drawn", async () => (await playground.edges()).includes("copy builder -> stage-1: app"));
  });

  it("a stand-in image is said to be one", async () => {
    await playground.choose("href-counter");
    await playground.imagesResolved();
    const pill = playground.page.locator(`[data-testid="pill"][data-name="${go}"]`);
    assert.match(await pill.getAttribute("aria-label"), /stand-in for golang:1\.7\.3/);
  });

  it("a click on a step goes to its line, and a line to its step", async () => {
    await playground.choose("href-counter");
    await playground.step("stage-0", 3).click();
    const line = playground.page.locator(".cm-line.lit-line");
    await eventually("the line of the step is marked", async () => (await line.allInnerTexts()).some((text) => text.includes("go build -a")));
    await playground.page.locator(".cm-line", { hasText: "COPY app.go" }).click();
    await eventually("the step of the line is marked", async () =>
      (await playground.step("stage-0", 2).getAttribute("class")).includes("lit"),
    );
  });

  it("dark and on a phone it is drawn as well", async () => {
    for (const [name, options] of Object.entries({
      dark: { colorScheme: "dark" },
      phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true },
      "phone-dark": { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, colorScheme: "dark", hasTouch: true, isMobile: true },
    })) {
      const other = await Playground.open(browser, await worker.invitation(), options);
      await other.online();
      for (const example of ["href-counter", "diamond"]) {
        await other.choose(example);
        await eventually("its stages are drawn", async () => String(await other.stages()) === String(expected[example].stages));
        await other.imagesResolved();
        await other.screenshot(`${example}-${name}`);
      }
      const outside = await other.page.evaluate(() =>
        [...document.querySelectorAll("header, main, section, nav, button:not(svg button)")]
          .filter((part) => part.getClientRects().length > 0)
          // A row of tabs is scrolled sideways.
          .filter((part) => !part.closest(".tab-row"))
          .filter((part) => part.getBoundingClientRect().right > innerWidth + 0.5 || part.getBoundingClientRect().left < -0.5)
          .map((part) => part.className),
      );
      assert.deepEqual(outside, [], "nothing sticks out sideways");
      assert.deepEqual(other.errors, []);
      await other.close();
    }
  });

  it("it is as dark as the system, also when that changes, until somebody chooses", async () => {
    const other = await Playground.open(browser, await worker.invitation(), { colorScheme: "light" });
    const theme = () => other.page.evaluate(() => document.documentElement.dataset.theme);
    assert.equal(await theme(), "light");
    await other.page.emulateMedia({ colorScheme: "dark" });
    await eventually("it is dark with the system", async () => (await theme()) === "dark");
    await other.page.getByRole("button", { name: "Light colours" }).click();
    assert.equal(await theme(), "light");
    for (const colorScheme of ["light", "dark"]) {
      await other.page.emulateMedia({ colorScheme });
      await other.page.evaluate(() => new Promise(requestAnimationFrame));
      assert.equal(await theme(), "light", `as was chosen, and not ${colorScheme}`);
    }
    await other.close();
  });

  it("nothing went wrong in the page", () => {
    assert.deepEqual(playground.errors, []);
  });
});
