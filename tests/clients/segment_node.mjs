// One of each message by Segment's library for Node.js: `node segment_node.mjs <host> <write key>`.
import { Analytics } from "@segment/analytics-node";

const [host, writeKey] = process.argv.slice(2);
const analytics = new Analytics({ writeKey, host, maxEventsInBatch: 3 });
const userId = "node-1";
const failures = [];
analytics.on("error", (error) => failures.push(error));

analytics.identify({ userId, anonymousId: "node-a", traits: { email: "Node@Example.org", plan: "pro" } });
analytics.track({ userId, event: "Order Completed", properties: { revenue: 39.9, note: "ü😀" } });
analytics.page({ userId, name: "Home", properties: { path: "/" } });
analytics.screen({ userId, name: "Start" });
analytics.group({ userId, groupId: "acme", traits: { name: "Acme" } });
analytics.alias({ previousId: "node-old", userId });
for (let number = 0; number < 10; number += 1) {
  analytics.track({ anonymousId: "node-a", event: "Viewed", properties: { number } });
}
await analytics.closeAndFlush();
if (failures.length) {
  console.error(failures);
  process.exit(1);
}
