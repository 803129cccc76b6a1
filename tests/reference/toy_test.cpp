// SPDX-License-Identifier: Apache-2.0
// The oracle against numbers that were computed independently for the toy model.
#include "tests/reference/toy.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>
#include <vector>

#include "tests/reference/compare.hpp"

namespace {

using namespace reference;
using Values = std::vector<double>;

constexpr double kPrinted = 5.1e-8;  // the numbers have seven decimals

double error(const Values& actual, std::size_t begin, const Values& expected) {
  if (begin + expected.size() > actual.size()) return 1.0;
  return max_abs_difference(std::span(actual).subspan(begin, expected.size()), expected);
}

TEST_CASE("toy: the fill") {
  const Weights w = toy_weights();
  CHECK(error(w.embedding, 0,
              {0.9635582, 0.9386148, 0.5392891, -0.1052123, -0.7218054, -0.9993011, -0.7546925,
               -0.0761116}) < kPrinted);
  CHECK(error(w.blocks[0].in_proj, 0,
              {0.2564279, -0.1082484, -0.4429237, -0.5987177, -0.4828255, -0.1240108, 0.3109558,
               0.5817929}) < kPrinted);
  CHECK(error(w.blocks[0].A_log, 0, {0.0061218, 0.3883492, 0.8287058, 1.1428239}) < kPrinted);
  CHECK(error(w.blocks[1].out_proj, 8 * 16 - 4, {0.1953886, -0.4471542, 0.4822181, -0.2595915}) <
        kPrinted);
  CHECK(error(w.norm_f, 0,
              {1.1789582, 1.0932352, 0.9673396, 0.8512000, 0.8000946, 0.8465482, 0.9757486,
               1.1222191}) < kPrinted);
}

TEST_CASE("toy: inside the first block") {
  const Config config = toy_config();
  const Weights weights = toy_weights();
  const BlockWeights& block = weights.blocks[0];
  const Values u = rms_norm(embed(config, weights, toy_tokens()), block.norm, config.d_model,
                            decimal(config.norm_eps));
  CHECK(error(u, 0,
              {1.1055788, 1.5437691, 0.9070010, -0.1893970, -0.9847139, -1.0747318, -0.2415125,
               1.1347185}) < kPrinted);
  BlockState state(config);
  const MixerTrace m = mixer_trace(config, block, u, state);
  CHECK(error(m.z, 0, {1.0218486, 1.1171920, -2.9669172, 1.8324590}) < kPrinted);
  CHECK(error(m.xBC, 0, {0.5311081, -0.9323082, 0.9590948, 0.4765210}) < kPrinted);
  CHECK(error(m.dt, 0, {-0.9872950, -0.1841474, -0.9081958, 1.5923397}) < kPrinted);
  CHECK(error(m.scan.x, 0, {-0.1261408, -0.1936638, -0.1751154, 0.0160525}) < kPrinted);
  CHECK(error(m.scan.delta, 0, {0.0599438, 0.1543281, 0.1181782, 1.2771223}) < kPrinted);
  CHECK(error(m.y, 0,
              {-0.1211478, -0.1859980, -0.1681838, 0.0154171, 0.0635420, 0.7542235, -0.2521540,
               -0.1773817, 0.1062490, -0.1264764, -0.1483064, 0.1588139, 0.1216271, 0.7971197,
               -0.0656306, 1.0347232}) < kPrinted);
  CHECK(error(m.output, 0,
              {0.3157756, 0.2532648, 3.3924150, 0.5394528, -1.0181227, 0.6498894, -0.6778003,
               1.1178736}) < kPrinted);
  CHECK(error(m.output, 5 * config.d_model,
              {-1.0406993, -0.2262866, 0.0592297, -2.6812184, -0.7900034, 3.3853433, 2.2143798,
               0.9908143}) < kPrinted);
}

TEST_CASE("toy: logits") {
  const Config config = toy_config();
  const Values logits = forward(config, toy_weights(), toy_tokens());
  CHECK(error(logits, 0,
              {2.4324603, 3.5920064, -1.2264512, 1.9221087, -2.0518781, -1.0961522, 1.2608787,
               -1.6059482, -0.9387163, -1.1212840, 0.9106403, 0.9300621, 1.0663296, 0.5518233,
               0.0351051, -1.0437801}) < kPrinted);
  CHECK(error(logits, 5 * config.vocab_size,
              {-2.2522790, -1.1596256, 0.8917853, 0.0547038, -4.1732395, -2.3097865, 3.1928488,
               0.0033318, 2.3462684, 2.8448224, -3.8759420, -0.2752587, -1.3227995, 0.3719198,
               -0.2629166, 3.3989519}) < kPrinted);
  CHECK(std::accumulate(logits.begin(), logits.end(), 0.0) ==
        doctest::Approx(-7.561176506331593).epsilon(1e-12));

  const auto best = [&](std::size_t ids) {
    std::vector<std::ptrdiff_t> argmax;
    for (auto row = logits.begin(); row != logits.end(); row += 16) {
      argmax.push_back(std::max_element(row, row + static_cast<std::ptrdiff_t>(ids)) - row);
    }
    return argmax;
  };
  CHECK(best(16) == std::vector<std::ptrdiff_t>{1, 0, 2, 3, 6, 15});
  CHECK(best(10) == std::vector<std::ptrdiff_t>{1, 0, 2, 3, 6, 6});
}

TEST_CASE("toy: the final state") {
  const Config config = toy_config();
  reference::State state(config);
  forward(config, toy_weights(), toy_tokens(), state);
  const Values& ssm0 = state.blocks[0].ssm;
  const Values& ssm1 = state.blocks[1].ssm;
  CHECK(error(ssm0, 3 * 16,
              {-0.0205390, -0.0082189, -0.0223190, -0.0199044, -0.0109457, -0.0321552, 0.0341650,
               0.0570638, 0.0063581, -0.0078179, 0.0302905, 0.0385378, -0.0259223, -0.0179753,
               -0.0295763, -0.0224956}) < kPrinted);
  CHECK(error(ssm1, 0,
              {-0.0391571, -0.0559229, -0.1064396, -0.0554306, -0.0586426, -0.0624599, -0.0536854,
               0.3020720, -0.0172420, -0.0112557, -0.0175044, 0.3816105, -0.0502908, -0.0444839,
               0.1191243, 0.4167718}) < kPrinted);
  CHECK(std::accumulate(ssm0.begin(), ssm0.end(), 0.0) ==
        doctest::Approx(-0.4756774302625433).epsilon(1e-12));
  CHECK(std::accumulate(ssm1.begin(), ssm1.end(), 0.0) ==
        doctest::Approx(0.9037034327713306).epsilon(1e-12));

  const Values& conv = state.blocks[0].conv;
  const auto channel = [&conv](std::size_t ch) {
    return Values{conv[ch], conv[32 + ch], conv[64 + ch]};
  };
  CHECK(error(channel(0), 0, {-0.2163257, 1.2312174, -1.4799457}) < kPrinted);
  CHECK(error(channel(16), 0, {1.0376414, 2.6890519, -0.7966879}) < kPrinted);
  CHECK(error(channel(31), 0, {0.5123532, 0.2649630, 2.3479678}) < kPrinted);
}

TEST_CASE("toy: the ungrouped norm gives the known wrong logits") {
  const Config config = toy_config();
  const Values logits =
      forward(config, toy_weights(), toy_tokens(), Options{.ungrouped_norm = true});
  CHECK(error(logits, 5 * config.vocab_size, {-4.1579062, -3.0292953, 1.3054384, -0.1086587}) <
        kPrinted);
}

}  // namespace
