#include "mail_templates.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <kainjow/mustache.hpp>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include <rowcrew/error.hpp>

#include "template_scan.hpp"

namespace rowcrew::email {
namespace {

namespace fs = std::filesystem;
namespace mustache = kainjow::mustache;
using nlohmann::json;
using Names = std::set<std::string, std::less<>>;

constexpr std::uintmax_t kMaxFile = 256 << 10;
constexpr int kMaxDepth = 8;

bool is_utf8(const std::string& text) {
  try {
    static_cast<void>(json(text).dump());
    return true;
  } catch (const json::type_error&) {
    return false;
  }
}

std::string read_text(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (!error && size > kMaxFile) {
    throw ConfigError(fmt::format("{}: larger than {} bytes", path.string(), kMaxFile));
  }
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file) throw ConfigError(path.string() + ": cannot be read");
  // Mails say that they are UTF-8: what was written in Latin-1 would reach people broken, and nobody else would notice.
  if (!is_utf8(text)) throw ConfigError(path.string() + ": text that is no UTF-8, expected a file in UTF-8");
  return text;
}

bool is_name(std::string_view text) {
  static constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyz0123456789_";
  return !text.empty() && text.size() <= 64 && text.find_first_not_of(kAllowed) == text.npos;
}

/// Null and "" are left out: to a reader they are as good as missing.
mustache::data to_mustache(const json& value, int depth) {
  if (depth > kMaxDepth) {
    throw PermanentError("bad_payload", "email payload: data is nested too deeply");
  }
  if (value.is_string()) return mustache::data(value.get<std::string>());
  if (value.is_boolean()) {
    return mustache::data(value.get<bool>() ? mustache::data::type::bool_true
                                            : mustache::data::type::bool_false);
  }
  if (value.is_number()) return mustache::data(value.dump());
  if (value.is_array()) {
    mustache::data list(mustache::data::type::list);
    for (const json& item : value) list.push_back(to_mustache(item, depth + 1));
    return list;
  }
  mustache::data object(mustache::data::type::object);
  if (!value.is_object()) return object;
  for (const auto& [key, item] : value.items()) {
    if (item.is_null() || item == "") continue;
    object.set(key, to_mustache(item, depth + 1));
  }
  return object;
}

/// Notes what a template asks for in vain, where the library would leave a hole.
class StrictContext final : public mustache::context<std::string> {
 public:
  StrictContext(const mustache::data* data, const Names& optional)
      : mustache::context<std::string>(data), optional_(optional) {}

  const mustache::data* get(const std::string& name) const override {
    const auto* found = mustache::context<std::string>::get(name);
    if ((found == nullptr || !found->is_string()) && !optional_.contains(name)) {
      missing_.insert(name);
    }
    return found;
  }
  const Names& missing() const { return missing_; }

 private:
  const Names& optional_;
  mutable Names missing_;
};

std::string joined(const Names& names, std::string_view prefix) {
  std::string text;
  for (const std::string& name : names) {
    text += fmt::format("{}{}{}", text.empty() ? "" : ", ", prefix, name);
  }
  return text;
}

}  // namespace

class MailTemplates::Template {
 public:
  enum class Escape { none, html };

  Template(const fs::path& path, Escape escape)
      : Template(read_text(path), path.string(), escape) {}

  std::string render(const mustache::data& data, Names& missing) {
    StrictContext context(&data, optional_);
    std::string text = mustache_.render(context);
    missing.insert(context.missing().begin(), context.missing().end());
    return text;
  }

 private:
  // The scan comes first: the library trips over what it refuses.
  Template(const std::string& text, const std::string& file, Escape escape)
      : optional_(scan_template(text, file)), mustache_(text) {
    if (!mustache_.is_valid()) throw ConfigError(file + ": " + mustache_.error_message());
    if (escape == Escape::none) {
      mustache_.set_custom_escape([](const std::string& value) { return value; });
    }
  }

  Names optional_;
  mustache::mustache mustache_;
};

struct MailTemplates::Trio {
  explicit Trio(const fs::path& stem)
      : subject(stem.string() + ".subject", Template::Escape::none),
        text(stem.string() + ".txt", Template::Escape::none),
        html(stem.string() + ".html", Template::Escape::html) {}

  Template subject;
  Template text;
  Template html;
};

MailTemplates::~MailTemplates() = default;

MailTemplates::MailTemplates(const std::string& directory, bool optional) {
  std::error_code error;
  if (optional && !fs::exists(directory, error)) return;
  fs::directory_iterator files(directory, error);
  if (error) throw ConfigError(fmt::format("{}: {}", directory, error.message()));
  for (const auto& file : files) {
    const fs::path& path = file.path();
    const auto extension = path.extension();
    if (extension != ".subject" && extension != ".txt" && extension != ".html") continue;
    const std::string name = path.stem().string();
    if (!is_name(name)) {
      throw ConfigError(fmt::format("{}: expected a name of a-z, 0-9 and _", path.string()));
    }
    if (!trios_.contains(name)) {
      trios_.emplace(name, std::make_unique<Trio>(fs::path(directory) / name));
    }
  }
}

void MailTemplates::check_known(std::string_view name) const {
  if (trios_.contains(name)) return;
  Names known;
  for (const auto& [key, trio] : trios_) known.insert(key);
  const std::string shown =
      json(std::string(name.substr(0, 64))).dump(-1, ' ', true, json::error_handler_t::replace);
  throw PermanentError("unknown_template",
                       fmt::format("There is no mail template {}; known: {}.", shown,
                                   known.empty() ? "none" : joined(known, "")));
}

Content MailTemplates::render(std::string_view name, const json& data) const {
  check_known(name);
  Trio& trio = *trios_.find(name)->second;
  const mustache::data values = to_mustache(data, 0);
  Names missing;
  Content content;
  content.subject = trio.subject.render(values, missing);
  content.text = trio.text.render(values, missing);
  content.html = trio.html.render(values, missing);
  if (!missing.empty()) {
    throw PermanentError(
        "template_data",
        fmt::format("The mail template {} needs {}, which is missing, empty or no text.", name,
                    joined(missing, "data.")));
  }
  while (content.subject.ends_with('\n') || content.subject.ends_with('\r')) {
    content.subject.pop_back();
  }
  return content;
}

}  // namespace rowcrew::email
