// A share link, from text and to text. What the text says is not known here: `core/src/link.rs` has the format and its
// fields. The browser itself deflates, so a link costs nothing but these lines.

const VERSION = 1;
/** Longer texts are not packed, nor inflated to their end, whatever they are: `core/src/link.rs` has the same number. */
const MOST = 1 << 20;

/** Text as it stands behind `#s=`; an error says what the writer can do. */
export async function pack(text) {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length > MOST) throw new RangeError("These files are more than the 1 MiB that a link holds. Take large ones out, or send the files instead.");
  const deflated = await through(bytes, new CompressionStream("deflate-raw"));
  const whole = new Uint8Array(5 + deflated.length);
  whole[0] = VERSION;
  new DataView(whole.buffer).setUint32(1, checksum(bytes));
  whole.set(deflated, 5);
  const letters = Array.from(whole, (byte) => String.fromCharCode(byte)).join("");
  return btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The text again. Who made it is unknown, so nothing is taken for granted; an error says what the reader can do. */
export async function unpack(packed) {
  const cut = "This link is not whole. It was cut off on its way, perhaps by the program that it was sent with: ask for it again.";
  let whole;
  try {
    whole = Uint8Array.from(atob(packed.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  } catch {
    throw new Error(cut);
  }
  if (whole[0] > VERSION) {
    throw new Error("This link was made by a newer Stagewright. Open it on the page that it was copied from, or bring this one up to date.");
  }
  let bytes;
  try {
    bytes = await through(whole.subarray(5), new DecompressionStream("deflate-raw"));
  } catch (error) {
    throw error instanceof RangeError ? error : new Error(cut);
  }
  if (whole[0] !== VERSION || checksum(bytes) !== new DataView(whole.buffer).getUint32(1)) throw new Error(cut);
  return new TextDecoder().decode(bytes);
}

async function through(bytes, stream) {
  const reader = new Blob([bytes]).stream().pipeThrough(stream).getReader();
  const pieces = [];
  for (let length = 0; ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    if ((length += value.length) > MOST) {
      reader.cancel();
      throw new RangeError("This link holds more than a link may. Ask whoever made it for the files instead.");
    }
    pieces.push(value);
  }
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

/** FNV-1a of 32 bits. */
function checksum(bytes) {
  let sum = 0x811c9dc5;
  for (const byte of bytes) sum = Math.imul(sum ^ byte, 0x01000193);
  return sum >>> 0;
}
