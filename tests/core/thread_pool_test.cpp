// SPDX-License-Identifier: Apache-2.0
// The thread pool: every task once, whoever runs it, however late the others are.
#include "mamba2/core/thread_pool.hpp"

#include <doctest/doctest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <vector>

#include "mamba2/core/workers.hpp"

using mamba2::ErrorCode;
using mamba2::Executor;
using mamba2::ThreadPool;
using mamba2::ThreadPoolOptions;

namespace {

using std::chrono::milliseconds;

std::shared_ptr<ThreadPool> make_pool(std::size_t threads) {
  auto pool = ThreadPool::create({.threads = threads});
  REQUIRE(pool);
  REQUIRE((*pool)->threads() == threads);
  return *pool;
}

/// How many of the tasks were not run exactly once. The counters are not atomic: run() must order
/// what the threads write.
std::size_t wrong_tasks(Executor& executor, std::size_t count) {
  std::vector<int> calls(count, 0);
  executor.run(count, [&calls](std::size_t i) { ++calls[i]; });
  std::size_t wrong = 0;
  for (const int n : calls) wrong += n != 1;
  return wrong;
}

void sleep_for(milliseconds time) { std::this_thread::sleep_for(time); }

/// Long enough for waiting workers to have gone to sleep.
constexpr milliseconds kParking{3};

/// What an application with threads of its own writes.
class ReverseExecutor final : public Executor {
 public:
  void run(std::size_t count, mamba2::Task task) noexcept override {
    std::thread helper([&] {
      for (std::size_t i = count; i-- > count / 2;) task(i);
    });
    for (std::size_t i = count / 2; i-- > 0;) task(i);
    helper.join();
  }
};

void check_refused_pool(const ThreadPoolOptions& options, std::string_view message) {
  const auto pool = ThreadPool::create(options);
  REQUIRE(!pool);
  CHECK(pool.error().code == ErrorCode::invalid_argument);
  CAPTURE(pool.error().message);
  CHECK(pool.error().message.find(message) != std::string::npos);
}

}  // namespace

TEST_CASE("thread pool: every task is run once, whatever the number of tasks and threads") {
  for (const std::size_t threads : {1U, 2U, 3U, 8U}) {
    CAPTURE(threads);
    const auto pool = make_pool(threads);
    for (const std::size_t count : {0U, 1U, 2U, 3U, 17U, 1000U, 100000U}) {
      CAPTURE(count);
      CHECK(wrong_tasks(*pool, count) == 0);
    }
  }
}

TEST_CASE("thread pool: more tasks than one job takes") {
  CHECK(wrong_tasks(*make_pool(3), 3 * (std::size_t{1} << 20) + 5) == 0);
}

TEST_CASE("thread pool: thousands of jobs back to back") {
  for (const std::size_t threads : {2U, 3U, 8U}) {
    CAPTURE(threads);
    const auto pool = make_pool(threads);
    std::size_t wrong = 0;
    for (std::size_t job = 0; job < 5000; ++job) wrong += wrong_tasks(*pool, job % 41);
    CHECK(wrong == 0);
  }
}

TEST_CASE("thread pool: each job sees what the one before has written") {
  const auto pool = make_pool(3);
  std::vector<unsigned> values(64, 1);
  std::vector<unsigned> next(64);
  for (int job = 0; job < 2000; ++job) {
    pool->run(64, [&](std::size_t i) { next[i] = values[63 - i] + values[(i + 17) % 64]; });
    values.swap(next);
  }
  const std::vector<unsigned> expected(64, 0);  // 2^2000 in 32 bits
  CHECK(values == expected);
}

TEST_CASE("thread pool: jobs for sleeping workers") {
  for (const std::size_t threads : {2U, 8U}) {
    const auto pool = make_pool(threads);
    for (int job = 0; job < 20; ++job) {
      sleep_for(kParking);
      CHECK(wrong_tasks(*pool, 100) == 0);
      CHECK(wrong_tasks(*pool, 7) == 0);
    }
  }
}

TEST_CASE("thread pool: the caller sleeps while a worker is busy") {
  const auto pool = make_pool(2);
  const auto caller = std::this_thread::get_id();
  for (int job = 0; job < 20; ++job) {
    std::atomic<std::size_t> done{0};
    pool->run(2, [&](std::size_t) {
      if (std::this_thread::get_id() != caller) sleep_for(kParking);
      ++done;
    });
    CHECK(done == 2);
  }
}

