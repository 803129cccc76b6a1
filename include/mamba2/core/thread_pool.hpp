// SPDX-License-Identifier: Apache-2.0
// The library's own executor: a few threads that wait for work.
#pragma once

#include <pthread.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): POSIX has more in it than C

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <utility>
#include <vector>

#include "mamba2/core/cpus.hpp"
#include "mamba2/core/executor.hpp"
#include "mamba2/core/linkage.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/core/spin.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

struct ThreadPoolOptions {
  /// How many threads work, the one that calls run() included: 1 starts none, 1024 is the most.
  /// 0: one for each of `cpus` that can be used, or else one per fast core that the creating thread
  /// may use, within the quota of its control groups.
  std::size_t threads = 0;
  /// The CPUs that the pool's own threads are confined to; those that cannot be used at the moment
  /// are left out, as usable_cpus() says. Empty: the fast ones on a machine with
  /// cores of different speed, unless there are fewer of them than `threads`; otherwise no
  /// restriction but that of the creating thread.
  std::vector<int> cpus = {};
};

/// Threads that share out the tasks of run(): each starts with a range of its own, so that it
/// streams through neighbouring memory, and helps the others when it is through. A thread that is
/// asleep, or that the system has put aside, delays nothing but the task that it is in. Waiting
/// threads spin for some microseconds and then sleep. run() allocates nothing, and makes no system
/// call but to wake and to park.
class ThreadPool final : public Executor {
 public:
  static constexpr std::size_t kMaxThreads = 1024;

  /// Starts the threads; they block signals, which are left to the application's own. The calling
  /// thread is not placed anywhere: see place_this_thread and cpus(). Error invalid_argument: too
  /// many threads, and those of usable_cpus(); unsupported: the system cannot confine threads;
  /// out_of_memory: it does not start that many.
  [[nodiscard]] static Result<std::shared_ptr<ThreadPool>> create(
      const ThreadPoolOptions& options = {});

  /// Not while run() is under way.
  ~ThreadPool() override;

  /// As Executor::run. A task must neither throw nor call run() of the pool that it runs in.
  void run(std::size_t count, Task task) noexcept override;

  /// How many threads work, the one that calls run() included.
  [[nodiscard]] std::size_t threads() const noexcept { return shares_.size(); }

  /// The CPUs that the pool's own threads are confined to; empty if to none in particular.
  [[nodiscard]] std::span<const int> cpus() const noexcept { return cpus_; }

 private:
  // One thread's range of the tasks of a job, on a cache line of its own. A ticket is the number of
  // the job (upper half) and the tasks of the range that nobody has taken yet (lower half); taking
  // one means to decrement it. The two halves change together or not at all, so a thread that is
  // late by a job or more cannot take anything by mistake: its decrement fails. (It would have to
  // be late by a multiple of 2^32 jobs.)
  struct alignas(64) Share {
    std::atomic<std::uint64_t> ticket{0};
    std::atomic<const Task*> task{nullptr};
    std::atomic<std::size_t> end{0};  // of the range; the next task is end - left
  };

  struct Worker {
    ThreadPool* pool;
    std::size_t index;  // of its share; the calling thread has share 0
    pthread_t thread;
  };

  // Longer jobs are cut, so that the count of tasks stays far from the limits of its types.
  static constexpr std::size_t kMaxTasks = std::size_t{1} << 20;

  // Longer than the serial parts between two jobs and than the last task of a job; about as long as
  // it takes to wake a thread, so that waiting in vain at most doubles the cost.
  static constexpr std::chrono::microseconds kSpin{40};

  ThreadPool(std::size_t threads, std::vector<int> cpus)
      : shares_(threads), cpus_(std::move(cpus)) {}

  [[nodiscard]] Result<void> start();
  static void* work(void* worker);

  void publish(std::size_t first, std::size_t count, const Task* task) noexcept;
  std::uint32_t take_part(std::size_t index) noexcept;
  static std::uint32_t take_all(Share& share) noexcept;
  [[nodiscard]] std::uint32_t await_job(std::uint32_t seen) noexcept;
  void await_completion() noexcept;

