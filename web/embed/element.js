// <stagewright-plan>: the plan of a Dockerfile, drawn in any page. It plans and never builds.
//
// The planner is fetched when the first element is about to be seen, once for all of them; an element that is never
// seen costs nothing. All styles are made by script and none stands in the markup, so a strict Content-Security-Policy
// has nothing to refuse.
import { pack, unpack } from "../browser/link.js";

/** Drawn a little before it is seen. */
const NEAR = "200px";
/** Narrower elements are drawn from top to bottom. */
const NARROW = 560;
/** A drawing that is too wide is made smaller down to this, and scrolled from there on. */
const SMALLEST = 2 / 3;

let loading = null;

/** The planner's module; a connection that failed is tried again by the next who asks. */
const planner = () =>
  (loading ??= (async () => {
    const module = await import("./stagewright_core.js");
    await module.default();
    return module;
  })().catch((error) => {
    loading = null;
    throw error;
  }));

const text = (name, content, part) => Object.assign(document.createElement(name), { textContent: content, part: part ?? "" });

/** An SSR build reads this file too, and has no elements. */
const Base = globalThis.HTMLElement ?? class {};

export class StagewrightPlan extends Base {
  static observedAttributes = ["src", "link", "target", "platform", "build-args", "theme", "direction", "label", "playground"];

  #root = null;
  #seen = false;
  /** Counts drawings: what comes late is thrown away. */
  #turn = 0;
  #narrow = null;
  #dark = null;

  connectedCallback() {
    if (!this.#root) {
      this.#root = this.attachShadow({ mode: "open" });
      this.#root.adoptedStyleSheets = [frame()];
      // Until it is drawn, and where it cannot be, the text inside is what there is to see.
      this.#root.append(document.createElement("slot"));
    }
    page.watch(this);
  }

  disconnectedCallback() {
    page.forget(this);
    this.#turn++;
    this.#seen = false;
  }

  attributeChangedCallback(_name, before, now) {
    if (this.#seen && before !== now) this.#draw();
  }

  /** It is about to be seen. */
  seen() {
    if (this.#seen) return;
    this.#seen = true;
    this.#draw();
  }

  /** What it stands in may have changed: its text, its width, its colours. */
  changed({ content = false } = {}) {
    if (this.#seen && (content || this.#isNarrow() !== this.#narrow || this.#isDark() !== this.#dark)) this.#draw();
  }

  async #draw() {
    const turn = ++this.#turn;
    try {
      this.#narrow = this.#isNarrow();
      this.#dark = this.#isDark();
      const asked = await this.#asked();
      const { analyze, renderSvg } = await planner();
      if (turn !== this.#turn) return;
      const analysis = analyze(asked.source, asked.options);
      const svg = renderSvg(asked.source, {
        ...asked.options,
        theme: this.#dark ? "dark" : "light",
        direction: this.#narrow ? "topToBottom" : "leftToRight",
        title: this.getAttribute("label"),
      });
      // A drawing is worth as much without a link.
      const address = await this.#address(asked).catch((error) => console.warn(`stagewright-plan: there is no link to the playground: ${error.message}`));
      if (turn !== this.#turn) return;
      this.#show(analysis, svg, asked, address);
      this.dispatchEvent(new CustomEvent("plan", { detail: { analysis } }));
    } catch (error) {
      if (turn !== this.#turn) return;
      this.#fail(error);
      this.dispatchEvent(new CustomEvent("error", { detail: { message: error.message, error } }));
    }
  }

  /** The Dockerfile and what is planned of it; of a share link also the link, and whether something else is planned here. */
  async #asked() {
    const options = {};
    let link = null;
    let source;
    if (this.hasAttribute("link")) {
      link = await opened(this.getAttribute("link"));
      source = read(link.carried, options);
    } else if (this.hasAttribute("src")) {
      source = await fetched(new URL(this.getAttribute("src"), this.baseURI));
    } else {
      source = written(this);
    }
    const before = JSON.stringify(options);
    if (this.getAttribute("target")) options.target = this.getAttribute("target");
    if (this.getAttribute("platform")) options.platform = this.getAttribute("platform");
    for (const line of (this.getAttribute("build-args") ?? "").split("\n").filter((line) => line.trim())) {
      const [name, ...value] = line.trim().split("=");
      options.buildArgs = { ...options.buildArgs, [name]: value.join("=") };
    }
    return { source, options, link, changed: JSON.stringify(options) !== before };
  }

  /** Where the same can be tried out; `null` where there is no playground. */
  async #address({ source, options, link, changed }) {
    const playground = this.getAttribute("playground") ?? link?.page;
    if (!playground) return null;
    const address = new URL(playground, this.baseURI);
    // Whatever an attribute says, a press on the link runs nothing.
    if (!["http:", "https:"].includes(address.protocol)) return null;
    // A link carries more than the Dockerfile, and all of it goes on with it.
    const carried = link?.carried ?? { files: [{ path: "Dockerfile", text: source }], dockerfile: "Dockerfile" };
    const packed = link && !changed ? link.packed : await pack(JSON.stringify({ ...carried, ...options }));
    address.hash = `s=${packed}`;
    return address.href;
  }

  #show(analysis, svg, asked, address) {
    const figure = text("figure", "", "figure");
    const scroll = text("div", "", "drawing");
    scroll.className = "drawing";
    const { drawing, sheet } = drawn(svg, this.#dark);
    const width = drawing.getAttribute("width");
    drawing.style.setProperty("min-width", `${Math.min(width, Math.max(SMALLEST * width, 280))}px`);
    scroll.append(drawing);
    figure.append(scroll);
    const found = analysis.diagnostics.filter(({ severity }) => severity !== "info");
    if (found.length) {
      const list = text("ul", "", "findings");
      for (const { severity, message, hint, lines } of found) {
        const entry = text("li", `Line ${lines.start}: ${message}${hint ? ` ${hint}` : ""}`);
        entry.className = severity;
        list.append(entry);
      }
      figure.append(list);
    }
    const caption = text("figcaption", "", "caption");
    const source = document.createElement("details");
    source.part = "source";
    source.append(text("summary", "Dockerfile"));
    // What came from elsewhere is shown too; what stands in the page stays the page's.
    source.append(asked.link === null && !this.hasAttribute("src") && shows(this) ? document.createElement("slot") : text("pre", asked.source));
    caption.append(source);
    if (address) {
      const link = text("a", "Open in the playground", "link");
      link.href = address;
      caption.append(link);
    }
    figure.append(caption);
    this.#root.adoptedStyleSheets = [frame(), sheet];
    this.#root.replaceChildren(figure);
    // Who has no mouse scrolls a wide drawing with the keyboard.
    if (scroll.scrollWidth > scroll.clientWidth) Object.assign(scroll, { tabIndex: 0, role: "group", ariaLabel: "Drawing" });
  }

  #fail(error) {
    const box = text("p", error.message, "error");
    box.className = "failed";
    box.setAttribute("role", "alert");
    this.#root.adoptedStyleSheets = [frame()];
    this.#root.replaceChildren(box, document.createElement("slot"));
  }

  #isNarrow() {
    const direction = this.getAttribute("direction");
    return direction ? direction === "down" : this.clientWidth < NARROW;
  }

  /** As the attribute says; else as the page is: where its text is light, its ground is dark. */
  #isDark() {
    const theme = this.getAttribute("theme");
    if (theme === "light" || theme === "dark") return theme === "dark";
    const [red, green, blue] = painted(getComputedStyle(this).color);
    return 0.299 * red + 0.587 * green + 0.114 * blue > 140;
  }
}

