"""The few messages of etcd's v3 API that we speak, in a descriptor pool of our own.

Public etcd stubs register `kv.proto` and `mvccpb.*` in protobuf's global pool, where two of them
(aetcd and etcd3, say) cannot be in one process. Ours live in a private pool, under a package name
of our own, and so sit beside any of them. On the wire only the field numbers count; they follow
etcd's `api/etcdserverpb/rpc.proto` and `api/mvccpb/kv.proto`.

A field is written as "name:number:type"; a type with a capital letter is a message, a `*` before
it means repeated. Fields left out here are skipped when reading, as protobuf does.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = [
    "AuthenticateRequest",
    "AuthenticateResponse",
    "Compare",
    "DeleteRangeRequest",
    "DeleteRangeResponse",
    "KeyValue",
    "KeyValues",
    "LeaseGrantRequest",
    "LeaseGrantResponse",
    "LeaseRevokeRequest",
    "LeaseRevokeResponse",
    "LeaseTimeToLiveRequest",
    "LeaseTimeToLiveResponse",
    "MemberListRequest",
    "MemberListResponse",
    "PutRequest",
    "PutResponse",
    "RangeRequest",
    "RangeResponse",
    "RequestOp",
    "RoleGetRequest",
    "RoleGetResponse",
    "SnapshotRequest",
    "SnapshotResponse",
    "StatusRequest",
    "StatusResponse",
    "TxnRequest",
    "TxnResponse",
    "UserGetRequest",
    "UserGetResponse",
    "WatchCancelRequest",
    "WatchCreateRequest",
    "WatchProgressRequest",
    "WatchRequest",
    "WatchResponse",
    "WatchResponses",
]

_PACKAGE = "etcd_watcher.wire"

_MESSAGES = {
    "Header": "cluster_id:1:uint64 member_id:2:uint64 revision:3:int64 raft_term:4:uint64",
    "KeyValue": (
        "key:1:bytes create_revision:2:int64 mod_revision:3:int64 version:4:int64 value:5:bytes "
        "lease:6:int64"
    ),
    # etcd's `type` is an enum, PUT = 0 and DELETE = 1; on the wire an enum is an int32.
    "Change": "type:1:int32 kv:2:KeyValue prev_kv:3:KeyValue",
    "WatchCreateRequest": (
        "key:1:bytes range_end:2:bytes start_revision:3:int64 progress_notify:4:bool "
        "prev_kv:6:bool watch_id:7:int64 fragment:8:bool"
    ),
    "WatchCancelRequest": "watch_id:1:int64",
    "WatchProgressRequest": "",
    # etcd has these three in a oneof; we set one at a time, which is the same on the wire.
    "WatchRequest": (
        "create_request:1:WatchCreateRequest cancel_request:2:WatchCancelRequest "
        "progress_request:3:WatchProgressRequest"
    ),
    "WatchResponse": (
        "header:1:Header watch_id:2:int64 created:3:bool canceled:4:bool "
        "compact_revision:5:int64 cancel_reason:6:string fragment:7:bool events:11:*Change"
    ),
    # These three are ours: how `v3_rows` reads many of etcd's key-values, or changes, as one.
    "KeyValues": (
        "key:1:*bytes create_revision:2:*int64 mod_revision:3:*int64 version:4:*int64 "
        "value:5:*bytes lease:6:*int64"
    ),
    "Changes": "kv:2:KeyValues",
    "WatchResponses": "events:11:Changes",
    # sort_order: 0 none, 1 ascending, 2 descending; sort_target: 0 key, 3 mod_revision.
    "RangeRequest": (
        "key:1:bytes range_end:2:bytes limit:3:int64 revision:4:int64 sort_order:5:int32 "
        "sort_target:6:int32 serializable:7:bool keys_only:8:bool count_only:9:bool "
        "min_mod_revision:10:int64"
    ),
    "RangeResponse": "header:1:Header kvs:2:*KeyValue more:3:bool count:4:int64",
    "PutRequest": "key:1:bytes value:2:bytes lease:3:int64",
    "PutResponse": "header:1:Header",
    "DeleteRangeRequest": "key:1:bytes range_end:2:bytes",
    "DeleteRangeResponse": "header:1:Header deleted:2:int64",
    # target: 2 mod_revision; result: 0 equal. The server takes a revision that is left out for 0.
    "Compare": "result:1:int32 target:2:int32 key:3:bytes mod_revision:6:int64",
    # etcd has a oneof in each of the next two; we set one field.
    "RequestOp": "range:1:RangeRequest put:2:PutRequest delete:3:DeleteRangeRequest",
    "ResponseOp": "range:1:RangeResponse put:2:PutResponse delete:3:DeleteRangeResponse",
    "TxnRequest": "compare:1:*Compare success:2:*RequestOp failure:3:*RequestOp",
    "TxnResponse": "header:1:Header succeeded:2:bool responses:3:*ResponseOp",
    "LeaseGrantRequest": "TTL:1:int64 ID:2:int64",
    "LeaseGrantResponse": "header:1:Header ID:2:int64 TTL:3:int64 error:4:string",
    "LeaseRevokeRequest": "ID:1:int64",
    "LeaseRevokeResponse": "header:1:Header",
    "LeaseTimeToLiveRequest": "ID:1:int64",
    "LeaseTimeToLiveResponse": "header:1:Header ID:2:int64 TTL:3:int64 grantedTTL:4:int64",
    # permType: 0 READ, 1 WRITE, 2 both.
    "Permission": "permType:1:int32 key:2:bytes range_end:3:bytes",
    "UserGetRequest": "name:1:string",
    "UserGetResponse": "header:1:Header roles:2:*string",
    "RoleGetRequest": "role:1:string",
    "RoleGetResponse": "header:1:Header perm:2:*Permission",
    "AuthenticateRequest": "name:1:string password:2:string",
    "AuthenticateResponse": "header:1:Header token:2:string",
    "StatusRequest": "",
    "StatusResponse": "header:1:Header version:2:string size:3:int64 leader:4:uint64",
    "SnapshotRequest": "",
    "SnapshotResponse": "blob:3:bytes",
    "MemberListRequest": "",
    "MemberListResponse": "header:1:Header members:2:*Member",
    "Member": "id:1:uint64 name:2:string client_urls:4:*string",
}

_SCALARS = {
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    "int32": descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
    "int64": descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "uint64": descriptor_pb2.FieldDescriptorProto.TYPE_UINT64,
}


def _build_pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(
        name="etcd_watcher/wire.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for declared in fields.split():
            label, number, kind = declared.split(":")
            field = message.field.add(name=label, number=int(number))
            field.label = field.LABEL_REPEATED if kind.startswith("*") else field.LABEL_OPTIONAL
            kind = kind.removeprefix("*")
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type = field.TYPE_MESSAGE
                field.type_name = f".{_PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


_POOL = _build_pool()


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


AuthenticateRequest = _message("AuthenticateRequest")
AuthenticateResponse = _message("AuthenticateResponse")
Compare = _message("Compare")
DeleteRangeRequest = _message("DeleteRangeRequest")
DeleteRangeResponse = _message("DeleteRangeResponse")
KeyValue = _message("KeyValue")
KeyValues = _message("KeyValues")
LeaseGrantRequest = _message("LeaseGrantRequest")
LeaseGrantResponse = _message("LeaseGrantResponse")
LeaseRevokeRequest = _message("LeaseRevokeRequest")
LeaseRevokeResponse = _message("LeaseRevokeResponse")
LeaseTimeToLiveRequest = _message("LeaseTimeToLiveRequest")
LeaseTimeToLiveResponse = _message("LeaseTimeToLiveResponse")
MemberListRequest = _message("MemberListRequest")
MemberListResponse = _message("MemberListResponse")
PutRequest = _message("PutRequest")
PutResponse = _message("PutResponse")
RangeRequest = _message("RangeRequest")
RangeResponse = _message("RangeResponse")
RequestOp = _message("RequestOp")
RoleGetRequest = _message("RoleGetRequest")
RoleGetResponse = _message("RoleGetResponse")
SnapshotRequest = _message("SnapshotRequest")
SnapshotResponse = _message("SnapshotResponse")
StatusRequest = _message("StatusRequest")
StatusResponse = _message("StatusResponse")
TxnRequest = _message("TxnRequest")
TxnResponse = _message("TxnResponse")
UserGetRequest = _message("UserGetRequest")
UserGetResponse = _message("UserGetResponse")
WatchCancelRequest = _message("WatchCancelRequest")
WatchCreateRequest = _message("WatchCreateRequest")
WatchProgressRequest = _message("WatchProgressRequest")
WatchRequest = _message("WatchRequest")
WatchResponse = _message("WatchResponse")
WatchResponses = _message("WatchResponses")
