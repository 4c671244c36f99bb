# SPDX-License-Identifier: Apache-2.0
"""What an error of the server says in addition to its code and message."""

import dataclasses
from typing import Dict, List, Optional, Union

import grpc
from google.protobuf import any_pb2, message
from google.rpc import error_details_pb2, status_pb2

_DETAILS = "grpc-status-details-bin"
_PUSHBACK = "grpc-retry-pushback-ms"


@dataclasses.dataclass(frozen=True)
class FieldViolation:
    """A field of the request that is wrong."""
    field: str  # its path, such as "sampling.top_p"
    description: str


@dataclasses.dataclass
class ErrorDetails:
    """The details of an error; empty where the server has sent none."""
    reason: str = ""  # such as "QUEUE_FULL"; stable, unlike the message
    domain: str = ""
    metadata: Dict[str, str] = dataclasses.field(default_factory=dict)
    field_violations: List[FieldViolation] = dataclasses.field(
        default_factory=list)
    # The limit that was reached, such as "max_queued".
    quota: str = ""
    # What an error NOT_FOUND is about.
    resource_type: str = ""
    resource_name: str = ""
    # The seconds after which the server wants the request again. None if it
    # did not say; negative if it does not want it again.
    retry_delay: Optional[float] = None


def _metadata_of(error: grpc.RpcError) -> Dict[str, Union[str, bytes]]:
    return dict(error.trailing_metadata() or ())


def _take(packed: any_pb2.Any, details: ErrorDetails) -> None:
    """Adds one of google.rpc's messages to the details."""
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    quota = error_details_pb2.QuotaFailure()
    resource = error_details_pb2.ResourceInfo()
    if packed.Unpack(info):
        details.reason, details.domain = info.reason, info.domain
        details.metadata = dict(info.metadata)
    elif packed.Unpack(bad):
        details.field_violations += [
            FieldViolation(violation.field, violation.description)
            for violation in bad.field_violations]
    elif packed.Unpack(retry):
        details.retry_delay = retry.retry_delay.ToTimedelta().total_seconds()
    elif packed.Unpack(quota):
        details.quota = quota.violations[0].subject if quota.violations else ""
    elif packed.Unpack(resource):
        details.resource_type = resource.resource_type
        details.resource_name = resource.resource_name


def _pushback(text: Union[str, bytes, None]) -> Optional[float]:
    """gRPC's own header: what is no number of milliseconds forbids retries."""
    if text is None:
        return None
    try:
        return int(text) / 1000
    except ValueError:
        return -1


def details_of(error: grpc.RpcError) -> ErrorDetails:
    """Decodes the details of an error of a call."""
    details = ErrorDetails()
    metadata = _metadata_of(error)
    packed_status = metadata.get(_DETAILS)
    if isinstance(packed_status, bytes):
        try:
            for packed in status_pb2.Status.FromString(packed_status).details:
                _take(packed, details)
        except message.DecodeError:
            pass  # as if there were none
    pushback = _pushback(metadata.get(_PUSHBACK))
    if pushback is not None:
        details.retry_delay = pushback
    return details
