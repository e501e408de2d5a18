// Workers that die, pages that are reloaded, and strangers at the door.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { after, before, describe, it } from "node:test";

import { launch } from "./support/browser.mjs";
import { eventually } from "./support/eventually.mjs";
import { serveFolders } from "./support/files.mjs";
import * as places from "./support/places.mjs";
import { Playground } from "./support/playground.mjs";
import { Worker } from "./support/worker.mjs";

const worker = await Worker.start();
after(() => worker.stop());

/** A quick step, and one that ticks for a while. */
const ticking = (count) =>
  `FROM alpine:latest\nRUN echo first > /first\nRUN for i in $(seq 1 ${count}); do echo tick $i of ${count}; sleep 1; done; echo over > /second\n`;

describe("who may come in", () => {
  let browser;

  before(async () => {
    browser = await launch();
  });
  after(() => browser?.close());

  it("a wrong token: the page plans, and says how to get a right one", async () => {
    const playground = await Playground.open(browser, `${worker.address}#token=wrong`);
    await eventually("the page says it was refused", async () => (await playground.connection()) === "refused");
    await playground.choose("diamond");
    await eventually("it plans all the same", async () => (await playground.stages()).length === 4);
    await playground.get("build").click();
    await eventually("it says what to do", async () => /token/i.test(await playground.page.locator("body").innerText()));
    await playground.screenshot("problem-token");
    await playground.close();
  });

  it("no token at all is no way in either", async () => {
    const playground = await Playground.open(browser, worker.address);
    await eventually("the page says it was refused", async () => (await playground.connection()) === "refused");
    await playground.close();
  });

  it("a token lets one browser in, and that one again after a reload", async () => {
    const url = await worker.invitation();
    const playground = await Playground.open(browser, url);
    await playground.online();
    assert.ok(!playground.page.url().includes("token"), "the token does not stay in the address");
    await playground.page.reload();
    await playground.online();
    const other = await Playground.open(browser, url);
    await eventually("a second browser is refused", async () => (await other.connection()) === "refused");
    await other.close();
    await playground.close();
  });

  it("a page from elsewhere gets nothing, not even with a session", async () => {
    const foreign = createServer((_, answer) => answer.setHeader("content-type", "text/html").end("<title>elsewhere</title>")).listen(0, "127.0.0.1");
    await once(foreign, "listening");
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${foreign.address().port}/`);
    const outcome = await page.evaluate(
      (port) =>
        new Promise((resolve) => {
          const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/ws`);
          socket.onopen = () => resolve("open");
          socket.onerror = () => resolve("refused");
        }),
      worker.port,
    );
    assert.equal(outcome, "refused");
    const fetched = await page.evaluate(
      (port) => fetch(`http://127.0.0.1:${port}/`).then(() => "read", () => "refused"),
      worker.port,
    );
    assert.equal(fetched, "refused");
    await page.close();
    foreign.close();
  });

  const asks = (headers) =>
    new Promise((resolve, reject) => {
      const asked = request({ host: "127.0.0.1", port: worker.port, path: "/", headers }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      });
      asked.on("error", reject).end();
    });

  it("a foreign Origin is forbidden and a foreign Host misdirected", async () => {
    assert.equal(await asks({}), 200);
    assert.equal(await asks({ origin: "http://evil.example" }), 403);
    assert.equal(await asks({ origin: "null" }), 403);
    assert.equal(await asks({ host: "evil.example" }), 421);
  });
});

describe("a worker that is killed, a page that is reloaded", { skip: worker.cannotBuild }, () => {
  let browser, playground;

  before(async () => {
    browser = await launch();
    playground = await Playground.open(browser, await worker.invitation());
    await playground.choose("diamond");
    await playground.online();
  });
  after(() => browser?.close());

  const logHas = (text) => eventually(`the log has ${text}`, async () => (await playground.log()).includes(text), { seconds: 120 });

  it("a reloaded page finds its build again, and no line of its log is missing or doubled", async () => {
    await playground.writeDockerfile(ticking(12));
    await playground.imagesResolved();
    await playground.press();
    const id = await playground.buildId();
    await logHas("tick 2 of 12");
    await playground.page.reload();
    await eventually("the same build is there", async () => (await playground.buildId()) === id);
    await playground.online();
    await playground.ended();
    const ticks = (await playground.log()).match(/tick \d+ of 12$/gm);
    assert.deepEqual(ticks, Array.from({ length: 12 }, (_, index) => `tick ${index + 1} of 12`));
    assert.ok((await playground.layers()).some(({ size }) => size > 0));
  });

  it("a build that is cancelled says so, and its step does not count as finished", async () => {
    await playground.writeDockerfile(ticking(61));
    await playground.imagesResolved();
    await playground.press();
    await logHas("tick 1 of 61");
    await playground.get("cancel").click();
    await playground.ended("cancelled");
    assert.notEqual(await playground.stepState("stage-0", 1), "done");
  });

  it("a worker killed in the middle: the page says so, comes back, and what was finished is not done again", async () => {
    await playground.writeDockerfile(ticking(20));
    await playground.imagesResolved();
    await playground.press();
    await logHas("tick 2 of 20");
    await worker.kill();
    await eventually("the page says that the worker is gone", async () => (await playground.connection()) === "reconnecting");
    await playground.screenshot("problem-worker-gone");
    await worker.restart();
    await playground.online();
    await eventually("the build is lost, and said to be", async () => (await playground.buildState()) === "lost");
    assert.match(await playground.failure(), /worker/i);
    await playground.build();
    assert.equal(await playground.stepState("stage-0", 0), "cached", "the finished step");
    assert.equal(await playground.stepState("stage-0", 1), "done", "the torn one runs again");
  });

  it("nothing went wrong in the page", () => {
    assert.deepEqual(playground.errors, []);
  });
});

describe("the page without any worker", () => {
  let browser, server;

  before(async () => {
    server = await serveFolders({ page: places.page });
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    server?.stop();
  });

  it("plans everything, and Build says how to get a worker", async () => {
    const playground = await Playground.open(browser, `${server.address}/page/index.html`);
    await eventually("it has looked for one in vain", async () => (await playground.connection()) === "none");
    await playground.choose("href-counter");
    await eventually("it is drawn", async () => (await playground.stages()).length === 2);
    await playground.get("build").click();
    await eventually("how to get a worker is explained", async () =>
      /stagewright serve|cargo xtask play/.test(await playground.page.locator("body").innerText()),
    );
    await playground.screenshot("without-a-worker");
    assert.deepEqual(playground.errors, []);
  });
});
