from django.apps import AppConfig


class ReviewConfig(AppConfig):
    name = "identity.review"
    label = "identity_review"
