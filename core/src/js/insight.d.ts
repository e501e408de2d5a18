// The shapes of what the functions of the insight module take and answer, as JSON. Options, plans, places and platforms
// have the shapes that the planner's own module has (`types.d.ts`).

/** One change: what stands at `span` becomes `text`. */
export interface TextEdit {
  /** What is replaced, in bytes of the text before any change; empty to insert. */
  span: Span;
  /** What stands there afterwards; empty to remove. */
  text: string;
}

/** Something that had better be written otherwise. */
export interface Finding {
  /** The rule's name, such as `JSONArgsRecommended`. */
  rule: string;
  /** Whose rule it is. */
  origin: Origin;
  /** How much it matters: an error keeps the target from being built, because the file says `# check=error=true`; what a stage says that the target does not need is information. */
  severity: Severity;
  /** What was found, in one sentence. */
  message: string;
  /** Where the rule is explained: an address, or a path from the root of this project; empty where nothing is published. */
  url: string;
  /** The instruction, in bytes. */
  span: Span;
  /** The same in lines. */
  lines: LineRange;
  /** BuildKit's own check says nothing of this yet: it ends at the first error of a file, and comes to this later. */
  beyondError?: boolean;
  /** What would mend it; the first is the best. */
  fixes?: Fix[];
}

/** Whose rule it is. */
export type Origin = "reference" | "own";

/** A way to mend what was found. */
export interface Fix {
  /** What it does, as the name of a command: "Write AS in upper case". */
  title: string;
  /** The changes, all to be made together. */
  edits: TextEdit[];
  /** Whether the build does the same afterwards: its definition keeps its digest. */
  safe: boolean;
}

/** What a check of a file comes to. */
export interface Report {
  /** All that was found, in the order of the file. */
  findings: Finding[];
  /** Whether an error ends BuildKit's own check; the planner says which. */
  stopped: boolean;
  /** Whether the findings themselves do, because the file says `# check=error=true`. */
  fails: boolean;
}

/** A change, or several at once. Whatever is left out stays as it is. */
export interface Change {
  /** Paths of the build context that changed, appeared or went away, seen from its root. One that ends in `/` stands for anything in that folder. */
  context?: string[];
  /** The same for named contexts that are directories, by name. */
  namedContexts?: Record<string, string[]>;
  /** Build arguments that are set, or, with `null`, not set any more. */
  buildArgs?: Record<string, string | null>;
  /** Images, by their names or references, that are others now; with `null` all that is known is that their files are others. */
  images?: Record<string, ImageFacts | null>;
  /** The Dockerfile's new text. */
  source?: string | null;
  /** The new text of the `.dockerignore` that counts. */
  ignore?: string | null;
  /** The stage that is built instead; an empty name stands for the last one. */
  target?: string | null;
  /** Nothing may come from the cache. */
  noCache?: boolean;
  /** Nothing of these stages may come from the cache. */
  noCacheStages?: string[];
}

/** What a change brings about. */
export interface WhatIf {
  /** Whether the changed input can be built; where not, nothing is said of ops. */
  planned: boolean;
  /** Every op of the plan after the change in its order, the terminal one left out. */
  ops: OpForecast[];
  /** Every step of the file after the change, and the images that stages start from, in the order of the file. */
  steps: StepForecast[];
  /** Steps of the file before the change that are not there any more, in its order. */
  gone: GoneStep[];
  /** How many steps there are of each outcome. */
  totals: Totals;
}

/** What becomes of a step or an op. */
export type Outcome = "skipped" | "config" | "cached" | "mayRerun" | "reruns" | "new" | "unknown";

/** What becomes of an op. */
export interface OpForecast {
  /** Index into the ops of the plan after the change. */
  op: number;
  /** Index into the ops of the plan before it: the same step then. */
  before: number | null;
  /** What becomes of it. */
  outcome: Outcome;
  /** Why; the strongest first. Empty where it stays cached. */
  causes: Cause[];
}

