from django.apps import AppConfig


class SegmentsConfig(AppConfig):
    name = "segments"

    def ready(self) -> None:
        from identity.merging.listeners import listen
        from segments.regrouped import note_regrouped

        listen(note_regrouped)
