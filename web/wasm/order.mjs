// Puts the functions of a WebAssembly module into an order in which it compresses well: those of one signature beside
// each other, short ones before long ones. They begin and work alike, and gzip looks back for what it saw no further
// than 32 kB; it takes 2 to 3 % off what a page fetches. What the module does stays as it is, byte for byte.
//
// `wasm-opt` can sort functions by their names, and these have none any more: so the order is what they are called.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

import { Reader, number } from "./binary.mjs";

/** What `wasm-opt` may find in a module and write: the list of `xtask/src/wasm.rs`. */
const FEATURES = ["bulk-memory", "nontrapping-float-to-int", "sign-ext", "mutable-globals", "reference-types", "multivalue"].map((name) => `--enable-${name}`);

/** Sorts the module in a file. Without `wasm-opt` it stays as it is, and larger. */
export function order(file) {
  writeFileSync(file, named(readFileSync(file)));
  const sorted = spawnSync("wasm-opt", [...FEATURES, "--reorder-functions-by-name", "--strip-debug", file, "-o", file], { stdio: "inherit" });
  if (sorted.error?.code === "ENOENT") console.error(`order: wasm-opt is not on the PATH, so the functions of ${file} stay as they are`);
  else if (sorted.status !== 0) throw new Error(`order: wasm-opt could not read ${file}`);
}

/** The module with a name for each of its functions, which is its place. */
function named(wasm) {
  let imported = 0;
  let signatures = [];
  let lengths = [];
  const kept = [wasm.subarray(0, 8)];
  for (const reader = new Reader(wasm, 8); reader.at < wasm.length; ) {
    const begin = reader.at;
    const id = wasm[reader.at++];
    const content = new Reader(reader.take(reader.number()), 0);
    if (id === 2) imported = content.list(() => content.import().kind[0]).filter((kind) => kind === 0).length;
    if (id === 3) signatures = content.list(() => content.number());
    if (id === 10) lengths = content.list(() => content.take(content.number()).length);
    // Names that are there already would be in the way.
    if (id === 0 && content.text() === "name") continue;
    kept.push(wasm.subarray(begin, reader.at));
  }
  const sorted = [...signatures.keys()].sort((one, other) => signatures[one] - signatures[other] || lengths[one] - lengths[other]);
  const names = sorted.map((index, place) => [number(imported + index), text(String(place).padStart(6, "0"))]);
  const list = Buffer.concat([number(names.length), ...names.flat()]);
  const section = Buffer.concat([text("name"), Buffer.from([1]), number(list.length), list]);
  return Buffer.concat([...kept, Buffer.from([0]), number(section.length), section]);
}

const text = (letters) => Buffer.concat([number(letters.length), Buffer.from(letters)]);

if (import.meta.url === pathToFileURL(process.argv[1]).href) order(process.argv[2]);
