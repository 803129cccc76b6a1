// SPDX-License-Identifier: Apache-2.0
// mamba2-inspect: what a model is, what it needs, and what is in its checkpoint.
#include <algorithm>
#include <array>
#include <cstdio>
#include <mamba2/mamba2.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli.hpp"
#include "inspect/config_report.hpp"
#include "inspect/summary.hpp"
#include "weights.hpp"

namespace {

using inspect::Json;
using mamba2::Checkpoint;
using mamba2::Config;

/// The memory that a model takes with these weights.
struct Memory {
  std::string_view weights;
  mamba2::MemoryRequired bytes;
  std::size_t per_token;  ///< bytes of weights that decoding a token reads
};

std::vector<Memory> memory_needed(const Checkpoint& checkpoint) {
  std::vector<Memory> memory;
  for (const mamba2::Plan* plan : cli::kPlans) {
    mamba2::Weights planned = mamba2::plan_weights(checkpoint, *plan);
    if (!mamba2::check_stored_types(checkpoint, planned)) continue;
    const std::size_t unread = planned.unread_bytes();
    const std::size_t reread = planned.reread_bytes();
    const auto required = mamba2::memory_required(std::move(planned), {});
    memory.push_back({plan->name, required, required.weights - unread + reread});
  }
  return memory;
}

/// How policy Mixed stores a tensor: only matrices are packed, all else is FP32.
std::string_view mixed_format(const mamba2::TensorView& tensor, const Config& config) {
  const auto spec = mamba2::expected_tensor(config, tensor.name);
  const bool is_matrix = spec && mamba2::is_matrix(spec->role);
  return is_matrix ? mamba2::Mixed::format_for(tensor.dtype).name : mamba2::Fp32::name;
}

std::string shape_of(const mamba2::TensorView& tensor) {
  std::string text;
  for (const std::size_t size : tensor.shape) {
    text += (text.empty() ? "" : " x ") + std::to_string(size);
  }
  return text;
}

/// The name of a tensor in its layer.
std::string local_name(const std::string& name) {
  constexpr std::string_view kLayers = "layers.";
  return name.starts_with(kLayers) ? name.substr(name.find('.', kLayers.size()) + 1) : "";
}

/// Whether it is one of an expert that not all tokens pass.
bool is_of_expert(const std::string& name) {
  return mamba2::expert_name(local_name(name)).has_value();
}

/// "layers.3.norm.weight" and "layers.4.norm.weight" are one line of the table; so are those of all
/// experts.
std::string family(const std::string& name) {
  const std::string local = local_name(name);
  if (local.empty()) return name;
  const auto in_expert = mamba2::expert_name(local);
  if (!in_expert) return "layers.*." + local;
  return mamba2::detail::concat("layers.*.", mamba2::kExperts, "*.", in_expert->name);
}

Json report(const std::string& path, const Checkpoint& checkpoint,
            const std::vector<Memory>& needed) {
  const Config& c = checkpoint.config();
  Json tensors = Json::array();
  std::size_t parameters = 0;
  std::size_t of_experts = 0;
  for (const mamba2::TensorView& tensor : checkpoint.tensors()) {
    parameters += tensor.elements();
    if (is_of_expert(tensor.name)) of_experts += tensor.elements();
    tensors.push_back({{"name", tensor.name},
                       {"dtype", mamba2::dtype_name(tensor.dtype)},
                       {"mixed", mixed_format(tensor, c)},
                       {"shape", tensor.shape},
                       {"rotation", tensor.rotation},
                       {"bytes", tensor.data.size() + tensor.scales.size()},
                       {"file", tensor.file}});
  }
  Json memory = Json::object();
  for (const auto& [weights, bytes, per_token] : needed) {
    memory[std::string(weights)] = {{"weights", bytes.weights},       {"state", bytes.state},
                                    {"scratch", bytes.scratch},       {"loading", bytes.loading},
                                    {"weights_per_token", per_token}, {"peak", bytes.peak()}};
  }
  const std::size_t idle = of_experts == 0 ? 0
                                           : of_experts / c.moe.num_experts *
                                                 (c.moe.num_experts - c.moe.num_experts_per_tok);
  Json layers = Json::object();
  for (const auto& [name, count] : inspect::layers_of(c)) layers[name] = count;
  return {{"model", path},
          {"family", inspect::family_of(checkpoint)},
          {"layers", layers},
          {"config", inspect::config_json(c)},
          {"parameters", parameters},
          {"active_parameters", parameters - idle},
          {"file_bytes", checkpoint.file_bytes()},
          {"memory", memory},
          {"recurrent_bytes", mamba2::StateLayout(checkpoint.config(), {}).recurrent_bytes()},
          {"notes", checkpoint.notes()},
          {"tensors", tensors}};
}

void print_config(const Json& config) {
  std::puts("\nconfig");
  for (const auto& [key, value] : config.items()) {
    std::printf("  %-25s %s\n", key.c_str(), value.dump().c_str());
  }
}

void print_tensors(const Checkpoint& checkpoint, bool each) {
  struct Line {
    std::string name, shape;
    std::string_view dtype, mixed;
    std::size_t rotation, count, elements;
  };
  std::vector<Line> lines;
  for (const mamba2::TensorView& tensor : checkpoint.tensors()) {
    const Line line = {each ? tensor.name : family(tensor.name),
                       shape_of(tensor),
                       mamba2::dtype_name(tensor.dtype),
                       mixed_format(tensor, checkpoint.config()),
                       tensor.rotation,
                       1,
                       tensor.elements()};
    const auto same = std::find_if(lines.begin(), lines.end(), [&](const Line& other) {
      return other.name == line.name && other.shape == line.shape && other.dtype == line.dtype &&
             other.rotation == line.rotation;
    });
    if (same == lines.end()) {
      lines.push_back(line);
    } else {
      ++same->count;
      same->elements += line.elements;
    }
  }
  std::size_t width = 34;
  for (const Line& line : lines) width = std::max(width, line.name.size());
  std::puts("\ntensors: their type in the file, and with mixed weights");
  for (const Line& line : lines) {
    const std::string times = line.count > 1 ? std::to_string(line.count) + " x" : "";
    const std::string rotated =
        line.rotation > 1 ? ", rotated by " + std::to_string(line.rotation) : "";
    std::printf("  %-*s %6s %-18s %-9s %-9s %12zu%s\n", static_cast<int>(width), line.name.c_str(),
                times.c_str(), line.shape.c_str(), std::string(line.dtype).c_str(),
                std::string(line.mixed).c_str(), line.elements, rotated.c_str());
  }
}

[[nodiscard]] std::string mega(std::size_t bytes) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", static_cast<double>(bytes) / 1e6);
  return text.data();
}

