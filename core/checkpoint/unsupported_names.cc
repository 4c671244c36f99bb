// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/unsupported_names.h"

#include <cstddef>
#include <iterator>

#include "absl/strings/match.h"

namespace rwkvd {
namespace {

// A part of the names of tensors that only one kind of checkpoint has.
struct Mark {
  absl::string_view part;
  absl::string_view kind;
};

constexpr absl::string_view kCompressedTensors =
    "weights quantized by compressed-tensors (pack-quantized, "
    "nvfp4-pack-quantized or another format); use the original checkpoint";
constexpr absl::string_view kBitsAndBytes =
    "weights quantized by bitsandbytes; use the original checkpoint";
constexpr absl::string_view kGptq =
    "weights quantized by GPTQ or AWQ; use the original checkpoint";
constexpr absl::string_view kFp8 =
    "weights quantized to 8-bit floats; use the original checkpoint";
constexpr absl::string_view kMlx =
    "weights quantized by MLX; use the original checkpoint";
constexpr absl::string_view kTransformer =
    "a Transformer such as Qwen or Llama, or a hybrid of one with RWKV "
    "(rwkv6qwen2, arwkv7)";
constexpr absl::string_view kDeepEmbed = "RWKV-7a or 7b, with DeepEmbed";
constexpr absl::string_view kHeadQk = "RWKV-4 with head_qk";
constexpr absl::string_view kTiny = "RWKV-4 with tiny attention";
constexpr absl::string_view kPositions = "RWKV-4 with position embeddings";

// In order of precedence: what says most comes first.
constexpr Mark kMarks[] = {
    {".weight_packed", kCompressedTensors},
    {".weight_zero_point", kCompressedTensors},
    {".weight_global_scale", kCompressedTensors},
    {".input_global_scale", kCompressedTensors},
    {".quant_state.", kBitsAndBytes},
    {".absmax", kBitsAndBytes},
    {".nested_absmax", kBitsAndBytes},
    {".quant_map", kBitsAndBytes},
    {".SCB", kBitsAndBytes},
    {".qweight", kGptq},
    {".qzeros", kGptq},
    {".g_idx", kGptq},
    {".weight_scale", kFp8},  // .weight_scale_inv, too
    {".biases", kMlx},
    {"rosa", "RWKV-8 with ROSA"},
    {"ffn.enn.", "RWKV-8"},
    {"feed_forward.enn.", "RWKV-8"},
    {"qkv.", "RWKV-7b, with DeepEmbed and attention"},
    {".s_emb", kDeepEmbed},
    {"ffn.s0", kDeepEmbed},
    {"ffn.s1", kDeepEmbed},
    {"ffn.s2", kDeepEmbed},
    {"embed_tokens.", kTransformer},
    {".input_layernorm.", kTransformer},
    {".mlp.gate_proj.", kTransformer},
    {".mlp.up_proj.", kTransformer},
    {".self_attn.q_proj.", kTransformer},
    {"ffnPre.", "RWKV-4 with pre_ffn"},
    {"head_q.", kHeadQk},
    {"head_k.", kHeadQk},
    {"copy_mask", kHeadQk},
    {"tiny_ln.", kTiny},
    {"tiny_q.", kTiny},
    {"tiny_k.", kTiny},
    {"tiny_v.", kTiny},
    {"tiny_mask", kTiny},
    {"pos_emb_x", kPositions},
    {"pos_emb_y", kPositions},
    {"ffn.aa.", "RWKV-4a or 4b"},
    {"ffn.bb.", "RWKV-4a or 4b"},
    {"_strategy",
     "a file that the rwkv Python package converted; use the "
     "original checkpoint"},
};

// The first of kMarks in `name`, before `end`; `end` if there is none.
const Mark* FindMark(absl::string_view name, const Mark* end) {
  for (const Mark* mark = std::begin(kMarks); mark != end; ++mark) {
    if (absl::StrContains(name, mark->part)) return mark;
  }
  return end;
}

}  // namespace

absl::Status CheckSupported(absl::Span<const absl::string_view> names,
                            const FileError& error) {
  const Mark* found = std::end(kMarks);
  absl::string_view name;
  for (absl::string_view candidate : names) {
    const Mark* const mark = FindMark(candidate, found);
    if (mark == found) continue;
    found = mark;
    name = candidate;
  }
  if (found == std::end(kMarks)) return absl::OkStatus();
  return error.In("tensor", name)("is not supported: it belongs to ",
                                  found->kind);
}

}  // namespace rwkvd
