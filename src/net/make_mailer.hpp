// The mailer that the configuration asks for.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>

#include <rowcrew/mailer.hpp>
#include <rowcrew/settings.hpp>

#include "net/egress_guard.hpp"

namespace rowcrew {

/// Reads section `mail`: `transport` maildir (default) or smtp, `maildir` (default: "mail" below
/// the working directory), and for SMTP `url`, `user`, `password` (secret), `tls` (required,
/// opportunistic, off), `ca_file`, `ehlo` (default: the host's name), `timeout` (60s; 1s to 15m)
/// and `connections` (4; 1 to 64). Throws ConfigError. The mailer lives on `executor`'s thread and
/// must be destroyed there.
std::unique_ptr<Mailer> make_mailer(boost::asio::any_io_executor executor, const Settings& mail,
                                    EgressGuard guard);

}  // namespace rowcrew
