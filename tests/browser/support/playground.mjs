// The page, as its user sees it: what is drawn, what can be pressed, what is said.
import { join } from "node:path";

import * as places from "./places.mjs";
import { eventually } from "./eventually.mjs";

export class Playground {
  /** Opens the page in a browser of its own: nothing is remembered from another test. */
  static async open(browser, url, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, acceptDownloads: true, ...options });
    const page = await context.newPage();
    const playground = new Playground(page);
    await page.goto(url);
    await playground.get("examples").waitFor();
    return playground;
  }

  constructor(page) {
    this.page = page;
    this.errors = [];
    page.on("pageerror", (error) => this.errors.push(error));
  }

  close() {
    return this.page.context().close();
  }

  get(id) {
    return this.page.getByTestId(id);
  }

  // What is drawn

  stages() {
    return this.get("stage").evaluateAll((all) => all.map((stage) => stage.dataset.stageName));
  }

  neededStages() {
    return this.page.locator('[data-testid="stage"][data-needed="true"]').evaluateAll((all) => all.map((stage) => stage.dataset.stageName));
  }

  /** `copy stage-0 -> stage-1: app`, sorted. */
  async edges() {
    const words = await this.get("edge").evaluateAll((all) =>
      all.map(({ dataset: { kind, from, to, label } }) => `${kind} ${from} -> ${to}${label ? `: ${label}` : ""}`),
    );
    return words.sort();
  }

  /** One entry for each step: `{ stage, step, keyword, state, line }`. */
  async steps() {
    return this.get("step").evaluateAll((all) =>
      all.map(({ dataset: { stage, step, keyword, state, line } }) => ({ stage, step: Number(step), keyword, state, line: Number(line) })),
    );
  }

  step(stage, step) {
    return this.page.locator(`[data-testid="step"][data-stage="${stage}"][data-step="${step}"]`);
  }

  async stepState(stage, step) {
    return this.step(stage, step).getAttribute("data-state");
  }

  planDigest() {
    return this.get("plan-digest").getAttribute("data-digest");
  }

  async connection() {
    return this.get("connection").getAttribute("data-state");
  }

  async screenshot(name) {
    await this.page.screenshot({ path: join(places.screenshots, `${name}.png`) });
  }

  // What a user does

  async choose(example) {
    await this.get("examples").click();
    await this.page.locator(`[data-example="${example}"]`).click();
    await eventually(`example ${example} is shown`, async () => (await this.get("examples").innerText()).includes(example));
  }

  async show(file) {
    await this.page.locator(`[data-testid="file-tab"][data-path="${file}"]`).click();
  }

  /** Replaces all of the file that is shown. */
  async write(text) {
    await this.page.locator(".cm-content").click();
    await this.page.keyboard.press("ControlOrMeta+A");
    await this.page.keyboard.insertText(text);
  }

  /** Replaces the Dockerfile and waits until the page has planned it. */
  async writeDockerfile(text, file = "Dockerfile") {
    await this.show(file);
    await this.write(text);
  }

  async online() {
    await eventually("the page is connected", async () => (await this.connection()) === "online");
    await this.imagesResolved();
  }

  /** Every image that the plan needs has been looked up, so the plan is what the worker will run. */
  async imagesResolved() {
    await eventually("images are looked up", async () => {
      const images = this.page.locator('[data-testid="pill"][data-kind="image"]');
      return (await images.count()) === 0 || (await this.page.locator('[data-testid="pill"][data-resolved="false"]').count()) === 0;
    });
  }

  /** Shows a view of the insight module, and waits until it is of the page as it is now. */
  async view(name) {
    await this.get(`tab-${name}`).click();
    const view = this.page.locator('[data-testid="insight"][aria-busy="false"]');
    await view.waitFor({ state: "attached" });
    return view;
  }

  async problems() {
    await this.view("problems");
    const all = await this.get("problem").evaluateAll((found) =>
      found.map((one) => ({ severity: one.dataset.severity, code: one.dataset.code, text: one.innerText.replace(/\s+/g, " ").trim() })),
    );
    await this.page.getByTestId("tab-graph").click();
    return all;
  }

  async errorsSaid() {
    return (await this.problems()).filter((one) => one.severity === "error").map((one) => one.text);
  }

  // Builds

  async buildState() {
    return this.get("build-status").getAttribute("data-state");
  }

  async buildId() {
    return this.get("build-status").getAttribute("data-build");
  }

  /** Presses Build and waits until the worker has taken it. */
  async press() {
    const before = await this.buildId();
    await this.get("build").click();
    await eventually("the build has begun", async () => {
      const id = await this.buildId();
      if (id && id !== before) return true;
      if ((await this.buildState()) === "failed") throw new Error(await this.failure());
      return false;
    }, { seconds: 120 });
  }

  /** Waits for the build's end, which has to be `state`. */
  async ended(state = "done") {
    const found = await eventually("the build ends", async () => {
      const now = await this.buildState();
      return now === "running" ? false : now;
    }, { seconds: 600 });
    if (found !== state) throw new Error(`the build ended as ${found}, not ${state}: ${await this.failure()}\n${await this.log()}`);
  }

  async build(state = "done") {
    await this.press();
    await this.ended(state);
  }

  async failure() {
    const box = this.get("failure");
    return (await box.count()) ? (await box.first().innerText()).trim() : "";
  }

  async log() {
    const box = this.get("log");
    return (await box.count()) ? box.first().innerText() : "";
  }

  async layers() {
    return this.get("layer").evaluateAll((all) =>
      all.map((layer) => ({ name: layer.innerText, size: Number(layer.dataset.size), inImage: layer.dataset.inImage, diffId: layer.dataset.diffId })),
    );
  }

  /** Downloads the image and answers where the file is. */
  async download(format, folder) {
    const [download] = await Promise.all([this.page.waitForEvent("download"), this.get(`download-${format}`).click()]);
    const path = join(folder, `${format}-${download.suggestedFilename()}`);
    await download.saveAs(path);
    return path;
  }
}
