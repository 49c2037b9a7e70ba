// What fails again and again, and when to say so: pure. Whatever a node does is tried again; that it
// fails once is no news, that it does nothing but fail is.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <rowcrew/clock.hpp>

namespace rowcrew {

class Troubles {
 public:
  /// For how long it has failed, when a line is due: after five seconds, then once a minute.
  std::optional<std::chrono::milliseconds> failed(std::string_view what, Mono now, std::string_view why = {});
  /// For how long it had failed, when that was said.
  std::optional<std::chrono::milliseconds> worked(std::string_view what, Mono now);
  bool any() const { return !failing_.empty(); }

  struct Lasting {
    std::string what;
    std::chrono::milliseconds lasted{0};
    std::string why;  ///< of the last failure
  };
  /// What a line has been due for and has failed again within two minutes: of what nobody tries any more nothing would tell
  /// that it works.
  std::vector<Lasting> lasting(Mono now) const;

 private:
  struct Trouble {
    Mono since{};
    Mono next_line{};
    bool said = false;
    Mono last{};
    std::string why;
  };
  std::map<std::string, Trouble, std::less<>> failing_;
};

}  // namespace rowcrew
