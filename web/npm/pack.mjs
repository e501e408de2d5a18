// Puts the npm package together: `node web/npm/pack.mjs PLANNER INSIGHT PACKAGE`, all of them folders. The element also goes
// beside the planner, for pages that use no npm. `npm pack` and `npm install` take the package's folder as it is.
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { buildSync } from "esbuild";

const [planner, insight, out] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
for (const folder of [planner, out]) {
  buildSync({
    entryPoints: [join(here, "../embed/element.js")],
    outfile: join(folder, "element.js"),
    bundle: true,
    // The planner is fetched when an element is seen.
    external: ["./stagewright_core.js"],
    minify: true,
    format: "esm",
    target: "es2022",
    legalComments: "none",
    logLevel: "warning",
  });
}
const copies = [
  [here, /^(index|node|functions)\.js$|\.d\.ts$|^README\.md$/],
  [planner, /^stagewright_core(_bg)?\.(js|wasm|d\.ts)$/],
  [insight, /^stagewright_insight(_bg)?\.(js|wasm|d\.ts)$/],
  [root, /^LICENSE-/],
];
for (const [folder, wanted] of copies) {
  for (const file of readdirSync(folder).filter((name) => wanted.test(name))) copyFileSync(join(folder, file), join(out, file));
}
copyFileSync(join(here, "element.d.ts"), join(planner, "element.d.ts"));
// One version for all that is made of this workspace.
const version = readFileSync(join(root, "Cargo.toml"), "utf8").match(/^version = "([^"]+)"/m)[1];
const described = { ...JSON.parse(readFileSync(join(here, "package.json"), "utf8")), version };
writeFileSync(join(out, "package.json"), `${JSON.stringify(described, null, 2)}\n`);
