// The charts of the machine, and the table of its processes: of what is live, or of a history that was imported.

import { Chart, nearest } from "./chart.js";
import { atClock, atDay, bytes, duration, fromTo, percent, rate } from "./format.js";
import { element, fetched, make, rows, write } from "./page.js";

const SHOWN = 300;
const live = [];
let kept = null; // some of all samples that are kept, while those are shown
let imported = null; // { samples } while a history is shown
let cursor = null;

const pick = (name) => (all) => all.map((sample) => sample[name]);
const known = (...lists) => lists.flat().filter((value) => value !== null);

// An upper edge at a power of two: it moves seldom, and the labels stay short.
function roundUp(value) {
  let edge = 1024;
  while (edge < value) edge *= 2;
  return edge;
}

const coreColor = (core, cores) => `hsl(${Math.round(150 + (240 * core) / cores) % 360} 55% 52%)`;

function cpuLines(all) {
  const cores = Math.max(...all.map((sample) => sample.cpu_cores.length));
  const each = Array.from({ length: cores }, (_, core) => ({
    color: coreColor(core, cores),
    width: 1,
    alpha: cores > 8 ? 0.35 : 0.6,
    values: all.map((sample) => sample.cpu_cores[core] ?? null),
  }));
  return [...each, { color: "--first", values: pick("cpu_percent")(all), width: 2, area: true }];
}

const twoLines = (first, second) => (all) => [
  { color: "--first", values: pick(first)(all), area: true },
  { color: "--second", values: pick(second)(all), dash: [5, 3] },
];
const topOf = (first, second) => (all) => roundUp(Math.max(0, ...known(pick(first)(all), pick(second)(all))));

const shown = () => imported?.samples ?? (kept && live.length ? [...kept, live.at(-1)] : live);
const ends = (all) =>
  imported
    ? [atDay(all[0].time), atDay(all.at(-1).time)]
    : [`${duration((all.at(-1).time - all[0].time) / 1000)} ago`, "now"];

function chart(id, series, top, label) {
  return new Chart(element(id), { series, top, label, ends, onCursor: moveCursor });
}
const charts = {
  cpu: chart("cpu", cpuLines, () => 100, percent),
  memory: chart(
    "memory",
    twoLines("memory_used", "swap_used"),
    (all) => Math.max(...pick("memory_total")(all), ...pick("swap_total")(all)),
    bytes,
  ),
  disk: chart("disk", twoLines("disk_read_rate", "disk_write_rate"), topOf("disk_read_rate", "disk_write_rate"), rate),
  network: chart(
    "network",
    twoLines("network_received_rate", "network_sent_rate"),
    topOf("network_received_rate", "network_sent_rate"),
    rate,
  ),
};

function moveCursor(time) {
  if (cursor === time) return;
  cursor = time;
  drawSoon();
}

function legend(id, entries) {
  const node = element(id);
  while (node.children.length > entries.length) node.lastChild.remove();
  entries.forEach(([kind, text], place) => {
    const entry = node.children[place] ?? node.appendChild(make("span", {}, make("i"), make("span")));
    entry.firstChild.className = kind;
    write(entry.lastChild, text);
  });
}

function describe(id, figure, text) {
  write(element(`${id}-figure`), figure);
  const when = cursor === null ? "" : ` at ${atClock(cursor)}`;
  element(id).setAttribute("aria-label", `${text}${when}. Chart of ${shown().length} samples; arrow keys read it.`);
}

function show() {
  const all = shown();
  if (!all.length) return;
  const now = cursor === null ? all.at(-1) : all[nearest(all, cursor)];
  const cores = now.cpu_cores.length;
  const list = now.cpu_cores.map((use) => percent(use)).join(", ");
  const each = cores > 8 ? `${cores} cores, the busiest ${percent(Math.max(...now.cpu_cores))}` : `cores ${list}`;
  legend("cpu-legend", [["first", "average"], ["cores", each]]);
  describe("cpu", percent(now.cpu_percent), `CPU use ${percent(now.cpu_percent)}, ${each}`);

  const memory = `${bytes(now.memory_used)} of ${bytes(now.memory_total)}`;
  const swap = now.swap_total ? `${bytes(now.swap_used)} of ${bytes(now.swap_total)} swap` : "no swap";
  legend("memory-legend", [["first", memory], ["second", swap]]);
  describe("memory", percent((100 * now.memory_used) / now.memory_total), `Memory: ${memory} in use, ${swap}`);

  const disk = `${bytes(now.disk_used)} of ${bytes(now.disk_total)} full`;
  const [read, written] = [rate(now.disk_read_rate), rate(now.disk_write_rate)];
  legend("disk-legend", [["first", `read ${read}`], ["second", `written ${written}`], ["", disk]]);
  describe("disk", written, `Disk: reading ${read}, writing ${written}, ${disk}`);

  const [down, up] = [rate(now.network_received_rate), rate(now.network_sent_rate)];
  legend("network-legend", [["first", `received ${down}`], ["second", `sent ${up}`]]);
  describe("network", down, `Network: received ${down}, sent ${up}`);

  rows(
    element("processes"),
    now.processes.map((process) => [process.name, process.pid, percent(process.cpu_percent), bytes(process.memory)]),
  );
  document.title = `${percent(live.at(-1)?.cpu_percent ?? 0)} · Monitor`;
  write(element("moment"), cursor === null ? "" : imported ? atDay(cursor) : atClock(cursor));
  for (const each of Object.values(charts)) each.draw(all, cursor);
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

const timed = (sample) => Object.assign(sample, { time: Date.parse(sample.at) });

export function addSample(sample, anew) {
  if (anew) live.length = 0;
  live.push(timed(sample));
  live.splice(0, live.length - SHOWN);
  if (!imported) drawSoon();
}

// Shows an imported history in place of what is live; null: live again.
export function showHistory(history, samples) {
  imported = history && { samples: samples.map(timed).sort((a, b) => a.time - b.time) };
  cursor = null;
  element("imported-shown").hidden = !imported;
  if (imported) {
    const part = samples.length < history.samples ? `${samples.length} of its ${history.samples} samples` : `its ${samples.length} samples`;
    write(element("imported-name"), `This is ${history.name}: ${part}, ${fromTo(Date.parse(history.first), Date.parse(history.last))}.`);
  }
  drawSoon();
}

// All that is kept, thinned by the monitor to what can be drawn.
const KEPT_EVERY = 15_000; // milliseconds
async function fetchKept() {
  if (!element("range-kept").checked) return;
  const samples = await fetched("/samples");
  if (!samples || !element("range-kept").checked) return;
  kept = samples.map(timed);
  drawSoon();
}
setInterval(fetchKept, KEPT_EVERY);
for (const choice of document.getElementsByName("range")) {
  choice.addEventListener("change", () => {
    kept = null;
    cursor = null;
    fetchKept();
    drawSoon();
  });
}

element("live-again").addEventListener("click", () => {
  showHistory(null);
  element("machine-title").focus();
});
