// What a request sends from a file and what of its answer goes into one, a piece at a time. Short and
// sequential reads and writes of a local disk: on the event thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include <rowcrew/http_client.hpp>

namespace rowcrew {

/// A file descriptor; closed with it.
class OpenFile {
 public:
  explicit OpenFile(int fd) : fd_(fd) {}
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile() { close(); }

  int fd() const { return fd_; }
  /// False with errno where the last of what was written could not be kept.
  bool close();

 private:
  int fd_;
};

/// HttpRequest's body, file and tail as one, of the length that they have now.
class RequestBody {
 public:
  /// Throws PermanentError("http_file") where `file` is no file that can be read. The request must stay.
  explicit RequestBody(const HttpRequest& request);

  std::uint64_t size() const;
  /// The next bytes, at most `room`; 0 at the end, nullopt where the file has got shorter or cannot be read.
  std::optional<std::size_t> read(char* into, std::size_t room);
  /// Read from the beginning again.
  void rewind() { at_ = 0; }
  /// What went wrong; empty: nothing.
  const std::string& trouble() const { return trouble_; }

 private:
  std::optional<std::size_t> read_file(char* into, std::size_t room, std::uint64_t from);

  const HttpRequest& request_;
  OpenFile file_;
  std::uint64_t file_bytes_ = 0;
  std::uint64_t at_ = 0;
  std::string trouble_;
};

/// HttpRequest's save_to: a new file that is gone again with this, unless it was kept.
class AnswerFile {
 public:
  /// Throws PermanentError("http_file") where it exists or cannot be made.
  explicit AnswerFile(const std::string& path);
  AnswerFile(const AnswerFile&) = delete;
  AnswerFile& operator=(const AnswerFile&) = delete;
  ~AnswerFile();

  /// False when the disk took less.
  bool append(const char* data, std::size_t bytes);
  /// False when the disk took less.
  bool keep();
  const std::string& trouble() const { return trouble_; }

 private:
  bool failed();

  const std::string path_;
  OpenFile file_;
  bool kept_ = false;
  std::string trouble_;
};

}  // namespace rowcrew
