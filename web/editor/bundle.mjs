// Bundles what the page has beside its WebAssembly: the editor's shim and what it fetches when it is used, the way to the
// insight module with the style sheet of its views, what the page asks of the browser, and the page's own style sheet.
// Trunk runs it as a hook and names the folder it is putting together; `node editor/bundle.mjs DIR` does the same by hand.
// Missing packages are installed first, exactly as the lock file has them, so that a plain `trunk build` works on a fresh
// clone.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const web = dirname(here);
const outdir = process.argv[2] ?? process.env.TRUNK_STAGING_DIR;
if (!outdir) {
  console.error("editor/bundle.mjs: name the folder to write to, as an argument or in TRUNK_STAGING_DIR");
  process.exit(1);
}

const lock = join(web, "package-lock.json");
const installed = join(web, "node_modules", ".package-lock.json");
if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(lock).mtimeMs) {
  console.log("editor: installing packages (npm ci)");
  const npm = spawnSync("npm", ["ci", "--no-fund", "--no-audit"], { cwd: web, stdio: "inherit" });
  if (npm.status !== 0) {
    console.error("editor: `npm ci` failed in web/; Node 20 or newer with npm is needed to bundle the editor");
    process.exit(1);
  }
}

const { build } = await import("esbuild");
mkdirSync(outdir, { recursive: true });
await build({
  absWorkingDir: web,
  entryPoints: [
    { in: join(here, "editor.js"), out: "editor" },
    { in: join(web, "insight/insight.js"), out: "insight" },
    { in: join(web, "browser/browser.js"), out: "browser" },
    { in: join(dirname(web), "static/styles/index.css"), out: "page" },
    { in: join(web, "insight/insight.css"), out: "insight/insight" },
  ],
  outdir: resolve(outdir),
  bundle: true,
  // What is imported while the page runs becomes a file of its own.
  splitting: true,
  chunkNames: "editor-[name]-[hash]",
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  logLevel: "warning",
});
