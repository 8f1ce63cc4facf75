from django.apps import AppConfig


class ActivationConfig(AppConfig):
    name = "activation"

    def ready(self) -> None:
        from activation.destinations import kinds

        kinds()  # a broken kind stops the start-up
