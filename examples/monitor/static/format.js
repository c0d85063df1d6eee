// Numbers, sizes and times as people read them.

const whole = new Intl.NumberFormat("en");
export const count = (value) => whole.format(value);
export const percent = (value) => `${value.toFixed(value > 0 && value < 10 ? 1 : 0)} %`;

export function bytes(value) {
  if (value === null) return "unknown";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let place = 0;
  while (value >= 1024 && place < units.length - 1) [value, place] = [value / 1024, place + 1];
  return `${value >= 100 || place === 0 ? Math.round(value) : value.toFixed(1)} ${units[place]}`;
}
export const rate = (value) => (value === null ? "unknown" : `${bytes(value)}/s`);

export function duration(seconds) {
  if (!seconds) return "0 s";
  if (seconds < 0.0995) return `${(1000 * seconds).toFixed(seconds < 0.00995 ? 1 : 0)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
export const atClock = (time) => clock.format(time);
export const atDay = (time) => day.format(time);
export const fromTo = (first, last) => day.formatRange(first, last);
