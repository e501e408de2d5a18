// Makes what wasm-bindgen wrote smaller, once Trunk has put the page together: the script loses its white space, the
// long names by which script and module know each other become short ones, and the module's functions are sorted. Trunk
// runs it as a hook; the digests by which index.html knows the two files are written anew.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { transformSync } from "esbuild";

import { Reader, number } from "./binary.mjs";
import { order } from "./order.mjs";

const folder = process.argv[2] ?? process.env.TRUNK_STAGING_DIR;
const find = (ending) => readdirSync(folder).find((name) => name.startsWith("stagewright-web") && name.endsWith(ending));
const files = { wasm: find("_bg.wasm"), script: find(".js") };

/** Gives every import a short name; answers the module and the old names, whose places are the new ones. */
function rename(wasm) {
  const names = [];
  const parts = [wasm.subarray(0, 8)];
  for (const reader = new Reader(wasm, 8); reader.at < wasm.length; ) {
    const id = wasm[reader.at++];
    const content = reader.take(reader.number());
    let written = content;
    if (id === 2) {
      const imports = new Reader(content, 0);
      const renamed = imports.list(() => {
        const { module, name, kind } = imports.import();
        // What wasm-bindgen calls by its own name is called so by others too.
        const short = name.startsWith("__wb") ? `$${names.push(name) - 1}` : name;
        return Buffer.concat([number(module.length), Buffer.from(module), number(short.length), Buffer.from(short), kind]);
      });
      written = Buffer.concat([number(renamed.length), ...renamed]);
    }
    parts.push(Buffer.from([id]), number(written.length), written);
  }
  return { wasm: Buffer.concat(parts), names };
}

const read = (name) => readFileSync(join(folder, name));
const digest = (name) => `sha384-${createHash("sha384").update(read(name)).digest("base64")}`;
const before = Object.values(files).map(digest);

const { wasm, names } = rename(read(files.wasm));
let script = read(files.script).toString();
names.forEach((name, index) => {
  if (!script.includes(`${name}:`)) throw new Error(`shrink: the script does not know ${name}`);
  script = script.replaceAll(new RegExp(`\\b${name}\\b`, "g"), () => `$${index}`);
});
writeFileSync(join(folder, files.script), transformSync(script, { minify: true, format: "esm", target: "es2022", legalComments: "none" }).code);
writeFileSync(join(folder, files.wasm), wasm);
order(join(folder, files.wasm));

let index = read("index.html").toString();
Object.values(files).forEach((name, at) => (index = index.replaceAll(before[at], digest(name))));
writeFileSync(join(folder, "index.html"), index);