/** What a colour is on the screen: red, green and blue, up to 255. */
function painted(colour) {
  // Most are told as that; there a browser that keeps pages from reading pixels is right, too.
  if (colour.startsWith("rgb")) return colour.match(/[\d.]+/g).map(Number);
  // Others, such as oklch(), are painted and looked at.
  canvas ??= Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  return canvas.getImageData(0, 0, 1, 1).data;
}

let canvas = null;

/** What stands inside of an element, without the indentation that it has in the page. */
function written(element) {
  const child = element.querySelector('script[type="text/plain"], pre, template');
  const inside = (child?.content ?? child ?? element).textContent.replace(/^\s*\n/, "").trimEnd();
  if (!inside.trim()) throw new Error("There is no Dockerfile here: write it between the tags, or name one by src or link.");
  const lines = inside.split("\n");
  const depths = lines.filter((line) => line.trim()).map((line) => line.match(/^[ \t]*/)[0].length);
  const depth = Math.min(...depths);
  return `${lines.map((line) => line.slice(depth)).join("\n")}\n`;
}

/** Whether what stands inside is to be seen: a script is not. */
const shows = (element) => !element.querySelector('script[type="text/plain"], template');

/** The text behind an address. */
async function fetched(address) {
  let answer;
  try {
    answer = await fetch(address);
  } catch {
    throw new Error(`${address} could not be fetched: it cannot be reached, or this page's rules (connect-src) do not allow it.`);
  }
  if (!answer.ok) throw new Error(`${address} could not be fetched: the server answered ${answer.status}.`);
  return answer.text();
}

/** A share link: the page that it leads to, and what it carries. */
async function opened(link) {
  const [fragment, page] = link.trim().split("#").reverse();
  const packed = fragment.match(/(?:^|&)s=([^&]*)/)?.[1] ?? fragment;
  return { page, packed, carried: JSON.parse(await unpack(packed)) ?? {} };
}

/** The Dockerfile in what a link carries, whatever else is in it; its choices go into `options`. */
function read({ files, dockerfile, target, platform, buildArgs }, options) {
  const file = files?.find?.((file) => file?.path === dockerfile) ?? files?.[0];
  if (typeof file?.text !== "string" || file.encoded) throw new Error("There is no Dockerfile in this link.");
  if (target) options.target = target;
  if (platform) options.platform = platform;
  if (buildArgs) options.buildArgs = buildArgs;
  return file.text;
}

