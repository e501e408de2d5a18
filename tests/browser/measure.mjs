// Measures what docs/measurements.md tells: planning in Chromium, the overhead of a RUN step, and builds of the diamond.
// Planned is what the file named by the first argument holds, `[{ example, source, target }]`.
// Prints a line of JSON for each figure; `cargo xtask bench` makes a table of them. Times are in milliseconds.
import { readFileSync } from "node:fs";

import { launch } from "./support/browser.mjs";
import { serveFolders } from "./support/files.mjs";
import * as places from "./support/places.mjs";
import { Playground } from "./support/playground.mjs";
import { Worker } from "./support/worker.mjs";

const ROUNDS = 5;
const RUN_STEPS = 30;

const print = (figure) => console.log(JSON.stringify(figure));
const sorted = (times) => [...times].sort((one, other) => one - other);
const median = (times) => sorted(times)[Math.floor(times.length / 2)];
const spread = (times) => ({ median: median(times), fastest: Math.min(...times), slowest: Math.max(...times), of: times.length });

const browser = await launch();
try {
  await planTimes();
  await buildTimes();
} finally {
  await browser.close();
}

async function planTimes() {
  const server = await serveFolders({ planner: places.planner });
  const page = await browser.newPage();
  await page.goto(server.address);
  for (const { example, source, target } of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
    const found = await page.evaluate(
      async ({ source, options }) => {
        const { default: init, planDigest } = await import("/planner/stagewright_core.js");
        await init();
        // Chromium's clock is coarse, so each time is that of ten plans of a short file. No plan is of the text that was
        // planned before: a comment changes with each, as in an editor.
        const repeats = source.length < 100_000 ? 10 : 1;
        const rounds = source.length < 100_000 ? 100 : 40;
        let edits = 0;
        const times = Array.from({ length: rounds }, () => {
          const begun = performance.now();
          for (let repeat = 0; repeat < repeats; repeat += 1) planDigest(`${source}# ${(edits += 1)}\n`, options);
          return (performance.now() - begun) / repeats;
        }).sort((one, other) => one - other);
        return { median: times[Math.floor(rounds / 2)], slowest: times.at(-1) };
      },
      { source, options: target ? { target } : {} },
    );
    print({ example, ...found });
  }
  await page.close();
  server.stop();
}

/** A playground whose builds' events are kept with the time each arrived. */
async function observed(worker) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  const playground = new Playground(page);
  playground.asked = [];
  playground.events = [];
  page.on("websocket", (socket) => {
    socket.on("framesent", ({ payload }) => {
      if (typeof payload === "string" && payload.includes('"build.start"')) playground.asked.push(performance.now());
    });
    socket.on("framereceived", ({ payload }) => {
      if (typeof payload !== "string") return;
      const { method, params } = JSON.parse(payload);
      if (method === "build.event") playground.events.push({ at: performance.now(), ...params });
    });
  });
  await page.goto(await worker.invitation());
  await playground.get("examples").waitFor();
  return playground;
}

/** From the request to the last event. */
async function timeOfBuild(playground) {
  playground.events.length = 0;
  await playground.build();
  const end = playground.events.find(({ event }) => event.done);
  return end.at - playground.asked.at(-1);
}

async function buildTimes() {
  const times = { cold: [], changed: [], cached: [] };
  const overheads = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const worker = await Worker.start();
    try {
      if (worker.cannotBuild) {
        print({ what: "left out", reason: worker.cannotBuild });
        return;
      }
      const playground = await observed(worker);
      await playground.choose("diamond");
      await playground.online();
      times.cold.push(await timeOfBuild(playground));
      times.cached.push(await timeOfBuild(playground));
      await playground.show("left.txt");
      await playground.write(`changed in round ${round}\n`);
      times.changed.push(await timeOfBuild(playground));
      const steps = Array.from({ length: RUN_STEPS }, (_, index) => `RUN true # ${index}`);
      await playground.writeDockerfile(["FROM alpine:latest", ...steps].join("\n"));
      await playground.imagesResolved();
      await timeOfBuild(playground);
      overheads.push(...runTimes(playground));
      await playground.close();
    } finally {
      await worker.stop();
    }
  }
  for (const [kind, found] of Object.entries(times)) print({ what: `diamond, ${kind}`, ...spread(found) });
  print({ what: "RUN true", ...spread(overheads) });
}

/** How long each RUN took by the worker's own clock: sandbox, process and layer. */
function runTimes({ events }) {
  const runs = new Map();
  for (const { event } of events) {
    for (const { digest, name, started, completed } of event.status?.vertexes ?? []) {
      if (/RUN true/.test(name) && started && completed) runs.set(digest, milliseconds(completed) - milliseconds(started));
    }
  }
  return [...runs.values()];
}

/** A time in RFC 3339 with all its digits: Date keeps three. */
function milliseconds(time) {
  const [, seconds, fraction = "0", zone] = time.match(/^(.*?)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/);
  return Date.parse(seconds + zone) + Number(`0.${fraction}`) * 1000;
}
