"""Sessions made slowly and obviously: from all messages at once, straight from their JSON.

Shares nothing with the product. Messages have a `timestamp`, a `messageId` that is taken for the event's id, and a
`who` that names the person in the end; enough is modelled for what the tests send.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any


@dataclass(frozen=True)
class Visit:
    """One session: its messages in order, and what Session Ended should say of it."""

    device: str
    messages: tuple[str, ...]
    ended: dict[str, Any]


def sessions(messages: list[dict[str, Any]], timeout: timedelta, ids: dict[str, bytes]) -> list[Visit]:
    """`ids` are the ids of the events by messageId: they decide between two of one instant."""
    once = {message["messageId"]: message for message in messages}
    visits = []
    for device in sorted({message["anonymousId"] for message in once.values()}):
        mine = [message for message in once.values() if message["anonymousId"] == device]
        mine.sort(key=lambda message: (moment(message), ids[message["messageId"]]))
        runs: list[list[dict[str, Any]]] = []
        for message in mine:
            if runs and moment(message) - moment(runs[-1][-1]) < timeout:
                runs[-1].append(message)
            else:
                runs.append([message])
        visits += [Visit(device, tuple(one["messageId"] for one in run), describe(run)) for run in runs]
    return visits


def moment(message: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(message["timestamp"])


def describe(run: list[dict[str, Any]]) -> dict[str, Any]:
    properties = [message.get("properties", {}) for message in run]
    named = [(moment(message), page) for message in run if (page := message["context"]["page"].get("path"))]
    began, ended = moment(run[0]), moment(run[-1])
    orders = [
        values for message, values in zip(run, properties, strict=True) if message.get("event") == "Order Completed"
    ]
    added = [
        values for message, values in zip(run, properties, strict=True) if message.get("event") == "Product Added"
    ]
    said = {
        "duration": (ended - began) / timedelta(seconds=1),
        "events": len(run),
        "pages": sum(message["type"] == "page" for message in run),
        "bounced": sum(message["type"] != "identify" for message in run) <= 1,
        "products_viewed": sum(message.get("event") == "Product Viewed" for message in run),
        "products_added": len(added),
        "items_added": sum(values.get("quantity", 1) for values in added),
        "orders": len(orders),
        "revenue": float(sum(Fraction(str(values["revenue"])) for values in orders)),
        "landing_page": min(named)[1] if named else None,
        "exit_page": max(named)[1] if named else None,
        "channel": channel(run),
    }
    return {name: value for name, value in said.items() if value is not None}


def channel(run: list[dict[str, Any]]) -> str:
    """The first that came from somewhere else; who only ever strayed on the site came directly."""
    found = [(moment(message), how) for message in run if (how := came(message)) != "internal"]
    return min(found)[1] if found else "direct"


def came(message: dict[str, Any]) -> str:
    campaign, referrer = message["context"].get("campaign"), message["context"]["page"].get("referrer", "")
    if campaign:
        return {"cpc": "paid search", "email": "email"}[campaign["medium"]]
    if not referrer:
        return "direct"
    return "internal" if "shop.example" in referrer else "organic search"
