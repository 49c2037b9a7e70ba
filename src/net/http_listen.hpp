// Listening sockets of every kind the server takes: TCP, unix, or handed over by the service
// manager.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <cstdint>
#include <string>

namespace rowcrew {

using StreamProtocol = boost::asio::generic::stream_protocol;
using StreamAcceptor = boost::asio::basic_socket_acceptor<StreamProtocol>;
using StreamSocket = boost::asio::basic_stream_socket<StreamProtocol>;

/// Opens what `listen` names: "127.0.0.1:8080", "[::1]:0", "unix:/path". A unix socket that nobody
/// listens on any more is replaced. With inherited_fd >= 0 that descriptor is taken over instead.
/// Throws ConfigError naming the address.
StreamAcceptor open_listener(const boost::asio::any_io_executor& executor,
                             const std::string& listen, int inherited_fd);

/// Throws ConfigError unless open_listener could mean something by it. Opens nothing.
void check_listen(const std::string& listen);

/// The path behind "unix:", or empty.
std::string unix_path(const std::string& listen);

/// Numeric address of a TCP peer, "unix" for any other, empty when it has gone already.
std::string peer_address(const StreamSocket& socket);

/// 0 for anything but TCP.
std::uint16_t local_port(const StreamAcceptor& acceptor);

}  // namespace rowcrew
