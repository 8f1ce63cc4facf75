// How a profile was put together, as a graph: `<div data-graph="ID">` drawn from the JSON under ID:
//   {"nodes": [{"id", "kind", "label", "note", "at"}], "edges": [{"source", "target", "reason", "label", "note", "at"}]}
// Many identifiers of one kind at one origin are bundled until somebody opens the bundle, so that a profile with
// hundreds of them can still be read. The table below the graph says the same in words.

import { echarts, keepFitted, whenSized } from "../js/charts.js";

const BUNDLE_FROM = 6;
const COLOURS = { origin: 1, user_id: 3, email: 2, phone: 4, anonymous_id: 5 };
const REASONS = { message: 8, alias: 7, match: 2, person: 4 };

const read = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colour = (number) => read(`--chart-${number}`);
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });

// Nodes and edges as they are drawn: bundles in place of the identifiers that are not opened.
function drawn({ nodes, edges }, opened) {
  const homes = new Map();
  for (const edge of edges) if (!edge.merge) homes.set(edge.target, edge);
  const groups = Map.groupBy(
    nodes.filter((node) => node.kind !== "origin"),
    (node) => `${homes.get(node.id)?.source}/${node.kind}`,
  );
  const shown = nodes.filter((node) => node.kind === "origin");
  const ties = edges.filter((edge) => edge.merge);
  for (const [key, members] of groups) {
    if (members.length < BUNDLE_FROM || opened.has(key)) {
      shown.push(...members);
      ties.push(...members.map((node) => homes.get(node.id)).filter(Boolean));
      continue;
    }
    const home = homes.get(members[0].id);
    const label = `${members.length} × ${members[0].kind}`;
    shown.push({ id: key, kind: members[0].kind, label, note: "Click to open.", bundle: members.length });
    if (home) ties.push({ ...home, target: key, note: `first seen in messages`, at: null });
  }
  return { shown, ties };
}

const kindColour = (kind) => colour(COLOURS[kind] ?? 6);

function tip(title, ...lines) {
  const box = document.createElement("div");
  const head = document.createElement("div");
  head.className = "chart-tip-title";
  head.textContent = title;
  box.append(head);
  for (const line of lines.filter(Boolean)) {
    const row = document.createElement("div");
    row.textContent = line;
    box.append(row);
  }
  return box;
}

function told(item) {
  const { at, label, note } = item.data.said;
  return tip(item.dataType === "edge" ? note : label, item.dataType === "edge" ? "" : note, at ? day.format(new Date(at)) : "");
}

function nodeOf(node, lone) {
  const origin = node.kind === "origin";
  const size = origin ? 34 : node.bundle ? Math.min(22 + Math.sqrt(node.bundle) * 2, 44) : 16;
  return {
    id: node.id,
    name: node.id,
    said: node,
    symbol: origin ? "roundRect" : "circle",
    symbolSize: size,
    itemStyle: { color: kindColour(node.kind), borderColor: read("--chart-surface"), borderWidth: 2 },
    label: { show: Boolean(origin || node.bundle || lone), position: origin ? "bottom" : "right", formatter: () => shortened(node.label) },
  };
}

const shortened = (text) => (text.length > 26 ? `${text.slice(0, 24)}…` : text);

function edgeOf(edge) {
  const merge = Boolean(edge.merge);
  return {
    source: edge.source,
    target: edge.target,
    said: edge,
    lineStyle: {
      color: colour(REASONS[edge.reason] ?? 8),
      width: merge ? 3 : 1,
      type: merge || edge.reason === "message" ? "solid" : "dashed",
      opacity: merge ? 0.9 : 0.5,
    },
    label: { show: merge, formatter: edge.label },
  };
}

function options(data, opened) {
  const { shown, ties } = drawn(data, opened);
  const text = { color: read("--chart-text"), fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 11 };
  const few = shown.length <= 24;
  return {
    animation: false, // a window that changes in mid-animation meets edges without a place
    tooltip: { confine: true, className: "chart-tip-frame", formatter: told },
    series: [
      {
        type: "graph",
        layout: "force",
        roam: true,
        draggable: true,
        scaleLimit: { min: 0.3, max: 5 },
        force: { repulsion: few ? 260 : 120, edgeLength: few ? [90, 130] : [30, 90], gravity: 0.12, layoutAnimation: false },
        label: { ...text, position: "right", distance: 6 },
        edgeLabel: { ...text, backgroundColor: read("--chart-surface"), padding: [2, 4], borderRadius: 4 },
        emphasis: { focus: "adjacency", label: { show: true } },
        data: shown.map((node) => nodeOf(node, few)),
        links: ties.map(edgeOf),
      },
    ],
  };
}

function entry(mark, number, words) {
  const line = document.createElement("li");
  const dot = document.createElement("span");
  dot.className = mark;
  dot.style.background = number;
  line.append(dot, words);
  return line;
}

function legend(list, { nodes, edges }) {
  const kinds = [...new Set(nodes.map((node) => node.kind))];
  const reasons = [...new Set(edges.filter((edge) => edge.merge).map((edge) => edge.reason))];
  list.replaceChildren(
    ...kinds.map((kind) => entry("graph-dot", kindColour(kind), kind === "origin" ? "recorded as one person" : kind)),
    ...reasons.map((reason) => entry("graph-line", colour(REASONS[reason] ?? 8), `became one by: ${reason}`)),
  );
}

async function draw(element) {
  const data = JSON.parse(document.getElementById(element.dataset.graph).textContent);
  const opened = new Set();
  const { init } = await echarts();
  await whenSized(element);
  const chart = init(element, null, { renderer: "canvas" });
  const show = () => {
    chart.setOption(options(data, opened), true);
    legend(document.getElementById("graph-legend"), data);
  };
  show();
  chart.on("click", ({ dataType, data: one }) => {
    if (dataType !== "node" || !one.said.bundle) return;
    opened.add(one.id);
    show();
  });
  keepFitted(chart, element);
  document.addEventListener("theme:changed", show);
  element.dataset.drawn = "yes";
}

for (const element of document.querySelectorAll("[data-graph]")) draw(element);
