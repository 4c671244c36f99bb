// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_VLLM_VLLM_INFO_H_
#define RWKVD_SERVICE_VLLM_VLLM_INFO_H_

#include <cstdint>
#include <string>

#include "core/model/config.h"
#include "service/served_model.h"
#include "service/telemetry/server_load.h"
#include "vllm/vllm_engine.pb.h"

namespace rwkvd {

// The architecture in the words of the official releases: "rwkv7" and
// "Rwkv7ForCausalLM"; "rwkv5" for all its versions.
std::string ModelTypeOf(Architecture architecture);
std::string ArchitectureClassOf(Architecture architecture);

// The most tokens of a prompt and its output. The model has no limit; that of
// the server is meant.
uint32_t MaxContextLength(const ServedModel& model);

// What a gateway asks for.
void ToProto(const ServedModel& model,
             ::vllm::grpc::engine::GetModelInfoResponse* response);
void ToProto(const ServedModel& model, const ServerLoad& load,
             ::vllm::grpc::engine::GetServerInfoResponse* response);
void ToProto(const ServerLoad& load,
             ::vllm::grpc::engine::GetLoadsResponse* response);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_VLLM_VLLM_INFO_H_
