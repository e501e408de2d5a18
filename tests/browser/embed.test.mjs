// <stagewright-plan> in plain pages: under a strict policy, in the dark, on a phone, many at once, and without script.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import { launch } from "./support/browser.mjs";
import { eventually } from "./support/eventually.mjs";
import * as places from "./support/places.mjs";

const kept = JSON.parse(readFileSync(join(places.fixtures, "links.json"), "utf8"));
/** Nothing inline, and nothing from elsewhere; `connect-src` is by what WebAssembly is fetched. */
const strict = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'";
const two = "FROM golang:1.22 AS build\nCOPY app.go /src/\nRUN go build -o /app /src/app.go\n\nFROM scratch AS final\nCOPY --from=build /app /app\n";
const inside = (source = two, attributes = "") => `<stagewright-plan ${attributes}><pre>\n${source.replace(/&/g, "&amp;").replace(/</g, "&lt;")}</pre></stagewright-plan>`;

describe("the element", () => {
  let browser, server, address;
  const asked = [];
  let body = "";
  let style = "";

  before(async () => {
    const types = { js: "text/javascript", wasm: "application/wasm", css: "text/css" };
    server = createServer((request, answer) => {
      const path = request.url.split("?")[0];
      asked.push(path);
      answer.setHeader("content-security-policy", strict);
      if (path === "/") {
        answer.setHeader("content-type", "text/html");
        return answer.end(
          `<!doctype html><html lang="en"><meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="/page.css"><script type="module" src="/element.js"></script><body>${body}`,
        );
      }
      const files = { "/page.css": () => style, "/Dockerfile": () => two };
      try {
        const found = files[path]?.() ?? readFileSync(join(places.planner, path));
        answer.setHeader("content-type", types[path.split(".").pop()] ?? "text/plain");
        answer.end(found);
      } catch {
        answer.writeHead(404).end();
      }
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    address = `http://127.0.0.1:${server.address().port}/`;
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    server?.close();
  });

  /** Opens a page with `html` in it; whatever the policy refuses, and whatever goes wrong, fails the test. */
  const open = async (html, { css = "body { margin: 16px; font: 16px/1.5 sans-serif }", ...options } = {}) => {
    [body, style] = [html, css];
    asked.length = 0;
    const context = await browser.newContext({ viewport: { width: 1000, height: 800 }, ...options });
    const page = await context.newPage();
    const wrong = [];
    page.on("pageerror", (error) => wrong.push(String(error)));
    page.on("console", (message) => /Content.Security.Policy|Refused/i.test(message.text()) && wrong.push(message.text()));
    await page.addInitScript(() => {
      window.told = [];
      for (const type of ["plan", "error"]) addEventListener(type, (event) => window.told.push({ type, id: event.target.id, detail: event.detail }), true);
    });
    await page.goto(address);
    page.wrong = wrong;
    page.end = async () => {
      assert.deepEqual(wrong, []);
      await context.close();
    };
    return page;
  };
  const drawn = (page, count = 1) =>
    eventually(`${count} drawn`, async () => (await page.locator("stagewright-plan svg").count()) === count);
  const names = (page) => page.locator("stagewright-plan svg .title").allTextContents();
  const fetched = (path) => asked.filter((one) => one === path).length;

  it("draws what stands in it, under a policy that allows nothing inline", async () => {
    const page = await open(inside());
    await drawn(page);
    assert.deepEqual(await names(page), ["build", "final"]);
    const paper = await page.locator("stagewright-plan svg .paper").evaluate((paper) => getComputedStyle(paper).fill);
    assert.equal(paper, "rgb(251, 250, 247)", "its colours are there");
    const told = await page.evaluate(() => window.told);
    assert.deepEqual(told.map(({ type }) => type), ["plan"]);
    assert.equal(told[0].detail.analysis.stages.length, 2);
    assert.equal(await page.locator("stagewright-plan a").count(), 0, "there is no playground to open");
    await page.screenshot({ path: join(places.screenshots, "embed-light.png") });
    await page.end();
  });

  it("says to those who hear it what is drawn, and its link is reached by the keyboard", async () => {
    const page = await open(inside(two, 'label="The build of the app" playground="https://play.example/"'));
    await drawn(page);
    const picture = page.getByRole("img", { name: "The build of the app" });
    assert.equal(await picture.count(), 1);
    const described = await picture.evaluate((svg) => svg.querySelector("desc").textContent);
    assert.match(described, /build: 2 steps/);
    const reached = [];
    for (let press = 0; press < 4; press++) {
      await page.keyboard.press("Tab");
      reached.push(await page.evaluate(() => document.activeElement.shadowRoot?.activeElement?.localName));
    }
    assert.ok(reached.includes("summary") && reached.includes("a"), String(reached));
    await page.end();
  });

  it("draws a Dockerfile from an address, with a target and build args", async () => {
    const page = await open('<stagewright-plan src="Dockerfile" target="BUILD" build-args="V=1"></stagewright-plan>');
    await drawn(page);
    const [{ detail }] = await page.evaluate(() => window.told);
    assert.deepEqual(detail.analysis.stages.map(({ ships }) => ships), [true, false]);
    assert.match(await page.locator("stagewright-plan details").textContent(), /FROM golang:1\.22 AS build/);
    await page.locator("stagewright-plan").evaluate((element) => element.setAttribute("target", "final"));
    await eventually("it is drawn anew", async () => (await page.evaluate(() => window.told.length)) === 2);
    await page.end();
  });

  it("draws share links, kept ones too, and leads back to their playground", async () => {
    const html = kept.map(({ fragment }, index) => `<stagewright-plan id="k${index}" link="https://play.example/${fragment}"></stagewright-plan>`);
    const page = await open(`${html.join("")}<stagewright-plan id="bare" link="${kept[1].fragment.slice(3)}"></stagewright-plan>`, { viewport: { width: 1000, height: 6000 } });
    await drawn(page, kept.length + 1);
    const told = await page.evaluate(() => window.told);
    assert.equal(told.find(({ id }) => id === "k1").detail.analysis.stages[0].ships, true, "the link's target counts");
    const links = await page.locator("stagewright-plan a").evaluateAll((all) => all.map(({ href }) => href));
    assert.deepEqual(links, kept.map(({ fragment }) => `https://play.example/${fragment}`));
    await page.end();
  });

  it("makes a link that the playground opens", async () => {
    const page = await open(inside(two, 'target="build" platform="linux/arm64" playground="/play/?x=1"'));
    await drawn(page);
    const link = new URL(await page.locator("stagewright-plan a").getAttribute("href"));
    assert.equal(`${link.pathname}${link.search}`, "/play/?x=1");
    const { unpack } = await import(join(places.root, "web/browser/link.js"));
    const carried = JSON.parse(await unpack(link.hash.slice(3)));
    assert.deepEqual(carried, { files: [{ path: "Dockerfile", text: two }], dockerfile: "Dockerfile", target: "build", platform: "linux/arm64" });
    await page.locator("stagewright-plan").evaluate((element) => element.setAttribute("playground", "javascript:alert(1)"));
    await eventually("no script can be pressed", async () => (await page.locator("stagewright-plan a").count()) === 0);
    await page.end();
  });

  it("a link that is drawn with other choices leads to these, and keeps all else that it carries", async () => {
    const { unpack } = await import(join(places.root, "web/browser/link.js"));
    const { fragment, link } = kept[1];
    const at = (id, attributes) => `<stagewright-plan id="${id}" ${attributes}></stagewright-plan>`;
    const page = await open(
      at("other", `link="https://play.example/${fragment}" target="ship" build-args="V=3"`) +
        at("same", `link="https://play.example/?a${fragment}&amp;token=secret" target="build" platform="linux/arm64" build-args="V=2 &#252; &#10003;"`) +
        at("bare", `link="${fragment.slice(3)}" playground="https://mine.example/"`),
      { viewport: { width: 1000, height: 3000 } },
    );
    await drawn(page, 3);
    const leads = (id) => page.locator(`#${id} a`).getAttribute("href");
    const other = new URL(await leads("other"));
    assert.deepEqual(JSON.parse(await unpack(other.hash.slice(3))), { ...link, target: "ship", buildArgs: { ...link.buildArgs, V: "3" } });
    assert.equal(await leads("same"), `https://play.example/?a${fragment}`, "what is not changed is not packed anew, and no token goes along");
    assert.equal(await leads("bare"), `https://mine.example/${fragment}`);
    await page.end();
  });

  it("what is wrong with the link does not take the drawing away", async () => {
    const { pack } = await import(join(places.root, "web/browser/link.js"));
    const odd = await pack(JSON.stringify({ files: [null, 7, { path: "x", text: "FROM a AS one\n" }], dockerfile: "x" }));
    const page = await open(
      `${inside(two, 'playground="https://["')}${inside(`${two}#${"x".repeat(1 << 20)}\n`, 'playground="https://play.example/"')}<stagewright-plan link="${odd}"></stagewright-plan>`,
      { viewport: { width: 1000, height: 3000 } },
    );
    await drawn(page, 3);
    assert.equal(await page.locator("stagewright-plan a").count(), 0);
    assert.equal(await page.locator("stagewright-plan [role=alert]").count(), 0);
    await page.end();
  });

  it("thirty on a page fetch the planner once, and only those that are seen are drawn", async () => {
    const page = await open(`<p>Far above.</p><div class="far"></div>${inside().repeat(30)}`, {
      css: ".far { height: 3000px } stagewright-plan { min-height: 400px }",
    });
    await page.waitForLoadState("networkidle");
    assert.equal(await page.locator("stagewright-plan svg").count(), 0);
    assert.equal(fetched("/stagewright_core_bg.wasm"), 0, "what is not seen costs nothing");
    await page.evaluate(() => scrollTo(0, 3000));
    await eventually("those in sight are drawn", async () => (await page.locator("stagewright-plan svg").count()) >= 2);
    await page.waitForTimeout(500);
    const some = await page.locator("stagewright-plan svg").count();
    assert.ok(some < 12, `${some} are drawn`);
    await page.evaluate(async () => {
      for (let at = 3000; at < document.documentElement.scrollHeight; at += 300) {
        scrollTo(0, at);
        await new Promise((done) => setTimeout(done, 60));
      }
    });
    await drawn(page, 30);
    assert.equal(fetched("/stagewright_core_bg.wasm"), 1);
    assert.equal(fetched("/stagewright_core.js"), 1);
    assert.equal(await page.evaluate(() => new Set([...document.querySelectorAll("stagewright-plan")].map(({ shadowRoot }) => shadowRoot.adoptedStyleSheets[1])).size), 1);
    await page.end();
  });

  it("goes with the page's colours, and with the attribute before them", async () => {
    const paper = (page) => page.locator("stagewright-plan svg .paper").evaluate((paper) => getComputedStyle(paper).fill);
    const [light, dark] = ["rgb(251, 250, 247)", "rgb(14, 18, 22)"];
    for (const [css, options, expected] of [
      [":root { color-scheme: light dark }", { colorScheme: "dark" }, dark],
      [":root { color-scheme: light dark }", { colorScheme: "light" }, light],
      [":root { color-scheme: dark }", { colorScheme: "light" }, dark],
      ["body { background: #111; color: #eee }", { colorScheme: "light" }, dark],
      ["body { background: oklch(0.2 0.03 260); color: oklch(0.95 0.01 260) }", { colorScheme: "light" }, dark],
      ["body { background: oklch(0.97 0.01 350); color: oklch(0.3 0.1 350) }", { colorScheme: "dark" }, light],
      ["body { background: black; color: color(display-p3 0.9 0.9 0.8) }", { colorScheme: "light" }, dark],
      ["body { background: black; color: color-mix(in oklab, white 90%, red) }", { colorScheme: "light" }, dark],
      ["", { colorScheme: "dark" }, light],
    ]) {
      const page = await open(inside(), { css, ...options });
      await drawn(page);
      assert.equal(await paper(page), expected, `${css} ${JSON.stringify(options)}`);
      if (expected === dark) await page.screenshot({ path: join(places.screenshots, "embed-dark.png") });
      await page.end();
    }
    const page = await open(inside(two, 'theme="dark"'), { css: ":root.night { color-scheme: dark } stagewright-plan { --stagewright-paper: rgb(1, 2, 3) }" });
    await drawn(page);
    assert.equal(await paper(page), "rgb(1, 2, 3)", "the page may choose a colour");
    await page.evaluate(() => {
      document.querySelector("stagewright-plan").removeAttribute("theme");
      document.documentElement.className = "night";
    });
    await eventually("it has followed", async () => (await page.locator("stagewright-plan svg .ink").first().evaluate((ink) => getComputedStyle(ink).fill)) === "rgb(230, 233, 236)");
    await page.end();
  });

  it("on a phone it stacks, and nothing sticks out", async () => {
    const wide = readFileSync(join(places.examples, "diamond/Dockerfile"), "utf8");
    const page = await open(`${inside(two, 'playground="https://play.example/"')}${inside(wide)}${inside(wide, 'direction="right"')}`, {
      viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true,
    });
    await eventually("the first is drawn", async () => (await page.locator("stagewright-plan svg").count()) >= 1);
    await page.screenshot({ path: join(places.screenshots, "embed-phone.png") });
    await page.evaluate(() => scrollTo(0, 100000));
    await drawn(page, 3).catch(() => {});
    await page.evaluate(() => scrollTo(0, 100000));
    await drawn(page, 3);
    const rows = await page.locator("stagewright-plan svg").evaluateAll((all) => all.map((svg) => {
      const [one, other] = svg.querySelectorAll(".title");
      return one.getBoundingClientRect().top < other.getBoundingClientRect().top - 40;
    }));
    assert.deepEqual(rows, [true, true, false]);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "the page does not scroll sideways");
    const scales = await page.locator("stagewright-plan svg").evaluateAll((all) => all.map((svg) => svg.getBoundingClientRect().width / svg.getAttribute("width")));
    assert.ok(scales.every((scale) => scale >= 0.66), `text stays readable: ${scales}`);
    await page.screenshot({ path: join(places.screenshots, "embed-phone-wide.png") });
    await page.end();
  });

  it("without script its text is there to read", async () => {
    const page = await open(inside(), { javaScriptEnabled: false });
    assert.match(await page.locator("stagewright-plan").innerText(), /FROM golang:1\.22 AS build/);
    assert.ok(await page.locator("stagewright-plan pre").isVisible());
    await page.screenshot({ path: join(places.screenshots, "embed-no-script.png") });
    await page.end();
  });

  it("a source in a script or in bare text is drawn too, as it is written", async () => {
    const page = await open(`<stagewright-plan id="s"><script type="text/plain">\n  FROM a AS one\n  RUN <<EOF\n    if true; then echo "a && b"; fi\n  EOF\n</script></stagewright-plan><stagewright-plan id="t">FROM b AS two</stagewright-plan>`);
    await drawn(page, 2);
    const told = await page.evaluate(() => window.told);
    assert.deepEqual(told.map(({ detail }) => detail.analysis.stages[0].name), ["one", "two"]);
    assert.deepEqual(told.flatMap(({ detail }) => detail.analysis.diagnostics.filter(({ severity }) => severity === "error")), []);
    await page.end();
  });

  it("mistakes are listed below what can be drawn", async () => {
    const page = await open(inside("FROM alpine AS build\nNONSENSE <b>\nFROM scratch\nCOPY --from=biuld /out /\n"));
    await drawn(page);
    const said = await page.locator("stagewright-plan li").allInnerTexts();
    assert.ok(said.some((text) => /^Line 2: /.test(text)), String(said));
    await page.screenshot({ path: join(places.screenshots, "embed-mistakes.png") });
    await page.end();
  });

  it("where there is nothing to draw it says why, tells the page, and leaves its text", async () => {
    const cases = {
      missing: ['<stagewright-plan id="missing" src="nowhere"><p>Instead.</p></stagewright-plan>', /could not be fetched: the server answered 404/],
      foreign: ['<stagewright-plan id="foreign" src="https://elsewhere.example/Dockerfile"></stagewright-plan>', /connect-src/],
      broken: [`<stagewright-plan id="broken" link="${kept[0].fragment.slice(0, -40)}"></stagewright-plan>`, /not whole/],
      newer: ['<stagewright-plan id="newer" link="#s=Ag"></stagewright-plan>', /newer Stagewright/],
      empty: ['<stagewright-plan id="empty">  </stagewright-plan>', /no Dockerfile here/],
      option: [`<stagewright-plan id="option" platform="a/b/c/d"><pre>FROM a</pre></stagewright-plan>`, /platform/],
    };
    const page = await open(Object.values(cases).map(([html]) => html).join(""), { viewport: { width: 900, height: 2000 } });
    await eventually("all have told", async () => {
      const ids = await page.evaluate(() => window.told.map(({ id }) => id));
      return Object.keys(cases).every((id) => ids.includes(id)) || Promise.reject(new Error(String(ids)));
    });
    const told = await page.evaluate(() => window.told.map(({ type, id, detail }) => ({ type, id, message: detail.message })));
    for (const [id, [, pattern]] of Object.entries(cases)) {
      const one = told.find((one) => one.id === id);
      assert.equal(one.type, "error");
      assert.match(one.message, pattern);
      assert.equal(await page.locator(`#${id} [role=alert]`).innerText(), one.message);
    }
    assert.ok(await page.getByText("Instead.").isVisible());
    await page.screenshot({ path: join(places.screenshots, "embed-errors.png") });
    // The policy does refuse the foreign address, which is what was asked for here.
    page.wrong.splice(0, Infinity, ...page.wrong.filter((text) => !text.includes("elsewhere.example")));
    await page.end();
  });

  it("moves nothing for those who asked for that", async () => {
    for (const [reducedMotion, expected] of [["reduce", 0], ["no-preference", 1]]) {
      const page = await open(inside(), { reducedMotion });
      await drawn(page);
      const moved = await page.locator("stagewright-plan figure").evaluate((figure) => Number(getComputedStyle(figure).animationName !== "none"));
      assert.equal(moved, expected, reducedMotion);
      await page.end();
    }
  });

  it("a wide drawing is scrolled by the keyboard too", async () => {
    const page = await open(inside(readFileSync(join(places.examples, "diamond/Dockerfile"), "utf8"), 'direction="right"'), { viewport: { width: 500, height: 600 } });
    await drawn(page);
    await page.keyboard.press("Tab");
    await page.keyboard.press("ArrowRight");
    const scroll = () => page.locator("stagewright-plan .drawing").evaluate((drawing) => drawing.scrollLeft);
    await eventually("it has been scrolled", async () => (await scroll()) > 0);
    await page.end();
  });

  it("a changed text is drawn anew, and an element may go and come back", async () => {
    const page = await open(inside());
    await drawn(page);
    await page.locator("stagewright-plan pre").evaluate((pre) => (pre.textContent = "FROM a AS other\n"));
    await eventually("it is the new one", async () => String(await names(page)) === "other");
    await page.evaluate(() => {
      const element = document.querySelector("stagewright-plan");
      element.remove();
      document.body.append(element);
    });
    await eventually("it is still drawn", async () => String(await names(page)) === "other");
    await page.end();
  });

  it("speaks to nobody but where its files are", async () => {
    const page = await open(inside());
    await drawn(page);
    await page.waitForTimeout(300);
    const known = ["/", "/page.css", "/element.js", "/stagewright_core.js", "/stagewright_core_bg.wasm", "/favicon.ico"];
    assert.deepEqual(asked.filter((path) => !known.includes(path)), []);
    await page.end();
  });
});
