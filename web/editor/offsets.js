// The planner counts bytes of UTF-8, the editor units of UTF-16. For the editor's services this is where they meet; what
// the page itself says of places is turned in `web/src/state/offsets.rs`.

/** Offsets of a text, both ways. */
export class Offsets {
  constructor(text) {
    this.text = text;
    /** Where the two begin to differ by another amount: `[unit, byte]`, the place just behind a letter. */
    this.steps = [[0, 0]];
    let byte = 0;
    let last = 0;
    for (const { index, 0: letter } of text.matchAll(/[^\x00-\x7f]/gu)) {
      byte += index - last;
      const code = letter.codePointAt(0);
      byte += code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
      last = index + letter.length;
      this.steps.push([last, byte]);
    }
  }

  /** The byte of a unit. */
  byte(unit) {
    const [units, bytes] = this.before(unit, 0);
    return bytes + unit - units;
  }

  /** The unit of a byte. */
  unit(byte) {
    const [units, bytes] = this.before(byte, 1);
    return units + byte - bytes;
  }

  before(offset, column) {
    let low = 0;
    let high = this.steps.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.steps[middle][column] <= offset) low = middle;
      else high = middle - 1;
    }
    return this.steps[low];
  }
}
