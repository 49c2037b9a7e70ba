#include "ingest/hook_config.hpp"

#include <algorithm>

#include <rowcrew/error.hpp>
#include <rowcrew/webhook_signature.hpp>

#include "base/cipher.hpp"

namespace rowcrew {
namespace {

using namespace std::chrono_literals;

HookScheme scheme_of(const std::string& word) {
  if (word == "stripe") return HookScheme::stripe;
  if (word == "github") return HookScheme::github;
  if (word == "shopify") return HookScheme::shopify;
  return word == "razorpay" ? HookScheme::razorpay : HookScheme::standard;
}

std::string required_secret(const Settings& hook, std::string_view key, const char* expected) {
  auto secret = hook.secret(key);
  if (!secret || secret->empty()) throw ConfigError(hook.full(key) + ": none found, expected " + expected);
  return std::move(*secret);
}

void check_secret(const Hook& hook, const Settings& settings, std::string_view key, const std::string& secret) {
  if (hook.scheme == HookScheme::standard && !webhook_key(secret)) {
    throw ConfigError(settings.full(key) + ": holds no key, expected whsec_ and the base64 of 24 to 64 bytes");
  }
}

bool is_name(const std::string& name) {
  return !name.empty() && name.size() <= 63 && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == name.npos;
}

Hook read_hook(const Settings& settings, const std::string& name) {
  if (!is_name(name)) throw ConfigError("hooks." + name + ": expected a name of [a-z0-9_-], 1 to 63");
  Hook hook;
  hook.name = name;
  static_cast<void>(settings.text("scheme"));  // there has to be one
  hook.scheme = scheme_of(settings.choice("scheme", "", {"stripe", "standard", "github", "shopify", "razorpay"}));
  hook.secrets.push_back(required_secret(settings, "secret", "the secret that its sender signs with"));
  check_secret(hook, settings, "secret", hook.secrets.back());
  if (auto previous = settings.secret("previous_secret"); previous && !previous->empty()) {
    check_secret(hook, settings, "previous_secret", *previous);
    hook.secrets.push_back(std::move(*previous));
  }
  hook.key_hash = sha256_hex(required_secret(settings, "api_key", "an API key (rowcrew key create) that may enqueue its job type"));
  hook.job_type = settings.text("job_type");
  hook.entry = settings.text("entry", "");
  hook.queue = settings.text("queue", "");
  hook.events = settings.texts("events", {});
  hook.tolerance = std::chrono::duration_cast<std::chrono::seconds>(settings.duration("tolerance", 5min, 1s, 1h));
  return hook;
}

}  // namespace

Hooks read_hooks(const Settings& root) {
  Hooks hooks;
  const Settings section = root.section("hooks");
  for (const std::string& name : section.names()) hooks.emplace(name, read_hook(section.section(name), name));
  return hooks;
}

}  // namespace rowcrew
