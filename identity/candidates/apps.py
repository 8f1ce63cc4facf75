from django.apps import AppConfig


class CandidatesConfig(AppConfig):
    name = "identity.candidates"
    label = "identity_candidates"

    def ready(self) -> None:
        from identity.candidates.operations import note_merged_or_parted
        from identity.merging.listeners import listen

        listen(note_merged_or_parted)