  std::vector<Share> shares_;  // the calling thread's is the first
  std::vector<Worker> workers_;
  std::vector<int> cpus_;

  // Sleeping and waking pair a store and a load on either side: "say that I sleep, look whether
  // there is work" here, "say that there is work, look whether somebody sleeps" there. One of the
  // two must see the other, which only the sequentially consistent order promises.
  alignas(64) std::atomic<std::uint32_t> job_{0};  // the latest; what workers wait for
  std::atomic<std::uint32_t> sleepers_{0};
  std::atomic<bool> stopping_{false};

  alignas(64) std::atomic<std::uint32_t> pending_{0};  // tasks not known to be done
  std::atomic<bool> caller_sleeps_{false};
};

#if MAMBA2_HAS_DEFINITIONS

MAMBA2_FUNCTION Result<std::shared_ptr<ThreadPool>> ThreadPool::create(
    const ThreadPoolOptions& options) {
  std::vector<int> cpus = options.cpus;
  std::ranges::sort(cpus);
  cpus.erase(std::unique(cpus.begin(), cpus.end()), cpus.end());
  const std::vector<int> allowed = allowed_cpus();
  Result<std::vector<int>> usable = usable_cpus(cpus, allowed);
  if (!usable) return std::move(usable).error();
  cpus = *std::move(usable);
  std::size_t threads = options.threads != 0 ? options.threads : cpus.size();
  if (cpus.empty()) {
    Placement placement = default_placement(allowed);
    if (threads == 0) threads = std::min(placement.threads, kMaxThreads);
    if (threads <= placement.cpus.size()) cpus = std::move(placement.cpus);
  }
  if (threads > kMaxThreads) {
    return Error{ErrorCode::invalid_argument,
                 detail::concat("cannot use ", threads, " threads: ", kMaxThreads, " is the most")};
  }
  std::shared_ptr<ThreadPool> pool(new ThreadPool(threads, std::move(cpus)));
  if (const auto started = pool->start(); !started) return started.error();
  return pool;
}

MAMBA2_FUNCTION Result<void> ThreadPool::start() {
  // A new thread inherits the mask. The signals left are those that a thread raises by a fault of
  // its own, for the application's crash handler.
  sigset_t blocked;
  sigset_t before;
  ::sigfillset(&blocked);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) ::sigdelset(&blocked, fault);
  workers_.reserve(threads());  // the threads hold pointers to their elements
  ::pthread_sigmask(SIG_SETMASK, &blocked, &before);
  Result<void> result;
  while (workers_.size() + 1 < threads() && result) {
    Worker& worker = workers_.emplace_back(Worker{this, workers_.size() + 1, {}});
    const int error = ::pthread_create(&worker.thread, nullptr, work, &worker);
    if (error == 0) {
      if (!cpus_.empty()) result = detail::place_thread(worker.thread, cpus_);
      continue;
    }
    workers_.pop_back();
    result = Error{ErrorCode::out_of_memory,
                   detail::concat("cannot start thread ", workers_.size() + 2, " of ", threads(),
                                  error == EAGAIN ? ": the limit on threads or memory is reached"
                                                  : detail::concat(": errno ", error))};
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return result;
}

#endif

inline ThreadPool::~ThreadPool() {
  stopping_.store(true, std::memory_order_relaxed);  // released by the empty job
  publish(0, 0, nullptr);
  for (const Worker& worker : workers_) ::pthread_join(worker.thread, nullptr);
}

inline void* ThreadPool::work(void* argument) {
  const Worker& worker = *static_cast<const Worker*>(argument);
  ThreadPool& pool = *worker.pool;
  detail::name_this_thread("mamba2");
  for (std::uint32_t job = 0;;) {
    job = pool.await_job(job);
    if (pool.stopping_.load(std::memory_order_relaxed)) return nullptr;
    const std::uint32_t done = pool.take_part(worker.index);
    if (done == 0) continue;
    // Release: who sees 0 sees what the tasks wrote. From here on the job may end.
    const std::uint32_t before = pool.pending_.fetch_sub(done, std::memory_order_seq_cst);
    if (before == done && pool.caller_sleeps_.load(std::memory_order_seq_cst)) {
      pool.pending_.notify_one();
    }
  }
}

