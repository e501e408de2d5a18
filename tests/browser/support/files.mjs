// Serves folders to a browser, each under a path of its own.
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { once } from "node:events";
import { extname, join, normalize } from "node:path";

const types = { ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json" };

/** `folders`: `{ planner: "/path/to/it" }`. Answers the server; its `address` begins every address in it. */
export async function serveFolders(folders) {
  const server = createServer((asked, answer) => {
    const [, name, ...rest] = normalize(decodeURIComponent(asked.url.split("?")[0])).split("/");
    const file = folders[name] && join(folders[name], ...rest);
    if (asked.url === "/") {
      answer.setHeader("content-type", "text/html").end("<!doctype html><title>planner</title>");
    } else if (file && existsSync(file) && statSync(file).isFile()) {
      answer.setHeader("content-type", types[extname(file)] ?? "text/plain");
      createReadStream(file).pipe(answer);
    } else {
      answer.writeHead(404).end();
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return { address: `http://127.0.0.1:${server.address().port}`, stop: () => server.close() };
}
