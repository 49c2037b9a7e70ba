// What a relay answers, and what it means for a mail: pure.
#pragma once

#include <string>
#include <string_view>

namespace rowcrew {

/// One reply, of one or several lines ("250-…" continues, "250 …" ends).
class SmtpReply {
 public:
  /// Takes one line as it came, with its line end. A line that is no reply is ignored; the first
  /// line behind a complete reply begins the next one.
  void take(std::string_view line);

  int code() const { return code_; }  ///< 0: none yet
  /// "5.1.1", or empty: of the first line that carries one of the reply's own class.
  const std::string& enhanced() const { return enhanced_; }
  /// Visible ASCII, lines joined by blanks, at most 500 bytes.
  const std::string& text() const { return text_; }

 private:
  int code_ = 0;
  bool complete_ = true;
  std::string enhanced_;
  std::string text_;
};

/// How far the conversation had come when a reply arrived.
enum class SmtpPhase {
  greeting,  ///< connection, EHLO, STARTTLS
  login,     ///< AUTH
  envelope,  ///< MAIL, RCPT, DATA
  content,   ///< the message is on its way, or sent
};

/// Throws for a reply of 400 and above: TransientError ("mail_login", "mail_busy", "mail_connect":
/// the relay turned us away before it heard of the mail), PermanentError("mail_refused"). Returns
/// for any other code. The basic code's first digit outweighs a contradicting enhanced status.
void judge_reply(const SmtpReply& reply, SmtpPhase phase, std::string_view relay);

}  // namespace rowcrew
