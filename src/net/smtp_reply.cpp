#include "net/smtp_reply.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <rowcrew/error.hpp>

namespace rowcrew {
namespace {

constexpr std::size_t kMaxText = 500;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::optional<int> code_of(std::string_view line) {
  if (line.size() < 3 || !std::all_of(line.begin(), line.begin() + 3, is_digit)) return {};
  if (line.size() > 3 && line[3] != ' ' && line[3] != '-') return {};
  const int code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
  return code >= 200 && code <= 599 ? std::optional(code) : std::nullopt;
}

/// The status at the beginning of a reply's text: class "." subject "." detail, 1 to 3 digits each.
std::string_view enhanced_of(std::string_view text) {
  std::size_t at = 0;
  for (int part = 0; part < 3; ++part) {
    const std::size_t begin = at;
    while (at < text.size() && is_digit(text[at])) ++at;
    const std::size_t digits = at - begin;
    if (digits == 0 || digits > (part == 0 ? 1 : 3)) return {};
    if (part == 2) break;
    if (at == text.size() || text[at++] != '.') return {};
  }
  return at == text.size() || text[at] == ' ' ? text.substr(0, at) : std::string_view{};
}

bool is_one_of(int code, std::initializer_list<int> codes) {
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

/// Our credentials, or the way we present them: an operator mends it, the mail is innocent.
bool concerns_login(const SmtpReply& reply, SmtpPhase phase) {
  static constexpr std::array<std::string_view, 4> kStatuses = {"5.7.8", "5.7.9", "4.7.12",
                                                                "5.7.11"};
  if (is_one_of(reply.code(), {432, 530, 534, 535, 538})) return true;
  if (phase == SmtpPhase::login) return true;
  return std::find(kStatuses.begin(), kStatuses.end(), reply.enhanced()) != kStatuses.end();
}

}  // namespace

void SmtpReply::take(std::string_view line) {
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  const auto code = code_of(line);
  if (!code) return;
  if (complete_ || *code != code_) {
    code_ = *code;
    enhanced_.clear();
    text_.clear();
  }
  complete_ = line.size() == 3 || line[3] == ' ';
  const std::string_view said = line.size() > 4 ? line.substr(4) : std::string_view{};
  const auto status = enhanced_of(said);
  if (enhanced_.empty() && !status.empty() && status.front() == line.front()) enhanced_ = status;
  if (!text_.empty()) text_ += ' ';
  text_ += text_.empty() ? line : said;
  // A stranger's bytes, on their way into logs and tables.
  for (char& c : text_) {
    if (c < ' ' || c > '~') c = '?';
  }
  if (text_.size() > kMaxText) text_.resize(kMaxText);
}

void judge_reply(const SmtpReply& reply, SmtpPhase phase, std::string_view relay) {
  if (reply.code() < 400) return;
  const auto sentence = [&](std::string_view what) {
    return fmt::format("mail: relay {} {}: {}", relay, what, reply.text());
  };
  if (concerns_login(reply, phase)) {
    throw TransientError("mail_login", sentence("refuses our login"));
  }
  if (phase == SmtpPhase::greeting) {
    throw TransientError("mail_connect", sentence("turned us away"));
  }
  // A full mailbox may be emptied; relays call it 552 or 550 all the same.
  if (reply.code() < 500 || reply.enhanced() == "5.2.2") {
    throw TransientError("mail_busy", sentence("put the mail off"));
  }
  throw PermanentError("mail_refused", sentence("refused the mail"));
}

}  // namespace rowcrew
