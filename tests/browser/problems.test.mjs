// What users do wrong, and what the world does to them: each time a clear message, and nothing lost.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import { launch } from "./support/browser.mjs";
import { eventually } from "./support/eventually.mjs";
import * as places from "./support/places.mjs";
import { Playground } from "./support/playground.mjs";
import { Registry } from "./support/registry.mjs";
import { Worker } from "./support/worker.mjs";

describe("bad input", () => {
  let worker, browser, playground, registry, scratch;

  before(async () => {
    scratch = places.scratch("problems");
    registry = await Registry.start();
    registry.fill("alpine-latest", "base/alpine:latest");
    const config = join(scratch.folder, "stagewright.toml");
    writeFileSync(config, `[[substitute]]\nimage = "docker.io/library/alpine:latest"\nfrom = "docker-image://${registry.host}/base/alpine:latest"\nnote = "stand-in from a local registry"\n`);
    worker = await Worker.start({ config });
    browser = await launch();
    playground = await Playground.open(browser, await worker.invitation());
    await playground.choose("diamond");
    await playground.online();
  });
  after(async () => {
    await browser?.close();
    await worker?.stop();
    await registry?.stop();
    scratch?.remove();
  });

  /** Writes a Dockerfile and waits for an error that says `pattern`. */
  async function complains(text, pattern) {
    await playground.writeDockerfile(text);
    return eventually(`an error says ${pattern}`, async () => {
      const errors = await playground.errorsSaid();
      const found = errors.find((error) => pattern.test(error));
      if (!found) throw new Error(`errors: ${JSON.stringify(errors)}`);
      return found;
    });
  }

  it("a syntax error while typing leaves the rest drawn", async () => {
    await complains("FROM alpine:latest AS one\nRUNN echo broken\nRUN echo fine\nFROM one AS two\nCOPY --from=one /a /b\n", /RUNN/);
    assert.deepEqual(await playground.stages(), ["one", "two"]);
    assert.ok((await playground.edges()).includes("copy one -> two: a"));
    assert.ok((await playground.steps()).some(({ stage, keyword, line }) => stage === "one" && keyword === "RUN" && line === 3));
    assert.equal(await playground.page.locator(".cm-lintRange-error").count() > 0, true, "the place is marked in the editor");
    await playground.screenshot("problem-syntax");
  });

  it("a keyword half typed costs its own line only", async () => {
    await playground.writeDockerfile("FROM alpine:latest AS one\nRUN echo 1\nFROM one AS two\nCOP");
    await eventually("both stages are drawn", async () => String(await playground.stages()) === "one,two");
  });

  it("an unknown stage is named, with the stages there are", async () => {
    await playground.writeDockerfile("FROM alpine:latest AS builder\nRUN true\nFROM alpine:latest\nCOPY --from=bilder /app /app\n");
    await eventually("a finding says so", async () =>
      (await playground.problems()).some(({ code, text }) => code === "unknown-stage" && /bilder.*Did you mean builder\?/.test(text)),
    );
    await complains("FROM alpine:latest AS builder\nRUN true\nFROM alpine:latest\nCOPY --from=7 /app /app\n", /no stage 7/);
    assert.deepEqual(await playground.stages(), ["builder", "stage-1"], "the rest is drawn");
  });

  it("a stage that copies from a later one is told why that cannot be", async () => {
    await complains("FROM alpine:latest AS one\nCOPY --from=two /a /a\nFROM one AS two\nCOPY --from=one /a /a\n", /two/);
    assert.deepEqual(await playground.stages(), ["one", "two"]);
  });

  it("a stage that copies from itself is told so", async () => {
    await complains("FROM alpine:latest AS one\nCOPY --from=one /a /b\n", /one|itself/i);
  });

  it("a target that goes away is an error, not another stage", async () => {
    await playground.writeDockerfile("FROM alpine:latest AS builder\nRUN true\nFROM alpine:latest\n");
    await eventually("the target can be chosen", async () => (await playground.get("target").locator('option[value="builder"]').count()) === 1);
    await playground.get("target").selectOption("builder");
    await complains("FROM alpine:latest AS maker\nRUN true\nFROM alpine:latest\n", /builder/);
    await playground.get("target").selectOption("");
    await eventually("all is well again", async () => (await playground.errorsSaid()).length === 0);
  });

  it("an image that does not exist is named by page and problem list", async () => {
    await playground.writeDockerfile(`FROM ${registry.host}/no/such:image\nRUN true\n`);
    await eventually("the page says so", async () => new RegExp(`no/such`).test(await everythingSaid()));
    await refusesToBuild(/no\/such/);
  });

  it("an unreachable registry is named", async () => {
    await playground.writeDockerfile("FROM 127.0.0.1:9/some/image:latest\nRUN true\n");
    await refusesToBuild(/127\.0\.0\.1:9/);
  });

  /** Findings and notices together: what a user can read of a problem before pressing anything. */
  async function everythingSaid() {
    const notices = await playground.get("notice").allInnerTexts();
    return [...(await playground.problems()).map(({ text }) => text), ...notices].join("\n");
  }

  async function refusesToBuild(pattern) {
    const button = playground.get("build");
    if (await button.isEnabled()) await button.click();
    await eventually(`page or build says ${pattern}`, async () => {
      const said = `${await everythingSaid()}\n${await playground.failure()}`;
      if (!pattern.test(said)) throw new Error(said);
      return true;
    });
    assert.notEqual(await playground.buildState(), "done");
  }
});

