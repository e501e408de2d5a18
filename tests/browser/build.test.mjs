// Builds, from the button to the program that runs: what the page shows, what can be downloaded, what other people's
// tools make of it, and what runs again after a change.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createServer } from "node:http";
import { once } from "node:events";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { execFile } from "node:child_process";

import { launch } from "./support/browser.mjs";
import { eventually } from "./support/eventually.mjs";
import { holds, inspect, inspectConfig, paths, unpack } from "./support/image.mjs";
import * as places from "./support/places.mjs";
import { Playground } from "./support/playground.mjs";
import { Worker } from "./support/worker.mjs";

const exec = promisify(execFile);

const worker = await Worker.start();
const skip = worker.cannotBuild;
after(() => worker.stop());

/** A page with two links that stay and three that leave. */
const html = `<!doctype html><title>Links</title>
<a href="/a">a</a> <a href="b.html">b</a>
<a href="https://example.org/">c</a> <a href="//example.net/">d</a> <a href="http://example.com/x">e</a>
<a name="no-link">f</a> <area href="/no-anchor">`;

describe("the builds of the examples", { skip }, () => {
  let browser, playground, web, scratch;

  before(async () => {
    scratch = places.scratch("images");
    web = createServer((_, answer) => answer.setHeader("content-type", "text/html").end(html)).listen(0, "127.0.0.1");
    await once(web, "listening");
    browser = await launch();
    playground = await Playground.open(browser, await worker.invitation());
    await playground.online();
  });
  after(async () => {
    await browser?.close();
    web?.close();
    scratch?.remove();
  });

  /** How each step stands that makes a layer; CMD and its like only change the image's configuration. */
  const states = async () => {
    const steps = (await playground.steps()).filter(({ state, keyword }) => state !== "idle" && ["RUN", "COPY", "ADD", "WORKDIR"].includes(keyword));
    return Object.fromEntries(steps.map(({ stage, step, state }) => [`${stage}/${step}`, state]));
  };

  async function runsAndCounts(rootfs, program) {
    const { stdout } = await exec(join(rootfs, program), [`http://127.0.0.1:${web.address().port}/page.html`]);
    assert.deepEqual(JSON.parse(stdout), { internal: 2, external: 3 });
  }

  it("href-counter builds, its steps run and layers arrive with sizes", async () => {
    await playground.choose("href-counter");
    await playground.imagesResolved();
    await playground.press();
    await eventually("a step runs", async () => Object.values(await states()).includes("running"), { seconds: 300 });
    await playground.screenshot("href-counter-running");
    await playground.ended();
    await playground.screenshot("href-counter-built");
    assert.deepEqual(await states(), {
      "stage-0/0": "done", "stage-0/1": "done", "stage-0/2": "done", "stage-0/3": "done",
      "stage-1/0": "done", "stage-1/1": "done", "stage-1/2": "done",
    });
    const layers = await playground.layers();
    assert.ok(layers.length >= 4, `layers: ${JSON.stringify(layers)}`);
    for (const layer of layers) assert.ok(layer.size > 0, JSON.stringify(layer));
    assert.ok(layers.filter(({ diffId }) => /^sha256:[0-9a-f]{64}$/.test(diffId)).length >= 7, "each step's layer has a digest");
    assert.ok(layers.some(({ name, inImage }) => name.startsWith("alpine:latest") && inImage === "true"), "the base is in the image");
    const log = await playground.log();
    assert.match(log, /installed ca-certificates/);
    assert.match(log, /stand-in for golang:1\.7\.3/, "the log says which image is a stand-in");
  });

  it("its OCI archive satisfies skopeo and umoci, and its program counts links", async () => {
    const file = await playground.download("oci", scratch.folder);
    const about = inspect("oci-archive", file);
    assert.equal(about.Os, "linux");
    assert.ok(about.Layers.length >= 3);
    const config = inspectConfig("oci-archive", file);
    assert.deepEqual(config.config.Cmd, ["./app"]);
    assert.equal(config.config.WorkingDir, "/root/");
    assert.equal(config.rootfs.diff_ids.length, about.Layers.length);
    assert.equal(config.history.filter((entry) => !entry.empty_layer).length, about.Layers.length);
    const rootfs = unpack(file, join(scratch.folder, "href-counter"));
    await runsAndCounts(rootfs, "root/app");
    assert.ok(holds(rootfs, "etc/ssl/certs/ca-certificates.crt"));
    const toolchain = paths(rootfs).filter((path) => /(^|\/)(go|gofmt|compile|GOROOT)$|usr\/local\/go|\.go$/.test(path));
    assert.deepEqual(toolchain, [], "the image holds no Go toolchain and no sources");
    assert.ok(statSync(file).size < 20e6, "and is small");
  });

  it("its docker archive is the same image", async () => {
    const file = await playground.download("docker", scratch.folder);
    const config = inspectConfig("docker-archive", file);
    assert.deepEqual(config.config.Cmd, ["./app"]);
    const oci = inspectConfig("oci-archive", await playground.download("oci", scratch.folder));
    assert.deepEqual(config.rootfs.diff_ids, oci.rootfs.diff_ids);
  });

  it("built again without a change, every step is cached", async () => {
    await playground.build();
    assert.deepEqual([...new Set(Object.values(await states()))], ["cached"]);
  });

  it("after a change of app.go exactly what depends on it runs again", async () => {
    await playground.show("app.go");
    const source = readFileSync(join(places.examples, "href-counter/app.go"), "utf8");
    await playground.write(source.replace('"internal\\":%d', '"inside\\":%d'));
    await playground.build();
    assert.deepEqual(await states(), {
      "stage-0/0": "cached", "stage-0/1": "cached", "stage-0/2": "done", "stage-0/3": "done",
      "stage-1/0": "cached", "stage-1/1": "cached", "stage-1/2": "done",
    });
    await playground.screenshot("href-counter-changed");
    const rootfs = unpack(await playground.download("oci", scratch.folder), join(scratch.folder, "changed"));
    const { stdout } = await exec(join(rootfs, "root/app"), [`http://127.0.0.1:${web.address().port}/`]);
    assert.deepEqual(JSON.parse(stdout), { inside: 2, external: 3 });
  });

  it("href-counter-named makes the same program by a stage's name", async () => {
    await playground.choose("href-counter-named");
    await playground.imagesResolved();
    await playground.build();
    const rootfs = unpack(await playground.download("oci", scratch.folder), join(scratch.folder, "named"));
    await runsAndCounts(rootfs, "root/app");
  });

  it("the target builder stops there", async () => {
    await playground.choose("href-counter-target");
    await playground.imagesResolved();
    await playground.build();
    const found = await states();
    assert.deepEqual(Object.keys(found).filter((step) => !step.startsWith("builder/")), [], "no step of the last stage ran");
    const file = await playground.download("oci", scratch.folder);
    assert.equal(inspectConfig("oci-archive", file).config.WorkingDir, "/go/src/github.com/alexellis/href-counter/");
    const rootfs = unpack(file, join(scratch.folder, "target"));
    assert.ok(holds(rootfs, "usr/local/go/bin/go"), "the image is the builder, toolchain and all");
    await runsAndCounts(rootfs, "go/src/github.com/alexellis/href-counter/app");
  });

  it("external-image copies the real nginx.conf", async () => {
    await playground.choose("external-image");
    await playground.imagesResolved();
    await playground.build();
    const rootfs = unpack(await playground.download("oci", scratch.folder), join(scratch.folder, "external"));
    const nginx = join(scratch.folder, "nginx");
    execFileSync("skopeo", ["copy", "--quiet", `oci:${join(places.images, "layout")}:nginx-latest`, `oci-archive:${nginx}.tar`]);
    const original = readFileSync(join(unpack(`${nginx}.tar`, nginx), "etc/nginx/nginx.conf"));
    assert.ok(original.includes("worker_processes"));
    assert.ok(readFileSync(join(rootfs, "nginx.conf")).equals(original));
    assert.ok(!holds(rootfs, "etc/nginx"), "and nothing else of that image");
  });

  it("the diamond joins what its two sides made", async () => {
    await playground.choose("diamond");
    await playground.imagesResolved();
    await playground.build();
    await playground.screenshot("diamond-built");
    const rootfs = unpack(await playground.download("oci", scratch.folder), join(scratch.folder, "diamond"));
    const [left, right] = ["left", "right"].map((side) => readFileSync(join(places.examples, `diamond/${side}.txt`), "utf8"));
    assert.equal(readFileSync(join(rootfs, "work/all.txt"), "utf8"), `base\n${left}base\n${right}`);
  });

  it("a change on one side of the diamond leaves the other cached", async () => {
    await playground.show("left.txt");
    await playground.write("something else\n");
    await playground.build();
    const found = await states();
    for (const [step, state] of Object.entries(found)) {
      if (step.startsWith("right/") || step.startsWith("base/")) assert.equal(state, "cached", step);
      if (step.startsWith("left/")) assert.equal(state, "done", step);
    }
  });

  it("Dockerfiles of the builder pattern build by themselves, program carried by hand", async () => {
    await playground.choose("builder-pattern");
    await playground.imagesResolved();
    await playground.build();
    const rootfs = unpack(await playground.download("oci", scratch.folder), join(scratch.folder, "pattern"));
    await playground.get("upload-input").setInputFiles(join(rootfs, "go/src/github.com/alexellis/href-counter/app"));
    await playground.show("Dockerfile");
    await playground.imagesResolved();
    await playground.build();
    const second = unpack(await playground.download("oci", scratch.folder), join(scratch.folder, "pattern-second"));
    assert.ok(holds(second, "root/app"));
    await playground.show("Dockerfile.multistage");
    await playground.imagesResolved();
    await playground.build();
    const joined = unpack(await playground.download("oci", scratch.folder), join(scratch.folder, "pattern-joined"));
    await runsAndCounts(joined, "root/app");
  });

  it("nothing went wrong in the page", () => {
    assert.deepEqual(playground.errors, []);
  });
});
