// SPDX-License-Identifier: Apache-2.0
#include "mamba2/kernels/kv_cache.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "tests/kernels/attention_sequence.hpp"
#include "tests/reference/compare.hpp"

using reference::max_abs_difference;
using tests::AttentionSequence;
using tests::KvLayout;
using tests::KvPrecision;

namespace {

/// What the parts of the first `tokens` tokens hold, put together.
std::vector<std::byte> used_parts(AttentionSequence& sequence, std::size_t tokens) {
  std::vector<std::byte> bytes;
  sequence.layout.for_parts(tokens, [&](std::size_t offset, std::size_t count) {
    bytes.insert(bytes.end(), sequence.cache() + offset, sequence.cache() + offset + count);
  });
  return bytes;
}

}  // namespace

TEST_CASE("a layout has a place for everything, in order and without overlap") {
  for (const KvPrecision precision : tests::kPrecisions) {
    for (const std::size_t headdim : std::vector<std::size_t>{1, 5, 20, 24, 64, 80, 160}) {
      for (const std::size_t context :
           std::vector<std::size_t>{1, 16, 17, 255, 256, 257, 300, 512, 1000}) {
        CAPTURE(static_cast<int>(precision));
        CAPTURE(headdim);
        CAPTURE(context);
        const KvLayout layout = {3, headdim, context, precision};
        std::size_t end = 0;
        for (std::size_t block = 0; block < KvLayout::blocks(context); ++block) {
          CHECK(layout.room(block) % 16 == 0);
          CHECK(layout.room(block) >= std::min<std::size_t>(256, context - block * 256));
          for (std::size_t head = 0; head < 3; ++head) {
            CHECK(layout.unit_offset(block, head) == end);
            CHECK(end % 64 == 0);
            CHECK(layout.values_offset(block) % 64 == 0);
            CHECK(layout.scales_offset(block) % 64 == 0);
            end += layout.unit_bytes(block);
          }
        }
        CHECK(layout.bytes() == end);
        // Room for at most 15 tokens more than asked for, padding of channels and lines apart.
        const std::size_t token = layout.unit_bytes(0) / layout.room(0) * 3;
        CHECK(layout.bytes() <= token * (context + 15));

        std::size_t last = 0;
        std::size_t used = 0;
        layout.for_parts(context, [&](std::size_t offset, std::size_t bytes) {
          CHECK(offset >= last);
          CHECK(bytes > 0);
          last = offset + bytes;
          used += bytes;
        });
        CHECK(last <= layout.bytes());
        CHECK(used == layout.used_bytes(context));
      }
    }
  }
  CHECK(KvLayout{8, 64, 4096, KvPrecision::fp16}.bytes() == 4096 * 8 * 64 * 2 * 2);
  CHECK(KvLayout{8, 64, 4096, KvPrecision::int8}.bytes() == 4096 * 8 * (64 + 4) * 2);
}

TEST_CASE("a cache holds what was stored, rounded to its precision") {
  for (const KvPrecision precision : tests::kPrecisions) {
    for (const std::size_t headdim : std::vector<std::size_t>{1, 5, 24, 64}) {
      CAPTURE(static_cast<int>(precision));
      CAPTURE(headdim);
      AttentionSequence s(2, 2, headdim, precision, 300);
      (void)s.read(0, 300);
      if (precision == KvPrecision::int8) {
        // Keys are rotated; a scale for each token and head, 127 codes to either side.
        for (std::size_t i = 0; i < s.v.size(); i += headdim) {
          const std::size_t t = i / headdim / 2;
          const std::size_t h = i / headdim % 2;
          double most = 0.0;
          for (std::size_t c = 0; c < headdim; ++c)
            most = std::max(most, std::abs(double{s.v[i + c]}));
          double squares = 0.0;
          double stored = 0.0;
          for (std::size_t c = 0; c < headdim; ++c) {
            REQUIRE(std::abs(s.value(t, h, c) - double{s.v[i + c]}) <= most / 127.0 * 0.5001);
            squares += double{s.k[i + c]} * double{s.k[i + c]};
            stored += s.key(t, h, c) * s.key(t, h, c);
          }
          REQUIRE(std::sqrt(stored) == doctest::Approx(std::sqrt(squares)).epsilon(0.02));
        }
        continue;
      }
      for (std::size_t i = 0; i < s.k.size(); ++i) {
        const std::size_t t = i / headdim / 2;
        const std::size_t h = i / headdim % 2;
        const auto rounded = [&](float x) {
          return precision == KvPrecision::fp32 ? x
                                                : mamba2::fp16_to_float(mamba2::float_to_fp16(x));
        };
        REQUIRE(s.key(t, h, i % headdim) == double{rounded(s.k[i])});
        REQUIRE(s.value(t, h, i % headdim) == double{rounded(s.v[i])});
      }
    }
  }
}