const worker = await Worker.start();
after(() => worker.stop());

describe("builds that fail", { skip: worker.cannotBuild }, () => {
  let browser, playground;

  before(async () => {
    browser = await launch();
    playground = await Playground.open(browser, await worker.invitation());
    await playground.choose("diamond");
    await playground.online();
  });
  after(() => browser?.close());

  it("a RUN that fails says its exit code, its step and its log, and marks its line", async () => {
    await playground.writeDockerfile("FROM alpine:latest\nRUN echo before\nRUN echo the reason stands here; exit 42\nRUN echo after\n");
    await playground.imagesResolved();
    await playground.build("failed");
    assert.equal(await playground.get("exit-code").innerText(), "exit code 42");
    assert.match(await playground.failure(), /exit 42/);
    assert.match(await playground.log(), /the reason stands here/);
    assert.equal(await playground.stepState("stage-0", 1), "failed");
    assert.equal(await playground.stepState("stage-0", 0), "done");
    assert.ok(!["done", "running"].includes(await playground.stepState("stage-0", 2)), "what comes after it does not run");
    await eventually("its line is marked", async () => {
      const marked = await playground.page.locator(".cm-line.failed-line").allInnerTexts();
      return marked.some((text) => text.includes("exit 42"));
    });
    await playground.screenshot("problem-run");
  });

  it("put right, the build goes on from the steps that were well", async () => {
    await playground.writeDockerfile("FROM alpine:latest\nRUN echo before\nRUN echo all is well\nRUN echo after\n");
    await playground.imagesResolved();
    await playground.build();
    assert.equal(await playground.stepState("stage-0", 0), "cached");
    assert.equal(await playground.stepState("stage-0", 1), "done");
  });

  it("a program that is not there is told apart from one that fails", async () => {
    await playground.writeDockerfile("FROM alpine:latest\nRUN no-such-program --flag\n");
    await playground.imagesResolved();
    await playground.build("failed");
    assert.match(await playground.log(), /no-such-program.*not found/);
    assert.equal(await playground.get("exit-code").innerText(), "exit code 127");
  });

  it("a file that COPY misses is named", async () => {
    await playground.writeDockerfile("FROM alpine:latest\nCOPY missing-file.txt /there\n");
    await playground.imagesResolved();
    await playground.build("failed");
    assert.match(await playground.failure(), /missing-file\.txt/);
    assert.equal(await playground.stepState("stage-0", 0), "failed");
  });

  it("a file that another stage misses is named", async () => {
    await playground.writeDockerfile("FROM alpine:latest AS one\nRUN true\nFROM alpine:latest\nCOPY --from=one /not/there /there\n");
    await playground.imagesResolved();
    await playground.build("failed");
    assert.match(await playground.failure(), /not\/there/);
  });
});
