// What `rowcrew listen` makes of the deliveries it gets: pure bookkeeping, time is told.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <rowcrew/webhook_signature.hpp>
#include "net/http_server.hpp"

namespace rowcrew::cli {

struct ListenRules {
  ListenRules() = default;
  std::vector<std::string> secrets;  ///< any of them may have signed
  std::int64_t fail_first = 0;       ///< so many deliveries are answered 503, good or not
  bool json = false;                 ///< lines and summary as JSON objects
};

class ListenLedger {
 public:
  explicit ListenLedger(ListenRules rules) : rules_(std::move(rules)) {}

  struct Answer {
    Answer(int code, std::string text) : status(code), line(std::move(text)) {}
    int status;        ///< 204 verified, 401 refused, 503 on purpose, 405 no POST
    std::string line;  ///< to be printed, without a line end; empty for what is no delivery
  };
  /// Counts a POST as a delivery. A webhook-* header that is given twice counts as missing.
  Answer take(const ServerRequest& request, std::chrono::system_clock::time_point now);

  std::int64_t deliveries() const { return deliveries_; }
  /// One line: deliveries, verified, repeated, refused.
  std::string summary() const;

 private:
  ListenRules rules_;
  std::map<std::string, std::int64_t, std::less<>> seen_;  ///< by webhook-id, the verified ones
  std::int64_t deliveries_ = 0;
  std::int64_t verified_ = 0;
  std::int64_t repeated_ = 0;  ///< verified, and the id had been seen before
  std::int64_t refused_ = 0;   ///< not verified
};

}  // namespace rowcrew::cli
