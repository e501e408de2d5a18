// A real worker in a process of its own, on a port and with a state folder of its own.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

import * as places from "./places.mjs";
import { eventually } from "./eventually.mjs";

export class Worker {
  /** `config`: a configuration file; the stand-in images' where none is given. */
  static async start({ config = join(places.images, "stagewright.toml") } = {}) {
    const worker = new Worker();
    worker.config = config;
    worker.scratch = places.scratch("worker");
    worker.port = 0;
    await worker.launch();
    return worker;
  }

  async launch() {
    const state = join(this.scratch.folder, "state");
    this.urls = [];
    this.said = [];
    this.process = spawn(
      places.worker,
      ["serve", "--listen", `127.0.0.1:${this.port}`, "--page", places.page, "--config", this.config, "--state", state],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    this.exit = once(this.process, "exit");
    for (const stream of [this.process.stdout, this.process.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        this.said.push(line);
        const found = line.match(/http:\/\/127\.0\.0\.1:(\d+)\/\S*#\S+/);
        if (found) {
          this.urls.push(found[0]);
          this.port = Number(found[1]);
        }
      });
    }
    await eventually("the worker prints its address", () => {
      if (this.process.exitCode !== null) throw new Error(`it ended: ${this.said.join("\n")}`);
      return this.urls.length > 0;
    });
  }

  /** Without a token. */
  get address() {
    return `http://127.0.0.1:${this.port}/`;
  }

  /** An address with a token that lets one browser in. */
  async invitation() {
    await eventually("the worker prints another address", () => this.urls.length > 0);
    return this.urls.shift();
  }

  /** What this machine does not allow, where it cannot run builds. */
  get cannotBuild() {
    return this.said.some((line) => line.includes("cannot run builds"))
      ? this.said.filter((line) => line.startsWith("missing: ")).join("; ")
      : false;
  }

  /** As a power cut would have it. */
  async kill() {
    this.process.kill("SIGKILL");
    await this.exit;
  }

  /** On the same port and with the same state. */
  async restart() {
    await this.launch();
  }

  async stop() {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      this.process.kill("SIGTERM");
      await this.exit;
    }
    this.scratch.remove();
  }
}