TEST_CASE("FP16 stops at 65504") {
  AttentionSequence s(1, 1, 16, KvPrecision::fp16, 2);
  s.k[3] = 1e9F;
  s.v[5] = -std::numeric_limits<float>::infinity();
  (void)s.read(0, 2);
  CHECK(s.key(0, 0, 3) == 65504.0);
  CHECK(s.value(0, 0, 5) == -65504.0);
}

TEST_CASE("INT8 is within three percent, whatever stands out among the channels of keys") {
  for (const std::size_t headdim : std::vector<std::size_t>{64, 128}) {
    CAPTURE(headdim);
    AttentionSequence s(4, 2, headdim, KvPrecision::int8, 280);
    // Some channels of keys are 20 times as large, as in trained models; queries have less there.
    for (std::size_t i = 0; i < s.k.size(); ++i) {
      if (i % headdim % 31 == 7) s.k[i] *= 20.0F;
    }
    for (std::size_t i = 0; i < s.q.size(); ++i) {
      if (i % headdim % 31 == 7) s.q[i] *= 0.05F;
    }
    const auto found = s.read(0, 280);
    const auto exact = s.exact();
    double squares = 0.0;
    double errors = 0.0;
    for (std::size_t i = 0; i < exact.size(); ++i) {
      squares += exact[i] * exact[i];
      errors += (double{found[i]} - exact[i]) * (double{found[i]} - exact[i]);
    }
    const double error = std::sqrt(errors / squares);
    MESSAGE("relative error of INT8, ", headdim, " channels: ", error);
    CHECK(error < 0.03);
  }
}

TEST_CASE("used parts do not depend on the room, and carry a sequence to a cache of another size") {
  for (const KvPrecision precision : tests::kPrecisions) {
    for (const std::size_t tokens : std::vector<std::size_t>{1, 15, 16, 17, 255, 256, 257, 520}) {
      CAPTURE(static_cast<int>(precision));
      CAPTURE(tokens);
      AttentionSequence tight(2, 2, 24, precision, tokens + 1);
      AttentionSequence wide(2, 2, 24, precision, tokens + 1, 2000);
      (void)tight.read(0, tokens);
      (void)wide.read(0, tokens);
      CHECK(wide.layout.used_bytes(tokens) == tight.layout.used_bytes(tokens));
      const auto bytes = used_parts(tight, tokens);
      CHECK(used_parts(wide, tokens) == bytes);

      AttentionSequence copy(2, 2, 24, precision, tokens + 1, 700);
      auto from = bytes.begin();
      copy.layout.for_parts(tokens, [&](std::size_t offset, std::size_t count) {
        std::copy_n(from, count, copy.cache() + offset);
        from += static_cast<std::ptrdiff_t>(count);
      });
      CHECK(copy.read(tokens, 1) == tight.read(tokens, 1));
      CHECK(copy.intact());
    }
  }
}

TEST_CASE("tokens that are taken back leave nothing in the used parts") {
  for (const KvPrecision precision : tests::kPrecisions) {
    struct Case {
      std::size_t kept, read;
    };
    for (const auto& c :
         {Case{0, 5}, Case{3, 4}, Case{16, 40}, Case{17, 300}, Case{255, 257}, Case{256, 300}}) {
      const std::size_t kept = c.kept;
      const std::size_t read = c.read;
      CAPTURE(static_cast<int>(precision));
      CAPTURE(kept);
      CAPTURE(read);
      AttentionSequence s(2, 2, 24, precision, 320);
      AttentionSequence fresh = s;
      (void)s.read(0, read);
      mamba2::kernels::forget(s.layout, s.cache(), kept, read);
      if (kept > 0) (void)fresh.read(0, kept);
      CHECK(used_parts(s, kept) == used_parts(fresh, kept));
      // Other tokens in their place.
      std::reverse(s.k.begin() + static_cast<std::ptrdiff_t>(kept * 48), s.k.end());
      fresh.k = s.k;
      CHECK(s.read(kept, 20) == fresh.read(kept, 20));
      CHECK(used_parts(s, kept + 20) == used_parts(fresh, kept + 20));
    }
  }
}
