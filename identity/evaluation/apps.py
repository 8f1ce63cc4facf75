from django.apps import AppConfig


class EvaluationConfig(AppConfig):
    name = "identity.evaluation"
    label = "match_evaluation"
