// The few pieces of WebAssembly's binary form that the build reads and writes.

/** A number as WebAssembly writes it. */
export function number(value) {
  const bytes = [];
  do {
    bytes.push((value & 127) | (value > 127 ? 128 : 0));
    value >>>= 7;
  } while (value);
  return Buffer.from(bytes);
}

/** Reads numbers and texts from a place on. */
export class Reader {
  constructor(bytes, at) {
    Object.assign(this, { bytes, at });
  }

  number() {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.bytes[this.at++];
      value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
    }
  }

  take(length) {
    return this.bytes.subarray(this.at, (this.at += length));
  }

  text() {
    return this.take(this.number()).toString();
  }

  /** As many as the number that stands first says. */
  list(read) {
    return Array.from({ length: this.number() }, read);
  }

  /** What is imported: from where, by which name, and the bytes that say what it is. */
  import() {
    return { module: this.text(), name: this.text(), kind: this.kind() };
  }

  kind() {
    const begin = this.at;
    const kind = this.bytes[this.at++];
    if (kind === 0) this.number();
    else if (kind === 3) this.at += 2;
    else {
      if (kind === 1) this.at++;
      if (kind > 2) throw new Error(`an import of kind ${kind} is not known here`);
      const limits = this.bytes[this.at++];
      this.number();
      if (limits & 1) this.number();
    }
    return this.bytes.subarray(begin, this.at);
  }
}
