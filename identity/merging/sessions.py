"""The visits of profiles that merge or part, told anew where a device's visits come together or fall apart."""

from datetime import datetime

from ingestion.sessions import operations as sessions


def join_met(profile_id: int, *, now: datetime) -> None:
    """Sessions of one device that a merge has brought to one profile, and that are near each other, become one.

    Raises:
        UnpreparedError: when the event log has to be prepared for the events of sessions first.
    """
    sessions.join_met([profile_id], now=now)
