#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include <rowcrew/entry_payload.hpp>
#include <rowcrew/error.hpp>

namespace rowcrew {
namespace {

using nlohmann::json;

constexpr std::size_t kShown = 64;

// As a stranger wrote it: cut and escaped, for an error message.
std::string shown(const std::string& text) {
  return json(text.substr(0, kShown)).dump(-1, ' ', true, json::error_handler_t::replace);
}

/// One member of an object, written anew without blanks. Numbers stay as they are spelt: what is parsed into a
/// json holds 17 digits of them, those of PostgreSQL's numeric and of others' 64 bits and more do not end there.
class MemberText final : public json::json_sax_t {
 public:
  explicit MemberText(std::string_view name) : name_(name) {}
  std::string take() { return std::move(text_); }

  bool null() override { return value("null"); }
  bool boolean(bool is) override { return value(is ? "true" : "false"); }
  bool number_integer(number_integer_t number) override { return value(std::to_string(number)); }
  bool number_unsigned(number_unsigned_t number) override { return value(std::to_string(number)); }
  bool number_float(number_float_t, const string_t& spelt) override { return value(spelt); }
  bool string(string_t& text) override { return value(quoted(text)); }
  bool binary(binary_t&) override { return false; }
  bool key(string_t& name) override {
    if (depth_ == 1) {
      inside_ = name == name_;
      if (inside_) text_.clear();  // of two the last counts, as where it was looked up
    } else if (inside_) {
      value(quoted(name) + ':');
    }
    first_ = true;
    return true;
  }
  bool start_object(std::size_t) override { return open("{"); }
  bool end_object() override { return close('}'); }
  bool start_array(std::size_t) override { return open("["); }
  bool end_array() override { return close(']'); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

 private:
  static std::string quoted(const std::string& text) { return json(text).dump(-1, ' ', false, json::error_handler_t::replace); }
  bool value(std::string_view text) {
    if (!inside_) return true;
    if (!first_) text_ += ',';
    text_ += text;
    first_ = false;
    return true;
  }
  bool open(std::string_view bracket) {
    value(bracket);
    first_ = true;
    ++depth_;
    return true;
  }
  bool close(char bracket) {
    if (--depth_ > 0 && inside_) text_ += bracket;
    first_ = false;
    return true;
  }

  std::string_view name_;
  std::string text_;
  std::size_t depth_ = 0;
  bool inside_ = false;
  bool first_ = true;  ///< no comma is due
};

}  // namespace

EntryPayload::EntryPayload(std::string_view kind, const json& payload, std::string_view extra)
    : kind_(kind), payload_(payload), extra_(extra), entry_(nullptr) {
  const auto name = payload_.find("entry");
  if (name == payload_.end() || !name->is_string()) refuse("expected \"entry\", a string");
  entry_ = &name->get_ref<const std::string&>();
}

void EntryPayload::refuse(const std::string& sentence) const {
  throw PermanentError("bad_payload", kind_ + " payload: " + sentence);
}

void EntryPayload::unknown_entry() const {
  throw PermanentError("unknown_entry", fmt::format("{0} payload: entry {1} is not in kinds.{0}.allow",
                                                    kind_, shown(*entry_)));
}

std::map<std::string, std::string> EntryPayload::args(const std::vector<std::string>& names) const {
  for (const auto& [key, value] : payload_.items()) {
    if (key != "entry" && key != "args" && key != extra_) {
      refuse(fmt::format("unknown key {}, expected entry, args and {}", shown(key), extra_));
    }
  }
  static const json kNone = json::object();
  const auto found = payload_.find("args");
  const json& given = found == payload_.end() ? kNone : *found;
  if (!given.is_object()) {
    refuse(fmt::format("args is of type {}, expected an object", given.type_name()));
  }
  for (const auto& [name, value] : given.items()) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      refuse(fmt::format("entry {} takes no argument {}", *entry_, shown(name)));
    }
  }
  std::map<std::string, std::string> values;
  for (const std::string& name : names) {
    const auto value = given.find(name);
    if (value == given.end()) refuse(fmt::format("entry {} needs args.{}", *entry_, name));
    if (!value->is_string() && !value->is_number_integer()) {
      refuse(fmt::format("args.{} is of type {}, expected a string or a whole number", name,
                         value->type_name()));
    }
    values.emplace(name, value->is_string() ? value->get<std::string>() : value->dump());
  }
  return values;
}

std::string EntryPayload::extra(bool taken, std::string_view stored) const {
  if (taken != payload_.contains(extra_)) {
    refuse(fmt::format("entry {} {} \"{}\"", *entry_, taken ? "needs" : "takes no", extra_));
  }
  MemberText member(extra_);
  if (taken) json::sax_parse(stored, &member);
  return member.take();
}

}  // namespace rowcrew
