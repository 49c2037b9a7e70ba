// The payload of kinds whose jobs name an entry of a configured allow-list:
// {"entry": "…", "args": {…}, "<extra>": …}. Pure.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace rowcrew {

/// All calls throw PermanentError("bad_payload") with a sentence that names the kind, what was found
/// and what was expected; nothing of a stranger's text is longer than 64 characters in it.
class EntryPayload {
 public:
  /// `extra`: the one key that entries may take beside entry and args. `payload` is an object and
  /// outlives this.
  EntryPayload(std::string_view kind, const nlohmann::json& payload, std::string_view extra);

  /// As the payload says it; whether there is such an entry is for the kind to find out.
  const std::string& entry() const { return *entry_; }
  /// Throws PermanentError("unknown_entry").
  [[noreturn]] void unknown_entry() const;

  /// Exactly these arguments: strings or whole numbers, as text. Refuses any other key of the payload.
  std::map<std::string, std::string> args(const std::vector<std::string>& names) const;
  /// The extra value as JSON text, numbers to the last digit; empty when it is not `taken`. Refuses its lack or
  /// its presence. `stored`: the text of the payload.
  std::string extra(bool taken, std::string_view stored) const;

  [[noreturn]] void refuse(const std::string& sentence) const;

 private:
  std::string kind_;
  const nlohmann::json& payload_;
  std::string extra_;
  const std::string* entry_;
};

}  // namespace rowcrew
