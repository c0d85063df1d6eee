// The streams that the app has open now, this page's own among them, and what they cost.

import { bytes, count, duration } from "./format.js";
import { element, gauge, rows, write } from "./page.js";

const LOSSES = { sliding: "oldest go", dropping: "newest go", suspend: "source waits" };

// What fills a buffer: what is in it, and, where the source waits for it, what is on its way to the client.
export function fill({ buffer, sending }) {
  const held = buffer.strategy === "suspend" ? buffer.length + sending : buffer.length;
  return { held, full: held >= buffer.capacity, share: held / buffer.capacity };
}

export function showState(state) {
  const { memory, threads, lag } = state.process;
  write(element("own-memory"), bytes(memory));
  write(element("own-threads"), count(threads));
  write(element("own-lag"), duration(lag));
  write(element("own-streams"), count(state.live));
  rows(
    element("streams"),
    state.streams.map((stream) => {
      const { held, full, share } = fill(stream);
      const { buffer } = stream;
      return [
        stream.name ?? "without a name",
        stream.format,
        duration(stream.seconds),
        count(stream.items),
        bytes(stream.bytes),
        (cell) => gauge(cell, share, `${held} of ${buffer.capacity}`, full),
        `${buffer.strategy}: ${LOSSES[buffer.strategy]}`,
        count(buffer.dropped),
      ];
    }),
  );
}