/** One reason why an op reruns, or may. */
export interface Cause {
  /** What kind of reason it is. */
  kind: CauseKind;
  /** Whether it makes the op rerun in any case. */
  certain: boolean;
  /** The op that it comes from, by index into `ops`; `None` where the change itself is the reason. */
  from: number | null;
  /** Changed paths of the build context that are read (no more than 20 of them). */
  paths: string[];
  /** The reason as a sentence. */
  text: string;
}

/** What kind of reason a `Cause` is. */
export type CauseKind = "context" | "instruction" | "image" | "follows" | "reads" | "noCache" | "new";

/** What becomes of a step of the file after the change. */
export interface StepForecast {
  /** Index of the stage. */
  stage: number;
  /** Index of the step; `None` for what the stage starts from. */
  step: number | null;
  /** The instruction on one line. */
  text: string;
  /** Its lines in the file after the change. */
  lines: LineRange;
  /** The step of the file before the change that it was, as stage and step. */
  before: [number, number] | null;
  /** Its ops, by index into `ops`. */
  ops: number[];
  /** The op that decides, by index into `ops`; `chain` tells the whole story of it. */
  decides: number | null;
  /** What becomes of it. */
  outcome: Outcome;
  /** Why, as a sentence. */
  reason: string;
}

/** A step of the file before the change that is not there any more. */
export interface GoneStep {
  /** Index of the stage before the change. */
  stage: number;
  /** What the stage was called. */
  label: string;
  /** Index of the step before the change. */
  step: number;
  /** The instruction on one line. */
  text: string;
  /** Its lines in the file before the change. */
  lines: LineRange;
}

/** How many steps there are of each outcome. */
export interface Totals {
  /** Steps that stay cached. */
  cached: number;
  /** Steps that may rerun. */
  mayRerun: number;
  /** Steps that rerun. */
  reruns: number;
  /** Steps that are new. */
  new: number;
  /** Steps that the target does not need. */
  skipped: number;
  /** Steps that are not there any more. */
  gone: number;
}

/** When everything of a build runs. */
export interface Schedule {
  /** Every op of the definition in its order, the terminal one left out. */
  ops: ScheduledOp[];
  /** How long the build takes where everything runs as soon as it can, in nanoseconds. */
  makespan: number;
  /** How long it takes where one thing runs after the other: the sum of all durations, in nanoseconds. */
  work: number;
  /** The ops that decide the makespan, first to last, by index into `ops`. */
  criticalPath: number[];
  /** Most ops that run at one time, of those that take any. */
  widest: number;
  /** What runs at the same time, in the order of time; shortened where there is very much of it. */
  phases: Phase[];
  /** The same with no more than so many at once, where that was asked for. */
  limited: Limited | null;
  /** By stage that is built, when its first step begins and its last ends, in the order of the file. */
  stages: StageWindow[];
  /** What would make the build shorter, the most first; no more than 12. */
  suggestions: Suggestion[];
  /** What was taken for granted of durations. */
  assumptions: string[];
}

/** An op and when it runs. */
export interface ScheduledOp {
  /** Index into `ops`. */
  op: number;
  /** The stage it was written in, where there is one. */
  stage: number | null;
  /** The step it was written as, where there is one. */
  step: number | null;
  /** The name progress shows. */
  name: string;
  /** How long it takes, in nanoseconds. */
  duration: number;
  /** Where that comes from. */
  basis: Basis;
  /** When it begins at the earliest, in nanoseconds since the build began. */
  start: number;
  /** When it ends at the earliest, in nanoseconds since the build began. */
  finish: number;
  /** How much longer it could take without making the build longer, in nanoseconds. */
  slack: number;
  /** Whether it has none. */
  critical: boolean;
  /** How much shorter the build would be were this op's result there already, in nanoseconds. */
  saving: number;
}

/** Where a duration comes from. */
export type Basis = "unit" | "guessed" | "measured";

/** A stretch of time in which the same ops run. */
export interface Phase {
  /** When it begins, in nanoseconds since the build began. */
  start: number;
  /** When it ends, in nanoseconds since the build began. */
  end: number;
  /** What runs in it, by index into `ops`. */
  ops: number[];
}

