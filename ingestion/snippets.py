"""Code to paste: how to send a first event to a source, from a website, from servers and by hand."""

from dataclasses import dataclass

PLACEHOLDER = "YOUR_WRITE_KEY"


@dataclass(frozen=True, slots=True)
class Snippet:
    id: str
    label: str
    note: str
    code: str


_CURL = """\
curl {host}/v1/track \\
  -u {key}: \\
  -H 'Content-Type: application/json' \\
  -d '{{
    "userId": "customer-42",
    "event": "Order Completed",
    "properties": {{"order_id": "1001", "revenue": 59.9}},
    "context": {{"traits": {{"email": "anna@example.com"}}}}
  }}'
"""

_PYTHON = """\
# pip install segment-analytics-python
import segment.analytics as analytics

analytics.write_key = "{key}"
analytics.host = "{host}"

analytics.identify("customer-42", {{"email": "anna@example.com", "firstName": "Anna"}})
analytics.track("customer-42", "Order Completed", {{"order_id": "1001", "revenue": 59.9}})
analytics.flush()
"""

_NODE = """\
// npm install @segment/analytics-node
import {{ Analytics }} from "@segment/analytics-node";

const analytics = new Analytics({{ writeKey: "{key}", host: "{host}" }});

analytics.identify({{ userId: "customer-42", traits: {{ email: "anna@example.com", firstName: "Anna" }} }});
analytics.track({{
  userId: "customer-42",
  event: "Order Completed",
  properties: {{ order_id: "1001", revenue: 59.9 }},
}});
await analytics.closeAndFlush();
"""

_WEBSITE = """\
<script>
  (function (host, key) {{
    var waiting = (window.analytics = window.analytics || []);
    if (waiting.load) return;
    var methods = "page track identify group alias screen reset ready on once off user setAnonymousId register";
    methods.split(" ").forEach(function (method) {{
      waiting[method] = function () {{
        var loaded = window.analytics;
        if (loaded !== waiting) return loaded[method].apply(loaded, arguments);
        waiting.push([method].concat([].slice.call(arguments)));
        return waiting;
      }};
    }});
    waiting._cdn = host;
    waiting._writeKey = key;
    waiting.load = function (options) {{
      waiting._loadOptions = options;
      var script = document.createElement("script");
      script.async = true;
      script.src = host + "/analytics.js/v1/" + key + "/analytics.min.js";
      document.head.appendChild(script);
    }};
    waiting.load();
    waiting.page();
  }})("{host}", "{key}");

  // analytics.identify("customer-42", {{ email: "anna@example.com" }});
  // analytics.track("Product Added", {{ product_id: "sku-1", price: 19.9 }});
</script>
"""

_BROWSER = """\
<script type="module">
  const newId = () => crypto.getRandomValues(new Uint32Array(4)).join("-");
  const anonymousId = (localStorage.anonymousId ??= newId());

  const send = (type, message) =>
    fetch("{host}/v1/" + type, {{
      method: "POST",
      keepalive: true,
      body: JSON.stringify({{
        writeKey: "{key}",
        messageId: newId(),
        anonymousId,
        ...message,
      }}),
    }});

  send("page", {{ name: document.title, properties: {{ path: location.pathname }} }});
  // send("track", {{ event: "Product Added", properties: {{ product_id: "sku-1", price: 19.9 }} }});
</script>
"""


def write_snippets(*, host: str, key: str = PLACEHOLDER) -> list[Snippet]:
    """The snippets, filled in; without a key with a placeholder, since keys are kept as hashes only."""
    fill = {"host": host.rstrip("/"), "key": key}
    return [
        Snippet(
            "website",
            "Website",
            "Put it into the head of every page: the library is loaded from here, and talks to nobody else.",
            _WEBSITE.format(**fill),
        ),
        Snippet("curl", "curl", "From a terminal.", _CURL.format(**fill)),
        Snippet("python", "Python", "With Segment’s library: only the host differs.", _PYTHON.format(**fill)),
        Snippet("node", "Node.js", "With Segment’s library: only the host differs.", _NODE.format(**fill)),
        Snippet("browser", "Plain script", "On a web page, without a library.", _BROWSER.format(**fill)),
    ]
