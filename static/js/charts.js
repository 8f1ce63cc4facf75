// Draws every `<div data-chart="KIND" data-chart-source="ID">` with ECharts from the JSON that stands under ID:
//   {"x": [label…], "series": [{"name", "data", "colour"?}…], "unit"?: "events", "time"?: "day" | "hour"}
// KIND: bars, stacked, lines, area, diverging (the second series hangs below the axis).
// ECharts is fetched only where a chart stands. Its tooltips are built as elements: a strict
// Content-Security-Policy refuses the style attributes of its HTML ones.

const LIBRARY = new URL("../vendor/echarts/echarts.esm.min.mjs", import.meta.url).href;
const CONTINUES = new Set(["lines", "area"]);
const drawn = new Map();

let library = null;
export const echarts = () => (library ??= import(LIBRARY));

const read = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const hasSize = (element) => element.clientWidth > 0 && element.clientHeight > 0;

/** Resolves once the element takes up space: a graph that is laid out in none fails. */
export function whenSized(element) {
  return new Promise((resolve) => {
    new ResizeObserver((_, observer) => {
      if (!hasSize(element)) return;
      observer.disconnect();
      resolve();
    }).observe(element);
  });
}

/** Redraw the chart when its element has another size; the observer that does it. */
export function keepFitted(chart, element) {
  const observer = new ResizeObserver(() => {
    const same = element.clientWidth === chart.getWidth() && element.clientHeight === chart.getHeight();
    if (hasSize(element) && !same) chart.resize();
  });
  observer.observe(element);
  return observer;
}

export function palette() {
  return {
    series: [1, 2, 3, 4, 5, 6, 7, 8].map((index) => read(`--chart-${index}`)),
    named: (name) => read(`--chart-${name}`) || name,
    text: read("--chart-text"),
    line: read("--chart-line"),
    surface: read("--chart-surface"),
    font: getComputedStyle(document.body).fontFamily,
  };
}

const still = matchMedia("(prefers-reduced-motion: reduce)");
const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 2 });
const short = new Intl.NumberFormat("en-GB", { notation: "compact", maximumFractionDigits: 1 });

function shortLabel(label, time) {
  if (time === "day") {
    const date = new Date(`${label.slice(0, 10)}T00:00:00Z`);
    return date.toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
  }
  return time === "hour" ? label.slice(11, 16) : label;
}

function longLabel(label, time) {
  if (time === "day") {
    const date = new Date(`${label.slice(0, 10)}T00:00:00Z`);
    return date.toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long", timeZone: "UTC" });
  }
  return time === "hour" ? `${shortLabel(label, "day")}, ${label.slice(11, 16)}` : label;
}

function tooltip(points, data) {
  const box = document.createElement("div");
  box.className = "chart-tip";
  const title = document.createElement("div");
  title.className = "chart-tip-title";
  title.textContent = longLabel(points[0].axisValue, data.time);
  box.append(title);
  for (const point of points) {
    const row = document.createElement("div");
    row.className = "chart-tip-row";
    const dot = document.createElement("span");
    dot.className = "chart-tip-dot";
    dot.style.background = point.color;
    const name = document.createElement("span");
    name.textContent = point.seriesName;
    const value = document.createElement("strong");
    value.textContent = point.value === null ? "–" : whole.format(Math.abs(point.value));
    row.append(dot, name, value);
    box.append(row);
  }
  return box;
}

function series(kind, data, colours) {
  return data.series.map((one, index) => {
    const colour = one.colour ? colours.named(one.colour) : colours.series[index % colours.series.length];
    const hangs = kind === "diverging" && index === 1;
    const shape = {
      name: one.name,
      data: hangs ? one.data.map((value) => -value) : one.data,
      color: colour,
      animationDuration: 300,
    };
    if (CONTINUES.has(kind)) {
      const area = kind === "area" ? { opacity: 0.14 } : undefined;
      return { ...shape, type: "line", showSymbol: false, lineStyle: { width: 2 }, areaStyle: area };
    }
    const stack = kind === "bars" ? undefined : "all";
    return { ...shape, type: "bar", stack, barMaxWidth: 28, barCategoryGap: "28%", itemStyle: { borderRadius: 2 } };
  });
}

// A label at the edge of a chart grows away from it.
const inward = (place) => (place > 0.85 ? "right" : place < 0.15 ? "left" : "center");

// Days on which something happened: {"marks": [{"x", "label"}…]}.
function marked(all, data, colours) {
  if (!data.marks?.length) return all;
  const line = {
    symbol: "none",
    silent: true,
    animation: false,
    lineStyle: { color: colours.text, type: "dashed", width: 1 },
    label: { color: colours.text, fontFamily: colours.font, fontSize: 10, position: "end", distance: [0, 2], rotate: 0, formatter: ({ name }) => name },
    data: data.marks.map(({ x, label }) => ({ name: label, xAxis: x, label: { align: inward(data.x.indexOf(x) / data.x.length) } })),
  };
  return [{ ...all[0], markLine: line }, ...all.slice(1)];
}

function options(kind, data) {
  const colours = palette();
  const many = data.series.length > 1;
  const text = { color: colours.text, fontFamily: colours.font, fontSize: 11 };
  return {
    animation: !still.matches,
    textStyle: { fontFamily: colours.font },
    grid: { left: 4, right: 8, top: data.marks?.length ? 20 : 12, bottom: many ? 34 : 4, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
    legend: many ? { bottom: 0, icon: "roundRect", itemWidth: 10, itemHeight: 10, textStyle: text, type: "scroll" } : undefined,
    tooltip: {
      trigger: "axis",
      confine: true,
      axisPointer: { type: CONTINUES.has(kind) ? "line" : "shadow", lineStyle: { color: colours.line } },
      formatter: (points) => tooltip(points, data),
      className: "chart-tip-frame",
    },
    xAxis: {
      type: "category",
      data: data.x,
      boundaryGap: !CONTINUES.has(kind),
      axisTick: { show: false },
      axisLine: { lineStyle: { color: colours.line } },
      axisLabel: { ...text, hideOverlap: true, formatter: (label) => shortLabel(label, data.time) },
    },
    yAxis: {
      type: "value",
      minInterval: data.fractional ? undefined : 1,
      splitNumber: 4,
      axisLabel: { ...text, formatter: (value) => short.format(Math.abs(value)) },
      splitLine: { lineStyle: { color: colours.line } },
    },
    series: marked(series(kind, data, colours), data, colours),
  };
}

async function draw(element) {
  const data = JSON.parse(document.getElementById(element.dataset.chartSource).textContent);
  const { init } = await echarts();
  if (!element.isConnected || drawn.has(element)) return;
  const chart = init(element, null, { renderer: "canvas" });
  chart.setOption(options(element.dataset.chart, data));
  const observer = keepFitted(chart, element);
  drawn.set(element, { chart, data, observer });
  element.dataset.drawn = "yes";
}

function forgetRemoved() {
  for (const [element, { chart, observer }] of drawn) {
    if (element.isConnected) continue;
    observer.disconnect();
    chart.dispose();
    drawn.delete(element);
  }
}

export function drawAll(root) {
  forgetRemoved();
  for (const element of root.querySelectorAll("[data-chart]")) if (!drawn.has(element)) draw(element);
}

document.addEventListener("theme:changed", () => {
  for (const [element, { chart, data }] of drawn) chart.setOption(options(element.dataset.chart, data), true);
});
document.addEventListener("htmx:afterSettle", () => drawAll(document));
drawAll(document);
