#include "pg/pool_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <iterator>
#include <utility>

#include "base/event.hpp"
#include "pg/connect_params.hpp"
#include "pg/db_metrics.hpp"

namespace rowcrew {
namespace {

using std::chrono::milliseconds;

/// How long cancelled statements may take to end before their sockets are shut down, and how long
/// their threads may take to notice that.
constexpr milliseconds kCancelGrace{300};
constexpr milliseconds kSenderGrace{100};
constexpr milliseconds kWatchEvery{1'000};
/// How long work is left to the connections that there are, when no more of them are granted.
constexpr milliseconds kCrowded{5'000};
constexpr milliseconds kCrowdLineEvery{60'000};

/// Thrown inside a thread only: others have connections, and will do it.
struct CrowdedOut {};

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

std::exception_ptr stopped() {
  return std::make_exception_ptr(
      TransientError("db_stopped", "database: the pool has been stopped"));
}

void check(const PoolOptions& options) {
  if (options.threads < 1 || options.threads > 64) {
    throw ConfigError(fmt::format("database threads: {}, expected 1 to 64", options.threads));
  }
  PoolOptions without_secret = options;
  without_secret.password = nullptr;
  connect_params(without_secret);
}

}  // namespace

Pool::State::State(PoolOptions pool_options, Log& pool_log)
    : options(std::move(pool_options)), log(pool_log) {
  check(options);
}

void Pool::State::start_threads() {
  for (unsigned i = 0; i < options.threads; ++i) {
    workers_.push_back(std::make_unique<Worker>(options));
  }
  for (const auto& worker : workers_) {
    worker->thread = std::thread([this, &w = *worker] { work(w); });
  }
  watcher_ = std::thread([this] { watch_over(); });
}

void Pool::State::push(std::unique_ptr<Request> request) {
  std::exception_ptr refusal;
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) {
      refusal = stopped();
    } else if (queue_.size() >= options.queue + waiting_workers_) {
      refusal = std::make_exception_ptr(TransientError(
          "db_busy", fmt::format("database: {} closures are waiting, expected at most {}",
                                 queue_.size(), options.queue)));
    } else {
      const bool must_wait = queue_.size() >= waiting_workers_;
      queue_.push_back(std::move(request));
      call_one();
      if (must_wait && watcher_dozes_) watcher_wake_.notify_one();
    }
  }
  if (refusal) request->done(std::move(refusal));
}

std::size_t Pool::State::waiting() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

Pool::Usage Pool::State::usage() const {
  const std::lock_guard lock(mutex_);
  return {running_, workers_.size(), queue_.size()};
}

void Pool::State::work(Worker& worker) {
  std::unique_lock lock(mutex_);
  for (;;) {
    while (!stopping_ && (queue_.empty() || stands_aside(worker))) {
      if (!queue_.empty()) call_one();
      rest(lock, worker);
    }
    withdraw(worker);
    if (stopping_) break;
    auto request = std::move(queue_.front());
    queue_.pop_front();
    ++running_;
    worker.running = true;
    lock.unlock();
    bool put_back = false;
    try {
      std::exception_ptr error = run(worker, *request);
      request->work = nullptr;  // what it captured ends here, not on the caller's thread
      lock.lock();
      offer(worker);  // or what the answer leads to would meet nobody here yet, and pay for another connection
      lock.unlock();
      request->done(std::move(error));
      request.reset();
    } catch (const CrowdedOut&) {
      put_back = true;
    }
    lock.lock();
    if (put_back && stopping_) {
      lock.unlock();
      request->done(stopped());
      lock.lock();
    } else if (put_back) {
      queue_.push_front(std::move(request));
    }
    worker.running = false;
    if (--running_ == 0) idle_.notify_all();
  }
  lock.unlock();
  drop_session(worker);
}

void Pool::State::rest(std::unique_lock<std::mutex>& lock, Worker& worker) {
  if (!worker.offered) offer(worker);
  worker.call.wait(lock, [&] { return stopping_ || worker.called; });
  withdraw(worker);
  if (std::exchange(worker.gives_way, false)) drop_session(worker);
}

void Pool::State::offer(Worker& worker) {
  worker.offered = true;
  ++waiting_workers_;
  resting_.push_back(&worker);
}

void Pool::State::withdraw(Worker& worker) {
  worker.called = false;
  if (!std::exchange(worker.offered, false)) return;
  --waiting_workers_;
  std::erase(resting_, &worker);
}

/// There are connections, and no more to be had.
bool Pool::State::stands_aside(const Worker& worker) const { return !worker.session && sessions_ > 0 && now() < crowded_until_; }

void Pool::State::call_one() {
  const auto able = std::find_if(resting_.rbegin(), resting_.rend(), [this](const Worker* w) { return !stands_aside(*w); });
  if (able == resting_.rend()) return;  // whoever is busy looks at the queue before it rests
  Worker& worker = **able;
  resting_.erase(std::next(able).base());
  worker.called = true;
  worker.call.notify_one();
}

std::exception_ptr Pool::State::run(Worker& worker, Request& request) {
  try {
    session_of(worker, request.deadline).run(request.mode, request.work);
    reachable = true;
    return nullptr;
  } catch (const CrowdedOut&) {
    throw;
  } catch (const DbError& error) {
    reachable = !error.connection_lost();
    if (options.errors) options.errors->count(error.sqlstate());
    if (error.connection_lost()) note_loss(worker);
    return std::current_exception();
  } catch (...) {
    return std::current_exception();
  }
}

Session& Pool::State::session_of(Worker& worker, SteadyTime deadline) {
  if (worker.session && worker.losses_before == losses_ && worker.session->usable()) return *worker.session;
  drop_session(worker);
  do {
    await_turn(deadline);
  } while (!try_connect(worker));
  return *worker.session;
}

/// A session that was made before is not trusted again, see Pool. One that never came to be says
/// nothing of others.
void Pool::State::note_loss(const Worker& worker) {
  if (!worker.session) return;
  unsigned expected = worker.losses_before;
  losses_.compare_exchange_strong(expected, expected + 1);
  if (on_loss) on_loss();
}

void Pool::State::drop_session(Worker& worker) {
  worker.handle.detach();
  if (worker.session) --sessions_;
  worker.session.reset();
}

/// Of the connections that rest all but the one that is used next.
void Pool::State::give_way() {
  const std::lock_guard lock(mutex_);
  crowded_until_ = now() + kCrowded;
  bool kept = running_ > 0;
  for (auto at = resting_.rbegin(); at != resting_.rend(); ++at) {
    Worker& worker = **at;
    if (!worker.session) continue;
    if (std::exchange(kept, true)) worker.gives_way = true;
  }
  for (Worker* worker : resting_) {
    if (!worker->gives_way) continue;
    worker->called = true;
    worker->call.notify_one();
  }
  std::erase_if(resting_, [](const Worker* worker) { return worker->gives_way; });
}

/// Returns when this thread may connect; throws when the closure's time is over before.
void Pool::State::await_turn(SteadyTime deadline) {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (stopping_) std::rethrow_exception(stopped());
    if (outage_.away() && now() >= deadline) {
      throw DbError(ErrorClass::transient, "08001", outage_.reason(), true, false);
    }
    if (outage_.may_try(now())) return;
    turn_.wait_until(lock, std::min(deadline, outage_.next_try()));
  }
}

/// False: the server is away. The attempt has its own time limit instead of the closure's, or a
/// queue of closures that are all nearly late would never leave a slow connect enough time.
bool Pool::State::try_connect(Worker& worker) {
  try {
    worker.losses_before = losses_;
    const Session::Watchers watchers{&interrupt_, &worker.answers};
    Connection connection = worker.connector.connect(&interrupt_);
    worker.session =
        std::make_unique<Session>(std::move(connection), options, Session::Plans::kept, watchers);
  } catch (const Error& error) {
    // Whatever the words: a pooler that is full has others than a server. Should the connections that
    // there are be worth no more, the last of them finds out.
    if (sessions_ > 0 && dynamic_cast<const LoginRefused*>(&error) != nullptr) {
      note_crowd(error.what());
      throw CrowdedOut{};
    }
    note_failure(error.what());
    if (error.error_class() != ErrorClass::transient || error.code() == "db_stopped") throw;
    return false;
  } catch (const std::exception& error) {
    note_failure(error.what());
    throw;
  }
  ++sessions_;
  worker.handle.attach(worker.session->raw());
  note_success();
  return true;
}

void Pool::State::note_failure(const std::string& reason) {
  reachable = false;
  std::unique_lock lock(mutex_);
  const double unit = std::uniform_real_distribution<double>(0.0, 1.0)(jitter_);
  const bool line = outage_.failed(now(), unit, reason) && !stopping_;
  const unsigned attempts = outage_.attempts();
  lock.unlock();
  turn_.notify_all();
  if (line) log.warning(event::kDbUnreachable, {{"attempts", attempts}}, reason);
}

void Pool::State::note_crowd(const std::string& reason) {
  std::unique_lock lock(mutex_);
  outage_.succeeded(now());  // it answers
  crowded_until_ = now() + kCrowded;
  const bool line = now() >= next_crowd_line_ && !stopping_;
  if (line) next_crowd_line_ = now() + kCrowdLineEvery;
  lock.unlock();
  turn_.notify_all();
  if (line) log.warning(event::kDbCrowded, {{"connections", sessions_.load()}, {"threads", options.threads}}, reason);
}

void Pool::State::note_success() {
  reachable = true;
  std::unique_lock lock(mutex_);
  const auto away = outage_.succeeded(now());
  lock.unlock();
  turn_.notify_all();
  if (away) {
    log.info(event::kDbReconnected, {{"away_ms", away->count()}}, "the database is back");
  }
}

/// Ends closures that have waited for too long while every thread was busy, and connections whose
/// server does not answer any more.
void Pool::State::watch_over() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const SteadyTime when = now();
    end_overdue(when);
    if (auto late = next_late(when)) {
      lock.unlock();
      late->done(std::make_exception_ptr(TransientError(
          "db_timeout", fmt::format("database: no thread was free within {} ms, expected one of {}",
                                    options.wait.count(), options.threads))));
      late.reset();
      lock.lock();
      continue;
    }
    watcher_dozes_ = queue_.empty();
    if (!watcher_dozes_) call_one();  // nobody was while all stood aside
    SteadyTime wake = when + kWatchEvery;
    if (!watcher_dozes_) wake = std::min(wake, queue_.front()->deadline);
    watcher_wake_.wait_until(lock, wake);
  }
}

