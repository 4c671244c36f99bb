// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_SERVED_MODEL_H_
#define RWKVD_SERVICE_SERVED_MODEL_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/thread_pool.h"
#include "core/engine/engine.h"
#include "core/model/model.h"
#include "core/text/tokenizer.h"
#include "service/load_progress.h"
#include "service/options.h"
#include "service/states/saved_states.h"
#include "service/states/state_store.h"

namespace rwkvd {

// A loaded model and the engine that runs it.
//
// Owned by the server. Thread-safe: nothing but the engine changes, and that is
// thread-safe. The engine comes last, since it uses all the others.
struct ServedModel {
  std::string name;
  std::string fingerprint;  // of the weights; see TensorFile
  std::string layout;       // of the names in its files; see TensorFile
  std::string isa;
  std::unique_ptr<const Model> model;
  std::unique_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<SavedStates> states;
  std::unique_ptr<Engine> engine;
};

// Opens what the options name and starts the engine; tells the log what it has
// found and, where that takes time, `progress`. NotFound, InvalidArgument and
// others as the files give reason; the message says which file and what.
absl::StatusOr<std::unique_ptr<ServedModel>> LoadServedModel(
    const Options& options, LoadProgress& progress);

// The store that the options ask for. Returns what the operating system reports
// for --state_dir.
absl::StatusOr<std::unique_ptr<StateStore>> OpenStateStore(
    const Options& options);
// The saved states of a model with this fingerprint.
std::unique_ptr<SavedStates> NewSavedStates(const Options& options,
                                            const Model& model,
                                            const std::string& fingerprint,
                                            std::unique_ptr<StateStore> store);

// InvalidArgument if the tokenizer has ids that the model has no row for.
absl::Status CheckFit(const Tokenizer& tokenizer, const ModelConfig& config);

// The last part of a model's path: its folder's name, or its file's without
// the ending.
std::string NameOfPath(const std::string& path);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_SERVED_MODEL_H_