/** A build in which no more than so many ops run at once. */
export interface Limited {
  /** How many run at once at most. */
  parallel: number;
  /** How long the build takes, in nanoseconds. */
  makespan: number;
  /** By op, when it begins, ends, and in which of the lanes (from 0) it runs. */
  ops: LimitedOp[];
}

/** An op of a `Limited` build. */
export interface LimitedOp {
  /** When it begins, in nanoseconds since the build began. */
  start: number;
  /** When it ends, in nanoseconds since the build began. */
  finish: number;
  /** The lane it runs in, from 0; what takes no time runs in none. */
  lane: number | null;
}

/** When a stage is at work. */
export interface StageWindow {
  /** Index of the stage. */
  stage: number;
  /** When its first op begins, in nanoseconds since the build began. */
  start: number;
  /** When its last op ends, in nanoseconds since the build began. */
  finish: number;
  /** What its ops take together, in nanoseconds. */
  work: number;
}

/** Something that would make the build shorter. */
export interface Suggestion {
  /** What kind of thing it is. */
  kind: SuggestionKind;
  /** By how much, in nanoseconds. */
  saves: number;
  /** How long the build would take then, in nanoseconds. */
  makespan: number;
  /** The op that waits, or the one to make faster, by index into `ops`. */
  op: number;
  /** The op that it waits for. */
  from: number | null;
  /** The suggestion as a sentence. */
  text: string;
}

/** What a `Suggestion` is about. */
export type SuggestionKind = "step" | "stage" | "split";

/** A build as it went, by the parts of its plan. */
export interface Trace {
  /** When the first vertex began, as written in the log. All times are counted from here. */
  began: string | null;
  /** Every op of the definition in its order, the terminal one left out. */
  ops: TracedOp[];
  /** The steps that became ops, and the images that stages start from, in the order of the file. */
  steps: TracedStep[];
  /** What the builder did around the plan: loading, looking up, exporting. */
  internal: InternalRun[];
  /** Vertices of the log that are no op of this plan, and no part of the builder's own work either. */
  strangers: Run[];
  /** Indices of the ops that the log does not speak of. */
  missing: number[];
  /** What the builder warned of, in the log's order. */
  warnings: TraceWarning[];
  /** Sums over all of it. */
  totals: TraceTotals;
}

/** An op of the plan and what the log says of it. */
export interface TracedOp {
  /** Index into `ops`. */
  op: number;
  /** The stage it was written in, where there is one. */
  stage: number | null;
  /** The step it was written as, where there is one. */
  step: number | null;
  /** How it was found in the log; `None` where it was not. */
  matched: MatchedBy | null;
  /** What the log says of it; `None` where it says nothing. */
  run: Run | null;
}

/** How an op was found in a log. */
export type MatchedBy = "digest" | "structure" | "name";

/** What a log says of a vertex; the last report counts. */
export interface Run {
  /** Its digest in the log. */
  digest: string;
  /** Its name in the log. */
  name: string;
  /** How it stands. */
  state: RunState;
  /** When it began, as written. */
  started: string | null;
  /** When it ended, as written. */
  completed: string | null;
  /** When it began, in nanoseconds since `began`. */
  start: number | null;
  /** When it ended, in nanoseconds since `began`. */
  end: number | null;
  /** From its begin to its end, in nanoseconds. */
  duration: number | null;
  /** Whether its result was there already. */
  cached: boolean;
  /** Why it failed; empty where it did not. */
  error: string;
  /** The exit code that the error names. */
  exitCode: number | null;
  /** Why it ran or came from the cache, where the worker said so. */
  reason: string;
  /** Lines that it printed. */
  logLines: number;
  /** Bytes that it printed. */
  logBytes: number;
  /** The end of what it printed (4 KiB at most), where it failed. */
  logTail: string;
  /** Progress within it, such as transfers; of each the last report. */
  statuses: RunStatus[];
}

/** How a vertex stands at the end of a log. */
export type RunState = "waiting" | "cached" | "done" | "running" | "cancelled" | "failed";

