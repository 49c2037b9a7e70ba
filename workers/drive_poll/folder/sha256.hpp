// SHA-256 of bytes that come piece by piece.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace rowcrew::folder {

class Sha256 {
 public:
  /// Throws std::bad_alloc.
  Sha256();
  ~Sha256();

  void add(const void* bytes, std::size_t size);
  /// 64 lower-case hex digits. Once, after the last add().
  std::string hex();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace rowcrew::folder
