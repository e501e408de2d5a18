// Where everything is. `cargo xtask test` says so in the environment; by hand the usual places are taken.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../../..");
const target = process.env.CARGO_TARGET_DIR ? resolve(process.env.CARGO_TARGET_DIR) : join(root, "target");

export const worker = process.env.STAGEWRIGHT_WORKER ?? join(target, "release/stagewright");
export const page = process.env.STAGEWRIGHT_PAGE ?? join(root, "web/dist");
export const planner = process.env.STAGEWRIGHT_PLANNER ?? join(target, "planner");
export const npmPackage = process.env.STAGEWRIGHT_PACKAGE ?? join(target, "npm");
export const mdbook = process.env.STAGEWRIGHT_MDBOOK ?? join(target, "tools/bin/mdbook");
export const images = process.env.STAGEWRIGHT_IMAGES ?? join(target, "images");
const output = process.env.STAGEWRIGHT_OUTPUT ?? target;

export const examples = join(root, "static/examples");
export const fixtures = join(root, "tests/fixtures");

/** Screenshots for people to look at. */
export const screenshots = join(output, "screenshots");
mkdirSync(screenshots, { recursive: true });

/** A folder of a test's own; `remove` takes it away again. It is not under /tmp, which may be small or overlaid. */
export function scratch(name) {
  const parent = join(output, "scratch");
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, `${name}-`));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }) };
}