/** Progress within a vertex. */
export interface RunStatus {
  /** Names it within the vertex. */
  id: string;
  /** What goes on, such as `transferring`. */
  name: string;
  /** How much is done, mostly in bytes. */
  current: number;
  /** How much there is; 0 where that is unknown. */
  total: number;
  /** When it began, in nanoseconds since `began`. */
  start: number | null;
  /** When it ended, in nanoseconds since `began`. */
  end: number | null;
}

/** A step, or the image that a stage starts from, with all ops that it became. */
export interface TracedStep {
  /** Index of the stage. */
  stage: number;
  /** Index of the step; `None` for the image that the stage starts from. */
  step: number | null;
  /** Indices into `ops`, in the order of the definition. */
  ops: number[];
  /** The worst state of its ops; `None` where the log speaks of none of them. */
  state: RunState | null;
  /** When its first op began, in nanoseconds since `began`. */
  start: number | null;
  /** When its last op ended, in nanoseconds since `began`. */
  end: number | null;
  /** What its ops took together, in nanoseconds. */
  duration: number | null;
  /** Whether all that is known of it came from the cache. */
  cached: boolean;
  /** Why it failed; empty where it did not. */
  error: string;
}

/** Something that the builder did around the plan. */
export interface InternalRun {
  /** What it was for. */
  kind: InternalKind;
  /** What the log says of it. */
  run: Run;
}

/** What a vertex of the builder's own was for. */
export type InternalKind = "definition" | "ignore" | "metadata" | "context" | "export" | "cache" | "auth" | "other";

/** Something that the builder warned of. */
export interface TraceWarning {
  /** Digest of the vertex it belongs to. */
  vertex: string;
  /** Index into `ops`, where it belongs to one of them. */
  op: number | null;
  /** 1 is the most important. */
  level: number;
  /** One line. */
  short: string;
  /** More lines. */
  detail: string[];
  /** Where it is explained. */
  url: string;
  /** The lines of the Dockerfile that it speaks of. */
  lines: LineRange | null;
}

/** Sums over a build. */
export interface TraceTotals {
  /** From the first begin to the last end, in nanoseconds. */
  wall: number;
  /** What all ops of the plan took together, in nanoseconds. */
  work: number;
  /** Ops of the plan. */
  ops: number;
  /** Of these, those that the log speaks of. */
  found: number;
  /** Of these, those that ran to their end. */
  ran: number;
  /** Of these, those whose results were there already. */
  cached: number;
  /** Of these, those that failed. */
  failed: number;
  /** Of these, those that were stopped because something else failed. */
  cancelled: number;
  /** Of these, those that did not begin or did not end. */
  unfinished: number;
  /** Lines that all vertices printed. */
  logLines: number;
  /** Bytes that all vertices printed. */
  logBytes: number;
  /** Bytes of build contexts that travelled. */
  contextBytes: number;
  /** Lines of the log that hold a status. */
  lines: number;
  /** Lines of the log with something else on them. */
  skippedLines: number;
}

/** Why things are as they are. */
export interface Reasons {
  /** What was asked for, and what it is. */
  target: NameReason | null;
  /** Every stage, in the order of the file. */
  stages: StageReason[];
  /** Every name of a source, in the order of the file. */
  names: NameReason[];
}

/** Why a stage is built, or not. */
export interface StageReason {
  /** Index of the stage. */
  stage: number;
  /** What it is called. */
  label: string;
  /** Whether it is built. */
  built: boolean;
  /** The reason as a sentence. */
  text: string;
  /** Where it gets its name, or its `FROM` where it has none. */
  span: Span;
  /** How many stages stand between it and the target: 0 for the target itself; `None` where it is not built. */
  distance: number | null;
  /** What makes it needed, on a shortest way from the target; `chain` follows it. */
  neededBy: Need | null;
  /** Everything that uses it, needed or not, by index into `edges`. */
  users: number[];
}

/** That a stage needs another. */
export interface Need {
  /** The stage that needs it. */
  stage: number;
  /** How, by index into `edges`. */
  edge: number;
  /** The words that say so. */
  span: Span;
  /** The same as a sentence: `final copies /app from build.` */
  text: string;
}

