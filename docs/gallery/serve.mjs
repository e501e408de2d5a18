// Serves the gallery: `node docs/gallery/serve.mjs PORT PLANNER BOOK`, the last two of them folders. `cargo xtask gallery`
// builds them and runs this.
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const [port, planner, book] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const folders = { planner, book, examples: join(here, "../../static/examples"), gallery: here };
const types = { ".css": "text/css", ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".svg": "image/svg+xml", ".wasm": "application/wasm", ".woff2": "font/woff2" };
/** What the gallery's own pages may do; the book brings its own scripts and styles. */
const policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'";

/** The file behind an address, and nothing outside of the four folders. */
function find(path) {
  const [, name, ...rest] = normalize(path === "/" ? "/gallery/index.html" : path).split("/");
  const file = Object.hasOwn(folders, name) && join(folders[name], ...rest);
  try {
    return file && statSync(file).isFile() ? { file, name } : null;
  } catch {
    return null;
  }
}

export const server = createServer((asked, answer) => {
  let found = null;
  try {
    found = find(decodeURIComponent(new URL(asked.url, "http://here").pathname));
  } catch {
    // An address that cannot be read leads nowhere.
  }
  if (!found) return answer.writeHead(404, { "content-type": "text/plain" }).end("There is nothing here.\n");
  answer.setHeader("content-type", types[extname(found.file)] ?? "text/plain; charset=utf-8");
  if (found.name === "gallery") answer.setHeader("content-security-policy", policy);
  createReadStream(found.file).pipe(answer);
}).listen(Number(port), "127.0.0.1", () => console.log(`The gallery is at http://127.0.0.1:${server.address().port}/gallery/index.html`));
