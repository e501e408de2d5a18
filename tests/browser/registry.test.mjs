// Base images from a registry, over its real protocol.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import { launch } from "./support/browser.mjs";
import { inspect } from "./support/image.mjs";
import * as places from "./support/places.mjs";
import { Playground } from "./support/playground.mjs";
import { Registry } from "./support/registry.mjs";
import { Worker } from "./support/worker.mjs";

const scratch = places.scratch("registry-test");
const registry = await Registry.start();
registry.fill("alpine-latest", "library/alpine:latest");
const config = join(scratch.folder, "stagewright.toml");
writeFileSync(config, `[registry."docker.io"]\nmirrors = ["http://${registry.host}"]\n`);
const worker = await Worker.start({ config });
after(async () => {
  await worker.stop();
  await registry.stop();
  scratch.remove();
});

describe("a base image from a registry", { skip: worker.cannotBuild }, () => {
  let browser, playground;

  before(async () => {
    browser = await launch();
    playground = await Playground.open(browser, await worker.invitation());
    await playground.choose("diamond");
    await playground.online();
  });
  after(() => browser?.close());

  it("is pulled from the registry that its name gives", async () => {
    await playground.writeDockerfile(`FROM ${registry.host}/library/alpine:latest\nRUN echo pulled > /pulled\n`);
    await playground.imagesResolved();
    await playground.build();
    assert.equal(inspect("oci-archive", await playground.download("oci", scratch.folder)).Layers.length, 3);
  });

  it("is pulled from a mirror where the configuration names one", async () => {
    await playground.writeDockerfile("FROM alpine\nRUN echo mirrored > /mirrored\n");
    await playground.imagesResolved();
    await playground.build();
    assert.equal(inspect("oci-archive", await playground.download("oci", scratch.folder)).Layers.length, 3);
  });
});
