// The curve of precision and recall over the threshold, with two thresholds to drag. The fields below say the same.

import { echarts, palette } from "../js/charts.js";

const element = document.querySelector("[data-thresholds]");
const data = JSON.parse(document.getElementById(element.dataset.thresholds).textContent);
const form = document.getElementById("threshold-form");
const still = matchMedia("(prefers-reduced-motion: reduce)");
const GAP = 0.01;
let chart = null;

const probability = (score) => 1 / (1 + 2 ** -score);
const score = (share) => Math.log2(share / (1 - share));
const within = (value) => Math.min(Math.max(value, data.low), data.high);

function percent(share) {
  const digits = share > 0.999 ? 3 : share > 0.99 ? 2 : share > 0.9 ? 1 : 0;
  return `${(share * 100).toFixed(digits)}%`;
}

const bothOf = (name) => {
  const share = Number(form.elements[name].value) / 100;
  return share > 0 && share < 1 ? within(score(share)) : data[name];
};

function line(name, colour, rows, column, { dashed = false } = {}) {
  return {
    name,
    type: "line",
    showSymbol: false,
    smooth: 0.1,
    color: colour,
    lineStyle: { width: dashed ? 1.5 : 2.5, type: dashed ? "dashed" : "solid" },
    data: rows.map((row) => [row[0], row[column]]),
    z: 3,
  };
}

// A band is two stacked areas: an invisible one up to the lower bound and a tinted one up to the upper.
function band(name, colour, low, high) {
  const part = (column, from) => ({
    name,
    type: "line",
    stack: name,
    showSymbol: false,
    silent: true,
    color: colour,
    lineStyle: { opacity: 0 },
    areaStyle: { opacity: from === null ? 0 : 0.16 },
    data: data.labelled
      .filter((row) => row[column] !== null)
      .map((row) => [row[0], from === null ? row[column] : row[column] - row[from]]),
    tooltip: { show: false },
    z: 2,
  });
  return [part(low, null), part(high, low)];
}

function bars(name, colour, column) {
  return {
    name,
    type: "bar",
    stack: "pairs",
    xAxisIndex: 1,
    yAxisIndex: 1,
    color: colour,
    barCategoryGap: "12%",
    data: data.bars.map((row) => row[column]),
  };
}

function tip(points) {
  const box = document.createElement("div");
  box.className = "chart-tip";
  const title = document.createElement("div");
  title.className = "chart-tip-title";
  title.textContent = `Merged from ${percent(probability(points[0].axisValue))}`;
  box.append(title);
  const seen = new Set();
  for (const point of points) {
    if (point.seriesType !== "line" || point.seriesName.startsWith("band") || seen.has(point.seriesName)) continue;
    seen.add(point.seriesName);
    const row = document.createElement("div");
    row.className = "chart-tip-row";
    const dot = document.createElement("span");
    dot.className = "chart-tip-dot";
    dot.style.background = point.color;
    const name = document.createElement("span");
    name.textContent = point.seriesName;
    const value = document.createElement("strong");
    value.textContent = point.value[1] === null ? "–" : percent(point.value[1]);
    row.append(dot, name, value);
    box.append(row);
  }
  return box;
}

function options() {
  const colours = palette();
  const [right, complete] = [colours.series[0], colours.series[1]];
  const text = { color: colours.text, fontFamily: colours.font, fontSize: 11 };
  const axis = { axisTick: { show: false }, axisLine: { lineStyle: { color: colours.line } }, splitLine: { show: false } };
  const measured = data.labelled.length > 0;
  const series = measured
    ? [
        ...band("band right", right, 2, 3),
        ...band("band found", complete, 5, 6),
        line("Right (precision)", right, data.labelled, 1),
        line("Found (recall)", complete, data.labelled, 4),
      ]
    : [];
  series.push(
    line("Right, by the model", right, data.expected, 1, { dashed: true }),
    line("Found, by the model", complete, data.expected, 2, { dashed: true }),
    bars("Waiting", colours.named("grey"), 1),
    bars("Same person", colours.named("green"), 2),
    bars("Different people", colours.named("red"), 3),
  );
  return {
    animation: !still.matches,
    textStyle: { fontFamily: colours.font },
    legend: {
      bottom: 0,
      type: "scroll",
      icon: "roundRect",
      itemWidth: 10,
      itemHeight: 10,
      textStyle: text,
      data: series.map((one) => one.name).filter((name) => !name.startsWith("band")),
    },
    tooltip: { trigger: "axis", confine: true, formatter: tip, className: "chart-tip-frame", axisPointer: { lineStyle: { color: colours.line } } },
    grid: [
      { left: 44, right: 12, top: 34, height: "52%" },
      { left: 44, right: 12, top: "74%", bottom: 62 },
    ],
    xAxis: [
      { type: "value", min: data.low, max: data.high, ...axis, axisLabel: { show: false }, interval: 2 },
      { type: "category", gridIndex: 1, data: data.bars.map((row) => row[0]), ...axis, axisLabel: { show: false } },
      {
        type: "value",
        gridIndex: 1,
        position: "bottom",
        min: data.low,
        max: data.high,
        interval: 1,
        ...axis,
        axisLabel: { ...text, hideOverlap: true, formatter: (value) => percent(probability(value)) },
      },
    ],
    yAxis: [
      {
        type: "value",
        min: 0,
        max: 1,
        interval: 0.25,
        axisLine: { show: false, onZero: false },
        axisTick: { show: false },
        axisLabel: { ...text, formatter: (value) => `${value * 100}%` },
        splitLine: { lineStyle: { color: colours.line } },
      },
      {
        type: "value",
        gridIndex: 1,
        splitNumber: 2,
        minInterval: 1,
        axisLine: { show: false, onZero: false },
        axisTick: { show: false },
        axisLabel: text,
        splitLine: { lineStyle: { color: colours.line } },
      },
    ],
    series: [...series, { type: "line", xAxisIndex: 2, yAxisIndex: 1, data: [], silent: true }],
  };
}

