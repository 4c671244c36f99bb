// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_SERVER_INFO_H_
#define RWKVD_SERVICE_CONVERT_SERVER_INFO_H_

#include "rwkv/v1/rwkv.pb.h"
#include "service/served_model.h"
#include "service/telemetry/server_load.h"

namespace rwkvd {

// Descriptions of the server for clients. They contain no paths and no
// addresses.
void ToProto(const ServedModel& model,
             ::rwkv::v1::GetServerInfoResponse* response);
void ToProto(const ServerLoad& load, ::rwkv::v1::GetLoadResponse* response);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_SERVER_INFO_H_