/** What a name means. */
export interface NameReason {
  /** Where it stands. */
  place: NamePlace;
  /** The stage it stands in; `None` for the target. */
  stage: number | null;
  /** The step it stands in; `None` in a `FROM`. */
  step: number | null;
  /** As written. */
  written: string;
  /** With variables worked out. */
  name: string;
  /** The words that name it; empty at the start of the file for the target, which is not written there. */
  span: Span;
  /** What it means. */
  meaning: Meaning;
  /** By which rule. */
  rule: NameRule;
  /** Where what it means is defined, where that is in the file. */
  definition: Span | null;
  /** The same as a sentence. */
  text: string;
}

/** Where a name stands. */
export type NamePlace = "from" | "copy" | "mount" | "target";

/** What a name means. */
export type Meaning = { stage: number } | { image: number } | "scratch" | "unknown";

/** The rule by which a name got its meaning. */
export type NameRule =
  | "earlierStage"
  | "stageName"
  | "stageNumber"
  | "lastStage"
  | "noSuchStage"
  | "namedContext"
  | "scratch"
  | "unknown";

/** The image that a build gives. */
export interface ImageReport {
  /** What it is for. */
  platform: Platform;
  /** The image at the bottom, where it does not start from nothing. */
  base: BaseReport | null;
  /** The stages that it is made of, from the bottom up, the target last. */
  stages: number[];
  /** Its layers, from the bottom up. */
  layers: LayerReport[];
  /** What was done, one entry an instruction, from the bottom up. */
  history: HistoryReport[];
  /** Environment variables, in the order of the configuration. */
  env: Setting[];
  /** Labels, by name. */
  labels: Setting[];
  /** Ports that it says it listens on: `80/tcp`. */
  ports: Setting[];
  /** Paths whose files outlive a container. */
  volumes: Setting[];
  /** Who runs its processes; `root` where nothing is said. */
  user: Setting;
  /** Where they run; `/` where nothing is said. */
  workingDir: Setting;
  /** The signal that stops a container, where one is named. */
  stopSignal: Setting | null;
  /** How to tell that a container is well, where that is said. */
  healthcheck: HealthReport | null;
  /** Instructions for those who build on it. */
  triggers: string[];
  /** What a container runs. */
  command: CommandReport;
  /** What could not be known, a sentence each. */
  notes: string[];
}

/** Where something comes from. */
export type Source = "base" | { step: { stage: number, step: number } } | "trigger" | "default";

/** The image at the bottom. */
export interface BaseReport {
  /** Index into `images`. */
  image: number;
  /** Its reference in full. */
  reference: string;
  /** Whether it was looked up; only then its layers and settings are known. */
  resolved: boolean;
  /** How many layers it has, where that is known. */
  layers: number | null;
  /** Sum of its compressed layers in bytes; 0 where unknown. */
  size: number;
}

/** A layer. */
export interface LayerReport {
  /** What made it. */
  source: Source;
  /** What was done, as the history says; empty where it says nothing. */
  createdBy: string;
  /** sha256 of its tar, for layers of a base image; what a step makes is known once it ran. */
  diffId: string | null;
  /** Digest of the op that makes it, where a step does. */
  vertex: string | null;
  /** The lines of that step. */
  lines: LineRange | null;
}

/** An entry of the history. */
export interface HistoryReport {
  /** What did it. */
  source: Source;
  /** What was done. */
  createdBy: string;
  /** When, RFC 3339, where that is said. */
  created: string | null;
  /** Index into `layers`; `None` where it only changed the configuration. */
  layer: number | null;
}

/** A setting and who made it. */
export interface Setting {
  /** Its name, such as that of a variable; empty where there is only one. */
  name: string;
  /** Its value. */
  value: string;
  /** Who made it so. */
  source: Source;
}

/** How to tell that a container is well. Times are nanoseconds; 0 leaves the choice to the runtime. */
export interface HealthReport {
  /** `NONE`, `CMD` and arguments, or `CMD-SHELL` and a command. */
  test: string[];
  /** From one check to the next. */
  interval: number;
  /** How long a check may take. */
  timeout: number;
  /** How long failures do not count at first. */
  startPeriod: number;
  /** From one check to the next within that time. */
  startInterval: number;
  /** Failures in a row that make a container unwell. */
  retries: number;
  /** Who said so. */
  source: Source;
}

