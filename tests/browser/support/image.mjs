// What other people's tools make of an image.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";

function run(program, ...args) {
  return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 26 });
}

/** `transport` is `oci-archive` or `docker-archive`. */
export function inspect(transport, file) {
  return JSON.parse(run("skopeo", "inspect", `${transport}:${file}`));
}

export function inspectConfig(transport, file) {
  return JSON.parse(run("skopeo", "inspect", "--config", `${transport}:${file}`));
}

/** Unpacks an image by umoci and answers the folder of its root. */
export function unpack(file, folder) {
  mkdirSync(folder, { recursive: true });
  const layout = join(folder, "layout");
  run("skopeo", "copy", "--quiet", `oci-archive:${file}`, `oci:${layout}:image`);
  const rootless = process.getuid?.() === 0 ? [] : ["--rootless"];
  run("umoci", "unpack", ...rootless, "--image", `${layout}:image`, join(folder, "bundle"));
  return join(folder, "bundle/rootfs");
}

/** Every path in a folder, relative to it. */
export function paths(folder, below = "") {
  return readdirSync(join(folder, below), { withFileTypes: true }).flatMap((entry) => {
    const path = join(below, entry.name);
    return entry.isDirectory() ? [path, ...paths(folder, path)] : [path];
  });
}

export function holds(rootfs, path) {
  return existsSync(join(rootfs, path));
}
