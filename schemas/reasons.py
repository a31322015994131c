"""Every reason Leadline gives for not doing something, as a closed list.

A reason is ``subject.condition``. It names a rule, never a value: no reason and no detail holds personal data.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Stable machine words; the member's comment says what an operator does about it."""

    # Undecodable or poison records (dead letters): fix the producer, then replay the window.
    VALUE_EMPTY = "value.empty"
    VALUE_NOT_UTF8 = "value.not_utf8"
    VALUE_NOT_JSON = "value.not_json"
    VALUE_NOT_OBJECT = "value.not_object"
    VALUE_TOO_DEEP = "value.too_deep"
    SCHEMA_UNKNOWN = "schema.unknown"
    SCHEMA_MISMATCH = "schema.mismatch"
    STAGE_FAILED = "stage.failed"

    # Rejections (validation).
    LEAD_ID_INVALID = "lead_id.invalid"
    VERTICAL_MISSING = "vertical.missing"
    VERTICAL_UNKNOWN = "vertical.unknown"
    FIRST_NAME_MISSING = "first_name.missing"
    LAST_NAME_MISSING = "last_name.missing"
    NAME_INVALID = "name.invalid"
    CONTACT_MISSING = "contact.missing"
    PHONE_INVALID = "phone.invalid"
    EMAIL_INVALID = "email.invalid"
    ZIP_MISSING = "zip.missing"
    ZIP_UNKNOWN = "zip.unknown"
    STATE_UNKNOWN = "state.unknown"
    STATE_ZIP_MISMATCH = "state.zip_mismatch"

    # Duplicates (dedup).
    DUPLICATE_PERSON = "duplicate.person"

    # Eligibility (routing): the first failing predicate of a campaign.
    FILTER_VERTICAL = "filter.vertical"
    FILTER_STATE = "filter.state"
    NO_CAMPAIGN = "route.no_campaign"

    # Delivery.
    CAP_DAILY = "cap.daily"
    CAMPAIGN_UNKNOWN = "campaign.unknown"
    BUYER_REJECTED = "buyer.rejected"
    BUYER_DUPLICATE = "buyer.duplicate"
    BUYER_ERROR = "buyer.error"
    BUYER_UNREACHABLE = "buyer.unreachable"
    BUYER_ANSWER_INVALID = "buyer.answer_invalid"
    OUTCOME_UNKNOWN = "delivery.outcome_unknown"
    ALL_DECLINED = "delivery.all_declined"