/** A drawing as an element, and its rules as a sheet: rules inside of markup are what a strict policy refuses. */
function drawn(svg, dark) {
  const [, rules] = svg.match(/<style>([^]*?)<\/style>/);
  const bare = new DOMParser().parseFromString(svg.replace(/<style>[^]*?<\/style>/, ""), "image/svg+xml").documentElement;
  const drawing = document.importNode(bare, true);
  sheets[dark] ??= sheet(ground(coloured(rules.replaceAll(`.${drawing.getAttribute("class")} `, ""))));
  return { drawing, sheet: sheets[dark] };
}

/** One for all light drawings, and one for all dark ones. */
const sheets = {};

/** The drawing's paper and its dots go on to the edges of the element. */
function ground(rules) {
  const fill = (name) => rules.match(new RegExp(`^\\.${name} \\{ fill: (.+) \\}$`, "m"))[1];
  return `${rules}
.paper, .paper + rect { visibility: hidden; }
.drawing { background: radial-gradient(circle at 8px 8px, ${fill("dot")} 1px, transparent 1.5px) 0 0 / 16px 16px ${fill("paper")}; }`;
}

/** Has the page choose colours: `--stagewright-ink` and its like. */
function coloured(rules) {
  const of = (selector, property) => rules.match(new RegExp(`^\\${selector} \\{[^}]*${property}: (#\\w+)`, "m"))?.[1];
  const names = new Map();
  const name = (colour, called) => colour && !names.has(colour) && names.set(colour, called);
  name(of(".paper", "fill"), "paper");
  name(of(".panel", "fill"), "panel");
  name(of(".ink", "fill"), "ink");
  name(of(".muted", "fill"), "muted");
  name(of(".panel", "stroke"), "line");
  for (let stage = 0; stage < 8; stage++) name(of(`.s${stage}`, "stroke"), `stage-${stage}`);
  return rules.replaceAll(/#\w+/g, (colour) => (names.has(colour) ? `var(--stagewright-${names.get(colour)}, ${colour})` : colour));
}

function sheet(rules) {
  const made = new CSSStyleSheet();
  made.replaceSync(rules);
  return made;
}

let framed = null;
const frame = () => (framed ??= sheet(FRAME));

const FRAME = `
:host { display: block; margin-block: 1em; }
:host([hidden]) { display: none; }
figure { margin: 0; }
.drawing { overflow-x: auto; border-radius: 10px; }
.drawing:focus-visible { outline: 2px solid currentColor; outline-offset: 2px; }
svg { display: block; max-width: 100%; height: auto; margin-inline: auto; }
figcaption { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0.25em 1.5em; margin-top: 0.4em; font: 0.85em/1.5 system-ui, sans-serif; }
details { flex: 0 1 auto; min-width: 0; }
details[open] { flex-basis: 100%; }
summary { cursor: pointer; width: fit-content; }
a { color: inherit; }
pre { overflow-x: auto; }
ul { margin: 0.6em 0 0; padding: 0; list-style: none; font: 0.85em/1.5 system-ui, sans-serif; }
li { padding-left: 0.8em; border-left: 3px solid #b3690c; margin-top: 0.3em; }
.error, .failed { border-left: 3px solid #c92a2a; }
.failed { margin: 0 0 0.6em; padding-left: 0.8em; font: 0.9em/1.5 system-ui, sans-serif; }
@media (prefers-reduced-motion: no-preference) {
  figure { animation: appear 0.2s; }
  @keyframes appear { from { opacity: 0; } }
}
`;

/** What is watched for all elements together. */
const page = {
  elements: new Set(),
  seen: null,
  sizes: null,
  texts: null,

  start() {
    if (this.seen) return;
    this.seen = new IntersectionObserver(
      (entries) => entries.filter(({ isIntersecting }) => isIntersecting).forEach(({ target }) => target.seen()),
      { rootMargin: NEAR },
    );
    this.sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => target.changed()));
    this.texts = new MutationObserver((changes) => {
      const touched = new Set(changes.map(({ target }) => (target.closest ? target : target.parentElement)?.closest("stagewright-plan")));
      touched.forEach((element) => element?.changed({ content: true }));
    });
    // Pages change their colours with the system, by a class or an attribute at the top, or by a style sheet that comes late.
    const again = () => this.elements.forEach((element) => element.changed());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
    const top = new MutationObserver(() => requestAnimationFrame(again));
    for (const element of [document.documentElement, document.body]) top.observe(element, { attributes: true });
    addEventListener("load", again);
  },

  watch(element) {
    this.start();
    this.elements.add(element);
    this.seen.observe(element);
    this.sizes.observe(element);
    this.texts.observe(element, { childList: true, characterData: true, subtree: true });
  },

  forget(element) {
    this.elements.delete(element);
    this.seen.unobserve(element);
    this.sizes.unobserve(element);
  },
};

if (globalThis.customElements && !customElements.get("stagewright-plan")) customElements.define("stagewright-plan", StagewrightPlan);
