// SPDX-License-Identifier: Apache-2.0
#include "service/served_model.h"

#include <filesystem>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/base/check.h"
#include "core/base/cpu_quota.h"
#include "core/base/free_memory.h"
#include "core/base/monotonic_clock.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/finite_weights.h"
#include "core/checkpoint/gguf_split.h"
#include "core/checkpoint/release_manifest.h"
#include "core/checkpoint/tensor_file.h"
#include "core/checkpoint/verify_files.h"
#include "core/checkpoint/zero_matrices.h"
#include "core/engine/validate.h"
#include "core/kernels/targets/supported_kernels.h"
#include "core/model/load_model.h"
#include "core/quantize/weight_kind.h"
#include "core/text/chat/chat_jinja.h"
#include "core/text/write_tokenizer_json.h"
#include "service/adapters.h"
#include "service/chat_template_text.h"
#include "service/log.h"
#include "service/open_chat_template.h"
#include "service/open_tokenizer.h"
#include "service/states/directory_state_store.h"
#include "service/states/initial_states.h"
#include "service/states/memory_state_store.h"
#include "service/states/redis_state_store.h"

namespace rwkvd {
namespace {

const KernelTable& ChooseKernels(const std::string& isa) {
  if (isa == "auto") return BestKernels();
  const KernelTable* kernels = FindKernels(isa);
  RWKVD_CHECK(kernels != nullptr);  // checked by ParseOptions
  return *kernels;
}

// The fingerprint of the weights that the server computes with. Quantized
// weights differ from those of the file.
std::string FingerprintOf(const TensorFile& file, WeightKind weights) {
  std::string fingerprint = file.Fingerprint();
  if (weights == WeightKind::kAsStored) return fingerprint;
  Sha256 digest;
  digest.UpdateWithLength(fingerprint);
  digest.UpdateWithLength(NameOf(weights));
  return digest.Hex();
}

// Reads the whole file.
void Preload(const TensorFile& file, LoadProgress& progress) {
  progress.Begin();
  file.Preload([&progress](int64_t bytes_done, int64_t bytes_all) {
    progress.Update(bytes_done, bytes_all);
  });
}

// Compares the files with their checksums, as --verify_files asks for.
absl::Status Verify(const TensorFile& file, ThreadPool& pool,
                    LoadProgress& progress) {
  progress.Begin("verifying the model");
  RWKVD_ASSIGN_OR_RETURN(
      const VerifiedFiles verified,
      VerifyFiles(file, pool, [&progress](int64_t done, int64_t all) {
        progress.Update(done, all);
        return absl::OkStatus();
      }));
  LogInfo(absl::StrCat("verified ", verified.num_bytes, " bytes: ",
                       verified.num_digests, " SHA-256 digests and ",
                       verified.num_checksums, " CRC-32 checksums agree"));
  for (const std::string& path : verified.unverified) {
    LogWarning(absl::StrCat(
        path, ": parts of it are not verified: neither the file nor a ",
        kReleaseManifest, " in its folder has a checksum of them"));
  }
  return absl::OkStatus();
}

void WarnOfZeros(const TensorFile& file) {
  const std::vector<ZeroMatrix> zeros = FindZeroMatrices(file);
  if (zeros.empty()) return;
  LogWarning(absl::StrCat(file.path(), ": ", DescribeZeroMatrices(zeros),
                          " (--verify_files compares checksums)"));
}

// The engine's options, with callbacks that return free memory when idle and
// watch the files of the model. `watch` outlives the engine.
EngineOptions EngineOptionsOf(const Options& options, ModelWatch* watch) {
  EngineOptions engine = options.engine;
  engine.check_model = [watch] { return watch->ForRequests(); };
  engine.on_non_finite_logits = [watch] { watch->SearchWeightsSoon(); };
  engine.on_requests_ended = [watch] { watch->CheckSoon(); };
  engine.on_idle = [] {
    ReturnFreeMemory();
    LogDebug("idle: returned free memory to the system");
  };
  return engine;
}

// Empty for RWKV-4, which has no heads.
std::string Heads(const ModelConfig& config) {
  if (config.num_heads == 0) return "";
  return absl::StrCat(" (", config.num_heads, " heads of ", config.head_size,
                      ")");
}

// Sets the model, with the adapters merged, and its fingerprint.
absl::Status LoadWeights(std::shared_ptr<const TensorFile> file,
                         const Options& options, const KernelTable& kernels,
                         ServedModel& served) {
  RWKVD_ASSIGN_OR_RETURN(file,
                         WithAdapters(std::move(file), options, *served.pool));
  served.fingerprint = FingerprintOf(*file, options.weights);
  RWKVD_ASSIGN_OR_RETURN(
      served.model, LoadModel(std::move(file),
                              {.kernels = &kernels,
                               .group_norm_epsilon = options.group_norm_epsilon,
                               .weights = options.weights,
                               .activations = options.activations,
                               .pool = served.pool.get()}));
  return absl::OkStatus();
}

void LogOpened(const TensorFile& file, const ModelConfig& config) {
  LogInfo(absl::StrCat(
      "opened ", file.path(), ": ", NameOf(config.architecture), ", ",
      config.num_layers, " layers, embedding ", config.embedding_size,
      ", attention ", config.attention_size, Heads(config), ", ffn ",
      config.ffn_size, ", vocabulary ", config.vocab_size, ", ",
      config.num_parameters, " parameters"));
}

void LogLoaded(const ServedModel& served, const TensorFile& file,
               absl::Duration time) {
  const ModelConfig& config = served.model->config();
  LogInfo(absl::StrFormat(
      "loaded %s in %.2f s: %s, %s layout, %s, %d tensors in %d files, %d "
      "bytes, %d of them copied",
      served.name, absl::ToDoubleSeconds(time), NameOf(config.architecture),
      served.layout, config.weight_type, file.tensors().size(),
      file.num_files(), file.tensor_bytes(), file.copied_bytes()));
  if (file.copied_bytes() == 0) return;
  LogWarning(absl::StrCat(
      file.copied_bytes(), " bytes of ", file.path(),
      " were copied because their layout differs; files that \"rwkv-convert ",
      file.path(), " OUTPUT_DIRECTORY\" writes are mapped without a copy"));
}

// What building the archive for GetTokenizer takes: the text of the tokenizer
// and the archive with it, of which either may be a string that has just grown.
int64_t ArchiveMemory(const ServedModel& model) {
  constexpr int64_t kCopies = 3;
  const int64_t json =
      model.tokenizer_json.empty()
          ? MaxTokenizerJsonBytes(*model.tokenizer,
                                  model.model->config().vocab_size)
          : static_cast<int64_t>(model.tokenizer_json.size());
  return kCopies *
         (json + static_cast<int64_t>(model.chat_template_text.size()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ServedModel>> LoadServedModel(
    const Options& given, LoadProgress& progress) {
  Options options = LimitMessages(given);
  const absl::Time begin = MonotonicNow();
  RWKVD_ASSIGN_OR_RETURN(std::shared_ptr<const TensorFile> file,
                         TensorFile::Open(options.model));
  const KernelTable& kernels = ChooseKernels(options.isa);
  auto served = std::make_unique<ServedModel>();
  RWKVD_ASSIGN_OR_RETURN(
      served->pool,
      ThreadPool::Start(options.threads > 0 ? options.threads : UsableCpus()));
  RWKVD_RETURN_IF_ERROR(LoadWeights(file, options, kernels, *served));
  const ModelConfig& config = served->model->config();
  LogOpened(*file, config);
  RWKVD_ASSIGN_OR_RETURN(ChosenTokenizer chosen,
                         OpenTokenizer(options, *file, config.vocab_size));
  if (options.vllm) {
    RWKVD_ASSIGN_OR_RETURN(served->tokenizer_json, TokenizerJsonOf(chosen));
  }
  served->tokenizer = std::move(chosen.tokenizer);
  RWKVD_ASSIGN_OR_RETURN(
      served->chat_template,
      OpenChatTemplate(options, *file, served->tokenizer->has_bytes()));
  served->chat_template_text =
      options.chat_template.empty() || served->chat_template == nullptr
          ? ChatTemplateTextFor(*file)
          : std::string(JinjaOf(*served->chat_template));
  served->name = options.model_name.empty() ? NameOfPath(options.model)
                                            : options.model_name;
  served->layout = std::string(NameOf(file->layout()));
  served->isa = kernels.name;
  LogInfo(absl::StrCat("derived: --model_name=", served->name, " --threads=",
                       served->pool->num_threads(), " --isa=", kernels.name));
  RWKVD_ASSIGN_OR_RETURN(
      std::vector<NamedState> initial_states,
      LoadInitialStates(options, *served->model, served->fingerprint));
  ReturnFreeMemory();  // so that memory that loading freed does not count
  ModelMemory memory =
      MeasureMemory(*served->model, served->pool->num_threads());
  if (options.vllm) memory.tokenizer_archive = ArchiveMemory(*served);
  RWKVD_ASSIGN_OR_RETURN(served->memory_plan,
                         PlanMemory(memory, LimitOf(options), &options));
  served->options = options;
  LogInfo(absl::StrCat("memory plan: ", served->memory_plan.ToString()));
  LogInfo(absl::StrCat("limits: ", DescribeLimits(options)));
  RWKVD_ASSIGN_OR_RETURN(std::unique_ptr<StateStore> store,
                         OpenStateStore(options));
  served->states = NewSavedStates(options, *served->model, served->fingerprint,
                                  std::move(store));
  WarnOfZeros(*file);
  if (options.verify_files) {
    RWKVD_RETURN_IF_ERROR(Verify(*file, *served->pool, progress));
  }
  if (options.preload) Preload(*file, progress);
  if (options.preload || options.verify_files) {
    RWKVD_RETURN_IF_ERROR(CheckFinite(*file, *served->pool));
    ReleaseCopiedPages(*file);
  }
  served->watch = std::make_unique<ModelWatch>(file);
  RWKVD_RETURN_IF_ERROR(served->watch->Check());
  served->engine = std::make_unique<Engine>(
      EngineOptionsOf(options, served->watch.get()), served->model.get(),
      served->tokenizer.get(), served->pool.get(), std::move(initial_states));
  served->loaded_at = MonotonicNow();
  LogLoaded(*served, *file, served->loaded_at - begin);
  return served;
}

absl::Status ServedModel::CheckFiles() const {
  if (watch != nullptr) RWKVD_RETURN_IF_ERROR(watch->Check());
  return states->CheckStore();
}

absl::StatusOr<std::unique_ptr<StateStore>> OpenStateStore(
    const Options& options) {
  if (options.saves_states_in_memory()) {
    return std::make_unique<MemoryStateStore>(options.state_store_bytes);
  }
  if (options.state_store.has_value()) {
    return RedisStateStore::Open(*options.state_store,
                                 options.state_store_bytes, StoreTime::Now());
  }
  auto store = DirectoryStateStore::Open(
      options.state_dir, options.state_store_bytes, StoreTime::Now());
  if (store.ok()) return *std::move(store);
  return absl::Status(store.status().code(),
                      absl::StrCat("--state_dir: ", store.status().message()));
}

std::unique_ptr<SavedStates> NewSavedStates(const Options& options,
                                            const Model& model,
                                            const std::string& fingerprint,
                                            std::unique_ptr<StateStore> store) {
  return std::make_unique<SavedStates>(
      SavedStates::Options{
          .identity = IdentityOf(model, fingerprint),
          .vocab_size = model.config().vocab_size,
          .max_tokens = MaxSnapshotTokens(options.engine),
          .time_to_live = options.state_ttl,
          .max_pending_bytes = options.max_pending_states_bytes,
      },
      std::move(store));
}

std::string NameOfPath(const std::string& path) {
  std::filesystem::path name = std::filesystem::path(path).lexically_normal();
  if (!name.has_filename()) name = name.parent_path();
  if (name.extension() == ".json") name = name.parent_path();
  const std::string file = name.filename().string();
  if (const auto part = ParseGgufPart(file)) return std::string(part->stem);
  for (const char* ending :
       {".safetensors", ".st", ".pth", ".pt", ".bin", ".gguf"}) {
    if (name.extension() == ending) return name.stem().string();
  }
  return name.filename().empty() ? "model" : name.filename().string();
}

}  // namespace rwkvd
