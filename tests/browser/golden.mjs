// Compares the planner's WebAssembly module with recorded cases of the reference, in Node, by hand:
//
//   cargo xtask planner
//   node tests/browser/golden.mjs --cases cases.jsonl --dockerfiles folder
//
// It looks at what digests can tell: whether a case converts, its ops, their head, the definition. The native comparison
// (`cargo run --release -p stagewright-tests --bin golden`) looks at everything else too.
import { createHash } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

import { planner as folder } from "./support/places.mjs";

const { values } = parseArgs({ options: { cases: { type: "string" }, dockerfiles: { type: "string" } } });
if (!values.cases || !values.dockerfiles) {
  console.error("usage: node golden.mjs --cases cases.jsonl --dockerfiles folder");
  process.exit(2);
}
const planner = await import(join(folder, "stagewright_core.js"));
await planner.default({ module_or_path: readFileSync(join(folder, "stagewright_core_bg.wasm")) });

const sha256 = (text) => `sha256:${createHash("sha256").update(text).digest("hex")}`;
const config = {
  architecture: "amd64",
  os: "linux",
  config: { Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] },
  rootfs: { type: "layers", diff_ids: [sha256("")] },
};

function plan(source, options) {
  options.images = {};
  for (;;) {
    const analysis = planner.analyze(source, options);
    const unresolved = analysis.images.filter(({ resolved }) => !resolved);
    if (unresolved.length === 0) return analysis;
    for (const { reference } of unresolved) {
      options.images[reference] = { digest: reference.split("@")[1] ?? sha256(reference), config };
    }
  }
}

const tally = {};
let shown = 0;
const check = (aspect, same, title, difference) => {
  const [passed, total] = tally[aspect] ?? [0, 0];
  tally[aspect] = [passed + (same ? 1 : 0), total + 1];
  if (!same && shown++ < 10) console.log(`  ${aspect}: ${title}\n      ${difference()}`);
};
for await (const line of createInterface({ input: createReadStream(values.cases) })) {
  const wanted = JSON.parse(line);
  // A lint rule that was made an error is no matter of planning.
  if (wanted.error?.startsWith("lint violation found")) continue;
  const source = new TextDecoder().decode(readFileSync(join(values.dockerfiles, wanted.file)));
  const options = { platform: wanted.platform, local: { unique: "refdump" } };
  if (wanted.target) options.target = wanted.target;
  if (wanted.args) options.buildArgs = wanted.args;
  const { diagnostics, definition } = plan(source, options);
  const title = `${wanted.file} ${wanted.target ?? ""} ${JSON.stringify(wanted.args ?? {})} ${wanted.platform}`;
  const errors = diagnostics.filter(({ severity }) => severity === "error");
  check("ok", wanted.ok === (errors.length === 0), title, () => `${wanted.error}, here ${JSON.stringify(errors)}`);
  if (!wanted.ok) continue;
  const digests = definition?.ops.map(({ digest }) => digest) ?? [];
  check("digests", digests.join() === (wanted.digests ?? []).join(), title, () => `op ${digests.findIndex((digest, index) => digest !== wanted.digests?.[index])}`);
  check("head", (definition?.head ?? "") === (wanted.head ?? ""), title, () => `${wanted.head}, here ${definition?.head}`);
  check("defSha256", definition?.digest === wanted.defSha256, title, () => `${wanted.defSha256}, here ${definition?.digest}`);
}
for (const [aspect, [passed, total]] of Object.entries(tally)) console.log(`${aspect} ${passed}/${total}`);
process.exitCode = Object.values(tally).every(([passed, total]) => passed === total) ? 0 : 1;
