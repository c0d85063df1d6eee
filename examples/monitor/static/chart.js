// A line chart of samples over time on a canvas. Nothing is smoothed or filled in: where samples are missing, there is a gap.

const MARGIN = { left: 62, right: 8, top: 8, bottom: 20 };

export class Chart {
  // series(samples) -> [{ color, values, width, dash }]; top(samples) -> the value at the upper edge; label(value) -> text
  constructor(canvas, { series, top, label }) {
    Object.assign(this, { canvas, series, top, label, samples: [] });
    this.redraw = () => requestAnimationFrame(() => this.paint());
    new ResizeObserver(this.redraw).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", this.redraw);
  }

  draw(samples) {
    this.samples = samples;
    this.paint();
  }

  paint() {
    const { canvas, samples } = this;
    const scale = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.font = "11px system-ui, sans-serif";
    const style = getComputedStyle(document.documentElement);
    const color = (name) => (name.startsWith("--") ? style.getPropertyValue(name).trim() : name);

    const top = samples.length ? this.top(samples) : 0;
    const [first, last] = samples.length ? [samples[0].time, samples.at(-1).time] : [0, 0];
    const box = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
    const x = (time) => MARGIN.left + (last > first ? (time - first) / (last - first) : 1) * box.width;
    const y = (value) => MARGIN.top + (1 - (top ? value / top : 0)) * box.height;

    pen.strokeStyle = color("--line");
    pen.fillStyle = color("--faint");
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const part of [0, 0.5, 1]) {
      const at = MARGIN.top + (1 - part) * box.height;
      pen.beginPath();
      pen.moveTo(MARGIN.left, at);
      pen.lineTo(MARGIN.left + box.width, at);
      pen.stroke();
      if (top) pen.fillText(this.label(part * top), MARGIN.left - 8, at);
    }
    if (samples.length < 2) return;
    pen.textBaseline = "alphabetic";
    pen.fillText("now", MARGIN.left + box.width, height - 4);
    pen.textAlign = "left";
    pen.fillText(ago((last - first) / 1000), MARGIN.left, height - 4);

    const breaks = gaps(samples);
    for (const line of this.series(samples)) {
      pen.strokeStyle = color(line.color);
      pen.lineWidth = line.width ?? 1.6;
      pen.setLineDash(line.dash ?? []);
      pen.beginPath();
      let down = false;
      line.values.forEach((value, place) => {
        if (value === null || breaks.has(place)) down = false;
        if (value === null) return;
        pen[down ? "lineTo" : "moveTo"](x(samples[place].time), y(value));
        down = true;
      });
      pen.stroke();
    }
  }
}

// The places before which samples are missing: the step is far longer than the usual one.
function gaps(samples) {
  const steps = samples.slice(1).map((sample, place) => sample.time - samples[place].time);
  const usual = [...steps].sort((a, b) => a - b)[steps.length >> 1];
  return new Set(steps.flatMap((step, place) => (step > 3 * usual + 500 ? [place + 1] : [])));
}

function ago(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s ago`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}
