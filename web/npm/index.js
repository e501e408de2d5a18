// For browsers and bundlers: both modules are found beside this file, by `new URL(…, import.meta.url)`.
import { functions } from "./functions.js";

export const { analyze, renderSvg, check } = functions();