/** What a container runs. */
export interface CommandReport {
  /** `ENTRYPOINT`. */
  entrypoint: string[];
  /** Who set it. */
  entrypointSource: Source;
  /** `CMD`. */
  cmd: string[];
  /** Who set it. */
  cmdSource: Source;
  /** Program and arguments where `docker run` is given nothing more; empty where there is nothing to run. */
  line: string[];
  /** Whether a shell runs it, and so gets the signals meant for it. */
  throughShell: boolean;
  /** What follows from it, a sentence each. */
  explanation: string[];
}

/** Something in the directory that is to be the build context. */
export interface ContextFile {
  /** Its path from the root, with `/` between names and none in front. */
  path?: string;
  /** Its length in bytes; 0 for a folder. */
  size?: number;
  /** Permission bits, `0o644`. */
  mode?: number;
  /** Whether it is a folder. Folders need not be listed; they count neither as files nor in bytes. */
  folder?: boolean;
}

/** What becomes of a build context. */
export interface ContextReport {
  /** Every entry of the listing, in its order. */
  files: FileReport[];
  /** The rules of `.dockerignore`, in its order, and what each decides. */
  rules: RuleReport[];
  /** The steps that read the build context, in the order of the file. */
  readers: ReaderReport[];
  /** All files of the listing. */
  listed: Sum;
  /** Files that `.dockerignore` keeps out. */
  keptOut: Sum;
  /** Files that it lets in. */
  entering: Sum;
  /** Files that `BuildKit` asks for: of those that enter, the ones at the paths that steps name. */
  sent: Sum;
  /** Files that some step reads. */
  read: Sum;
  /** Files that are sent although no step reads them. */
  forNothing: Sum;
  /** Files that are sent for nothing, the largest first, by index into `files`. */
  nothingFiles: number[];
  /** Files that enter, the largest first, by index into `files`; no more than 100. */
  largest: number[];
  /** What could be kept out without a step of this build missing it, the most bytes first; no more than 20. */
  suggestions: KeepOut[];
  /** What is wrong with `.dockerignore`; places are in that file. */
  diagnostics: Diagnostic[];
}

/** Files, and their bytes together. */
export interface Sum {
  /** How many. */
  files: number;
  /** Their lengths together, in bytes. */
  bytes: number;
}

/** An entry of the listing. */
export interface FileReport {
  /** Whether `.dockerignore` lets it in. */
  enters: boolean;
  /** The rule that decided, by index into `rules`; `None` where none says anything of it. */
  rule: number | null;
  /** Whether it is sent. */
  sent: boolean;
  /** How many steps read it. */
  reads: number;
  /** The steps that read it, by index into `readers`; no more than 20. */
  readers: number[];
}

/** A rule of `.dockerignore`. */
export interface RuleReport {
  /** The pattern as it counts. */
  pattern: string;
  /** Whether it lets in again what an earlier one keeps out. */
  negated: boolean;
  /** Its line, from 1. */
  line: number;
  /** Where it stands in `.dockerignore`. */
  span: Span;
  /** Files of which it has the last word. */
  decides: Sum;
}

/** A step that reads the build context. */
export interface ReaderReport {
  /** Index of the stage. */
  stage: number | null;
  /** Index of the step. */
  step: number | null;
  /** The instruction on one line, or the name that progress shows. */
  text: string;
  /** The paths that it names. */
  sources: string[];
  /** What it reads. */
  reads: Sum;
}

/** Something that could be kept out. */
export interface KeepOut {
  /** A line for `.dockerignore`. */
  pattern: string;
  /** What it would keep out. */
  saves: Sum;
}

/** In what two plans differ. */
export interface Diff {
  /** Whether the two plans are the same build: the same ops, in one order. */
  sameBuild: boolean;
  /** Stages that differ, those of the later plan first, in its order. */
  stages: StageDiff[];
  /** Steps that differ, those of the later plan first, in its order. */
  steps: StepDiff[];
  /** What flows from where to where, where that differs. */
  edges: EdgeDiff[];
  /** Images that differ, by reference. */
  images: ValueDiff[];
  /** Build arguments that differ, by name. */
  args: ValueDiff[];
  /** What differs in the configuration of the resulting image, by path, such as `config.Env.PATH`. */
  imageConfig: ValueDiff[];
  /** Steps that are the same. */
  sameSteps: number;
}

