"""The requests: what a caller may ask for, and the rules that it must keep."""

from contracts.requests.bootstrap import BootstrapRequest, Operators, Resources
from contracts.requests.hashes import encode_request, raw_hash, request_hash
from contracts.requests.lifecycle import (
    HandoverRequest,
    OffboardRequest,
    PasswordRequest,
    RepairRequest,
    ResumeRequest,
    SuspendRequest,
    TenantRequest,
)
from contracts.requests.members import OPERATOR_NAMES, ROLE_PATTERN, TENANT_PATTERN
from contracts.requests.model import AnyRequest, Request
from contracts.requests.queries import AccountsListQuery, NamespacesListQuery, PlanQuery, TenantQuery, TenantsQuery
from contracts.requests.reading import (
    MAX_BODY_BYTES,
    InvalidRequest,
    NotJson,
    Problem,
    parse_json,
    parse_members,
    parse_request,
    validate_request,
)

__all__ = [
    "MAX_BODY_BYTES",
    "OPERATOR_NAMES",
    "ROLE_PATTERN",
    "TENANT_PATTERN",
    "AccountsListQuery",
    "AnyRequest",
    "BootstrapRequest",
    "HandoverRequest",
    "InvalidRequest",
    "NamespacesListQuery",
    "NotJson",
    "OffboardRequest",
    "Operators",
    "PasswordRequest",
    "PlanQuery",
    "Problem",
    "RepairRequest",
    "Request",
    "Resources",
    "ResumeRequest",
    "SuspendRequest",
    "TenantQuery",
    "TenantRequest",
    "TenantsQuery",
    "encode_request",
    "parse_json",
    "parse_members",
    "parse_request",
    "raw_hash",
    "request_hash",
    "validate_request",
]
