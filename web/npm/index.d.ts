import type { Analysis, DrawingOptions, Options } from "./stagewright_core.js";
import type { Finding } from "./stagewright_insight.js";

export type * from "./stagewright_core.js";
export type { Finding, Fix, Origin, TextEdit } from "./stagewright_insight.js";

/**
 * Plans the build of a Dockerfile.
 *
 * A Dockerfile with mistakes is planned as far as it can be read: look at `diagnostics`, and whether there is a
 * `definition`. Only an option that makes no sense rejects, with an `Error` that names it.
 */
export function analyze(source: string, options?: Options | null): Promise<Analysis>;

/** Draws the build of a Dockerfile as a standalone SVG document. All text in it is escaped; it has no script and loads nothing. */
export function renderSvg(source: string, options?: DrawingOptions | null): Promise<string>;

/** What had better be written otherwise: BuildKit's rules and Stagewright's own, in the order of the source. */
export function check(source: string, options?: Options | null): Promise<Finding[]>;
