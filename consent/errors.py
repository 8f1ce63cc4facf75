"""What can be wrong with a choice that somebody wants recorded, or with a question about consent."""

from cdp.kernel.errors import TributaryError


class ConsentError(TributaryError):
    code = "consent_invalid"


class UnknownPurposeError(ConsentError):
    code = "purpose_unknown"


class NoSubjectError(ConsentError):
    code = "subject_missing"


class SubjectKeyError(ConsentError):
    code = "subject_key_changed"
