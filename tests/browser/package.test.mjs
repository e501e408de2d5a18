// The npm package, packed, installed and used as somebody would: in Node, and as TypeScript sees it.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";

import * as places from "./support/places.mjs";

const cases = JSON.parse(readFileSync(join(places.fixtures, "examples.json"), "utf8"));
const run = promisify(execFile);

describe("the npm package", () => {
  let scratch;

  before(async () => {
    scratch = places.scratch("package");
    const { stdout } = await run("npm", ["pack", "--silent", "--pack-destination", scratch.folder, places.npmPackage]);
    writeFileSync(join(scratch.folder, "package.json"), JSON.stringify({ name: "somebody", private: true, type: "module" }));
    await run("npm", ["install", "--silent", "--offline", "--no-audit", "--no-fund", `./${stdout.trim()}`], { cwd: scratch.folder });
  });
  after(() => scratch?.remove());

  /** What a program prints as JSON. */
  const node = async (program) => {
    const file = join(scratch.folder, "program.js");
    writeFileSync(file, program);
    return JSON.parse((await run(process.execPath, [file], { cwd: scratch.folder })).stdout);
  };

  it("plans in Node with the reference's digests", async () => {
    const given = cases.map(({ dockerfile, input }) => [readFileSync(join(places.root, dockerfile), "utf8"), input.options]);
    writeFileSync(join(scratch.folder, "given.json"), JSON.stringify(given));
    const digests = await node(`
      import { readFileSync } from "node:fs";
      import { analyze } from "stagewright";
      const plans = await Promise.all(JSON.parse(readFileSync("given.json", "utf8")).map(([source, options]) => analyze(source, options)));
      console.log(JSON.stringify(plans.map(({ definition }) => definition.digest)));
    `);
    assert.ok(digests.length >= 6);
    assert.deepEqual(digests, cases.map(({ defSha256 }) => defSha256));
  });

  it("draws and checks in Node", async () => {
    const { svg, findings, arm, wrong } = await node(`
      import { check, renderSvg } from "stagewright";
      const source = "from golang as Build\\nARG TARGETARCH\\nRUN go build\\nFROM scratch\\nCOPY --from=build /a /\\n";
      const svg = await renderSvg(source, { theme: "dark", title: "Mine" });
      const findings = await check(source, { target: "build" });
      const arm = await check("FROM --platform=linux/amd64 a\\n", { platform: "linux/arm64/v8", buildArgs: { A: "1" } });
      const wrong = await Promise.all([check, renderSvg].map((one) => one(source, { tarket: "x" }).catch((error) => error.message)));
      console.log(JSON.stringify({ svg, findings, arm, wrong }));
    `);
    assert.match(svg, /^<svg [^>]*role="img"[^]*>Mine<\/title>/);
    const rules = findings.map(({ rule }) => rule);
    assert.ok(rules.includes("StageNameCasing") && rules.includes("ConsistentInstructionCasing"), String(rules));
    assert.ok(arm.some(({ rule }) => rule === "FromPlatformFlagConstDisallowed"), JSON.stringify(arm));
    for (const message of wrong) assert.match(message, /no "tarket"/);
  });

  it("loads the module with the rules only where something is checked", async () => {
    const loaded = await node(`
      import { createRequire, syncBuiltinESMExports } from "node:module";
      const files = createRequire(import.meta.url)("node:fs/promises");
      const read = files.readFile;
      const loaded = [];
      files.readFile = (path, ...rest) => {
        // Node reads its own modules so, too.
        if (String(path).endsWith(".wasm")) loaded.push(String(path).split("/").pop());
        return read(path, ...rest);
      };
      syncBuiltinESMExports();
      const { analyze, renderSvg, check } = await import("stagewright");
      await Promise.all([analyze("FROM a"), renderSvg("FROM a"), analyze("FROM b")]);
      const before = [...loaded];
      await check("FROM a");
      console.log(JSON.stringify([before, loaded]));
    `);
    assert.deepEqual(loaded, [["stagewright_core_bg.wasm"], ["stagewright_core_bg.wasm", "stagewright_insight_bg.wasm"]]);
  });

  it("has the element as a part, which does nothing where there are no elements", async () => {
    assert.deepEqual(await node(`import { StagewrightPlan } from "stagewright/element"; console.log(JSON.stringify([typeof StagewrightPlan]));`), ["function"]);
  });

  it("is understood by TypeScript, which finds mistakes", async () => {
    const good = `
      import { analyze, check, renderSvg, type Analysis, type Finding } from "stagewright";
      import { StagewrightPlan } from "stagewright/element";
      const plan: Analysis = await analyze("FROM a", { target: null, buildArgs: { V: "1" }, platform: "linux/arm64" });
      const digest: string | undefined = plan.definition?.digest;
      const svg: string = await renderSvg("FROM a", { theme: "dark", direction: "topToBottom" });
      const findings: Finding[] = await check("FROM a");
      const element: StagewrightPlan = document.createElement("stagewright-plan");
      element.addEventListener("plan", (event) => console.log(event.detail.analysis.stages.length));
      element.addEventListener("error", (event) => console.log(event.detail.message));
      element.addEventListener("click", (event) => console.log(event.clientX));
      console.log(digest, svg, findings[0]?.rule, findings[0]?.lines.start);
    `;
    const bad = `
      import { analyze, renderSvg } from "stagewright";
      await analyze("FROM a", { tarket: "x" });
      await renderSvg("FROM a", { theme: "pink" });
      (await analyze("FROM a")).stages.nonsense;
    `;
    const tsc = join(places.root, "tests/browser/node_modules/typescript/bin/tsc");
    const check = async (text, moduleResolution, module) => {
      writeFileSync(join(scratch.folder, "program.ts"), text);
      const options = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom,dom.iterable,esnext.disposable", "--module", module, "--moduleResolution", moduleResolution, "program.ts"];
      return run(process.execPath, [tsc, ...options], { cwd: scratch.folder }).then(({ stdout }) => stdout, ({ stdout }) => stdout);
    };
    for (const [resolution, module] of [["bundler", "esnext"], ["node16", "node16"]]) assert.equal(await check(good, resolution, module), "", resolution);
    const found = await check(bad, "bundler", "esnext");
    for (const word of ["tarket", "pink", "nonsense"]) assert.match(found, new RegExp(word));
  });

  it("plans, draws and checks in a bundle that a browser runs", async () => {
    const { build } = await import(join(places.root, "web/node_modules/esbuild/lib/main.js"));
    writeFileSync(join(scratch.folder, "app.js"), 'export * from "stagewright"; import "stagewright/element";');
    const result = await build({ entryPoints: [join(scratch.folder, "app.js")], bundle: true, format: "esm", splitting: true, outdir: join(scratch.folder, "out"), logLevel: "error", metafile: true });
    // Which of the entries a bundler takes: the one that fetches, and never the one that reads files.
    const inputs = Object.keys(result.metafile.inputs).map((path) => path.split("/").pop());
    assert.ok(inputs.includes("index.js") && !inputs.includes("node.js"), String(inputs));
    for (const file of ["stagewright_core_bg.wasm", "stagewright_insight_bg.wasm"]) copyFileSync(join(places.npmPackage, file), join(scratch.folder, "out", file));
    const { launch } = await import("./support/browser.mjs");
    const { serveFolders } = await import("./support/files.mjs");
    const server = await serveFolders({ out: join(scratch.folder, "out") });
    const browser = await launch();
    try {
      const page = await browser.newPage();
      await page.goto(server.address);
      const answer = await page.evaluate(async () => {
        const { analyze, renderSvg, check } = await import("/out/app.js");
        const source = "from scratch\nCOPY a /\n";
        return [(await analyze(source)).stages.length, (await renderSvg(source)).slice(0, 4), (await check(source)).length > 0, !!customElements.get("stagewright-plan")];
      });
      assert.deepEqual(answer, [1, "<svg", true, true]);
    } finally {
      await browser.close();
      server.stop();
    }
  });
});
