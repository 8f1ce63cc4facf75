from django.apps import AppConfig


class ActivationConfig(AppConfig):
    name = "activation"

    def ready(self) -> None:
        from activation.destinations import kinds
        from activation.uses import uses_of_segment
        from segments.users import register

        kinds()  # a broken kind stops the start-up
        register(uses_of_segment)
