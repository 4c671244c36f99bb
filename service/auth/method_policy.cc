// SPDX-License-Identifier: Apache-2.0
#include "service/auth/method_policy.h"

#include "absl/container/flat_hash_map.h"

namespace rwkvd {
namespace {

using enum Access;

constexpr RoleSet kInferRole = SetOf(Role::kInfer);
constexpr RoleSet kScoreRole = SetOf(Role::kScore);
constexpr RoleSet kStatesRole = SetOf(Role::kStates);
constexpr RoleSet kPinsRole = SetOf(Role::kPins);
constexpr RoleSet kTextRoles = Role::kInfer | Role::kScore;
constexpr RoleSet kAdminRole = SetOf(Role::kAdmin);
constexpr RoleSet kInfoRoles = Role::kAdmin | Role::kMetrics;
constexpr RoleSet kGatewayRoles = kInfoRoles | Role::kInfer;

constexpr MethodPolicy kPolicies[] = {
    {"rwkv.v1.RwkvService/Generate", kRole, kInferRole},
    {"rwkv.v1.RwkvService/Tokenize", kRole, kTextRoles},
    {"rwkv.v1.RwkvService/Detokenize", kRole, kTextRoles},
    {"rwkv.v1.RwkvService/Score", kRole, kScoreRole},
    {"rwkv.v1.RwkvService/ScoreDocument", kRole, kScoreRole},
    {"rwkv.v1.RwkvService/UnpinPrefix", kRole, kPinsRole},
    {"rwkv.v1.RwkvService/ListPinnedPrefixes", kRole, kPinsRole},
    {"rwkv.v1.RwkvService/PutState", kRole, kStatesRole},
    {"rwkv.v1.RwkvService/GetState", kRole, kStatesRole},
    {"rwkv.v1.RwkvService/DeleteState", kRole, kStatesRole},
    {"rwkv.v1.RwkvService/GetModel", kIdentity},
    {"rwkv.v1.RwkvService/GetServerInfo", kRole, kInfoRoles},
    {"rwkv.v1.RwkvService/GetLoad", kRole, kInfoRoles},
    {"vllm.grpc.engine.VllmEngine/Generate", kRole, kInferRole},
    {"vllm.grpc.engine.VllmEngine/Abort", kRole, kInferRole},
    {"vllm.grpc.engine.VllmEngine/GetTokenizer", kRole, kInferRole},
    {"vllm.grpc.engine.VllmEngine/HealthCheck", kIdentity},
    {"vllm.grpc.engine.VllmEngine/GetModelInfo", kIdentity},
    {"vllm.grpc.engine.VllmEngine/GetServerInfo", kRole, kGatewayRoles},
    {"vllm.grpc.engine.VllmEngine/GetLoads", kRole, kGatewayRoles},
    {"grpc.health.v1.Health/Check", kOpen},
    {"grpc.health.v1.Health/List", kOpen},
    {"grpc.health.v1.Health/Watch", kOpen},
    {"grpc.reflection.v1.ServerReflection/ServerReflectionInfo", kIdentity},
    {"grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
     kIdentity},
    {"grpc.channelz.v1.Channelz/GetTopChannels", kRole, kAdminRole},
    {"grpc.channelz.v1.Channelz/GetServers", kRole, kAdminRole},
    {"grpc.channelz.v1.Channelz/GetServer", kRole, kAdminRole},
    {"grpc.channelz.v1.Channelz/GetServerSockets", kRole, kAdminRole},
    {"grpc.channelz.v1.Channelz/GetChannel", kRole, kAdminRole},
    {"grpc.channelz.v1.Channelz/GetSubchannel", kRole, kAdminRole},
    {"grpc.channelz.v1.Channelz/GetSocket", kRole, kAdminRole},
};

}  // namespace

absl::Span<const MethodPolicy> AllMethodPolicies() { return kPolicies; }

const MethodPolicy* FindMethodPolicy(absl::string_view method) {
  static const auto* const by_method = [] {
    auto* const map =
        new absl::flat_hash_map<absl::string_view, const MethodPolicy*>;
    for (const MethodPolicy& policy : kPolicies)
      map->emplace(policy.method, &policy);
    return map;
  }();
  const auto found = by_method->find(method);
  return found == by_method->end() ? nullptr : found->second;
}

}  // namespace rwkvd