/* --- The two thresholds ------------------------------------------------------------------------------------- */

const LABELS = { review: "ask from", accept: "merge from" };
const LABEL_WIDTH = 118;
const LABEL_LINE = 14;

function handles() {
  const colours = palette();
  const height = chart.getHeight();
  const [top, bottom] = [22, height - 62];
  const places = Object.fromEntries(
    Object.keys(LABELS).map((name) => [name, chart.convertToPixel({ xAxisIndex: 0 }, bothOf(name))]),
  );
  const crowded = meet(span("review", places.review), span("accept", places.accept));
  return Object.keys(LABELS).map((name) => {
    const x = places[name];
    const colour = name === "accept" ? colours.named("green") : colours.named("yellow");
    return {
      id: name,
      type: "group",
      x,
      y: 0,
      draggable: "horizontal",
      cursor: "ew-resize",
      z: 50,
      ondrag: (event) => dragged(name, event.target),
      ondragend: () => htmx.trigger(form, "thresholds:moved"),
      children: [
        { type: "rect", shape: { x: -9, y: top, width: 18, height: bottom - top }, style: { fill: "transparent" } },
        { type: "line", shape: { x1: 0, y1: top, x2: 0, y2: bottom }, style: { stroke: colour, lineWidth: 2 } },
        {
          type: "text",
          style: {
            text: `${LABELS[name]} ${percent(Number(form.elements[name].value) / 100)}`,
            x: beside(name, x) === "left" ? -2 : 2,
            y: 4 + (crowded && name === "review" ? LABEL_LINE : 0),
            align: beside(name, x),
            fill: colours.text,
            font: `600 11px ${colours.font}`,
          },
        },
      ],
    };
  });
}

// Away from each other, but never out of the chart. Where there is no room for that, one is a line lower.
function beside(name, x) {
  if (x < LABEL_WIDTH) return "left";
  if (x > chart.getWidth() - LABEL_WIDTH) return "right";
  return name === "accept" ? "left" : "right";
}

const span = (name, x) => (beside(name, x) === "left" ? [x, x + LABEL_WIDTH] : [x - LABEL_WIDTH, x]);
const meet = (one, other) => one[0] < other[1] && other[0] < one[1];

function dragged(name, target) {
  const group = target.type === "group" ? target : target.parent;
  const x = chart.convertFromPixel({ xAxisIndex: 0 }, group.x);
  const other = bothOf(name === "accept" ? "review" : "accept");
  const allowed = name === "accept" ? Math.max(x, other + GAP) : Math.min(x, other - GAP);
  const share = probability(within(allowed));
  form.elements[name].value = (share * 100).toFixed(share > 0.99 ? 3 : 1);
  place();
}

function place() {
  chart.setOption({ graphic: { elements: handles() } });
}

async function draw() {
  const { init } = await echarts();
  chart = init(element, null, { renderer: "canvas" });
  chart.setOption(options());
  place();
  element.dataset.drawn = "yes";
  new ResizeObserver(() => {
    chart.resize();
    place();
  }).observe(element);
  form.addEventListener("input", place);
  document.addEventListener("theme:changed", () => {
    chart.setOption(options(), true);
    place();
  });
}

draw();
