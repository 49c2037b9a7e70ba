#include "message.hpp"

#include <fmt/format.h>

#include <array>

#include "header_text.hpp"

namespace rowcrew::email {
namespace {

constexpr std::array<std::string_view, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

std::string encoded_line(std::string_view line) {
  std::string out;
  std::size_t column = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    const bool blank = c == ' ' || c == '\t';
    const bool plain = blank ? i + 1 < line.size() : c > ' ' && c <= '~' && c != '=';
    // One column is left for the "=" of a soft line end.
    const std::size_t width = plain ? 1 : 3;
    if (column + width > kMaxLine - 1) {
      out += "=\r\n";
      column = 0;
    }
    const bool keep = plain && !(c == '.' && column == 0);
    if (keep) {
      out += c;
    } else {
      out += fmt::format("={:02X}", static_cast<unsigned char>(c));
    }
    column += keep ? 1 : 3;
  }
  return out;
}

void add_part(std::string& message, std::string_view boundary, std::string_view type,
              std::string_view body) {
  message += fmt::format("--{}\r\n", boundary);
  message += fmt::format("Content-Type: {}; charset=utf-8\r\n", type);
  message += "Content-Transfer-Encoding: quoted-printable\r\n\r\n";
  message += quoted_printable(body);
}

}  // namespace

std::string quoted_printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto end = text.find_first_of("\r\n");
    out += encoded_line(text.substr(0, end));
    out += "\r\n";
    if (end == text.npos) break;
    text.remove_prefix(end + (text.substr(end).starts_with("\r\n") ? 2 : 1));
  }
  return out;
}

std::string mail_date(std::chrono::sys_seconds when) {
  namespace chr = std::chrono;
  const auto day = chr::floor<chr::days>(when);
  const chr::year_month_day date(day);
  const chr::hh_mm_ss time(when - day);
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} +0000",
                     kDays.at(chr::weekday(day).c_encoding()), unsigned{date.day()},
                     kMonths.at(unsigned{date.month()} - 1), int{date.year()}, time.hours().count(),
                     time.minutes().count(), time.seconds().count());
}

std::string build_message(const Letter& letter) {
  // "=_" cannot stand in quoted-printable text, so that no part can hold the boundary.
  const std::string boundary = "=_" + letter.message_id.substr(0, letter.message_id.find('@'));
  std::string message = plain_header("Date", mail_date(letter.date));
  message += address_header("From", letter.from.name, letter.from.address);
  message += address_header("To", letter.to.name, letter.to.address);
  message += text_header("Subject", letter.content.subject);
  message += plain_header("Message-ID", "<" + letter.message_id + ">");
  message += plain_header("MIME-Version", "1.0");
  message += plain_header("Auto-Submitted", "auto-generated");
  message +=
      fmt::format("Content-Type: multipart/alternative;\r\n boundary=\"{}\"\r\n\r\n", boundary);
  add_part(message, boundary, "text/plain", letter.content.text);
  add_part(message, boundary, "text/html", letter.content.html);
  message += fmt::format("--{}--\r\n", boundary);
  return message;
}

}  // namespace rowcrew::email
