#include "fake_resolver.hpp"

#include <dlfcn.h>
#include <netdb.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <set>

namespace rowcrew::testing {
namespace {

struct Names {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, std::vector<std::string>> known;
  std::set<std::string> stuck;
  int waiting = 0;
};

Names& names() {
  static Names* const kNames = new Names;  // look-up threads may outlive main()
  return *kNames;
}

using Resolver = int (*)(const char*, const char*, const addrinfo*, addrinfo**);

Resolver system_resolver() {
  static const auto kNext = reinterpret_cast<Resolver>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  return kNext;
}

int resolve_known(const std::vector<std::string>& addresses, const char* service,
                  const addrinfo* hints, addrinfo** result) {
  addrinfo* head = nullptr;
  addrinfo** tail = &head;
  for (const auto& address : addresses) {
    addrinfo one = *hints;
    one.ai_flags |= AI_NUMERICHOST;
    if (system_resolver()(address.c_str(), service, &one, tail) != 0) continue;
    while (*tail != nullptr) tail = &(*tail)->ai_next;
  }
  *result = head;
  return head == nullptr ? EAI_NONAME : 0;
}

}  // namespace

int fake_getaddrinfo(const char*, const char*, const addrinfo*, addrinfo**);
int fake_getaddrinfo(const char* node, const char* service, const addrinfo* hints,
                     addrinfo** result) {
  const std::string name = node == nullptr ? "" : node;
  if (!name.ends_with(".test")) return system_resolver()(node, service, hints, result);
  auto& all = names();
  std::unique_lock lock(all.mutex);
  ++all.waiting;
  all.changed.wait(lock, [&] { return !all.stuck.contains(name); });
  --all.waiting;
  const auto at = all.known.find(name);
  const auto addresses = at == all.known.end() ? std::vector<std::string>{} : at->second;
  all.changed.notify_all();
  lock.unlock();
  return resolve_known(addresses, service, hints, result);
}

FakeName::FakeName(std::string name, std::vector<std::string> addresses) : name_(std::move(name)) {
  const std::lock_guard lock(names().mutex);
  names().known[name_] = std::move(addresses);
}

FakeName::~FakeName() {
  const std::lock_guard lock(names().mutex);
  names().known.erase(name_);
}

StuckName::StuckName(std::string name) : name_(std::move(name)) {
  const std::lock_guard lock(names().mutex);
  names().stuck.insert(name_);
}

StuckName::~StuckName() {
  std::unique_lock lock(names().mutex);
  names().stuck.erase(name_);
  names().changed.notify_all();
  names().changed.wait(lock, [] { return names().waiting == 0; });
}

int StuckName::waiting() const {
  const std::lock_guard lock(names().mutex);
  return names().waiting;
}

}  // namespace rowcrew::testing

// Takes the place of libc's for every library of this program, libcurl among them.
extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints,
                           addrinfo** result) {
  return rowcrew::testing::fake_getaddrinfo(node, service, hints, result);
}