/** What became of something. */
export type Fate = "added" | "removed" | "changed" | "moved" | "renamed";

/** A stage that differs. */
export interface StageDiff {
  /** What became of it. */
  fate: Fate;
  /** Its index in the earlier plan. */
  before: number | null;
  /** Its index in the later plan. */
  after: number | null;
  /** What it is called, in the later plan where it is there. */
  label: string;
  /** What differs of it itself: `name`, `base`, `place`, `built`, `target`. Its steps are in `steps`. */
  changes: ValueDiff[];
  /** How many of its steps differ. */
  steps: number;
}

/** A step that differs. */
export interface StepDiff {
  /** What became of it. */
  fate: Fate;
  /** Its place in the earlier plan. */
  before: StepPlace | null;
  /** Its place in the later plan. */
  after: StepPlace | null;
  /** The instruction's keyword in upper case. */
  keyword: string;
  /** Flags that differ, by name, such as `--from`. */
  flags: ValueDiff[];
  /** The two texts word by word, where they differ. */
  words: WordDiff[];
}

/** Where a step stands. */
export interface StepPlace {
  /** Index of the stage. */
  stage: number;
  /** What the stage is called. */
  label: string;
  /** Index of the step. */
  step: number;
  /** The instruction on one line. */
  text: string;
  /** Its lines. */
  lines: LineRange;
}

/** A piece of two texts. */
export interface WordDiff {
  /** `None` where both have it. */
  fate: Fate | null;
  /** Words, with one blank between them. */
  text: string;
}

/** Something with a value before and after. */
export interface ValueDiff {
  /** What it is. */
  name: string;
  /** What became of it. */
  fate: Fate;
  /** Its value in the earlier plan. */
  before: unknown | null;
  /** Its value in the later plan. */
  after: unknown | null;
}

/** A flow of files that differs. */
export interface EdgeDiff {
  /** What became of it. */
  fate: Fate;
  /** Index into `edges` of the earlier plan. */
  before: number | null;
  /** Index into `edges` of the later plan. */
  after: number | null;
  /** It as a sentence: `final copies /app from build.` */
  text: string;
}

/** A file by its name. */
export interface SourceFile {
  /** Its path, as seen from the folder that the script stands in. */
  name: string;
  /** What it says. */
  text: string;
}

/** Dockerfiles, and the script that puts them together. */
export interface Pattern {
  /** The script. It is read, never run. */
  script?: SourceFile;
  /** The Dockerfiles that it builds. */
  dockerfiles?: SourceFile[];
  /** Variables that the script takes from its environment. */
  variables?: Record<string, string>;
  /** Paths of the files that lie beside the script before it runs, folders with a `/` at the end; `None` where that is not known. */
  files?: string[] | null;
  /** The text of the `.dockerignore` that counts. */
  ignore?: string | null;
  /** What is known of images, as for `analyze`. */
  images?: Record<string, ImageFacts>;
}

/** What became of a `Pattern`. */
export interface Conversion {
  /** The one Dockerfile. `None` where an error stands in its way. */
  dockerfile: string | null;
  /** The one command that builds it in the place of the script. */
  command: string | null;
  /** The pattern as it was, as one graph. */
  graph: Picture;
  /** What became of each command of the script, in its order. */
  notes: ConversionNote[];
  /** Dockerfiles that the script builds and that were not among those given, by the names that they may have. */
  lacking: string[];
  /** All that is wrong or cannot be kept: first of the script, then of the Dockerfiles in their order. */
  findings: ConversionFinding[];
}

/** The builds of a pattern as one graph. It is an `Analysis` without operations, so whatever draws plans draws it. */
export interface Picture {
  /** Stages of all Dockerfiles, and containers that ran something. A file that was carried from a container to a COPY is an edge between the two. Spans are those of each stage's own file. */
  analysis: Analysis;
  /** Where each stage was written: the name of its Dockerfile, or of the script for a container. */
  files: string[];
  /** What was carried, in the order of the script. */
  handovers: Handover[];
}

