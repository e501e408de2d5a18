// Prints what a browser fetches to show the page for the first time, a path in the page's folder on each line. Nothing
// is clicked: what is fetched only when it is used does not count.
import { relative } from "node:path";

import { launch } from "./support/browser.mjs";
import { serveFolders } from "./support/files.mjs";
import * as places from "./support/places.mjs";
import { Playground } from "./support/playground.mjs";

const server = await serveFolders({ page: places.page });
const browser = await launch();
try {
  const context = await browser.newContext();
  const page = await context.newPage();
  const fetched = new Set();
  page.on("response", (response) => {
    const { origin, pathname } = new URL(response.url());
    if (origin === server.address && response.ok()) fetched.add(relative("/page", decodeURIComponent(pathname)));
  });
  await page.goto(`${server.address}/page/index.html`);
  await new Playground(page).get("stage").first().waitFor();
  await page.waitForLoadState("networkidle");
  if (!fetched.has("index.html") || ![...fetched].some((path) => path.endsWith(".wasm"))) throw new Error(`not all was seen: ${[...fetched]}`);
  console.log([...fetched].sort().join("\n"));
} finally {
  await browser.close();
  server.stop();
}
