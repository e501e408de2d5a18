// Waits for something to become true. Nothing here asserts how long anything takes: the limit only ends a test that
// would otherwise never end.
export async function eventually(what, check, { seconds = 60 } = {}) {
  const end = Date.now() + seconds * 1000;
  let last;
  do {
    try {
      const found = await check();
      if (found) return found;
      last = new Error(`it was ${JSON.stringify(found)}`);
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  } while (Date.now() < end);
  throw new Error(`${what}: not within ${seconds} s (${last?.message ?? last})`, { cause: last });
}
