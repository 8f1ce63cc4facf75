"""Webhooks after Standard Webhooks 1.0.0: a signed POST per entry or exit."""

from activation.destinations.webhook.destination import WebhookDestination

DESTINATION = WebhookDestination()
