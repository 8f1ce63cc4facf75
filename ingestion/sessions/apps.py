from django.apps import AppConfig


class SessionsConfig(AppConfig):
    name = "ingestion.sessions"
    label = "ingestion_sessions"
