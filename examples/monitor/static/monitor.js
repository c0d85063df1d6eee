// Hands what /page sends to those who show it. The stream begins with the recent history; after a lost connection it goes
// on where it ended. One stream for all of it: a browser opens six connections to one address, and no more.

import { listHistories, showImport } from "./imports.js";
import { showLatency } from "./latency.js";
import { addSample } from "./machine.js";
import { element, write } from "./page.js";
import { showLanes } from "./reader.js";
import { showState } from "./streams.js";
import "./totals.js";

let lastId = 0;
let heard = null;
let listed = null; // which list of histories it was

function say(state, text) {
  write(element("status"), text);
  element("status").dataset.state = state;
}

const receive = {
  sample(sample) {
    addSample(sample, sample.id <= lastId); // another database: the ids began anew
    lastId = sample.id;
    heard = performance.now();
    say("live", "Live");
  },
  state(state) {
    showState(state);
    showLatency(state);
    showLanes(state);
    for (const job of state.imports) showImport(job);
    if (state.histories !== listed) listHistories().then((shown) => shown || (listed = null)); // again with the next state
    listed = state.histories;
  },
  import: showImport,
};

function connect() {
  const events = new EventSource(lastId ? `/page?after=${lastId}` : "/page");
  for (const [kind, take] of Object.entries(receive)) {
    events.addEventListener(kind, (event) => take(JSON.parse(event.data)));
  }
  events.addEventListener("open", () => (listed = null)); // it may be another monitor by now
  // The browser reconnects by itself, and sends the last id; it gives up on an answer that is no stream.
  events.addEventListener("error", () => {
    say("lost", "Connection lost, trying again");
    if (events.readyState === EventSource.CLOSED) setTimeout(connect, 3000);
  });
}

setInterval(() => {
  const silence = heard === null ? 0 : Math.round((performance.now() - heard) / 1000);
  write(element("age"), silence > 2 ? `last sample ${silence} s ago` : "");
}, 1000);
connect();
