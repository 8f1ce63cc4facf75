"""Delivering the alerts of `ingestion.quality`: by e-mail, and as signed webhooks."""
