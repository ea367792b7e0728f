#pragma once
// Bytes of replication messages between brokers. Format version 2; layouts in wire.cc. Decoding is
// bounded by the frame and refuses anything malformed.
#include "broker/model/shard.h"
#include "broker/replication/core/messages.h"

namespace broker::replication {

// `head` gets everything but batch payloads; `payload` the batches' bytes in order, uncopied.
void encode_message(const ShardId& shard, const Message& message, std::string& head,
                    std::vector<Buffer>& payload);

struct Decoded {
  ShardId shard;
  Message message;
};
// Batches are slices of `frame`; their CRCs are checked here, so that a bad link or disk of the
// sender is never spread.
Result<Decoded> decode_message(const Buffer& frame);

}  // namespace broker::replication
