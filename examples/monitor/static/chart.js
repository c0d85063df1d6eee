// A line chart over time on a canvas. Nothing is smoothed or filled in: where points are missing, there is a gap.

const MARGIN = { left: 70, right: 10, top: 8, bottom: 20 };

export class Chart {
  // series(points) -> [{ color, values, width, dash, area }]; top(points) -> the value at the upper edge;
  // label(value) -> text; ends(points) -> the texts at the two ends; each point has a `time`.
  // onCursor(time | null): the pointer or the arrow keys chose a time.
  constructor(canvas, { series, top, label, ends, onCursor }) {
    Object.assign(this, { canvas, series, top, label, ends, points: [], cursor: null });
    const redraw = () => requestAnimationFrame(() => this.paint());
    new ResizeObserver(redraw).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    if (onCursor) this.listen(onCursor);
  }

  draw(points, cursor = null) {
    this.points = points;
    this.cursor = cursor;
    this.paint();
  }

  listen(choose) {
    const { canvas } = this;
    canvas.tabIndex = 0;
    canvas.addEventListener("pointermove", (event) => choose(this.timeAt(event.offsetX)));
    canvas.addEventListener("pointerleave", () => choose(null));
    canvas.addEventListener("blur", () => choose(null));
    canvas.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
      if (event.key === "Escape") choose(null);
      else if (steps && this.points.length) {
        event.preventDefault();
        const at = this.cursor === null ? this.points.length : nearest(this.points, this.cursor);
        choose(this.points[Math.max(0, Math.min(this.points.length - 1, at + steps))].time);
      }
    });
  }

  timeAt(x) {
    const { points } = this;
    if (points.length < 2) return null;
    const share = (x - MARGIN.left) / (this.canvas.clientWidth - MARGIN.left - MARGIN.right);
    const time = points[0].time + Math.max(0, Math.min(1, share)) * (points.at(-1).time - points[0].time);
    return points[nearest(points, time)].time;
  }

  paint() {
    const { canvas, points } = this;
    const scale = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.font = "11px system-ui, sans-serif";
    const style = getComputedStyle(document.documentElement);
    const color = (name) => (name.startsWith("--") ? style.getPropertyValue(name).trim() : name);

    const top = points.length ? this.top(points) : 0;
    const [first, last] = points.length ? [points[0].time, points.at(-1).time] : [0, 0];
    const box = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
    const x = (time) => MARGIN.left + (last > first ? (time - first) / (last - first) : 1) * box.width;
    const y = (value) => MARGIN.top + (1 - (top ? Math.min(1, value / top) : 0)) * box.height;

    pen.strokeStyle = color("--line");
    pen.fillStyle = color("--faint");
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const part of [0, 0.5, 1]) {
      const at = Math.round(MARGIN.top + (1 - part) * box.height) + 0.5;
      pen.beginPath();
      pen.moveTo(MARGIN.left, at);
      pen.lineTo(MARGIN.left + box.width, at);
      pen.stroke();
      if (top) pen.fillText(this.label(part * top), MARGIN.left - 8, at);
    }
    if (points.length < 2) return;
    const [start, end] = this.ends(points);
    pen.textBaseline = "alphabetic";
    pen.fillText(end, MARGIN.left + box.width, height - 4);
    pen.textAlign = "left";
    pen.fillText(start, MARGIN.left, height - 4);

    const breaks = gaps(points);
    pen.lineJoin = "round";
    for (const line of this.series(points)) {
      const runs = unbroken(line.values, breaks);
      pen.strokeStyle = pen.fillStyle = color(line.color);
      pen.lineWidth = line.width ?? 1.6;
      pen.setLineDash(line.dash ?? []);
      for (const [from, to] of runs) {
        pen.beginPath();
        for (let place = from; place < to; place += 1) pen.lineTo(x(points[place].time), y(line.values[place]));
        if (to === from + 1) pen.lineTo(x(points[from].time) + 1, y(line.values[from]));
        pen.globalAlpha = line.alpha ?? 1;
        pen.stroke();
        if (!line.area) continue;
        pen.lineTo(x(points[to - 1].time), y(0));
        pen.lineTo(x(points[from].time), y(0));
        pen.globalAlpha = 0.12;
        pen.fill();
      }
      pen.globalAlpha = 1;
    }
    if (this.cursor === null) return;
    pen.setLineDash([]);
    pen.lineWidth = 1;
    pen.strokeStyle = color("--faint");
    pen.beginPath();
    pen.moveTo(x(this.cursor), MARGIN.top);
    pen.lineTo(x(this.cursor), MARGIN.top + box.height);
    pen.stroke();
  }
}

// The place of the point that is nearest in time.
export function nearest(points, time) {
  let [low, high] = [0, points.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[middle].time <= time) low = middle;
    else high = middle;
  }
  return time - points[low].time <= points[high].time - time ? low : high;
}

// The places before which points are missing: the step is far longer than the usual one.
function gaps(points) {
  const steps = points.slice(1).map((point, place) => point.time - points[place].time);
  const usual = [...steps].sort((a, b) => a - b)[steps.length >> 1];
  return new Set(steps.flatMap((step, place) => (step > 3 * usual + 500 ? [place + 1] : [])));
}

// [from, to) of each stretch of known values without a gap.
function unbroken(values, breaks) {
  const runs = [];
  let from = null;
  values.forEach((value, place) => {
    if (from !== null && (value === null || breaks.has(place))) {
      runs.push([from, place]);
      from = null;
    }
    if (value !== null && from === null) from = place;
  });
  if (from !== null) runs.push([from, values.length]);
  return runs;
}
