// The values that a label may have: names that strangers chose, so only so many of them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/escape.hpp"
#include "base/metric_text.hpp"

namespace rowcrew {

/// Made of names that are known from the beginning: the first `most` by name, all others are "other". Long ones are cut. Two
/// names that would look the same in the text are one value: a series that comes twice fails the whole scrape. One thread.
class LabelValues {
 public:
  LabelValues(const std::vector<std::string>& names, std::size_t most) {
    std::map<std::string, std::size_t> shown;
    const auto place = [&](std::string_view name) {
      std::string value(cut_utf8(name, kMaxBytes));
      const auto [at, is_new] = shown.emplace(metric_label_value(value), values_.size());
      if (is_new) values_.push_back(std::move(value));
      return at->second;
    };
    place("other");
    for (const std::string& name : names) {
      if (values_.size() > most) break;
      places_.emplace(name, place(name));
    }
  }
  LabelValues(const LabelValues&) = delete;
  LabelValues& operator=(const LabelValues&) = delete;

  /// 0: "other".
  std::size_t place(std::string_view name) const {
    if (last_ != places_.end() && last_->first == name) return last_->second;
    const auto at = places_.find(name);
    if (at == places_.end()) return 0;
    last_ = at;
    return at->second;
  }
  std::size_t size() const { return values_.size(); }  ///< "other" included
  const std::string& value(std::size_t place) const { return values_[place]; }

 private:
  static constexpr std::size_t kMaxBytes = 64;

  std::vector<std::string> values_;
  using Places = std::map<std::string, std::size_t, std::less<>>;
  Places places_;
  mutable Places::const_iterator last_ = places_.end();  ///< the next one asked for is likely to be the same
};

}  // namespace rowcrew
