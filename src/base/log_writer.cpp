#include "base/log_writer.hpp"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <numeric>
#include <utility>

namespace rowcrew {
namespace {

std::size_t size_of(const LogWriter::Line& line) {
  return std::accumulate(line.begin(), line.end(), std::size_t{0}, [](std::size_t sum, const std::string& part) { return sum + part.size(); });
}

}  // namespace

struct LogWriter::State {
  void add(Line line);
  void write_all();
  bool gap_due() const { return dropped > 0 && (ending || std::chrono::steady_clock::now() >= next_gap); }
  bool drained() const { return lines.empty() && !gap_due(); }
  void wait_for_more(std::unique_lock<std::mutex>& lock);
  Line next();

  std::function<void(const Line&)> sink;
  std::function<Line(std::size_t)> gap;
  Options options;
  std::mutex mutex;
  std::condition_variable more;  ///< for the writer: a line, or the end
  std::condition_variable done;  ///< for the end: the writer has put everything out
  std::deque<Line> lines;
  std::size_t bytes = 0;
  std::size_t dropped = 0;  ///< of which nothing was said yet
  std::chrono::steady_clock::time_point next_gap{};
  bool ending = false;
  bool ended = false;
};

void LogWriter::State::add(Line line) {
  const std::lock_guard lock(mutex);
  const bool resting = lines.empty();
  bytes += size_of(line);
  lines.push_back(std::move(line));
  while (bytes > options.most_bytes && lines.size() > 1) {
    bytes -= size_of(lines.front());
    lines.pop_front();
    ++dropped;
  }
  if (resting) more.notify_one();
}

LogWriter::Line LogWriter::State::next() {
  if (gap_due()) {
    next_gap = std::chrono::steady_clock::now() + options.gap_every;
    return gap(std::exchange(dropped, 0));
  }
  Line line = std::move(lines.front());
  lines.pop_front();
  bytes -= size_of(line);
  return line;
}

void LogWriter::State::wait_for_more(std::unique_lock<std::mutex>& lock) {
  while (drained() && !ending) {
    if (dropped > 0) {
      more.wait_until(lock, next_gap);
    } else {
      more.wait(lock);
    }
  }
}

void LogWriter::State::write_all() {
  std::unique_lock lock(mutex);
  for (;;) {
    wait_for_more(lock);
    if (drained()) break;
    const Line line = next();
    lock.unlock();
    sink(line);
    lock.lock();
  }
  ended = true;
  done.notify_all();
}

LogWriter::LogWriter(std::function<void(const Line&)> sink, std::function<Line(std::size_t)> gap, Options options)
    : state_(std::make_shared<State>()) {
  state_->sink = std::move(sink);
  state_->gap = std::move(gap);
  state_->options = options;
  thread_ = std::thread([state = state_] { state->write_all(); });
}

LogWriter::~LogWriter() {
  std::unique_lock lock(state_->mutex);
  state_->ending = true;
  state_->more.notify_one();
  const bool ended = state_->done.wait_for(lock, state_->options.patience, [this] { return state_->ended; });
  lock.unlock();
  if (ended) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

void LogWriter::add(Line line) { state_->add(std::move(line)); }

}  // namespace rowcrew
