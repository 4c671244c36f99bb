# SPDX-License-Identifier: Apache-2.0
"""The details of errors, as Python clients read them."""

import re

from google.rpc import error_details_pb2, status_pb2


def details_of(error):
    """All details of a grpc.RpcError, by type."""
    status = status_pb2.Status()
    status.ParseFromString(dict(error.trailing_metadata())[
        "grpc-status-details-bin"])
    assert status.message == error.details()
    assert status.code == error.code().value[0]
    found = {}
    for sent in status.details:
        detail = getattr(error_details_pb2, sent.TypeName().split(".")[-1])()
        assert sent.Unpack(detail), sent
        found[type(detail)] = detail
    return found


def reason_of(error):
    info = details_of(error)[error_details_pb2.ErrorInfo]
    assert info.domain == "rwkvd", info
    return info.reason


def fields_of(error):
    """The paths of the fields that BadRequest names."""
    request = details_of(error).get(error_details_pb2.BadRequest)
    return [violation.field for violation in request.field_violations] \
        if request else []


def field_exists(path, message_type):
    """Whether `path` names a field of the type."""
    message = message_type.DESCRIPTOR
    for step in path.split("."):
        name = re.sub(r"\[\d+\]$", "", step)
        if message is None or name not in message.fields_by_name:
            return False
        field = message.fields_by_name[name]
        if name != step and field.label != field.LABEL_REPEATED:
            return False
        message = field.message_type
    return True
