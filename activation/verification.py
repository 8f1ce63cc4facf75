"""Code that a receiver can paste to check that a message comes from here (Standard Webhooks 1.0.0)."""

PYTHON = """\
# pip install standardwebhooks
import os
from standardwebhooks.webhooks import Webhook

webhook = Webhook(os.environ["TRIBUTARY_SECRET"])  # whsec_...

def receive(body: bytes, headers: dict[str, str]) -> None:
    message = webhook.verify(body, headers)  # raises where it is not ours, or too old
    if message["type"] == "segment.entered":
        print(message["data"]["profile"]["identifiers"], "entered", message["data"]["segment"]["name"])
"""

NODE = """\
// npm install standardwebhooks express
import express from "express";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.TRIBUTARY_SECRET); // whsec_...
const app = express();

app.post("/webhooks/tributary", express.raw({ type: "application/json" }), (request, response) => {
  const message = webhook.verify(request.body.toString(), request.headers); // throws where it is not ours
  if (message.type === "segment.entered") console.log(message.data.profile.identifiers, message.data.segment.name);
  response.sendStatus(204);
});
app.listen(8080);
"""

BY_HAND = '''\
import base64, hashlib, hmac, os, time

KEY = base64.b64decode(os.environ["TRIBUTARY_SECRET"].removeprefix("whsec_"))

def is_ours(body: bytes, headers: dict[str, str]) -> bool:
    """The signature covers id, time and body; during a rotation there are several, one of which must match."""
    if abs(time.time() - int(headers["webhook-timestamp"])) > 300:
        return False
    signed = f'{headers["webhook-id"]}.{headers["webhook-timestamp"]}.'.encode() + body
    expected = b"v1," + base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256))
    return any(hmac.compare_digest(expected, given.encode()) for given in headers["webhook-signature"].split())
'''

SNIPPETS = {"python": PYTHON, "node": NODE, "by_hand": BY_HAND}
