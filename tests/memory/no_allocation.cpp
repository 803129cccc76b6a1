// SPDX-License-Identifier: Apache-2.0
// Once there is a Session, or a Batch, nothing asks for memory, nor the system for anything but to
// wake and to park threads. And what loading takes besides memory that the application gives.
#include <doctest/doctest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "mamba2/grammar.hpp"
#include "mamba2/mamba2.hpp"
#include "tests/bitmamba_models.hpp"
#include "tests/hybrid_models.hpp"
#include "tests/memory/counted_allocation.hpp"
#include "tests/memory/small_model.hpp"
#include "tests/memory/used.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::StatePrecision;
using mamba2::Token;

namespace {

template <class WeightT>
mamba2::Mamba2Model<WeightT> model() {
  return tests::load<WeightT>(tests::small_config(),
                              reference::random_weights(tests::small_config(), 5));
}

/// All that sequences do, in memory that is there already.
class Work {
 public:
  Work(const mamba2::AnyModel& model, std::size_t threads, StatePrecision state)
      : workers_{.executor = mamba2::Workers{.threads = threads}.get().value()},
        one_(model.session({.prefill_batch = 70, .state = state, .workers = workers_}).value()),
        other_(model.session({.state = state, .workers = workers_}).value()),
        batch_(model.batch({.workers = workers_}).value()),
        fork_(one_.state()),
        tokens_(reference::Random(6).tokens(150, model.config().vocab_size)),
        logits_(tokens_.size() * model.config().vocab_size) {}

  /// Returns when all threads have started, and done what threads do when they start.
  void meet(std::size_t threads) {
    std::atomic<std::size_t> there{0};
    workers_.executor->run(threads, [&](std::size_t) {
      for (++there; there < threads;) std::this_thread::yield();
    });
  }

  /// False if anything failed.
  bool run() {
    const std::size_t vocab_size = one_.config().vocab_size;
    const std::span<const Token> prompt(tokens_);
    bool done = one_.decode(tokens_[0]).has_value();
    done = one_.prefill(prompt.first(70)).has_value() && done;
    done = one_.prefill(prompt.first(5)).has_value() && done;
    done = one_.prefill(prompt, std::span(logits_)).has_value() && done;
    one_.reset();
    done = other_.prefill(prompt).has_value() && done;
    done = one_.set_state(other_.state()).has_value() && done;
    done = !one_.logits().empty() && done;
    const std::array<mamba2::AnySession*, 2> both = {&one_, &other_};
    done = batch_.decode(both, prompt.first(2), std::span(logits_).first(2 * vocab_size))
               .has_value() &&
           done;
    const mamba2::Reading reading = {&fork_, prompt, std::span(logits_).first(vocab_size)};
    return batch_.prefill(std::span(&reading, 1)).has_value() && done;
  }

