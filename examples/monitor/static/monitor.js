// Draws what /events sends. The stream begins with the recent history; after a lost connection it goes on where it ended.

import { Chart } from "./chart.js";

const SHOWN = 300;
const samples = [];
let lastId = 0;
let heard = null;

const element = (id) => document.getElementById(id);
const percent = (value) => `${value.toFixed(value > 0 && value < 10 ? 1 : 0)} %`;
const pick = (name) => (all) => all.map((sample) => sample[name]);
const known = (...lists) => lists.flat().filter((value) => value !== null);

function bytes(value) {
  if (value === null) return "unknown";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let place = 0;
  while (value >= 1024 && place < units.length - 1) [value, place] = [value / 1024, place + 1];
  return `${value >= 100 || place === 0 ? Math.round(value) : value.toFixed(1)} ${units[place]}`;
}
const rate = (value) => (value === null ? "unknown" : `${bytes(value)}/s`);

// An upper edge at a power of two: it moves seldom, and the labels stay short.
function roundUp(value) {
  let edge = 1024;
  while (edge < value) edge *= 2;
  return edge;
}

// As many hues as cores; light enough and dark enough for both schemes.
const coreColor = (core, count) => `hsl(${Math.round(210 + (360 * core) / count) % 360} 65% 52%)`;

function coreLines(all) {
  const count = Math.max(...all.map((sample) => sample.cpu_cores.length));
  return Array.from({ length: count }, (_, core) => ({
    color: coreColor(core, count),
    width: count > 8 ? 1 : 1.5,
    values: all.map((sample) => sample.cpu_cores[core] ?? null),
  }));
}

const twoLines = (first, second) => (all) => [
  { color: "--first", values: pick(first)(all) },
  { color: "--second", values: pick(second)(all), dash: [5, 3] },
];
const topOf = (first, second) => (all) => roundUp(Math.max(0, ...known(pick(first)(all), pick(second)(all))));

const charts = {
  cpu: new Chart(element("cpu"), { series: coreLines, top: () => 100, label: percent }),
  memory: new Chart(element("memory"), {
    series: twoLines("memory_used", "swap_used"),
    top: (all) => Math.max(...pick("memory_total")(all), ...pick("swap_total")(all)),
    label: bytes,
  }),
  disk: new Chart(element("disk"), {
    series: twoLines("disk_read_rate", "disk_write_rate"),
    top: topOf("disk_read_rate", "disk_write_rate"),
    label: rate,
  }),
  network: new Chart(element("network"), {
    series: twoLines("network_received_rate", "network_sent_rate"),
    top: topOf("network_received_rate", "network_sent_rate"),
    label: rate,
  }),
};

function legend(id, entries) {
  element(id).replaceChildren(
    ...entries.map(([kind, text]) => {
      const entry = document.createElement("span");
      const line = document.createElement("i");
      if (kind.startsWith("hsl")) line.style.background = kind;
      else line.className = kind;
      if (kind) entry.append(line);
      entry.append(text);
      return entry;
    }),
  );
}

function describe(id, figure, text) {
  element(`${id}-figure`).textContent = figure;
  element(id).setAttribute("aria-label", `${text}; chart of the last ${samples.length} samples`);
}

function show() {
  const now = samples.at(-1);
  const cores = now.cpu_cores.length;
  const each = now.cpu_cores.map((use, core) => [coreColor(core, cores), `core ${core}`]);
  legend("cpu-legend", cores > 8 ? [["", `one line for each of ${cores} cores`]] : each);
  describe("cpu", percent(now.cpu_percent), `CPU use ${percent(now.cpu_percent)}`);

  const memory = `${bytes(now.memory_used)} of ${bytes(now.memory_total)}`;
  const swap = now.swap_total ? `${bytes(now.swap_used)} of ${bytes(now.swap_total)} swap` : "no swap";
  legend("memory-legend", [["first", memory], ["second", swap]]);
  describe("memory", percent((100 * now.memory_used) / now.memory_total), `Memory: ${memory} in use, ${swap}`);

  const disk = `${bytes(now.disk_used)} of ${bytes(now.disk_total)} used`;
  legend("disk-legend", [["first", `read ${rate(now.disk_read_rate)}`], ["second", `write ${rate(now.disk_write_rate)}`]]);
  describe("disk", disk, `Disk: ${disk}, reading ${rate(now.disk_read_rate)}, writing ${rate(now.disk_write_rate)}`);

  const [down, up] = [rate(now.network_received_rate), rate(now.network_sent_rate)];
  legend("network-legend", [["first", `received ${down}`], ["second", `sent ${up}`]]);
  describe("network", down, `Network: received ${down}, sent ${up}`);

  element("processes").replaceChildren(
    ...now.processes.map((process) => {
      const row = document.createElement("tr");
      for (const text of [process.name, process.pid, percent(process.cpu_percent), bytes(process.memory)]) {
        row.append(Object.assign(document.createElement("td"), { textContent: text }));
      }
      return row;
    }),
  );
  for (const chart of Object.values(charts)) chart.draw(samples);
}

// A replay comes as hundreds of events at once: they are drawn once.
let drawing = false;
function drawSoon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    show();
  });
}

function receive(event) {
  const sample = JSON.parse(event.data);
  if (sample.id <= lastId) samples.length = 0; // another database: the ids began anew
  lastId = sample.id;
  sample.time = Date.parse(sample.at);
  samples.push(sample);
  samples.splice(0, samples.length - SHOWN);
  heard = performance.now();
  say("live", "Live");
  drawSoon();
}

function say(state, text) {
  const status = element("status");
  if (status.textContent !== text) status.textContent = text; // a screen reader hears changes only
  status.dataset.state = state;
}

function connect() {
  const events = new EventSource(lastId ? `/events?after=${lastId}` : "/events");
  events.addEventListener("sample", receive);
  // The browser reconnects by itself, and sends the last id; it gives up on an answer that is no stream.
  events.addEventListener("error", () => {
    say("lost", "Connection lost, trying again");
    if (events.readyState === EventSource.CLOSED) setTimeout(connect, 3000);
  });
}

setInterval(() => {
  const silence = heard === null ? 0 : Math.round((performance.now() - heard) / 1000);
  element("age").textContent = silence > 2 ? `last sample ${silence} s ago` : "";
}, 1000);
connect();
