// rowcrew-folder: reads a request as JSON on stdin, looks at the folder it names and prints what is
// new there. A program of its own, because a watched folder may lie on a file system that hangs,
// hold a million files or be somebody's trap: whatever happens, it happens to this process, which
// its parent ends after a while.
//
// Exit 0: a report or {"error": …} is on stdout. 64: the request is malformed.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <new>

#include "folder_text.hpp"

namespace {

std::string read_all(int fd) {
  std::string text;
  char piece[65536];
  for (;;) {
    const ssize_t size = ::read(fd, piece, sizeof piece);
    if (size > 0) text.append(piece, static_cast<std::size_t>(size));
    if (size == 0 || (size < 0 && errno != EINTR)) return text;
  }
}

int print(const std::string& text) {
  const bool whole = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  return whole && std::fputc('\n', stdout) != EOF && std::fflush(stdout) == 0 ? 0 : 74;
}

}  // namespace

int main() {
  using namespace rowcrew::folder;
  try {
    const Request request = parse_request(read_all(STDIN_FILENO));
    return print(report_text(request, scan(request)));
  } catch (const FolderError& error) {
    return print(error_text(error.code(), error.what()));
  } catch (const std::bad_alloc&) {
    return print(error_text("folder_too_large", "The folder holds too many files to be watched."));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rowcrew-folder: %s\n", error.what());
    return 64;
  }
}
