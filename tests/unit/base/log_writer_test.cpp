#include "base/log_writer.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

using namespace rowcrew;
using namespace std::chrono_literals;

namespace {

/// A reader that reads nothing until it is told to; shared, as the writer may outlive its test.
struct Reader {
  void take(const LogWriter::Line& line) {
    std::unique_lock lock(mutex);
    ++begun;
    held = line.front();
    changed.notify_all();
    changed.wait(lock, [this] { return reads || begun <= allowed; });
    lines.push_back(line.front());
  }
  void read_on() {
    const std::lock_guard lock(mutex);
    reads = true;
    changed.notify_all();
  }
  void until_it_stands() { until_it_stands_at(1); }
  std::string until_it_stands_at(int line) {
    std::unique_lock lock(mutex);
    REQUIRE(changed.wait_for(lock, 10s, [&] { return begun >= line; }));
    return held;
  }
  void read_one() {
    const std::lock_guard lock(mutex);
    ++allowed;
    changed.notify_all();
  }
  std::mutex mutex;
  std::condition_variable changed;
  int begun = 0;
  int allowed = 0;
  std::string held;
  bool reads = false;
  std::vector<std::string> lines;
};

std::unique_ptr<LogWriter> writer_to(const std::shared_ptr<Reader>& reader, LogWriter::Options options) {
  return std::make_unique<LogWriter>([reader](const LogWriter::Line& line) { reader->take(line); },
                                     [](std::size_t dropped) { return LogWriter::Line{"dropped " + std::to_string(dropped)}; }, options);
}

/// Three bytes may wait behind the line "a", with which the reader has stopped.
std::unique_ptr<LogWriter> stuck_with_a(const std::shared_ptr<Reader>& reader, LogWriter::Options options = {}) {
  options.most_bytes = 3;
  auto writer = writer_to(reader, options);
  writer->add({"a"});
  reader->until_it_stands();
  return writer;
}

}  // namespace

TEST_CASE("log writer: who logs does not wait for a reader that has stopped, and loses nothing") {
  const auto reader = std::make_shared<Reader>();
  auto writer = writer_to(reader, {});
  for (int i = 0; i < 1'000; ++i) writer->add({std::to_string(i)});
  reader->until_it_stands();
  reader->read_on();
  writer.reset();
  REQUIRE(reader->lines.size() == 1'000);
  for (int i = 0; i < 1'000; ++i) CHECK(reader->lines[static_cast<std::size_t>(i)] == std::to_string(i));
}

TEST_CASE("log writer: of more than may wait the oldest are dropped, and a line says how many") {
  const auto reader = std::make_shared<Reader>();
  auto writer = stuck_with_a(reader);
  for (const char* line : {"b", "c", "d", "e", "f"}) writer->add({line});
  reader->read_on();
  writer.reset();
  CHECK(reader->lines == std::vector<std::string>{"a", "dropped 2", "d", "e", "f"});
}

TEST_CASE("log writer: a reader that is slow hears once a minute how many were dropped, and at the end of the rest") {
  const auto reader = std::make_shared<Reader>();
  auto writer = stuck_with_a(reader);
  for (const char* line : {"b", "c", "d", "e"}) writer->add({line});
  reader->read_one();
  CHECK(reader->until_it_stands_at(2) == "dropped 1");
  for (const char* line : {"f", "g"}) writer->add({line});
  reader->read_one();
  CHECK(reader->until_it_stands_at(3) == "e");  // nothing yet of "c" and "d"
  reader->read_on();
  writer.reset();
  CHECK(std::count(reader->lines.begin(), reader->lines.end(), "dropped 2") == 1);
  std::erase(reader->lines, "dropped 2");  // the end may come before "f", or behind "g"
  CHECK(reader->lines == std::vector<std::string>{"a", "dropped 1", "e", "f", "g"});
}

TEST_CASE("log writer: after its minute the next line about dropped ones comes without another line to bring it") {
  const auto reader = std::make_shared<Reader>();
  LogWriter::Options options;
  options.gap_every = 1ms;
  auto writer = stuck_with_a(reader, options);
  for (const char* line : {"b", "c", "d", "e"}) writer->add({line});
  reader->read_one();
  reader->until_it_stands_at(2);
  for (const char* line : {"f", "g"}) writer->add({line});
  for (int i = 0; i < 6; ++i) reader->read_one();
  reader->until_it_stands_at(6);  // a, dropped 1, e, f, g, and dropped 2 at any place behind them
  reader->read_on();
  writer.reset();
  CHECK(std::count(reader->lines.begin(), reader->lines.end(), "dropped 2") == 1);
}

TEST_CASE("log writer: one line that is longer than may wait is written all the same") {
  const auto reader = std::make_shared<Reader>();
  auto writer = stuck_with_a(reader);
  writer->add({"b"});
  writer->add({"longer"});
  reader->read_on();
  writer.reset();
  CHECK(reader->lines == std::vector<std::string>{"a", "dropped 1", "longer"});
}

TEST_CASE("log writer: a reader that has stopped does not hold up the end") {
  const auto reader = std::make_shared<Reader>();
  LogWriter::Options options;
  options.patience = 5ms;
  auto writer = writer_to(reader, options);
  writer->add({"never read"});
  reader->until_it_stands();
  writer.reset();
  CHECK(reader->lines.empty());
  reader->read_on();  // lets the thread that was left behind end
}
