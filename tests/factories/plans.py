"""Plans as people write them."""

from typing import Any

from ingestion.models import Source
from ingestion.plans import operations
from ingestion.plans.models import PlanVersion
from tests.factories.ingestion import NOW

ORDER = {
    "type": "object",
    "properties": {
        "order_id": {"type": "string"},
        "revenue": {"type": "number", "minimum": 0},
        "currency": {"enum": ["EUR", "USD"]},
        "email": {"type": "string", "format": "email"},
        "products": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"sku": {"type": "string"}, "price": {"type": "number"}},
                "required": ["sku"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["order_id"],
    "additionalProperties": False,
}
TRAITS = {"type": "object", "properties": {"email": {"type": ["string", "null"], "format": "email"}}}


def plan_document(*, schema: dict[str, Any] = ORDER, event: str = "Order Completed", **actions: str) -> dict[str, Any]:
    """A plan for one event and for traits; actions by kind: `plan_document(wrong_type="strip")`."""
    return {"actions": actions, "events": {event: {"schema": schema}}, "traits": {"schema": TRAITS}}


def live_plan(source: Source, document: dict[str, Any] | None = None, **actions: str) -> PlanVersion:
    operations.save_draft(source=source, document=document or plan_document(**actions), now=NOW)
    return operations.publish(source=source, now=NOW)
