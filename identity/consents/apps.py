from django.apps import AppConfig


class ConsentsConfig(AppConfig):
    name = "identity.consents"
    label = "identity_consents"

    def ready(self) -> None:
        from identity.consents.operations import note_regrouped
        from identity.merging.listeners import listen

        listen(note_regrouped)
