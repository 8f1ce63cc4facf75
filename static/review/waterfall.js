// Draws every `<div data-waterfall="ID">` from the JSON under ID:
//   {"prior": log2 odds, "score": log2 odds, "steps": [{"name", "level", "weight"}…]}
// Bars run from where the odds stood to where a field moves them; right is one person, left is two.

import { echarts, keepFitted, palette } from "../js/charts.js";

const drawn = new Map();
const ROW = 26;
const still = matchMedia("(prefers-reduced-motion: reduce)");
const signed = (number) => `${number > 0 ? "+" : number < 0 ? "−" : ""}${Math.abs(number).toFixed(1)}`;

function barsOf(data) {
  const bars = [{ name: "any two", from: 0, to: data.prior, weight: data.prior, colour: "grey", level: "before anything is compared" }];
  let total = data.prior;
  for (const step of data.steps) {
    bars.push({
      name: step.name,
      from: total,
      to: total + step.weight,
      weight: step.weight,
      colour: step.weight >= 0 ? "green" : "red",
      level: step.level,
    });
    total += step.weight;
  }
  bars.push({ name: "together", from: 0, to: data.score, weight: data.score, colour: "1", level: "" });
  return bars;
}

function tip(bar) {
  const box = document.createElement("div");
  box.className = "chart-tip";
  const title = document.createElement("div");
  title.className = "chart-tip-title";
  title.textContent = `${bar.name} ${signed(bar.weight)}`;
  box.append(title, bar.level);
  return box;
}

function options(data) {
  const colours = palette();
  const bars = barsOf(data);
  const low = Math.min(0, ...bars.map((bar) => Math.min(bar.from, bar.to)));
  const high = Math.max(0, ...bars.map((bar) => Math.max(bar.from, bar.to)));
  const room = (high - low || 1) * 0.12;
  const text = { color: colours.text, fontFamily: colours.font, fontSize: 11 };
  // Two invisible parts carry a bar that lies on one side of zero or across it.
  const part = (name, values) => ({
    name,
    type: "bar",
    stack: name,
    barWidth: 14,
    barGap: "-100%",
    animationDuration: 250,
    data: values,
  });
  const shape = (bar, value) => ({ value, itemStyle: { color: colours.named(bar.colour), borderRadius: 2 } });
  const clear = (value) => ({ value, itemStyle: { color: "transparent" }, tooltip: { show: false } });
  const span = (bar) => [Math.min(bar.from, bar.to), Math.max(bar.from, bar.to)];
  const series = [
    part("up", bars.map((bar) => clear(Math.max(0, span(bar)[0])))),
    part("up", bars.map((bar) => shape(bar, Math.max(0, span(bar)[1]) - Math.max(0, span(bar)[0])))),
    part("down", bars.map((bar) => clear(Math.min(0, span(bar)[1])))),
    part("down", bars.map((bar) => shape(bar, Math.min(0, span(bar)[0]) - Math.min(0, span(bar)[1])))),
    {
      type: "scatter",
      symbolSize: 0,
      silent: true,
      data: bars.map((bar, index) => [span(bar)[1], index]),
      label: {
        show: true,
        position: "right",
        distance: 5,
        formatter: ({ dataIndex }) => signed(bars[dataIndex].weight),
        ...text,
      },
    },
  ];
  return {
    animation: !still.matches,
    grid: { left: 4, right: 12, top: 4, bottom: 22, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
    tooltip: { trigger: "item", confine: true, formatter: ({ dataIndex }) => tip(bars[dataIndex]), className: "chart-tip-frame" },
    xAxis: {
      type: "value",
      min: Math.floor(low - room),
      max: Math.ceil(high + room),
      splitNumber: 4,
      name: "← two people · one person →",
      nameLocation: "middle",
      nameGap: 8,
      nameTextStyle: text,
      axisLabel: { show: false },
      splitLine: { lineStyle: { color: colours.line } },
    },
    yAxis: {
      type: "category",
      inverse: true,
      data: bars.map((bar) => bar.name),
      axisTick: { show: false },
      axisLine: { show: false },
      axisLabel: { ...text, width: 110, overflow: "truncate", interval: 0 },
    },
    series,
  };
}

async function draw(element) {
  const data = JSON.parse(document.getElementById(element.dataset.waterfall).textContent);
  element.style.height = `${(data.steps.length + 2) * ROW + 30}px`;
  const { init } = await echarts();
  if (!element.isConnected || drawn.has(element)) return;
  const chart = init(element, null, { renderer: "canvas" });
  chart.setOption(options(data));
  const observer = keepFitted(chart, element);
  drawn.set(element, { chart, data, observer });
  element.dataset.drawn = "yes";
}

export function drawWaterfalls() {
  for (const [element, { chart, observer }] of drawn) {
    if (element.isConnected) continue;
    observer.disconnect();
    chart.dispose();
    drawn.delete(element);
  }
  for (const element of document.querySelectorAll("[data-waterfall]")) if (!drawn.has(element)) draw(element);
}

document.addEventListener("theme:changed", () => {
  for (const { chart, data } of drawn.values()) chart.setOption(options(data), true);
});
document.addEventListener("htmx:afterSettle", drawWaterfalls);
drawWaterfalls();
