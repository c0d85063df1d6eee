// A reader that is too slow, on purpose: of three streams it takes as many events a second as you say, and no more.
//
// A browser reads ahead whatever the page does, so the page says what it has room for, and the monitor sends no more than
// that. What waits for it waits in the buffers of the monitor. There the strategy decides.

import { Chart } from "./chart.js";
import { count, duration } from "./format.js";
import { element, gauge, write } from "./page.js";
import { fill } from "./streams.js";

const PACES = [0, 1, 2, 5, 10, 25, 50, 100];
const PRODUCED = 50;
const ASK_EVERY = 100; // milliseconds
const MOST = 100;
const SHOWN = 60_000; // milliseconds
const text = new TextDecoder();

class Lane {
  constructor(strategy) {
    this.strategy = strategy;
    this.points = [];
    this.part = (name) => document.querySelector(`[data-lane="${strategy}"] [data-part="${name}"]`);
    this.chart = new Chart(this.part("chart"), {
      series: (points) => [{ color: "--first", values: points.map((point) => point.age), area: true }],
      top: () => roundUp(Math.max(...lanes.map((lane) => lane.oldest()))), // one scale for all, to be compared
      label: duration,
      ends: (points) => [`${duration((points.at(-1).time - points[0].time) / 1000)} ago`, "now"],
    });
  }

  async run(signal) {
    Object.assign(this, { points: [], read: 0, missing: 0, last: -1, offset: Infinity, age: null, stream: null });
    this.say("connecting");
    const answer = await this.open(signal);
    let rest = "";
    for await (const chunk of chunks(answer.body)) {
      const events = (rest + text.decode(chunk)).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        const data = event.split("\n").find((line) => line.startsWith("data: "));
        if (data) this.take(JSON.parse(data.slice(6)));
      }
    }
    throw new Error("the monitor ended the stream");
  }

  // Another page may have had it until a moment ago.
  async open(signal) {
    for (let tries = 3; ; tries -= 1) {
      const answer = await fetch(`/lab/${this.strategy}`, { signal, cache: "no-store" });
      if (answer.ok) return answer;
      const { message } = await answer.json();
      if (!tries) throw new Error(message);
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  }

  take({ n, at }) {
    this.read += 1;
    this.missing += n - this.last - 1;
    this.last = n;
    const late = Date.now() / 1000 - at;
    this.offset = Math.min(this.offset, late); // the two clocks differ; the first events came at once
    this.age = late - this.offset;
  }

  oldest() {
    return Math.max(0, ...this.points.map((point) => point.age ?? 0));
  }

  // What the monitor says of its end, twice a second.
  hear(stream) {
    const came = stream.buffer.pushed - (this.stream?.buffer.pushed ?? 0);
    const waits = this.stream && this.strategy === "suspend" && came < PRODUCED / 4;
    this.stream = stream;
    const { held, full, share } = fill(stream);
    gauge(this.part("buffer"), share, `${held} of ${stream.buffer.capacity}`, full);
    const losing = full && this.strategy !== "suspend";
    this.say(losing ? "losing events" : waits ? "the source waits" : "keeping up", losing ? "lost" : waits ? "waiting" : "live");
    this.tell(stream.buffer.dropped);
    const now = Date.now();
    this.points.push({ time: now, age: this.age });
    while (this.points[0].time < now - SHOWN) this.points.shift();
    this.chart.draw(this.points);
  }

  tell(dropped) {
    write(this.part("read"), count(this.read ?? 0));
    write(this.part("age"), this.age === null ? "–" : duration(this.age));
    write(this.part("dropped"), count(dropped));
    write(this.part("missing"), count(this.missing ?? 0));
  }

  say(words, state = "waiting") {
    write(this.part("state"), words);
    this.part("state").dataset.state = state;
  }
}

function roundUp(value) {
  let edge = 1;
  while (edge < value) edge *= 2;
  return edge;
}

const lanes = ["sliding", "dropping", "suspend"].map((strategy) => new Lane(strategy));
const slider = element("pace");
const button = element("read");
let running = null;

const pace = () => PACES[Number(slider.value)];

// Safari cannot iterate over a stream.
async function* chunks(stream) {
  const reader = stream.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
}

// Says what this page has room for, as it comes: a part of an event is kept for the next time.
async function ask(signal) {
  let [owed, before] = [0, performance.now()];
  while (!signal.aborted) {
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY));
    const now = performance.now();
    owed = Math.min(owed + (pace() * (now - before)) / 1000, MOST);
    before = now;
    const count = Math.floor(owed);
    if (!count) continue;
    owed -= count;
    await fetch(`/lab/ask?count=${count}`, { method: "POST", signal });
  }
}

function showPace() {
  const words = pace() > PRODUCED ? "takes all there is" : `takes ${pace()} of ${PRODUCED} events a second`;
  write(element("pace-text"), words);
  slider.setAttribute("aria-valuetext", words);
}

async function start() {
  running = new AbortController();
  const { signal } = running;
  button.textContent = "Stop reading";
  ask(signal).catch(() => {}); // what went wrong is seen at the lanes
  await Promise.all(
    lanes.map((lane) =>
      lane.run(signal).catch((error) => {
        if (signal.aborted) lane.say("stopped", "idle");
        else lane.say(error.message, "lost");
      }),
    ),
  );
  if (running?.signal === signal) stop();
}

function stop() {
  running?.abort();
  running = null;
  button.textContent = "Start reading";
}

export function showLanes(state) {
  if (!running) return;
  for (const lane of lanes) {
    const stream = state.streams.find((each) => each.name === `lab_${lane.strategy}`);
    if (stream && lane.read !== undefined) lane.hear(stream);
  }
}

slider.addEventListener("input", showPace);
button.addEventListener("click", () => (running ? stop() : start()));
showPace();