TEST_CASE("thread pool: a thread that is stuck in a task does not keep others from its range") {
  constexpr std::size_t kCount = 64;
  for (const std::size_t threads : {2U, 3U, 8U}) {
    const auto pool = make_pool(threads);
    // The stuck task returns when all others are done: wherever it is, and whoever is in it.
    for (std::size_t stuck = 0; stuck < kCount; ++stuck) {
      std::atomic<std::size_t> done{0};
      pool->run(kCount, [&](std::size_t i) {
        while (i == stuck && done < kCount - 1) std::this_thread::yield();
        ++done;
      });
      CHECK(done == kCount);
    }
  }
}

TEST_CASE("thread pool: a single thread that is not stuck does the work of all") {
  constexpr std::size_t kThreads = 4;
  constexpr std::size_t kCount = 1000;
  const auto pool = make_pool(kThreads);
  for (int job = 0; job < 10; ++job) {
    // The first tasks of three of the four ranges wait for all tasks but themselves.
    std::atomic<std::size_t> done{0};
    pool->run(kCount, [&](std::size_t i) {
      const bool stuck = i == 0 || i == 250 || i == 500;
      while (stuck && done < kCount - 3) std::this_thread::yield();
      ++done;
    });
    CHECK(done == kCount);
  }
}

TEST_CASE("thread pool: destruction, whatever the workers are doing") {
  for (const std::size_t threads : {1U, 2U, 8U}) {
    make_pool(threads);                                                             // starting
    for (int i = 0; i < 50; ++i) CHECK(wrong_tasks(*make_pool(threads), 10) == 0);  // spinning
    const auto parked = make_pool(threads);
    sleep_for(kParking);
  }
}

TEST_CASE("thread pool: two pools at once, and one inside the other's task") {
  const auto one = make_pool(2);
  const auto two = make_pool(3);
  std::size_t wrong_one = 0;
  std::thread thread([&] {
    for (int job = 0; job < 1000; ++job) wrong_one += wrong_tasks(*one, 20);
  });
  std::size_t wrong_two = 0;
  for (int job = 0; job < 1000; ++job) wrong_two += wrong_tasks(*two, 20);
  thread.join();
  CHECK(wrong_one == 0);
  CHECK(wrong_two == 0);
  std::array<std::size_t, 4> wrong{};
  const std::array inner{make_pool(2), make_pool(2), make_pool(2), make_pool(2)};
  one->run(4, [&](std::size_t i) { wrong[i] = wrong_tasks(*inner[i], 50); });
  CHECK(wrong == std::array<std::size_t, 4>{});
}

TEST_CASE("thread pool: one that moves from thread to thread between jobs") {
  const auto pool = make_pool(3);
  for (int job = 0; job < 20; ++job) {
    std::thread([&pool] { CHECK(wrong_tasks(*pool, 33) == 0); }).join();
  }
}

TEST_CASE("thread pool: one thread is the caller's") {
  const auto pool = make_pool(1);
  const auto caller = std::this_thread::get_id();
  std::size_t elsewhere = 0;
  pool->run(100, [&](std::size_t) { elsewhere += std::this_thread::get_id() != caller; });
  CHECK(elsewhere == 0);
}

TEST_CASE("thread pool: a job of one task is run by the caller") {
  const auto pool = make_pool(3);
  const auto caller = std::this_thread::get_id();
  for (int job = 0; job < 100; ++job) {
    bool here = false;
    pool->run(1, [&](std::size_t i) { here = i == 0 && std::this_thread::get_id() == caller; });
    CHECK(here);
  }
}

TEST_CASE("thread pool: the default uses what is there, and says so") {
  const auto pool = ThreadPool::create();
  REQUIRE(pool);
  CHECK((*pool)->threads() == mamba2::default_placement(mamba2::allowed_cpus()).threads);
  CHECK(wrong_tasks(**pool, 1000) == 0);
}

TEST_CASE("thread pool: what cannot be had is an error") {
  check_refused_pool({.threads = 1025}, "cannot use 1025 threads: 1024 is the most");
  check_refused_pool({.threads = 2, .cpus = {-1}}, "cannot use CPU -1: this thread may use ");
  check_refused_pool({.threads = 2, .cpus = {mamba2::allowed_cpus()[0], 8191}},
                     "cannot use CPU 8191");
  check_refused_pool({.threads = 0, .cpus = {1 << 30}}, "cannot use CPU 1073741824");
}

TEST_CASE("an executor of the application's own") {
  ReverseExecutor executor;
  CHECK(wrong_tasks(executor, 1001) == 0);
  mamba2::SerialExecutor serial;
  CHECK(wrong_tasks(serial, 1001) == 0);
}

#if defined(__linux__)

namespace {

/// Runs look() in a worker of the pool.
template <class Function>
void run_in_worker(ThreadPool& pool, Function look) {
  const auto caller = std::this_thread::get_id();
  std::atomic<bool> looked{false};
  pool.run(2, [&](std::size_t) {
    if (std::this_thread::get_id() != caller) {
      look();
      looked = true;
    }
    while (!looked) std::this_thread::yield();
  });
}

}  // namespace

