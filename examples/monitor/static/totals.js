// What Prometheus is told, added up for each stream: the page reads /metrics as a scraper does.

import { bytes, count, duration } from "./format.js";
import { element, fetched, rows } from "./page.js";

const EVERY = 5000; // milliseconds
const PLACES = { in: " (upload)", internal: " (within)" };
const LINE = /^(\w+)\{(.*)\} (\S+)$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

function* samples(text) {
  for (const line of text.split("\n")) {
    const found = LINE.exec(line);
    if (found) yield { name: found[1], labels: Object.fromEntries([...found[2].matchAll(LABEL)].map(([, key, value]) => [key, value])), value: Number(found[3]) };
  }
}

function totals(text) {
  const streams = new Map();
  for (const { name, labels, value } of samples(text)) {
    if (!labels.stream) continue;
    const key = `${labels.stream} ${labels.format} ${labels.direction}`;
    const sums = streams.get(key) ?? { ...labels };
    streams.set(key, sums);
    const part = labels.outcome === "error" ? `${name} error` : name;
    sums[part] = (sums[part] ?? 0) + value;
  }
  return [...streams.values()].sort((a, b) => a.stream.localeCompare(b.stream));
}

function row(sums) {
  const of = (name) => sums[name] ?? 0;
  const failed = of("stream_duration_seconds_count error");
  return [
    sums.stream + (PLACES[sums.direction] ?? ""),
    sums.format,
    count(of("stream_active")),
    count(of("stream_duration_seconds_count") + failed),
    count(failed),
    count(of("stream_elements_total")),
    bytes(of("stream_bytes_total")),
    duration(of("stream_suspended_seconds_total")),
    count(of("stream_buffer_overflows_total")),
  ];
}

async function show() {
  if (document.hidden) return;
  const text = await fetched("/metrics", (answer) => answer.text(), { headers: { Accept: "text/plain" } });
  if (text !== null) rows(element("totals"), totals(text).map(row));
}

setInterval(show, EVERY);
show();
