// What every transport refuses before it does anything: pure.
#pragma once

#include <rowcrew/mailer.hpp>

namespace rowcrew {

/// Throws PermanentError("mail_address") when sender or recipient is empty, not ASCII, without "@"
/// or holds a control character, blank, quote or angle bracket: each could add a command of its own
/// to the conversation with a relay. Throws BugError: "mail_key" for a key that could not be a
/// file's name, "mail_message" for bytes that are not 7 bit or have a line end other than CR LF.
void check_mail(const Mail& mail);

}  // namespace rowcrew