TEST_CASE("thread pool: workers stay on their CPUs, the caller stays where it was") {
  const std::vector<int> before = mamba2::allowed_cpus();
  const int last = before.back();
  const auto pool = ThreadPool::create({.threads = 2, .cpus = {last, last}});
  REQUIRE(pool);
  const std::vector<int> expected{last};
  CHECK(std::vector<int>((*pool)->cpus().begin(), (*pool)->cpus().end()) == expected);
  std::vector<int> found;
  run_in_worker(**pool, [&found] { found = mamba2::allowed_cpus(); });
  CHECK(found == expected);
  CHECK(mamba2::allowed_cpus() == before);
  const auto counted = ThreadPool::create({.threads = 0, .cpus = before});
  REQUIRE(counted);
  CHECK((*counted)->threads() == before.size());
}

TEST_CASE("thread pool: CPUs that cannot be used at the moment are left out") {
  const std::vector<int> all = mamba2::allowed_cpus();
  if (!std::filesystem::exists("/sys/devices/system/cpu/present") || all.size() < 2) return;
  std::thread([&all] {
    const std::vector<int> last{all.back()};
    REQUIRE(mamba2::place_this_thread(last));
    const auto pool = ThreadPool::create({.threads = 0, .cpus = all});
    REQUIRE(pool);
    CHECK((*pool)->threads() == 1);
    CHECK(std::vector<int>((*pool)->cpus().begin(), (*pool)->cpus().end()) == last);
    CHECK(mamba2::place_this_thread(all));
    CHECK(!ThreadPool::create({.threads = 2, .cpus = {all.front()}}));
  }).join();
}

TEST_CASE("thread pool: a CPU that goes away while a thread is placed is no failure") {
  std::thread([] {
    const std::vector<int> before = mamba2::allowed_cpus();
    const std::vector<int> gone{8191};
    CHECK(mamba2::detail::place_thread(::pthread_self(), gone));
    CHECK(mamba2::allowed_cpus() == before);
  }).join();
}

TEST_CASE("workers: threads, CPUs or an executor") {
  const std::vector<int> cpus{mamba2::allowed_cpus().back()};
  const auto pool = mamba2::Workers{.threads = 2, .cpus = cpus}.get();
  REQUIRE(pool);
  auto* placed = dynamic_cast<ThreadPool*>(pool->get());
  REQUIRE(placed != nullptr);
  std::vector<int> found;
  run_in_worker(*placed, [&found] { found = mamba2::allowed_cpus(); });
  CHECK(found == cpus);
  CHECK(!mamba2::Workers{.threads = 1, .cpus = {8191}}.get());
  const auto serial = mamba2::Workers{.threads = 1}.get();
  REQUIRE(serial);
  CHECK(wrong_tasks(**serial, 10) == 0);
  CHECK(mamba2::Workers{.threads = 5000, .executor = *serial}.get().value() == *serial);
}

TEST_CASE("thread pool: workers leave signals to the application, and have a name") {
  const auto pool = make_pool(2);
  std::array<char, 16> name{};
  sigset_t blocked;
  run_in_worker(*pool, [&] {
    pthread_getname_np(pthread_self(), name.data(), name.size());
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  });
  CHECK(std::string_view(name.data()) == "mamba2");
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGALRM, SIGCHLD, SIGUSR1, SIGPIPE}) {
    CHECK(sigismember(&blocked, signal) == 1);
  }
  CHECK(sigismember(&blocked, SIGSEGV) == 0);
  pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  CHECK(sigismember(&blocked, SIGINT) == 0);
}

// ThreadSanitizer does not allow threads in a forked child.
#if !defined(__SANITIZE_THREAD__)
TEST_CASE("thread pool: threads that cannot be started are an error, and the others end") {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    // Root has no limit. (nobody = 65534)
    const rlimit limit{3, 3};
    if (::getuid() == 0 && ::setuid(65534) != 0) ::_exit(2);
    if (::setrlimit(RLIMIT_NPROC, &limit) != 0) ::_exit(2);
    const auto pool = ThreadPool::create({.threads = 1024});
    if (pool) ::_exit(2);  // no such limit here, or not in force
    const std::string& text = pool.error().message;
    const bool told = pool.error().code == ErrorCode::out_of_memory &&
                      text.starts_with("cannot start thread ") &&
                      text.ends_with(" of 1024: the limit on threads or memory is reached");
    ::_exit(told ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  WARN(WEXITSTATUS(status) != 2);
  CHECK(WEXITSTATUS(status) != 1);
}
#endif

#endif
