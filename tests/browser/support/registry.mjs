// Debian's registry on a free port, filled with the stand-in images.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

import * as places from "./places.mjs";
import { eventually } from "./eventually.mjs";

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

export class Registry {
  static async start() {
    const registry = new Registry();
    registry.scratch = places.scratch("registry");
    registry.port = await freePort();
    const config = join(registry.scratch.folder, "config.yml");
    const storage = join(registry.scratch.folder, "storage");
    writeFileSync(
      config,
      `version: 0.1\nlog: { level: error }\nstorage: { filesystem: { rootdirectory: ${storage} } }\nhttp: { addr: "127.0.0.1:${registry.port}" }\n`,
    );
    registry.process = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
    registry.exit = once(registry.process, "exit");
    await eventually("the registry answers", async () => (await fetch(`http://${registry.host}/v2/`)).ok);
    return registry;
  }

  get host() {
    return `127.0.0.1:${this.port}`;
  }

  /** Puts a stand-in there under a name of its own. */
  fill(tag, name) {
    const layout = join(places.images, "layout");
    execFileSync("skopeo", ["copy", "--quiet", "--dest-tls-verify=false", `oci:${layout}:${tag}`, `docker://${this.host}/${name}`]);
  }

  async stop() {
    this.process.kill();
    await this.exit;
    this.scratch.remove();
  }
}
