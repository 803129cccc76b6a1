// SPDX-License-Identifier: Apache-2.0
#include "mamba2/unicode/case.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace {

using namespace mamba2::detail;

std::string lower(std::string_view text) {
  std::string out;
  append_lower(text, out);
  return out;
}

}  // namespace

TEST_CASE("simple case folding") {
  CHECK(simple_fold('A') == 'a');
  CHECK(simple_fold('a') == 'a');
  CHECK(simple_fold('1') == '1');
  CHECK(simple_fold(0x212A) == 'k');   // Kelvin
  CHECK(simple_fold(0x17F) == 's');    // long s
  CHECK(simple_fold(0x3C2) == 0x3C3);  // final sigma
  CHECK(simple_fold(0x1E9E) == 0xDF);
  CHECK(simple_fold(0x13A0) == 0x13A0);
  CHECK(simple_fold(0xAB70) == 0x13A0);  // Cherokee folds to capitals
  CHECK(simple_fold(0x130) == 0x130);
  CHECK(simple_fold(0x10D50) == 0x10D70);  // of Unicode 16
  for (const CasePair pair : case_pairs(kFoldRuns)) {
    if (simple_fold(pair.to) != pair.to) FAIL("code point " << static_cast<unsigned>(pair.from));
  }
}

TEST_CASE("other cases of a set") {
  CharSet set('k', 'k');
  add_other_cases(set);
  CHECK(set.contains('K'));
  CHECK(set.contains(0x212A));
  CHECK(set.ranges().size() == 3);
  CharSet digits('0', '9');
  add_other_cases(digits);
  CHECK(digits == CharSet('0', '9'));
}

TEST_CASE("characters that fold to several") {
  CHECK(full_folds().size() == 104);
  for (const FullFold& fold : full_folds()) {
    CHECK(fold.to[0] != 0);
    CHECK(fold.to[1] != 0);
    if (fold.from == 0xDF) CHECK((fold.to[0] == 's' && fold.to[1] == 's' && fold.to[2] == 0));
  }
}

TEST_CASE("lower case, each character for itself") {
  CHECK(lower("") == "");
  CHECK(lower("Hello WORLD 1!") == "hello world 1!");
  CHECK(lower("ÄÖÜ ЖУК ΑΣ") == "äöü жук ασ");  // no final sigma
  CHECK(lower("\u0130I\u0131") == "i\u0307i\u0131");
  CHECK(lower("\u1E9E\u212A\u01C5") ==
        "ß"
        "k\u01C6");
  CHECK(lower("\U00010400\U00016EA0") == "\U00010428\U00016EBB");  // the latter of Unicode 17
  CHECK(lower("中文 \U0001F600") == "中文 \U0001F600");
}
