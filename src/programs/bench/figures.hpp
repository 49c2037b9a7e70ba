// What a run measured, for people and for programs. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace rowcrew::bench {

/// Milliseconds. All nullopt when nothing was measured.
struct Percentiles {
  std::optional<double> p50, p95, p99, max;
};
/// The smallest value that so many of the hundred are not above (nearest rank).
Percentiles percentiles(std::vector<double> values);

class Figures {
 public:
  /// `label`: what a person reads, with its unit. nullopt: could not be measured, "-" and null.
  void add(std::string key, std::string label, std::optional<double> value, int digits = 0);
  void add(const std::string& key, const std::string& label, const Percentiles& values);

  /// One line each, numbers to the right.
  std::string text() const;
  /// One object in one line; the keys in the order of add().
  std::string json() const;

 private:
  struct Figure {
    std::string key;
    std::string label;
    std::optional<double> value;
    int digits;
  };
  std::vector<Figure> figures_;
};

}  // namespace rowcrew::bench
