// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_SERVED_MODEL_H_
#define RWKVD_SERVICE_SERVED_MODEL_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/base/monotonic_clock.h"
#include "core/base/thread_pool.h"
#include "core/engine/engine.h"
#include "core/model/model.h"
#include "core/text/chat/chat_template.h"
#include "core/text/tokenizer.h"
#include "service/load_progress.h"
#include "service/memory_plan.h"
#include "service/model_watch.h"
#include "service/options/options.h"
#include "service/states/saved_states.h"
#include "service/states/state_store.h"

namespace rwkvd {

// A loaded model and the engine that runs it.
//
// Owned by the server. Thread-safe, since only the engine, the saved states and
// the watch change, which are thread-safe. The engine is the last member, since
// it uses all others.
struct ServedModel {
  std::string name;
  std::string fingerprint;  // of the weights; see TensorFile
  std::string layout;       // of the tensor names; see TensorFile
  std::string isa;
  // In Jinja, for programs that render conversations; see ChatTemplateTextFor.
  std::string chat_template_text;
  // The tokenizer.json of a BPE tokenizer; empty for others.
  std::string tokenizer_json;
  absl::Time loaded_at = MonotonicNow();
  // The options that apply: PlanMemory has set limits that no flag gave.
  Options options;
  MemoryPlan memory_plan;
  std::unique_ptr<const Model> model;
  std::unique_ptr<const Tokenizer> tokenizer;
  const ChatTemplate* chat_template = nullptr;  // a constant; null: unknown
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<ModelWatch> watch;  // null if no files are mapped
  std::unique_ptr<SavedStates> states;
  std::unique_ptr<Engine> engine;

  // Whether the files of the model are unchanged and the saved states can be
  // used. The error is for the operator. May wait for a disk.
  absl::Status CheckFiles() const;
};

// Opens the files that the options name, and starts the engine. Logs a summary,
// and reports the progress of slow parts to `progress`. Returns NotFound,
// InvalidArgument or other errors, with the file and the reason.
absl::StatusOr<std::unique_ptr<ServedModel>> LoadServedModel(
    const Options& options, LoadProgress& progress);

// The store that the options ask for. Returns what the operating system reports
// for --state_dir, or what is wrong with a file for --state_store.
absl::StatusOr<std::unique_ptr<StateStore>> OpenStateStore(
    const Options& options);
// The saved states of a model with this fingerprint.
std::unique_ptr<SavedStates> NewSavedStates(const Options& options,
                                            const Model& model,
                                            const std::string& fingerprint,
                                            std::unique_ptr<StateStore> store);

// The name of a model: its folder, or its file without the extension.
std::string NameOfPath(const std::string& path);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_SERVED_MODEL_H_
