#include <maestro/runtime/end_watch.hpp>

#include <maestro/runtime/logging.hpp>
#include <maestro/runtime/settings.hpp>

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <utility>

namespace maestro {

namespace {

auto signals() -> sigset_t {
  sigset_t taken;
  sigemptyset(&taken);
  for (const int each : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&taken, each);
  return taken;
}

std::atomic<int> last_status{1};

}  // namespace

end_watch::end_watch(plan first, std::function<void()> hung_up) : plan_(std::move(first)), hung_up_(std::move(hung_up)) {
  // Blocked before any thread starts, so that all of them leave these signals to this one.
  const auto taken = signals();
  pthread_sigmask(SIG_BLOCK, &taken, nullptr);
  thread_ = std::thread([this] { run(); });
  hang_ups_ = std::thread([this] { serve_hang_ups(); });
}

end_watch::~end_watch() {
  {
    const std::lock_guard lock(mutex_);
    hears_no_more_ = true;
  }
  changed_.notify_all();
  hang_ups_.join();
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  pthread_kill(thread_.native_handle(), SIGTERM);  // It may still wait for one.
  thread_.join();
}

void end_watch::change(plan next) {
  const std::lock_guard lock(mutex_);
  if (signal_ == 0) plan_ = std::move(next);
}

auto end_watch::signal() const -> int {
  const std::lock_guard lock(mutex_);
  return signal_;
}

auto end_watch::wait() -> int {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return signal_ != 0; });
  return signal_;
}

void end_watch::run() {
  const auto taken = signals();
  int got = 0;
  while (sigwait(&taken, &got) != 0 || got == SIGHUP) {
    if (got != SIGHUP) continue;
    const std::lock_guard lock(mutex_);
    has_hung_up_ = true;
    changed_.notify_all();
  }
  const auto since = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  if (over_) return;
  signal_ = got;
  changed_.notify_all();
  const plan now = plan_;
  const auto call = [&lock](const std::function<void()>& what) {
    lock.unlock();
    if (what) what();
    lock.lock();
  };
  const auto is_over = [this] { return over_; };
  call(now.at_once);
  if (now.if_not_soon) {
    if (changed_.wait_until(lock, since + now.soon, is_over)) return;
    call(now.if_not_soon);
  }
  if (changed_.wait_until(lock, since + now.at_last, is_over)) return;
  lock.unlock();
  end_process(now, got);
}

void end_watch::serve_hang_ups() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return has_hung_up_ || hears_no_more_; });
    if (hears_no_more_) return;
    has_hung_up_ = false;
    lock.unlock();
    if (hung_up_) hung_up_();
    lock.lock();
  }
}

// Without destructors: what they would wait for is what does not end. The log, too, may be what hangs, a pipe without a reader.
void end_watch::end_process(const plan& by, int signal) {
  last_status = by.status ? by.status() : 1;
  (void)::signal(SIGALRM, [](int) { ::_exit(last_status); });
  ::alarm(1);
  log().critical("ends {} after {} without waiting any longer, and leaves undone: {}", render_duration(by.at_last),
                 signal == SIGTERM ? "SIGTERM" : "SIGINT", by.left ? by.left() : "");
  ::_exit(last_status);
}

}  // namespace maestro
