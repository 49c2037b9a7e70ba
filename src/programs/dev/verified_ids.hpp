// Which webhooks the receiver has verified: read from the lines of `rowcrew listen --json`. Pure.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <string_view>

namespace rowcrew::dev {

class VerifiedIds {
 public:
  /// `text`: what the log holds behind the bytes taken so far. A line without its end waits.
  void take(std::string_view text);

  std::size_t bytes() const { return bytes_; }
  /// "http://127.0.0.1:PORT"; empty before the receiver has said so.
  const std::string& url() const { return url_; }
  const std::set<std::string>& ids() const { return ids_; }

 private:
  void take_line(std::string_view line);

  std::size_t bytes_ = 0;
  std::string url_;
  std::set<std::string> ids_;
};

}  // namespace rowcrew::dev
