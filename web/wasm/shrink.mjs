// Makes what wasm-bindgen wrote smaller, once Trunk has put the page together: the script loses its white space, and the
// long names by which script and module know each other become short ones. Trunk runs it as a hook; the digests by which
// index.html knows the two files are written anew.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { transformSync } from "esbuild";

const folder = process.argv[2] ?? process.env.TRUNK_STAGING_DIR;
const find = (ending) => readdirSync(folder).find((name) => name.startsWith("stagewright-web") && name.endsWith(ending));
const files = { wasm: find("_bg.wasm"), script: find(".js") };

/** A number as WebAssembly writes it. */
function number(value) {
  const bytes = [];
  do {
    bytes.push((value & 127) | (value > 127 ? 128 : 0));
    value >>>= 7;
  } while (value);
  return Buffer.from(bytes);
}

/** Reads numbers and texts from a place on. */
class Reader {
  constructor(bytes, at) {
    Object.assign(this, { bytes, at });
  }
  number() {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.bytes[this.at++];
      value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
    }
  }
  take(length) {
    return this.bytes.subarray(this.at, (this.at += length));
  }
  /** Passes over what is imported, and answers its bytes. */
  kind() {
    const begin = this.at;
    const kind = this.bytes[this.at++];
    if (kind === 0) this.number();
    else if (kind === 3) this.at += 2;
    else {
      if (kind === 1) this.at++;
      if (kind > 2) throw new Error(`shrink: an import of kind ${kind} is not known here`);
      const limits = this.bytes[this.at++];
      this.number();
      if (limits & 1) this.number();
    }
    return this.bytes.subarray(begin, this.at);
  }
}

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
      const count = imports.number();
      const pieces = [number(count)];
      for (let index = 0; index < count; index++) {
        const module = imports.take(imports.number());
        const name = imports.take(imports.number()).toString();
        // What wasm-bindgen calls by its own name is called so by others too.
        const generated = name.startsWith("__wb");
        const short = Buffer.from(generated ? `$${names.length}` : name);
        if (generated) names.push(name);
        pieces.push(number(module.length), module, number(short.length), short, imports.kind());
      }
      written = Buffer.concat(pieces);
    }
    parts.push(Buffer.from([id]), number(written.length), written);
  }
  return { wasm: Buffer.concat(parts), names };
}

const read = (name) => readFileSync(join(folder, name));
const { wasm, names } = rename(read(files.wasm));
let script = read(files.script).toString();
names.forEach((name, index) => {
  if (!script.includes(`${name}:`)) throw new Error(`shrink: the script does not know ${name}`);
  script = script.replaceAll(new RegExp(`\\b${name}\\b`, "g"), () => `$${index}`);
});
script = transformSync(script, { minify: true, format: "esm", target: "es2022", legalComments: "none" }).code;

const digest = (bytes) => `sha384-${createHash("sha384").update(bytes).digest("base64")}`;
let index = read("index.html").toString();
for (const [name, bytes] of [[files.wasm, wasm], [files.script, Buffer.from(script)]]) {
  index = index.replaceAll(digest(read(name)), digest(bytes));
  writeFileSync(join(folder, name), bytes);
}
writeFileSync(join(folder, "index.html"), index);
