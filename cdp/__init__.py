"""Tributary: an open-source Customer Data Platform that a company runs itself."""

from cdp.celery import app as celery_app

__all__ = ["celery_app"]
