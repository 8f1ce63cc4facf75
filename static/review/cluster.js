// Draws how a profile was put together: a node for every profile that was merged, an edge for every merge.
//   {"nodes": [{"id", "name"}…], "edges": [{"source", "target", "probability", "cause", "weakest"}…]}

import { echarts, keepFitted, palette, whenSized } from "../js/charts.js";

const element = document.querySelector("[data-cluster]");
const still = matchMedia("(prefers-reduced-motion: reduce)");

const share = (probability) => (probability === null ? "by identifiers" : `${(probability * 100).toFixed(1)}%`);

function tip(data) {
  const box = document.createElement("div");
  box.className = "chart-tip";
  box.textContent = data.source ? `${data.cause}: ${share(data.probability)}` : data.name;
  return box;
}

function options(data) {
  const colours = palette();
  const text = { color: colours.text, fontFamily: colours.font, fontSize: 11 };
  return {
    animation: !still.matches,
    tooltip: { confine: true, formatter: ({ data }) => tip(data), className: "chart-tip-frame" },
    series: [
      {
        type: "graph",
        layout: "force",
        force: { repulsion: 500, edgeLength: [90, 160], layoutAnimation: false },
        roam: true,
        draggable: true,
        symbolSize: 26,
        itemStyle: { color: colours.series[0] },
        label: { show: data.nodes.length <= 40, position: "bottom", ...text },
        edgeLabel: { show: data.nodes.length <= 40, formatter: ({ data }) => share(data.probability), ...text, opacity: 1 },
        data: data.nodes,
        edges: data.edges.map((edge) => ({
          ...edge,
          lineStyle: {
            color: edge.weakest ? colours.named("red") : colours.named("grey"),
            width: edge.weakest ? 3 : 2,
            opacity: 1,
            type: edge.weakest ? "dashed" : "solid",
          },
        })),
      },
    ],
  };
}

async function draw() {
  const data = JSON.parse(document.getElementById(element.dataset.cluster).textContent);
  const { init } = await echarts();
  await whenSized(element);
  const chart = init(element, null, { renderer: "canvas" });
  chart.setOption(options(data));
  keepFitted(chart, element);
  document.addEventListener("theme:changed", () => chart.setOption(options(data), true));
  element.dataset.drawn = "yes";
}

if (element) draw();
