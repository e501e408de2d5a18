// The planner as any web page uses it: WebAssembly in Chromium gives the very digests that the reference gives.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import { launch } from "./support/browser.mjs";
import { serveFolders } from "./support/files.mjs";
import * as places from "./support/places.mjs";

const cases = JSON.parse(readFileSync(join(places.fixtures, "examples.json"), "utf8"));
const constructs = JSON.parse(readFileSync(join(places.fixtures, "language.json"), "utf8"));

const sha256 = (text) => `sha256:${createHash("sha256").update(text).digest("hex")}`;

/** What a registry would say of an image: every one resolves to the digest of its own name, or to the one it has. */
const facts = (reference, config) => ({
  digest: reference.split("@")[1] ?? sha256(reference),
  config: config ?? {
    architecture: "amd64",
    os: "linux",
    config: { Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] },
    rootfs: { type: "layers", diff_ids: [sha256("")] },
  },
});

describe("the planner in a browser", () => {
  let browser, page, server;

  before(async () => {
    server = await serveFolders({ planner: places.planner });
    browser = await launch();
    page = await browser.newPage();
    await page.goto(server.address);
    await page.evaluate(async () => {
      const planner = await import("/planner/stagewright_core.js");
      await planner.default();
      window.planner = planner;
    });
  });
  after(async () => {
    await browser?.close();
    server?.stop();
  });

  const analyze = (source, options) => page.evaluate(([source, options]) => window.planner.analyze(source, options), [source, options]);

  it("there are examples to compare", () => assert.ok(cases.length >= 6));

  for (const { name, dockerfile, digests, head, defSha256, input } of cases) {
    it(`${name} has the reference's op digests`, async () => {
      const source = readFileSync(join(places.root, dockerfile), "utf8");
      const { definition } = await analyze(source, input.options);
      assert.deepEqual(definition.ops.map(({ digest }) => digest), digests);
      assert.equal(definition.head, head);
      assert.equal(definition.digest, defSha256);
      const digest = await page.evaluate(([source, options]) => window.planner.planDigest(source, options), [source, input.options]);
      assert.equal(digest, defSha256);
    });
  }

  it("every construct of the language has the reference's op digests", async () => {
    assert.ok(constructs.length >= 70);
    for (const { name, dockerfile, options, configurations = {}, digests, head, defSha256, image } of constructs) {
      const source = readFileSync(join(places.root, dockerfile), "utf8");
      options.images = {};
      let analysis = await analyze(source, options);
      // What a base image's triggers name is known only once the base is.
      for (let unresolved; (unresolved = analysis.images.filter(({ resolved }) => !resolved)).length > 0; ) {
        for (const { reference } of unresolved) options.images[reference] = facts(reference, configurations[reference]);
        analysis = await analyze(source, options);
      }
      assert.deepEqual(analysis.definition?.ops.map(({ digest }) => digest), digests, name);
      assert.equal(analysis.definition.head, head, name);
      assert.equal(analysis.definition.digest, defSha256, name);
      assert.deepEqual(analysis.imageConfig, image, name);
    }
  });

  it("a drawing is an SVG document that loads nothing", async () => {
    const source = readFileSync(join(places.examples, "diamond/Dockerfile"), "utf8");
    const svg = await page.evaluate((source) => window.planner.renderSvg(source, { theme: "dark" }), source);
    const root = await page.evaluate((svg) => {
      const document = new DOMParser().parseFromString(svg, "image/svg+xml");
      return { name: document.documentElement.localName, scripts: document.querySelectorAll("script,image,use,foreignObject").length };
    }, svg);
    assert.deepEqual(root, { name: "svg", scripts: 0 });
    assert.ok(!/https?:\/\/(?!www\.w3\.org)/.test(svg));
  });

  it("text in a Dockerfile stays text in a drawing", async () => {
    const svg = await page.evaluate(() => window.planner.renderSvg('FROM scratch AS a\nRUN "<script>alert(1)</script>"\n'));
    assert.ok(!svg.includes("<script>"));
  });

  it("a broken Dockerfile is planned as far as it can be read", async () => {
    const { diagnostics, stages } = await analyze("FROM alpine AS one\nNONSENSE\nFROM one AS two\n");
    assert.deepEqual(stages.map(({ name }) => name), ["one", "two"]);
    assert.ok(diagnostics.some(({ severity }) => severity === "error"));
  });

  it("an option that makes no sense throws an error that names it", async () => {
    await assert.rejects(analyze("FROM scratch", { nonsense: true }), /nonsense/);
  });
});
