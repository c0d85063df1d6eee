// How long the disk takes, and the circuit that leaves it alone when it fails.

import { Chart } from "./chart.js";
import { atClock, count, duration } from "./format.js";
import { element, fetched, make, write } from "./page.js";

const SHOWN = 300_000; // milliseconds
const STATES = {
  closed: ["closed: measuring", "live"],
  "half-open": ["half-open: one attempt is let through", "waiting"],
  open: ["open: left alone", "lost"],
};
const points = [];
let last = null;

function roundUp(value) {
  let edge = 1;
  while (edge < value) edge *= 2;
  return edge;
}

const chart = new Chart(element("latency"), {
  series: (all) => [{ color: "--first", values: all.map((point) => point.value), area: true }],
  top: (all) => roundUp(Math.max(...all.map((point) => point.value ?? 0))),
  label: (value) => duration(value / 1000),
  ends: (all) => [`${duration((all.at(-1).time - all[0].time) / 1000)} ago`, "now"],
});

export function showLatency({ latency, circuits }) {
  const circuit = circuits.find((each) => each.name === "disk_latency");
  const now = Date.now();
  if (latency.milliseconds === null || latency.number !== last) points.push({ time: now, value: latency.milliseconds });
  last = latency.number;
  while (points[0].time < now - SHOWN) points.shift();
  chart.draw(points);
  const figure = latency.milliseconds === null ? "none" : duration(latency.milliseconds / 1000);
  write(element("latency-figure"), figure);
  element("latency").setAttribute("aria-label", `Disk latency ${figure}. Chart of the last ${points.length} measurements.`);

  const [words, state] = STATES[circuit.state];
  write(element("circuit"), words);
  element("circuit").dataset.state = state;
  write(element("circuit-failures"), `${circuit.failures}; ${circuit.fail_max} open it`);
  write(element("circuit-refused"), count(latency.refused));
  write(element("circuit-error"), latency.error ?? "none");
  element("broken").checked = latency.broken;
  showChanges(latency.changes);
}

function showChanges(changes) {
  const list = element("circuit-changes");
  const texts = changes.map(({ at, to }) => `${atClock(Date.parse(at))} ${to}`);
  if (texts.join() === [...list.children].map((item) => item.textContent).join()) return;
  list.replaceChildren(...texts.map((textContent) => make("li", { textContent })));
}

element("broken").addEventListener("change", (event) => {
  fetched(`/latency/broken?on=${event.target.checked}`, (answer) => answer.text(), { method: "PUT" });
});