 private:
  mamba2::Workers workers_;
  mamba2::AnySession one_, other_;
  mamba2::AnyBatch batch_;
  mamba2::State fork_;
  std::vector<Token> tokens_;
  std::vector<float> logits_;
};

void check_requests(const std::string& name, const mamba2::AnyModel& loaded) {
  CAPTURE(name);
  for (const std::size_t threads : {std::size_t{1}, std::size_t{3}}) {
    for (const StatePrecision state : {StatePrecision::fp32, StatePrecision::fp16}) {
      CAPTURE(threads);
      Work work(loaded, threads, state);
      const std::size_t before = counted::requests;
      const bool done = work.run();
      const std::size_t after = counted::requests;
      CHECK(done);
      CHECK(after - before == 0);
    }
  }
}

template <class WeightT>
void check_requests(const std::string& name) {
  check_requests(name, model<WeightT>());
}

/// What is on the heap because of a model whose weights are in the application's memory: a line of
/// pointers for each block, and no more.
template <class WeightT>
void check_loading(const std::string& name) {
  CAPTURE(name);
  const auto required = mamba2::Mamba2Model<WeightT>::memory_required(tests::small_config());
  std::vector<std::byte> room(required.weights + 64);
  void* start = room.data();
  std::size_t size = room.size();
  std::align(64, required.weights, start, size);
  const std::span<std::byte> memory(static_cast<std::byte*>(start), required.weights);

  const std::size_t heap = counted::live_bytes;
  const std::size_t mapped = counted::mapped_bytes;
  const auto loaded = tests::with_checkpoint(
      tests::small_config(), reference::random_weights(tests::small_config(), 5),
      [&](const auto& checkpoint) {
        return mamba2::Mamba2Model<WeightT>::load(checkpoint.value(),
                                                  {.workers = {.threads = 1}, .memory = memory});
      });
  REQUIRE(loaded.has_value());
  const std::size_t each = sizeof(mamba2::LayerWeights) + sizeof(mamba2::Weights::Step);
  const std::size_t pointers = sizeof(mamba2::Weights) + tests::small_config().n_layer * each;
  CHECK(counted::live_bytes - heap < pointers + 128);
  CHECK(counted::mapped_bytes == mapped);
}

/// From here on every system call of any thread ends the process with SIGSYS, but those that wake
/// and park threads (of the clock, which needs none as a rule) and end it. False: not possible
/// here.
bool forbid_system_calls() {
  std::vector<sock_filter> filter = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const long allowed : {SYS_futex, SYS_sched_yield, SYS_clock_gettime, SYS_exit_group}) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(allowed), 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  const sock_fprog program = {static_cast<unsigned short>(filter.size()), filter.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0;
}

/// The exit status of a child process, 128 + its number if a signal ended it.
template <class Body>
int in_child(Body body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

constexpr int kImpossible = 77;

/// load() -> AnyModel.
template <class Load>
void check_system_calls(const std::string& name, Load load) {
  for (const std::size_t threads : {std::size_t{1}, std::size_t{3}}) {
    CAPTURE(name);
    CAPTURE(threads);
    const int status = in_child([&] {
      const mamba2::AnyModel loaded = load();
      Work work(loaded, threads, StatePrecision::fp32);
      work.meet(threads);
      if (!forbid_system_calls()) return kImpossible;
      ::_exit(work.run() ? 0 : 1);  // destructors do make system calls
      return 0;
    });
    if (status == kImpossible) {
      MESSAGE("not checked: the system has no seccomp");
    } else {
      CHECK(status == 0);
    }
  }
}

template <class WeightT>
void check_system_calls(const std::string& name) {
  check_system_calls(name, model<WeightT>);
}

#define FOR_POLICIES(check)    \
  check<mamba2::Fp32>("fp32"); \
  check<mamba2::Fp16>("fp16"); \
  check<mamba2::Bf16>("bf16"); \
  check<mamba2::Int8>("int8"); \
  check<mamba2::Int4>("int4"); \
  check<mamba2::Mixed>("mixed");

}  // namespace

TEST_CASE("requests for memory are counted") {
  const auto count = [](auto ask) {
    const std::size_t before = counted::requests;
    ask();
    return counted::requests - before;
  };
  CHECK(count([] { ::operator delete(tests::used(::operator new(100))); }) == 1);
  CHECK(count([] {
          std::vector<int> v(1000, 1);
          tests::used(v.data());
          v.resize(5000);
          tests::used(v.data());
        }) == 2);
  CHECK(count([] { std::free(tests::used(std::realloc(tests::used(std::malloc(10)), 1000))); }) ==
        2);
  CHECK(count([] { std::free(tests::used(std::aligned_alloc(64, 64))); }) == 1);
  CHECK(count([] { mamba2::Arena::create(100).value(); }) == 1);
  CHECK(count([] {}) == 0);
}

TEST_CASE("reading tokens asks for no memory"){FOR_POLICIES(check_requests)}

TEST_CASE("decoding with drafts asks for no memory") {
  const nlohmann::json config = reference::random_hybrid_config(reference::Writer::granite, 5);
  const reference::Checkpoint files =
      reference::write_hybrid(config, reference::random_hybrid(config, 5));
  const auto loaded = tests::HybridModel{files.config_json, files.safetensors, {}, {}}.load(
      mamba2::kPlan<mamba2::Fp32>);
  for (const std::size_t drafts : {std::size_t{0}, std::size_t{5}}) {
    auto session = loaded.session({.rewind = 16}).value();
    auto speculator =
        mamba2::Speculator::create(loaded.config(), loaded.session({.rewind = 16}).value(),
                                   {.remembered = 64, .drafts = drafts})
            .value();
    const std::vector<Token> tokens = reference::Random(6).tokens(200, 4);
    bool good = session.prefill(std::span(tokens).first(20)).has_value();
    const std::size_t before = counted::requests;
    speculator.read(0, std::span(tokens).first(20));
    {
      mamba2::SpeculativeDecoder decoder(session, &speculator);
      for (const Token token : std::span(tokens).subspan(20)) {
        good = decoder.decode(token).has_value() && good;
      }
      good = decoder.finish().has_value() && good;
    }
    const std::size_t after = counted::requests;
    CHECK(good);
    CHECK(after - before == 0);
    CHECK(speculator.stats().drafted > 0);
  }
}

TEST_CASE("choosing tokens asks for no memory") {
  const std::vector<float> logits =
      reference::to_float(reference::Random(8).normals(300, 0.0, 2.0));
  auto sampler = mamba2::Sampler::create({.top_k = 90,
                                          .min_p = 0.001F,
                                          .presence_penalty = 0.2F,
                                          .frequency_penalty = 0.1F,
                                          .logit_bias = {{3, 1.0F}, {4, mamba2::kBanned}}},
                                         300)
                     .value();
  std::size_t told = 0;
  mamba2::GenerateOptions options;
  options.max_tokens = 100;
  options.edit_logits = [&](std::span<float> edited, std::span<const Token> tokens) {
    edited[tokens.size()] += 0.5F;
  };
  options.on_token = [&](const mamba2::GeneratedToken& token) { told += token.best.size(); };
  options.logprobs = true;
  options.best_tokens = 4;
  mamba2::detail::TokenChooser chooser(sampler, options, std::vector<Token>{1, 2}, {});
  const std::size_t before = counted::requests;
  for (int i = 0; i < 100; ++i) {
    const auto token = chooser.choose(logits, 1);
    if (token) chooser.add(*token, logits);
  }
  const std::size_t after = counted::requests;
  CHECK(told == 400);
  CHECK(after - before == 0);
}

TEST_CASE("holding a text to a grammar asks for no memory") {
  const auto tokenizer =
      mamba2::Tokenizer::load(MAMBA2_SOURCE_DIR "/examples/models/llama-tales-14m").value();
  const mamba2::GrammarTokens tokens(tokenizer);
  for (const char* schema : {R"({"type": "object"})", R"({"type": "array", "minItems": 5, "items":
      {"anyOf": [{"type": "string", "maxLength": 9}, {"type": "number"}]}})"}) {
    mamba2::Constraint constraint(mamba2::json_schema_grammar(schema, tokens).value());
    auto sampler = mamba2::Sampler::create({.temperature = 1.0F}, tokens.size()).value();
    const std::vector<float> logits =
        reference::to_float(reference::Random(9).normals(tokens.size(), 0.0, 2.0));
    bool good = true;
    const std::size_t before = counted::requests;
    for (int text = 0; text < 10; ++text) {
      good = constraint.begin(60).has_value() && good;
      while (!constraint.finished()) {
        const Token token =
            sampler.sample(logits, [&](std::span<float> edited) { constraint.restrict(edited); });
        if (!sampler.had_choice() || !constraint.accept(token)) break;
      }
      good = constraint.may_end() && good;
    }
    const std::size_t after = counted::requests;
    CHECK(good);
    CHECK(after - before == 0);
  }
}