inline void ThreadPool::run(std::size_t count, Task task) noexcept {
  if (threads() == 1 || count <= 1) {
    for (std::size_t i = 0; i < count; ++i) task(i);
    return;
  }
  for (std::size_t first = 0; first < count; first += kMaxTasks) {
    publish(first, std::min(count - first, kMaxTasks), &task);
    const std::uint32_t done = take_part(0);
    // Acquire: see work(). Nobody reads `task` any more when all tasks are done.
    if (pending_.fetch_sub(done, std::memory_order_acq_rel) != done) await_completion();
  }
}

/// Makes tasks first .. first + count - 1 the current job. The one before is complete: all tickets
/// are down to 0, so nobody but this thread changes them, and nobody can use what is changed here
/// before a new ticket releases it.
inline void ThreadPool::publish(std::size_t first, std::size_t count, const Task* task) noexcept {
  const std::uint32_t job = job_.load(std::memory_order_relaxed) + 1;
  pending_.store(static_cast<std::uint32_t>(count), std::memory_order_relaxed);
  std::size_t end = first;
  for (std::size_t i = 0; i < threads(); ++i) {
    const std::size_t size = count / threads() + (i < count % threads() ? 1 : 0);
    Share& share = shares_[i];
    share.task.store(task, std::memory_order_relaxed);
    share.end.store(end += size, std::memory_order_relaxed);
    share.ticket.store(std::uint64_t{job} << 32U | size, std::memory_order_release);
  }
  // Last: whoever sees the job sees all of its tickets, and leaves only when they are down to 0.
  job_.store(job, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) != 0) job_.notify_all();
}

/// Runs tasks while there are any, from the share `index` on; returns how many.
inline std::uint32_t ThreadPool::take_part(std::size_t index) noexcept {
  std::uint32_t done = 0;
  for (std::size_t i = index; i < threads(); ++i) done += take_all(shares_[i]);
  for (std::size_t i = 0; i < index; ++i) done += take_all(shares_[i]);
  return done;
}

/// Runs the tasks of a share one by one until all are taken; returns how many.
inline std::uint32_t ThreadPool::take_all(Share& share) noexcept {
  constexpr auto kAcquire = std::memory_order_acquire;
  std::uint32_t done = 0;
  // Acquire, here and where the exchange fails: task and end are those of this job or a later one.
  std::uint64_t ticket = share.ticket.load(kAcquire);
  while (const auto left = static_cast<std::uint32_t>(ticket)) {
    const Task* task = share.task.load(std::memory_order_relaxed);
    const std::size_t end = share.end.load(std::memory_order_relaxed);
    // If it succeeds, the job waits for this task: what was read above cannot be of a later one.
    if (!share.ticket.compare_exchange_weak(ticket, ticket - 1, kAcquire, kAcquire)) continue;
    (*task)(end - left);
    ++done;
    ticket = share.ticket.load(kAcquire);
  }
  return done;
}

/// Returns the number of the latest job as soon as it is another one than `seen`.
inline std::uint32_t ThreadPool::await_job(std::uint32_t seen) noexcept {
  std::uint32_t job = seen;
  const auto is_new = [&] { return (job = job_.load(std::memory_order_acquire)) != seen; };
  if (detail::spin_until(kSpin, is_new)) return job;
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  job_.wait(seen, std::memory_order_seq_cst);
  sleepers_.fetch_sub(1, std::memory_order_relaxed);
  return job_.load(std::memory_order_acquire);
}

/// Waits for the tasks that other threads are in.
inline void ThreadPool::await_completion() noexcept {
  const auto complete = [this] { return pending_.load(std::memory_order_acquire) == 0; };
  if (detail::spin_until(kSpin, complete)) return;
  caller_sleeps_.store(true, std::memory_order_seq_cst);
  while (const std::uint32_t pending = pending_.load(std::memory_order_seq_cst)) {
    pending_.wait(pending, std::memory_order_seq_cst);
  }
  caller_sleeps_.store(false, std::memory_order_relaxed);
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
