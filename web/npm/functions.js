// The three functions, over two WebAssembly modules that are loaded when they are first needed: whoever only plans and
// draws never loads the larger one, which knows the rules.

/** `read(file)` gives the bytes of a module where the modules cannot get at them by themselves. */
export function functions(read) {
  const start = async (module, file) => {
    await module.default(read && { module_or_path: await read(file) });
    return module;
  };
  const planner = once(async () => start(await import("./stagewright_core.js"), "stagewright_core_bg.wasm"));
  const rules = once(async () => start(await import("./stagewright_insight.js"), "stagewright_insight_bg.wasm"));
  return {
    analyze: async (source, options) => (await planner()).analyze(source, options),
    renderSvg: async (source, options) => (await planner()).renderSvg(source, options),
    check: async (source, options) => {
      const known = inParts(options ?? {});
      return JSON.parse((await rules()).lint(source, JSON.stringify(known)));
    },
  };
}

/** A load that failed is tried again by the next who asks. */
function once(load) {
  let loading = null;
  return () =>
    (loading ??= load().catch((error) => {
      loading = null;
      throw error;
    }));
}

const NAMES = ["target", "buildArgs", "platform", "buildPlatform", "images", "local", "ignore", "contexts", "noCache", "namePlatforms"];

/** Options as the rules read them: they take what they do not know for nothing, and platforms in parts only. */
function inParts(options) {
  const unknown = Object.keys(options).find((name) => !NAMES.includes(name));
  if (unknown) throw new Error(`options: there is no "${unknown}"; there are ${NAMES.join(", ")}`);
  const parts = { ...options };
  for (const name of ["platform", "buildPlatform"]) {
    if (typeof parts[name] !== "string") continue;
    const [os, architecture, variant = "", ...rest] = parts[name].split("/");
    if (!os || !architecture || rest.length) throw new Error(`options.${name}: "${parts[name]}" is not of the form linux/arm64`);
    parts[name] = { os, architecture, variant };
  }
  return parts;
}
