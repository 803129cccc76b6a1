// SPDX-License-Identifier: Apache-2.0
// The selective scan for one head: rows are its d_state, cols its headdim.
#include <cstdint>

#include "bench/arm/loops.hpp"
#include "mamba2/kernels/scan.hpp"
#include "mamba2/kernels/ssd.hpp"

namespace bench {
namespace {

namespace kernels = mamba2::kernels;

/// The weights of work are the state; in x there is room for B, C and all else, in y for x.
struct Head {
  explicit Head(const Work& work)
      : ssm{1, work.cols, work.rows, 1, work.x + kSome, work.x + 2 * kSome, work.x, 0.0F, 1.0F},
        rows{{work.y, work.tokens, work.cols},
             {work.x + 3 * kSome, work.tokens, work.rows},
             {work.x + 3 * kSome + work.tokens * work.rows, work.tokens, work.rows},
             {work.x, work.tokens, 1}},
        CB(reinterpret_cast<float*>(work.inputs), work.tokens, kernels::kChunk) {}

  static constexpr std::size_t kSome = 256;

  kernels::Ssm ssm;
  kernels::ScanRows rows;
  mamba2::MutableRows CB;
};

template <class Element>
void scan(const Work& work) {
  const Head head(work);
  kernels::scan_head(head.ssm, 0, head.rows, reinterpret_cast<Element*>(work.weights));
}

template <class Element>
void ssd(const Work& work) {
  const Head head(work);
  kernels::scan_head_in_chunks(head.ssm, 0, head.rows, head.CB,
                               reinterpret_cast<Element*>(work.weights));
}

void chunk_products(const Work& work) {
  const Head head(work);
  kernels::chunk_products(head.ssm, head.rows, 0, 0, work.tokens, head.CB);
}

}  // namespace

std::span<const Loop> scans() {
  static constexpr Loop kLoops[] = {{"scan_fp32", scan<float>, nullptr},
                                    {"scan_fp16", scan<std::uint16_t>, nullptr},
                                    {"ssd_fp32", ssd<float>, nullptr},
                                    {"ssd_fp16", ssd<std::uint16_t>, nullptr},
                                    {"chunk_products", chunk_products, nullptr}};
  return kLoops;
}

}  // namespace bench