std::unique_ptr<Pool::State::Request> Pool::State::next_late(SteadyTime when) {
  if (queue_.empty() || when < queue_.front()->deadline) return nullptr;
  auto late = std::move(queue_.front());
  queue_.pop_front();
  return late;
}

void Pool::State::end_overdue(SteadyTime when) {
  for (const auto& worker : workers_) {
    if (worker->answers.overdue(when)) worker->handle.shut_down_socket();
  }
}

void Pool::State::stop(milliseconds within) {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  auto abandoned = std::move(queue_);
  queue_.clear();
  lock.unlock();
  for (auto& request : abandoned) request->done(stopped());
  abandoned.clear();
  interrupt_.trigger();
  for (const auto& worker : workers_) worker->call.notify_one();
  turn_.notify_all();
  watcher_wake_.notify_all();

  lock.lock();
  if (!await_idle(lock, within)) cancel_running(lock);
}

bool Pool::State::await_idle(std::unique_lock<std::mutex>& lock, milliseconds within) {
  return idle_.wait_for(lock, within, [this] { return running_ == 0; });
}

/// First politely, so that the server stops working too; then by force, because a server that is
/// gone without a word never answers.
void Pool::State::cancel_running(std::unique_lock<std::mutex>& lock) {
  std::vector<std::shared_ptr<PGcancel>> cancels;
  for (const auto& worker : workers_) {
    if (auto cancel = worker->running ? worker->handle.canceller() : nullptr) {
      cancels.push_back(std::move(cancel));
    }
  }
  // PQcancel() connects, and nothing limits how long it takes.
  std::packaged_task<void()> send([cancels = std::move(cancels)] {
    char text[256];
    for (const auto& cancel : cancels) PQcancel(cancel.get(), text, sizeof text);
  });
  auto sent = send.get_future();
  std::thread sender(std::move(send));
  if (!await_idle(lock, kCancelGrace)) {
    for (const auto& worker : workers_) {
      if (worker->running) worker->handle.shut_down_socket();
    }
    await_idle(lock, kCancelGrace);
  }
  // Stuck, it holds nothing but its own copies and ends with its connection or the process.
  if (sent.wait_for(kSenderGrace) == std::future_status::ready) {
    sender.join();
  } else {
    sender.detach();
  }
}

void Pool::State::join() {
  for (const auto& worker : workers_) {
    if (worker->thread.joinable()) worker->thread.join();
  }
  if (watcher_.joinable()) watcher_.join();
}

}  // namespace rowcrew
