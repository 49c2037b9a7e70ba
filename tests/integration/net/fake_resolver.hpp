// Stands in front of getaddrinfo(3) for names below ".test", so that tests decide what a name
// resolves to and when. Every other name goes to the system's resolver.
#pragma once

#include <string>
#include <vector>

namespace rowcrew::testing {

/// Until destroyed, `name` resolves to these numeric addresses, in this order; none: it does not
/// exist. One at a time per name.
class FakeName {
 public:
  FakeName(std::string name, std::vector<std::string> addresses);
  FakeName(const FakeName&) = delete;
  FakeName& operator=(const FakeName&) = delete;
  ~FakeName();

 private:
  std::string name_;
};

/// Until destroyed, looking up `name` does not return. Its end waits for those inside to leave.
class StuckName {
 public:
  explicit StuckName(std::string name);
  StuckName(const StuckName&) = delete;
  StuckName& operator=(const StuckName&) = delete;
  ~StuckName();
  int waiting() const;

 private:
  std::string name_;
};

}  // namespace rowcrew::testing
