from django.apps import AppConfig


class CandidatesConfig(AppConfig):
    name = "identity.candidates"
    label = "identity_candidates"