/** A file or folder on its way from a container over the host into a COPY. */
export interface Handover {
  /** The container, by the name that the script gave it; an image where there was none. */
  container: string;
  /** The path in the container. */
  from: string;
  /** The path on the host, seen from the script. */
  host: string;
  /** The command of the script that took it out. */
  span: Span;
  /** The same in lines. */
  lines: LineRange;
  /** The stage it came from, by index into the picture's stages; `None` for an image from outside. */
  fromStage: number | null;
  /** Stages and steps that copied it in, by index. */
  to: [number, number][];
}

/** What became of a command of the script. */
export interface ConversionNote {
  /** Where the command stands in the script. */
  span: Span;
  /** The same in lines. */
  lines: LineRange;
  /** The kind of thing that it became. */
  became: Became;
  /** In a sentence. */
  message: string;
}

/** What a command of the script became. */
export type Became = "stage" | "copy" | "run" | "nothing" | "beside" | "unclear";

/** A finding, and the file it is about. */
export interface ConversionFinding {
  /** The name of the script or the Dockerfile. */
  file: string;
  /** What was found, with its place there. */
  diagnostic: Diagnostic;
}

/** A piece of the text that is not plain. */
export interface Token {
  /** Where it stands. The content of a heredoc may have newlines in it. */
  span: Span;
  /** What it is. */
  kind: TokenKind;
}

/** What a `Token` is. */
export type TokenKind =
  | "keyword"
  | "unknown"
  | "comment"
  | "directive"
  | "flag"
  | "flagValue"
  | "option"
  | "stage"
  | "image"
  | "name"
  | "variable"
  | "string"
  | "number"
  | "operator"
  | "bracket"
  | "continuation"
  | "heredocMarker"
  | "heredocBody";

/** Lines that can be folded into the first of them. */
export interface FoldingRange {
  /** What they are. */
  kind: FoldingKind;
  /** What goes: from the end of the first line to the end of the last. */
  span: Span;
  /** The lines, from the one that stays; never one alone. */
  lines: LineRange;
}

/** What a `FoldingRange` is. */
export type FoldingKind = "stage" | "instruction" | "heredoc" | "comment";

/** A stage, or an instruction. */
export interface Symbol {
  /** What to call it: a stage's name, or `stage 0`; an instruction's name. */
  name: string;
  /** What a stage starts from, or what an instruction says, cut short; as written. */
  detail: string;
  /** All of it: a stage from its FROM to the end of its last instruction. */
  span: Span;
  /** What to show of it first: a stage's name or base, an instruction's name. */
  selection: Span;
  /** The instructions of a stage. */
  children: Symbol[];
}

/** Something that may stand at the place. */
export interface Completion {
  /** What to show, and to compare with what is typed. */
  label: string;
  /** What it is. */
  kind: CompletionKind;
  /** A few words beside it; may be empty. */
  detail: string;
  /** What it does, in Markdown; may be empty. */
  documentation: string;
  /** What to change if it is taken. All completions of one call replace the same part of the text. */
  edit: TextEdit;
}

/** What a `Completion` is. */
export type CompletionKind =
  | "keyword"
  | "directive"
  | "flag"
  | "option"
  | "value"
  | "stage"
  | "image"
  | "variable"
  | "file"
  | "heredoc";

/** What is known beside the file and its options. */
export interface Surroundings {
  /** The files of the build context, with `/` between the parts of their paths. */
  files?: string[];
  /** Images that could be meant, as people write them. */
  images?: string[];
}

/** What can be said of a place. */
export interface Hover {
  /** What it is said of. */
  span: Span;
  /** What is said, in Markdown: paragraphs, lists, `code`, **bold** and fenced blocks. */
  markdown: string;
}

/** What `rename` answers. */
export interface Renaming {
  /** What is to be changed; empty where there is an error. */
  edits: TextEdit[];
  /** Why the stage cannot be called so, and what to do next. */
  error: string | null;
}
