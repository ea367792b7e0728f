#include "broker/server/socket/client_socket.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace broker::server {
namespace {

constexpr size_t kPiecesPerWrite = 64;
constexpr size_t kTlsRecordBytes = 16 << 10;  // the most that one record holds

namespace asio = boost::asio;
using asio::ip::tcp;
using Io = security::TlsSession::Io;

boost::system::error_code error_of(Io io) {
  switch (io) {
    case Io::kDone:
      return {};
    case Io::kWantRead:
    case Io::kWantWrite:
      return asio::error::would_block;
    case Io::kClosed:
      return asio::error::eof;
    case Io::kFailed:
      return asio::error::connection_reset;
  }
  return asio::error::connection_reset;
}

}  // namespace

bool would_block(const boost::system::error_code& error) {
  return error == asio::error::would_block || error == asio::error::try_again ||
         error == asio::error::interrupted;
}

ClientSocket::ClientSocket(tcp::socket socket, const security::TlsContext* tls)
    : socket_(std::move(socket)) {
  boost::system::error_code gone;
  const auto endpoint = socket_.remote_endpoint(gone);
  if (!gone) peer_ = endpoint.address().to_string();
  if (tls) tls_ = std::make_unique<security::TlsSession>(*tls, socket_.native_handle());
}

boost::system::error_code ClientSocket::prepare() {
  boost::system::error_code error;
  socket_.non_blocking(true, error);
  if (!error) socket_.set_option(tcp::no_delay(true), error);
  if (!error) socket_.set_option(asio::socket_base::keep_alive(true), error);
  return error;
}

ClientSocket::Handshake ClientSocket::handshake() {
  if (!tls_) return Handshake::kDone;
  switch (tls_->handshake()) {
    case Io::kDone:
      return Handshake::kDone;
    case Io::kWantRead:
      return Handshake::kWantRead;
    case Io::kWantWrite:
      return Handshake::kWantWrite;
    case Io::kClosed:
    case Io::kFailed:
      break;
  }
  return Handshake::kFailed;
}

size_t ClientSocket::read_some(std::span<const asio::mutable_buffer> into,
                               boost::system::error_code& error) {
  if (!tls_) return socket_.read_some(into, error);
  auto room = std::find_if(into.begin(), into.end(), [](const auto& b) { return b.size() > 0; });
  size_t bytes = 0;
  error = error_of(tls_->read(static_cast<char*>(room->data()), room->size(), bytes));
  return bytes;
}

size_t ClientSocket::write_some(const std::deque<Buffer>& out, char* scratch,
                                boost::system::error_code& error) {
  if (!tls_) {
    std::array<asio::const_buffer, kPiecesPerWrite> pieces;
    const size_t count = std::min(out.size(), kPiecesPerWrite);
    for (size_t i = 0; i < count; ++i) {
      pieces[i] = asio::const_buffer(out[i].data(), out[i].size());
    }
    return socket_.write_some(std::span(pieces.data(), count), error);
  }
  // A TLS record for each small piece would cost more than the copy that joins them.
  std::string_view chunk = out.front().view();
  if (chunk.size() < kTlsRecordBytes && out.size() > 1) {
    size_t size = 0;
    for (const Buffer& piece : out) {
      const size_t part = std::min(piece.size(), kTlsRecordBytes - size);
      std::memcpy(scratch + size, piece.data(), part);
      size += part;
      if (size == kTlsRecordBytes) break;
    }
    chunk = {scratch, size};
  }
  size_t bytes = 0;
  error = error_of(tls_->write(chunk.data(), chunk.size(), bytes));
  return bytes;
}

void ClientSocket::close() {
  boost::system::error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_both, ignored);
  socket_.close(ignored);
}

}  // namespace broker::server
