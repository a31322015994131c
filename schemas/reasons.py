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
    STATE_MISSING = "state.missing"
    FIELD_MISSING = "field.missing"
    FIELD_INVALID = "field.invalid"
    FIELD_OUT_OF_RANGE = "field.out_of_range"
    FIELD_TOO_LONG = "field.too_long"
    FIELD_CHOICE_UNKNOWN = "field.choice_unknown"
    CRITERION_NOT_MET = "criterion.not_met"
    CRITERION_UNDECIDED = "criterion.undecided"
    CONSENT_MISSING = "consent.missing"
    CONSENT_INVALID = "consent.invalid"
    CONSENT_EXPIRED = "consent.expired"

    SOURCE_MISSING = "source.missing"
    SOURCE_UNKNOWN = "source.unknown"
    SOURCE_PAUSED = "source.paused"
    SOURCE_VERTICAL = "source.vertical"
    SOURCE_CAP = "source.cap"
    SUB_ID_PAUSED = "sub_id.paused"
    SUB_ID_CAP = "sub_id.cap"

    # Warnings (validation): the lead passes.
    AREA_CODE_ELSEWHERE = "phone.area_code_elsewhere"
    COMPUTED_INVALID = "computed.invalid"

    # Lists that were imported (validation).
    SUPPRESSION_LISTED = "suppression.listed"
    DO_NOT_CONTACT_LISTED = "do_not_contact.listed"
    DUPLICATE_DATABASE = "duplicate.database"

    # Duplicates (dedup).
    DUPLICATE_PERSON = "duplicate.person"
    DUPLICATE_KEY_SET = "duplicate.key_set"
    DUPLICATE_PAYLOAD = "duplicate.payload"

    # Eligibility (routing): the first failing predicate of a campaign, in this order.
    FILTER_VERTICAL = "filter.vertical"
    CAMPAIGN_PAUSED = "campaign.paused"
    FILTER_STATE = "filter.state"
    FILTER_ZIP = "filter.zip"
    FILTER_RADIUS = "filter.radius"
    FILTER_AREA_CODE = "filter.area_code"
    SCHEDULE_CLOSED = "schedule.closed"
    FILTER_EXPRESSION = "filter.expression"
    FILTER_EXPRESSION_ERROR = "filter.expression_error"  # a field it names is missing, or of another type
    ROUTE_GROUP = "route.group"  # no group of the route has the campaign
    SELLER_NOT_NAMED = "consent.seller_not_named"
    PRICE_FLOOR = "price.floor"
    PRICE_MARGIN = "price.margin"
    LEAD_SOLD = "lead.sold"  # its company had this very lead or others keep it; after a return: its group was before
    LEAD_DECLINED = "lead.declined"  # its buyer would not have this very lead, or its company has it from elsewhere
    BUYER_BOUGHT_BEFORE = "buyer.bought_before"
    SHARE_LIMIT = "share.limit"
    SLIP_FULL = "route.slip_full"  # others rank above it, and no more are asked
    NO_CAMPAIGN = "route.no_campaign"
    NO_ROUTE = "route.none"  # the vertical's routes do not take the lead

    # Caps (a hint in routing, the authority in delivery).
    CAP_HOUR = "cap.hour"
    CAP_DAY = "cap.day"
    CAP_WEEK = "cap.week"
    CAP_MONTH = "cap.month"
    CAP_TOTAL = "cap.total"
    CREDIT_EXHAUSTED = "credit.exhausted"

    # Delivery.
    TIME_BUDGET = "route.time_budget"
    LEAD_TEST = "lead.test"
    CAMPAIGN_UNKNOWN = "campaign.unknown"
    BUYER_REJECTED = "buyer.rejected"
    BUYER_DUPLICATE = "buyer.duplicate"
    BUYER_ERROR = "buyer.error"
    BUYER_UNREACHABLE = "buyer.unreachable"
    BUYER_ANSWER_INVALID = "buyer.answer_invalid"
    OUTCOME_UNKNOWN = "delivery.outcome_unknown"
    ALL_DECLINED = "delivery.all_declined"
