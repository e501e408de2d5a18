import type { Analysis } from "./stagewright_core.js";

/** `<stagewright-plan>`: the plan of a Dockerfile, drawn. Importing this module defines it. */
export class StagewrightPlan extends HTMLElement {
  addEventListener(type: "plan", listener: (event: CustomEvent<{ analysis: Analysis }>) => unknown, options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: "error", listener: (event: CustomEvent<{ message: string; error: Error }>) => unknown, options?: boolean | AddEventListenerOptions): void;
  addEventListener<Type extends keyof HTMLElementEventMap>(type: Type, listener: (event: HTMLElementEventMap[Type]) => unknown, options?: boolean | AddEventListenerOptions): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "stagewright-plan": StagewrightPlan;
  }
}
