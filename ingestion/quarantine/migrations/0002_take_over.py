"""What was quarantined before keeps its place: each message once, under its reason."""

import hashlib

from django.db import migrations


def take_over(apps, _editor):
    Old = apps.get_model("ingestion", "QuarantinedEvent")
    Reason = apps.get_model("ingestion_quarantine", "Reason")
    Message = apps.get_model("ingestion_quarantine", "QuarantinedMessage")
    Hour = apps.get_model("ingestion_quarantine", "ReasonHour")
    for old in Old.objects.order_by("id").iterator():
        reason, made = Reason.objects.get_or_create(
            source_id=old.source_id,
            code=old.code,
            path=old.path,
            event=old.event,
            defaults={
                "message": old.message,
                "first_seen_at": old.received_at,
                "last_seen_at": old.received_at,
                "times": 1,
            },
        )
        if not made:
            reason.last_seen_at, reason.times = old.received_at, reason.times + 1
            reason.save()
        hour = old.received_at.replace(minute=0, second=0, microsecond=0)
        if not Hour.objects.filter(reason_id=reason.pk, hour=hour).exists():
            Hour.objects.create(reason_id=reason.pk, hour=hour, messages=0)
        counted = Hour.objects.get(reason_id=reason.pk, hour=hour)
        Hour.objects.filter(reason_id=reason.pk, hour=hour).update(messages=counted.messages + 1)
        payload = bytes(old.payload)
        Message.objects.update_or_create(
            source_id=old.source_id,
            key=hashlib.blake2b(old.message_id.encode() or payload, digest_size=16).hexdigest(),
            defaults={
                "reason_id": reason.pk,
                "message_id": old.message_id,
                "event": old.event,
                "code": old.code,
                "path": old.path,
                "message": old.message,
                "payload": payload,
                "received_at": old.received_at,
                "last_received_at": old.received_at,
            },
        )


class Migration(migrations.Migration):
    dependencies = [("ingestion_quarantine", "0001_initial"), ("ingestion", "0004_source_settings")]

    operations = [migrations.RunPython(take_over, migrations.RunPython.noop)]
