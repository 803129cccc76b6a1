// SPDX-License-Identifier: Apache-2.0
// Numbers are read and written alike whatever the application's locale: here one that writes 1.5
// as 1,5 and 1000 as 1.000.
#include <doctest/doctest.h>

#include <clocale>
#include <cstdio>
#include <locale>
#include <string>

#include "mamba2/core/result.hpp"
#include "mamba2/io/config_json.hpp"
#include "mamba2/io/transformers_export.hpp"

namespace {

class CommaNumbers : public std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

/// The locale of C and of C++ until its end.
class CommaLocale {
 public:
  CommaLocale() {
    // Whichever the system has; the environment's LOCPATH may name a folder with more.
    for (const char* name : {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "es_ES.UTF-8", "de_DE"}) {
      in_c_ = in_c_ || std::setlocale(LC_ALL, name) != nullptr;
    }
    before_ = std::locale::global(std::locale(std::locale::classic(), new CommaNumbers));
    // global() with a locale without a name leaves that of C alone.
  }
  CommaLocale(const CommaLocale&) = delete;
  CommaLocale& operator=(const CommaLocale&) = delete;
  ~CommaLocale() {
    std::locale::global(before_);
    std::setlocale(LC_ALL, "C");
  }

  [[nodiscard]] bool in_c() const { return in_c_; }

 private:
  bool in_c_ = false;
  std::locale before_;
};

std::string in_words() {
  constexpr const char* kConfig = R"({"model_type": "mamba2", "hidden_size": 1280,
      "num_hidden_layers": 2, "vocab_size": 1000, "expand": 2, "head_dim": 64, "num_heads": 40,
      "state_size": 128, "n_groups": 1, "conv_kernel": 4, "layer_norm_epsilon": 1.25e-3,
      "time_step_limit": [0.0009765625, 1234.5]})";
  const auto config = mamba2::parse_config(kConfig);
  if (!config) return config.error().message;
  return mamba2::detail::concat(config->d_model, " ", config->norm_eps, " ", config->dt_min, " ",
                                config->dt_max, "\n",
                                mamba2::transformers_config(*config, {}, mamba2::DType::F32));
}

}  // namespace

TEST_CASE("numbers do not depend on the locale") {
  const std::string expected = in_words();
  CHECK(expected.starts_with("1280 0.00125 0.0009765625 1234.5\n"));
  const CommaLocale comma;
  std::string c = "1.5";
  std::snprintf(c.data(), c.size() + 1, "%.1f", 1.5);
  if (comma.in_c()) {
    CHECK(c == "1,5");
  } else {
    MESSAGE("not checked with a locale of C: the system has none with a comma");
  }
  CHECK(std::use_facet<std::numpunct<char>>(std::locale()).decimal_point() == ',');
  CHECK(in_words() == expected);
}