TEST_CASE("BitMamba-2 asks for no memory and nothing of the system, with an adapter either") {
  reference::BitMamba model = reference::random_bitmamba(60, 36, 2, 8, 1);
  const std::string lora = reference::add_adapter(model, 5, 8.0F, 2);
  const tests::BitMambaModel file{reference::BitMambaWriter(model).bytes, {}, {}};
  auto checkpoint = file.open().value();
  checkpoint.add_lora(std::as_bytes(std::span(lora)), "lora").value();
  checkpoint.repeat({.first = 0, .last = 1, .count = 2}).value();
  for (const mamba2::Plan* plan : {&mamba2::kPlan<mamba2::Fp32>, &mamba2::kPlan<mamba2::Int8>}) {
    const auto load = [&] { return mamba2::AnyModel::load(checkpoint, *plan).value(); };
    check_requests(std::string(plan->name), load());
    check_system_calls(std::string(plan->name), load);
  }
}

TEST_CASE("hybrids ask for no memory and nothing of the system either") {
  for (const reference::Writer writer : tests::kWriters) {
    const auto hybrid = tests::random_hybrid(writer, 4);
    for (const mamba2::Plan* plan : {&mamba2::kPlan<mamba2::Fp32>, &mamba2::kPlan<mamba2::Int4>}) {
      check_requests(std::string(plan->name), hybrid.load(*plan));
      check_system_calls(std::string(plan->name), [&] { return hybrid.load(*plan); });
    }
  }
}

TEST_CASE("nor do experts") {
  for (const reference::Writer writer : tests::kWritersOfExperts) {
    const auto hybrid = tests::random_hybrid_with_experts(writer);
    for (const mamba2::Plan* plan : {&mamba2::kPlan<mamba2::Fp32>, &mamba2::kPlan<mamba2::Int8>}) {
      check_requests(std::string(plan->name), hybrid.load(*plan));
      check_system_calls(std::string(plan->name), [&] { return hybrid.load(*plan); });
    }
  }
}

TEST_CASE("models in the application's memory leave pointers on the heap, and nothing else"){
    FOR_POLICIES(check_loading)}

TEST_CASE("system calls that are forbidden end a process") {
  const int status = in_child([] {
    if (!forbid_system_calls()) return kImpossible;
    return ::getppid() < 0 ? 1 : 0;
  });
  CHECK((status == 128 + SIGSYS || status == kImpossible));
}

TEST_CASE("reading tokens makes no system calls") { FOR_POLICIES(check_system_calls) }
