// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_MODEL_WATCH_H_
#define RWKVD_SERVICE_MODEL_WATCH_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "core/checkpoint/tensor_file.h"

namespace rwkvd {

// Notices that another process has changed or truncated a file of the model.
// The weights are mapped, so results are wrong from then on. Also searches the
// files for the weights that make predictions wrong.
//
// The files are compared with what they were when they were opened: once a
// minute, soon after requests have ended, and every kStepsPerCheck steps. A
// truncated file is noticed earlier, by the step that reads it: see
// mapping_faults.h. A damaged model stays damaged, since nobody knows which
// results are wrong.
//
// Owned by the served model; thread-safe.
class ModelWatch {
 public:
  static constexpr uint32_t kStepsPerCheck = 64;

  explicit ModelWatch(std::shared_ptr<const TensorFile> files);
  ~ModelWatch();
  ModelWatch(const ModelWatch&) = delete;
  ModelWatch& operator=(const ModelWatch&) = delete;

  // Starts a thread that compares the files. It calls `on_damage` at most once,
  // with a status that names the file. Called once.
  void Start(std::function<void(absl::Status)> on_damage);
  // Ends the thread, after a running `on_damage` has returned.
  void Stop();

  // Makes the thread compare the files soon. Does not block.
  void CheckSoon();

  // Makes the thread search all weights, which may take minutes, for one that
  // is NaN or infinite, and log its layer and tensor, or that all weights are
  // finite. Only the first call has an effect. Does not block.
  void SearchWeightsSoon();

  // Compares the files now, which may wait for the file system. DataLoss, with
  // the path and the reason, if a file has changed; the first such status is
  // logged and returned from then on.
  absl::Status Check() ABSL_LOCKS_EXCLUDED(mutex_);

  // The status for requests: Internal if the model is damaged. Does not block;
  // the engine calls this after each forward pass.
  absl::Status ForRequests();

 private:
  void Run(const std::function<void(absl::Status)>& on_damage);
  void SearchWeights();
  // Logs once that the files on disk are not those that are served.
  void NoteReplacement() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<const TensorFile> files_;
  std::atomic<bool> is_damaged_{false};
  std::atomic<bool> stop_{false};
  std::atomic<bool> wants_search_{false};
  // Calls of CheckSoon. The thread sleeps on this word rather than on mutex_,
  // whose timed waits depend on the clock of the system.
  std::atomic<uint32_t> num_wishes_{0};
  std::atomic<uint32_t> num_steps_{0};  // calls of ForRequests

  absl::Mutex mutex_;
  absl::Status damage_ ABSL_GUARDED_BY(mutex_);
  bool noted_replacement_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_MODEL_WATCH_H_
