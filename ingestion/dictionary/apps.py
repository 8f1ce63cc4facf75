from django.apps import AppConfig


class DictionaryConfig(AppConfig):
    name = "ingestion.dictionary"
    label = "ingestion_dictionary"
    verbose_name = "Data dictionary"
