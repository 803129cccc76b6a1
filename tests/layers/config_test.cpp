// SPDX-License-Identifier: Apache-2.0
#include "mamba2/layers/config.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <set>
#include <string>
#include <string_view>

using mamba2::Config;

namespace {

std::string problem(void (*change)(Config&)) {
  Config config;
  change(config);
  const auto outcome = config.validate();
  return outcome ? "none" : outcome.error().message;
}

/// Converts to a member of any type.
struct Any {
  template <class Member>
  operator Member() const;  // NOLINT(google-explicit-constructor): to initialise by
};

/// How many members an aggregate has.
template <class Aggregate, class... Members>
constexpr std::size_t count_members() {
  if constexpr (requires { Aggregate{Members()..., Any()}; }) {
    return count_members<Aggregate, Members..., Any>();
  } else {
    return sizeof...(Members);
  }
}

}  // namespace

TEST_CASE("fields() lists every member once") {
  const Config config;
  std::set<std::string_view> names;
  std::set<const void*> places;
  mamba2::fields(config, [&](std::string_view name, const auto& member) {
    names.insert(name);
    places.insert(&member);
  });
  CHECK(names.size() == count_members<Config>());
  CHECK(places.size() == count_members<Config>());
}

TEST_CASE("the defaults are mamba2-2.7b") {
  const Config config;
  CHECK(config.validate());
  CHECK(config.nheads() == 80);
  CHECK(config.conv_dim() == 5376);
  CHECK(config.d_in_proj() == 10576);
  CHECK(config.d_mlp() == 0);
}

TEST_CASE("validate names the key, what was expected and what was found") {
  CHECK(problem([](Config&) {}) == "none");
  CHECK(problem([](Config& c) { c.vocab_size = 0; }) ==
        "vocab_size must be in 1..16777216, found 0");
  CHECK(problem([](Config& c) { c.headdim = 7; }) ==
        "headdim must be a divisor of d_ssm 5120, found 7");
  CHECK(problem([](Config& c) { c.ngroups = 3; }) ==
        "ngroups must be a divisor of nheads 80, found 3");
  CHECK(problem([](Config& c) { c.d_ssm = 5184; }) ==
        "d_ssm must be at most d_inner 5120, found 5184");
  CHECK(problem([](Config& c) { c.d_model = std::size_t{1} << 31; }).find("d_model") !=
        std::string::npos);
  CHECK(problem([](Config& c) { c.n_layer = 1000000; }).find("n_layer") != std::string::npos);
  CHECK(problem([](Config& c) { c.d_conv = 0; }).find("d_conv") != std::string::npos);
  CHECK(problem([](Config& c) { c.dt_min = 0.2F, c.dt_max = 0.1F; }) ==
        "dt_limit must be 0 <= min <= max, found 0.2..0.1");
  CHECK(problem([](Config& c) { c.norm_eps = -1.0F; }).find("norm_eps") != std::string::npos);
  CHECK(problem([](Config& c) { c.eos_token_ids = {50288}; }) ==
        "eos_token_id must be in 0..50287, found 50288");
}
