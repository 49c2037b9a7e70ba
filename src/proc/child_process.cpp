#include "proc/child_process.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <utility>

#include "proc/control_word.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {

using boost::system::error_code;

// Read at one go before others have their turn; a pipe holds 64 KiB.
constexpr std::size_t kReadChunk = std::size_t{64} << 10;
constexpr int kReadsPerTurn = 4;
// After the end a pipe holds no more than it can; more can only come from a stranger to whom the
// program passed its descriptor.
constexpr int kReadsAfterEnd = 32;

void keep(ChildProcess::Output& output, std::string_view bytes) {
  const std::size_t room = output.limit - output.kept.size();
  if (bytes.size() <= room) {
    output.kept.append(bytes);
    return;
  }
  output.truncated = true;
  if (output.wanted == ChildProcess::Part::first) {
    output.kept.append(bytes.substr(0, room));
    return;
  }
  if (bytes.size() > output.limit) bytes.remove_prefix(bytes.size() - output.limit);
  output.kept.erase(0, output.kept.size() + bytes.size() - output.limit);
  output.kept.append(bytes);
}

// False at the end of the stream. Reads without waiting, `turns` chunks at most.
bool read_available(ChildProcess::Output& from, int turns) {
  std::array<char, kReadChunk> chunk;
  for (int turn = 0; turn < turns; ++turn) {
    const ssize_t length = ::read(from.pipe.native_handle(), chunk.data(), chunk.size());
    if (length == 0) return false;
    if (length < 0) return errno == EAGAIN || errno == EINTR;
    keep(from, {chunk.data(), static_cast<std::size_t>(length)});
  }
  return true;
}

std::string read_status(const UniqueFd& pipe) {
  std::array<char, 512> text;
  const ssize_t length = ::read(pipe.get(), text.data(), text.size());
  return length > 0 ? std::string(text.data(), static_cast<std::size_t>(length)) : std::string();
}

}  // namespace

ChildProcess::ChildProcess(asio::any_io_executor executor, ShimProcess shim, std::string input,
                           std::size_t max_output)
    : shim_(std::move(shim)),
      unfed_(std::move(input)),
      input_(executor, shim_.input.get()),
      output_(executor, shim_.output.get(), max_output, Part::first),
      errors_(executor, shim_.errors.get(), max_output, Part::last),
      handle_(executor, shim_.handle.get()),
      last_resort_(executor) {
  // From here on Asio closes these; the handle stays the shim's.
  shim_.input.release();
  shim_.output.release();
  shim_.errors.release();
}

ChildProcess::~ChildProcess() {
  if (handle_.is_open()) handle_.release();
}

void ChildProcess::start() {
  feed();
  read(output_);
  read(errors_);
}

void ChildProcess::feed() {
  if (unfed_.empty()) {
    input_.close();
    return;
  }
  // A program that does not read its stdin is no error: whatever the result, this was it.
  asio::async_write(
      input_, asio::buffer(unfed_),
      [self = shared_from_this()](const error_code&, std::size_t) { self->input_.close(); });
}

// Waits and then reads itself, instead of an asynchronous read: bytes are in the pipe or in `kept`
// at any time, never in a completion that finish() would overtake.
void ChildProcess::read(Output& from) {
  from.pipe.async_wait(asio::posix::stream_descriptor::wait_read,
                       [self = shared_from_this(), &from](const error_code& error) {
                         if (!error && from.pipe.is_open() && read_available(from, kReadsPerTurn)) {
                           self->read(from);
                         }
                       });
}

asio::awaitable<bool> ChildProcess::ended() {
  const auto [error] = co_await handle_.async_wait(asio::posix::stream_descriptor::wait_read,
                                                   asio::as_tuple(asio::use_awaitable));
  if (error && error != asio::error::operation_aborted) {
    throw boost::system::system_error(error, "child");
  }
  co_return !error;
}

void ChildProcess::tell(std::int64_t word) const {
  // Fails only when the shim has ended already, or has been stopped for so long that its pipe is
  // full: then it ends its group as soon as it goes on.
  if (::write(shim_.control.get(), &word, sizeof word) < 0) return;
}

void ChildProcess::hold_until(Mono lease_until) { tell(boottime_ms(lease_until)); }

void ChildProcess::ask_to_stop() { tell(kPleaseEnd); }

void ChildProcess::give_up_after(std::chrono::milliseconds span) {
  last_resort_.expires_after(span);
  last_resort_.async_wait([self = weak_from_this()](const error_code& error) {
    const auto child = self.lock();
    if (!error && child && child->shim_.pid.value != 0) child->shim_.kill();
  });
}

ShimReport ChildProcess::finish() {
  last_resort_.cancel();
  for (Output* from : {&output_, &errors_}) {
    read_available(*from, kReadsAfterEnd);
    from->pipe.close();
  }
  if (input_.is_open()) input_.close();
  handle_.release();
  shim_.reap();
  ShimReport report = parse_shim_report(read_status(shim_.status));
  // The shim was killed: the kernel took the program with it, this takes the rest of its group.
  if (report.program && !report.complete() && report.failed_step.empty()) {
    ::kill(-*report.program, SIGKILL);
  }
  return report;
}

}  // namespace rowcrew
