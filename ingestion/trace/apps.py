from django.apps import AppConfig


class TraceConfig(AppConfig):
    name = "ingestion.trace"
    label = "ingestion_trace"
