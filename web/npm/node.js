// For Node, which fetches no files: it reads them.
import { readFile } from "node:fs/promises";
import { functions } from "./functions.js";

export const { analyze, renderSvg, check } = functions((file) => readFile(new URL(file, import.meta.url)));
