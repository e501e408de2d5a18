// Starts the page. The names of what Trunk built stand in the attributes of this script's own element.
const { script, wasm } = document.getElementById("boot").dataset;
try {
  const { default: init } = await import(new URL(script, document.baseURI));
  await init({ module_or_path: new URL(wasm, document.baseURI) });
} catch (error) {
  const notice = document.createElement("p");
  notice.className = "empty";
  notice.textContent = `The page could not be started (${error}). It needs a browser with WebAssembly; reload to try again.`;
  document.body.append(notice);
  throw error;
}