void print_memory(const Checkpoint& checkpoint, const std::vector<Memory>& memory) {
  const Config& c = checkpoint.config();
  std::puts(
      "\nmemory, in MB; a token: the weights that decoding one reads\n             weights    a "
      "token "
      "     state    scratch       peak");
  for (const auto& [weights, bytes, per_token] : memory) {
    std::printf("  %-8s %10s %10s %10s %10s %10s\n", std::string(weights).c_str(),
                mega(bytes.weights).c_str(), mega(per_token).c_str(), mega(bytes.state).c_str(),
                mega(bytes.scratch).c_str(), mega(bytes.peak()).c_str());
  }
  const std::size_t less = mamba2::State::bytes(c) -
                           mamba2::State::bytes(c, {.precision = mamba2::StatePrecision::fp16});
  if (less > 0) std::printf("with the state in FP16 %s less\n", mega(less).c_str());
}

/// What the model is, what it needs and how to run it.
void print_summary(const std::string& model, const Checkpoint& checkpoint, const Json& json,
                   const std::vector<Memory>& memory) {
  const auto parameters = json["parameters"].get<double>();
  const auto active = json["active_parameters"].get<double>();
  std::printf("%s: %s, %.2f M parameters", model.c_str(), inspect::family_of(checkpoint).c_str(),
              parameters / 1e6);
  if (active < parameters) std::printf(", %.2f M of them for a token", active / 1e6);
  std::printf(", %s MB on disk\n", mega(checkpoint.file_bytes()).c_str());
  const cli::WeightsOption usual = {.usual = std::string(mamba2::Int8::name)};
  const std::string weights = usual.of(model);
  const auto needed = std::find_if(memory.begin(), memory.end(),
                                   [&](const Memory& one) { return one.weights == weights; });
  const std::string peak = needed == memory.end() ? "?" : mega(needed->bytes.peak());
  for (const auto& [what, text] : inspect::summary_of(
           model, checkpoint.config(), inspect::Companions::of(model), weights, peak)) {
    std::printf("  %-10s %s\n", what.c_str(), text.c_str());
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Says what a model is, what it needs and how to run it, and shows what is in its "
      "checkpoint:\n"
      "config, tensors, size, and the memory that it would need in each precision. All is checked\n"
      "that loading checks, but the values of the weights.");
  std::string model;
  std::string json_file;
  bool each = false;
  app.add_option("MODEL", model, cli::kCheckpointHelp)->required();
  app.add_flag("--tensors", each, "List every tensor, not one line for all layers");
  app.add_option("--json", json_file, "Write the report to this file as JSON");
  app.footer(
      "Example:\n  mamba2-inspect examples/models/llama-tales-14m --json report.json\n"
      "Exit status: 0 the checkpoint is complete and can be run, 1 it can not, 2 wrong usage.");
  return cli::run(app, argc, argv, [&]() -> mamba2::Result<void> {
    if (auto writable = cli::check_writable(json_file); !writable) return writable;
    const auto checkpoint = Checkpoint::open(model);
    if (!checkpoint) return checkpoint.error();
    const std::vector<Memory> memory = memory_needed(*checkpoint);
    const Json json = report(model, *checkpoint, memory);
    cli::show_notes(checkpoint->notes());
    print_summary(model, *checkpoint, json, memory);
    print_config(json["config"]);
    print_tensors(*checkpoint, each);
    print_memory(*checkpoint, memory);
    return cli::write_json(json_file, json);
  });
}
