#include "runtime/tail_buffer.hpp"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

namespace rowcrew {
namespace {

std::vector<std::string> lines_of(const std::string& chunk) {
  std::vector<std::string> lines;
  std::size_t at = 0;
  while (at < chunk.size()) {
    const std::size_t end = chunk.find('\n', at);
    lines.push_back(chunk.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

TEST_CASE("tail buffer: lines come out in order, each ended by a newline, once") {
  TailBuffer buffer;
  CHECK(buffer.take_chunk().empty());
  buffer.add("{1}");
  buffer.add("{2}");
  CHECK(buffer.take_chunk() == "{1}\n{2}\n");
  CHECK(buffer.take_chunk().empty());
}

TEST_CASE("tail buffer: a chunk fits into a notification, and no line is torn") {
  TailBuffer buffer;
  const std::string line(1'000, 'x');
  for (int i = 0; i < 20; ++i) buffer.add(line);
  std::size_t lines = 0;
  for (std::string chunk = buffer.take_chunk(); !chunk.empty(); chunk = buffer.take_chunk()) {
    CHECK(chunk.size() <= TailBuffer::kChunkBytes);
    for (const std::string& got : lines_of(chunk)) CHECK(got == line);
    lines += lines_of(chunk).size();
  }
  CHECK(lines == 20);
}

TEST_CASE("tail buffer: a line longer than a chunk is dropped and counted, the next ones come") {
  TailBuffer buffer;
  buffer.add("{1}");
  buffer.add(std::string(TailBuffer::kChunkBytes, 'x'));
  buffer.add("{2}");
  CHECK(buffer.take_chunk() == "{\"event\":\"tail.dropped\",\"lines\":1}\n{1}\n{2}\n");
  CHECK(buffer.take_chunk().empty());
}

TEST_CASE("tail buffer: the longest line that is kept fits beside the note of what was dropped") {
  TailBuffer buffer;
  std::size_t longest = TailBuffer::kChunkBytes;
  for (; longest > 0; --longest) {
    buffer.clear();
    buffer.add(std::string(longest, 'x'));
    if (buffer.take_chunk()[0] == 'x') break;
  }
  buffer.add(std::string(longest + 1, 'x'));
  buffer.add(std::string(longest, 'y'));
  std::string all;
  for (std::string chunk = buffer.take_chunk(); !chunk.empty(); chunk = buffer.take_chunk()) {
    CHECK(chunk.size() <= TailBuffer::kChunkBytes);
    all += chunk;
  }
  CHECK(all.find("\"lines\":1}") != std::string::npos);
  CHECK(all.find('y') != std::string::npos);
}

TEST_CASE("tail buffer: when nobody keeps up, new lines are dropped and counted") {
  TailBuffer buffer;
  for (std::size_t i = 0; i < TailBuffer::kMaxLines + 7; ++i) buffer.add(std::to_string(i));
  std::vector<std::string> lines;
  for (std::string chunk = buffer.take_chunk(); !chunk.empty(); chunk = buffer.take_chunk()) {
    for (std::string& line : lines_of(chunk)) lines.push_back(std::move(line));
  }
  REQUIRE(lines.size() == TailBuffer::kMaxLines + 1);
  CHECK(lines[0] == R"({"event":"tail.dropped","lines":7})");
  CHECK(lines[1] == "0");
  CHECK(lines.back() == std::to_string(TailBuffer::kMaxLines - 1));
}

TEST_CASE("tail buffer: clearing forgets lines and drops") {
  TailBuffer buffer;
  buffer.add("{1}");
  buffer.add(std::string(TailBuffer::kChunkBytes, 'x'));
  buffer.clear();
  CHECK(buffer.take_chunk().empty());
}

TEST_CASE("tail buffer: threads that log at once lose nothing") {
  TailBuffer buffer;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&buffer] {
      for (int i = 0; i < 250; ++i) buffer.add("line");
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::size_t lines = 0;
  for (std::string chunk = buffer.take_chunk(); !chunk.empty(); chunk = buffer.take_chunk()) {
    lines += lines_of(chunk).size();
  }
  CHECK(lines == 1'000);
}

}  // namespace
}  // namespace rowcrew
