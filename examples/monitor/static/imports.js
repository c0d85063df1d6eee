// Files of samples on their way in, and the histories that came of them.

import { bytes, count, duration, fromTo } from "./format.js";
import { showHistory } from "./machine.js";
import { element, fetched, make, write } from "./page.js";

const form = element("import");
const input = element("import-file");
const drop = element("drop");
const REMEMBERED = 50; // more than the monitor tells of
const jobs = new Map(); // id -> { item, bar, text, cancel, ... }

form.addEventListener("submit", (event) => {
  event.preventDefault();
  for (const file of input.files) upload(file);
  form.reset();
});
input.addEventListener("change", () => form.requestSubmit());
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  drop.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind.startsWith("dragover") || kind === "dragenter");
    if (kind === "drop") for (const file of event.dataTransfer.files) upload(file);
  });
}

async function upload(file) {
  const id = crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const abort = new AbortController();
  const job = jobFor({ id, name: file.name });
  job.ran = true;
  job.cancel.hidden = false;
  job.cancel.addEventListener("click", () => abort.abort());
  const body = new FormData();
  body.append("file", file);
  try {
    const answer = await fetch(`/imports?job=${id}`, { method: "POST", body, signal: abort.signal });
    if (!answer.ok) fail(job, (await answer.json()).message);
  } catch {
    // Without an answer, the news of the import is where its end is told, unless there was no connection at all.
    setTimeout(() => fail(job, abort.signal.aborted ? "you cancelled it" : "the connection broke"), 2000);
  }
  job.cancel.hidden = true;
}

function jobFor({ id, name }) {
  if (jobs.has(id)) return jobs.get(id);
  const bar = make("progress", { max: 1 });
  bar.setAttribute("aria-label", `Import of ${name}`);
  const cancel = make("button", { type: "button", textContent: "Cancel", hidden: true });
  cancel.setAttribute("aria-label", `Cancel the import of ${name}`);
  const text = make("p", { className: "job-text" });
  const item = make("li", { className: "job" }, make("strong", { textContent: name }), cancel, bar, text);
  element("jobs").prepend(item);
  const job = { item, bar, text, cancel, name, ran: false, over: false };
  jobs.set(id, job);
  if (jobs.size > REMEMBERED) {
    const [oldest, gone] = jobs.entries().next().value;
    jobs.delete(oldest);
    gone.item.remove();
  }
  return job;
}

// To those who hear the page, of what happened while it was open.
function announce(job, words) {
  if (job.ran) write(element("import-news"), words);
}

function fail(job, reason) {
  if (job.over) return;
  job.over = true;
  job.item.classList.add("failed");
  job.bar.hidden = job.cancel.hidden = true;
  write(job.text, `Nothing was imported: ${reason}`);
  announce(job, `${job.name}: nothing was imported. ${reason}`);
}

// What the server says: how much it has taken in, which is not what the browser has sent.
export function showImport(news) {
  const job = jobFor(news);
  if (job.over) return;
  if (news.state === "failed") {
    fail(job, news.error);
    return;
  }
  const left = news.eta === null ? "" : ` · ${duration(news.eta)} left`;
  const speed = news.seconds > 0.5 ? ` · ${count(Math.round(news.samples / news.seconds))} samples/s` : "";
  if (news.state === "done") {
    job.over = true;
    job.item.classList.add("done");
    job.bar.value = 1;
    job.cancel.hidden = true;
    write(job.text, `${count(news.samples)} samples in ${duration(news.seconds)}${speed}`);
    announce(job, `${job.name}: ${count(news.samples)} samples were imported.`);
    return;
  }
  job.ran = true;
  const share = news.size ? Math.min(1, news.bytes / news.size) : null;
  if (share === null) job.bar.removeAttribute("value");
  else job.bar.value = share;
  const whole = news.size ? ` of ${bytes(news.size)}` : "";
  write(job.text, `${share === null ? "" : `${Math.floor(100 * share)} % · `}${bytes(news.bytes)}${whole} · ${count(news.samples)} samples${speed}${left}`);
}

export async function listHistories() {
  const histories = await fetched("/imports");
  if (!histories) return false;
  element("no-histories").hidden = histories.length > 0;
  element("histories-list").replaceChildren(...histories.map(listed));
  return true;
}

function listed(history) {
  const when = fromTo(Date.parse(history.first), Date.parse(history.last));
  const show = button("Show", `Show ${history.name} in the charts`, async () => {
    const samples = await fetched(`/imports/${history.id}/samples`);
    if (!samples) return;
    showHistory(history, samples);
    element("machine-title").focus();
  });
  const remove = button("Remove", `Remove ${history.name}`, async () => {
    if (!confirm(`Remove ${history.name} with its ${count(history.samples)} samples?`)) return;
    await fetched(`/imports/${history.id}`, (answer) => answer.text(), { method: "DELETE" });
    element("histories-title").focus();
  });
  const links = ["csv", "json", "ndjson"].map((kind) => {
    const link = make("a", { href: `/imports/${history.id}/history.${kind}`, textContent: kind.toUpperCase() });
    link.setAttribute("aria-label", `${history.name} as ${kind.toUpperCase()}`);
    return link;
  });
  return make(
    "li",
    {},
    make("strong", { textContent: history.name }),
    make("span", { className: "faint", textContent: `${count(history.samples)} samples, ${when}` }),
    make("span", { className: "actions" }, show, ...links, remove),
  );
}

function button(textContent, label, act) {
  const made = make("button", { type: "button", textContent });
  made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
}
