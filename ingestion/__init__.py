"""Ingestion: from an HTTP request to a row in the event log, losing nothing that was acknowledged."""
