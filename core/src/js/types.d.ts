/** What the outside world adds to the text of a Dockerfile. Everything may be left out. */
export interface Options {
  /** The stage to build, by name; the last one where none is named. */
  target?: string | null;
  /** `--build-arg`. */
  buildArgs?: Record<string, string>;
  /** The platform to build for, such as `"linux/arm64"`; `linux/amd64` where none is given. */
  platform?: Platform | string | null;
  /** The platform the build runs on; `linux/amd64` where none is given. */
  buildPlatform?: Platform | string | null;
  /** What is known of images, by full reference (`docker.io/library/alpine:latest`). */
  images?: Record<string, ImageFacts>;
  /** How the definition names the local context; part of the digests. */
  local?: { unique: string } | { session: string };
  /** The text of the ignore file that counts, where there is one. */
  ignore?: string | null;
  /** `--build-context`: what stands in the place of images and stages, by name or `name::os/architecture`. */
  contexts?: Record<string, NamedContext>;
  /** Stages, in any case, that are not to come from the cache; all of them where the list is empty. */
  noCache?: string[] | null;
  /** Whether steps are named with the platform that they run on. */
  namePlatforms?: boolean;
}

/** A context beside the one that a build has anyway. */
export type NamedContext =
  | { image: string }
  | { local: { name: string; sharedKey?: string; ignore?: string | null } }
  | { remote: string }
  | { ociLayout: string };

/** How a drawing should look, besides what is drawn. */
export interface DrawingOptions extends Options {
  /** The palette; `"auto"`, whichever the reader's system asks for, where none is given. */
  theme?: "light" | "dark" | "auto";
  /** Columns from left to right (the default), or one column for narrow places. */
  direction?: "leftToRight" | "topToBottom";
  /** Width of a stage's card in CSS pixels, 160 to 640. */
  cardWidth?: number;
  /** What the picture is called, for those who hear it. */
  title?: string | null;
}

/** An operating system and processor architecture, in the names OCI gives them. */
export interface Platform {
  os: string;
  architecture: string;
  /** `v7` in `linux/arm/v7`; absent where there is none. */
  variant?: string;
  /** `10.0.17763` in `windows(10.0.17763)/amd64`; absent where there is none. */
  osVersion?: string;
}

/** What a registry says of an image. */
export interface ImageFacts {
  /** Digest of the manifest or index that the reference points to: `sha256:…`. */
  digest: string;
  /** The image's configuration file. */
  config: unknown;
  /** Sum of its compressed layers in bytes; 0 where unknown. */
  size?: number;
  /** Something a person should know of where it came from. */
  note?: string;
}

/** What the planner made of a Dockerfile. */
export interface Analysis {
  /** All findings, in the order of the source. */
  diagnostics: Diagnostic[];
  /** The stages, in the order of the source. */
  stages: Stage[];
  /** Images that stages start from or copy from, each once. */
  images: ExternalImage[];
  /** What flows from where to where. */
  edges: Edge[];
  /** Index of the stage that ships. */
  target: number | null;
  /** What a build may set by `buildArgs`. */
  args: ArgDeclaration[];
  /** The build itself; `null` where an error stands in the way of the target. */
  definition: Definition | null;
  /** The configuration of the resulting image; `null` where `definition` is. */
  imageConfig: unknown;
}

/** A part of the source, in bytes of its UTF-8. */
export interface Span {
  start: number;
  end: number;
}

/** Lines of the source, from 1, both included. */
export interface LineRange {
  start: number;
  end: number;
}

/** How much a finding matters. */
export type Severity = "error" | "warning" | "info";

/** Something found in the source. */
export interface Diagnostic {
  severity: Severity;
  /** A stable name of the kind of finding, such as `unknown-instruction`. */
  code: string;
  message: string;
  span: Span;
  lines: LineRange;
  /** What to do about it. */
  hint: string | null;
}

/** One `FROM` and what follows it. */
export interface Stage {
  /** Place in the file, from 0. */
  index: number;
  /** The name given by `AS`, lower-cased. */
  name: string | null;
  /** What to call it: its name, else `stage-<index>`. */
  label: string;
  /** What it starts from; a number is an index into `stages` or `images`. */
  base: "scratch" | "unknown" | { stage: number } | { image: number };
  span: Span;
  lines: LineRange;
  /** Its instructions, `FROM` not included. */
  steps: Step[];
  /** Whether the target needs it. */
  needed: boolean;
  /** Whether it is the target. */
  ships: boolean;
  /** Whether a named context stands in its place, so that none of its steps is done. */
  replaced?: boolean;
  /** Why it is, or is not, built. */
  reason: string;
  /** Digest of the op its base starts from. */
  baseVertex: string | null;
}

/** One instruction of a stage. */
export interface Step {
  /** The instruction's keyword in upper case. */
  keyword: string;
  /** The instruction on one line, as written, heredocs left out. */
  text: string;
  span: Span;
  lines: LineRange;
  /** Digest of the op it became. */
  vertex: string | null;
  /** Whether it changes files, and so may become a layer. */
  changesFiles: boolean;
}

/** An image from outside the Dockerfile. */
export interface ExternalImage {
  /** As people write it: `alpine:latest`. */
  name: string;
  /** In full: `docker.io/library/alpine:latest`. */
  reference: string;
  /** The named context that it is, where it is one. */
  context?: string;
  platform: Platform;
  /** Whether the option `images` knew it. */
  resolved: boolean;
  /** Whether the target needs it. */
  needed: boolean;
  /** Its size in bytes; 0 where unknown. */
  size: number;
  note: string | null;
  /** Digest of the source op, where the target needs it. */
  vertex: string | null;
  span: Span;
}

/** Files going from one place to another. */
export interface Edge {
  kind: "base" | "copy" | "mount";
  /** Where they come from; a number is an index into `stages` or `images`. */
  from: "context" | { stage: number } | { image: number };
  /** The stage they go to. */
  toStage: number;
  /** The step they go to; `null` for a base. */
  toStep: number | null;
  /** What is copied or mounted; empty for a base. */
  paths: string[];
  /** The same, short. */
  label: string;
  /** Whether the target needs it. */
  needed: boolean;
  span: Span;
}

/** An `ARG` that a build may set. */
export interface ArgDeclaration {
  name: string;
  /** The default written in the file, expanded. */
  default: string | null;
  span: Span;
}

/** The build as BuildKit takes it (`pb.Definition`). */
export interface Definition {
  /** An op stands after all of its inputs; the last is the terminal op. */
  ops: PlannedOp[];
  /** Digest of the op whose files the image is made of. */
  head: string | null;
  /** The plan's identity. */
  digest: string;
}

/** One op. */
export interface PlannedOp {
  /** sha256 of `bytes`. */
  digest: string;
  /** The marshalled `pb.Op`, in base64. */
  bytes: string;
  /** The name that progress shows. */
  name: string;
  inputs: string[];
  /** The stage it was written in. */
  stage: number | null;
  /** The step it was written as. */
  step: number | null;
  /** Whether it must never come from the cache. */
  ignoreCache: boolean;
}
