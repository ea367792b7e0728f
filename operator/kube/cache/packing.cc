#include "operator/kube/cache/packing.h"

#include <zstd.h>

#include "broker/base/check.h"

namespace sluice_operator::kube {

namespace {

constexpr int kLevel = 3;
constexpr size_t kDictionaryBytesMax = 16 << 10;

template <class T, size_t (*release)(T*)>
struct Freeing {
  void operator()(T* context) const { release(context); }
};
using Compressor = std::unique_ptr<ZSTD_CCtx, Freeing<ZSTD_CCtx, ZSTD_freeCCtx>>;
using Decompressor = std::unique_ptr<ZSTD_DCtx, Freeing<ZSTD_DCtx, ZSTD_freeDCtx>>;

// They take 100 to 200 KiB and hold nothing between two texts, each of which takes microseconds: one of each
// does for all threads.
struct Contexts {
  std::mutex mutex;
  Compressor compressor{ZSTD_createCCtx()};
  Decompressor decompressor{ZSTD_createDCtx()};
};
Contexts& contexts() {
  static Contexts all;
  return all;
}

}  // namespace

struct Packing::Dictionary {
  explicit Dictionary(std::string_view text)
      : compressing(ZSTD_createCDict(text.data(), text.size(), kLevel)),
        decompressing(ZSTD_createDDict(text.data(), text.size())) {}
  std::unique_ptr<ZSTD_CDict, Freeing<ZSTD_CDict, ZSTD_freeCDict>> compressing;
  std::unique_ptr<ZSTD_DDict, Freeing<ZSTD_DDict, ZSTD_freeDDict>> decompressing;
};

Packing::Text Packing::pack(std::string_view text) {
  Text packed;
  {
    std::lock_guard lock(mutex_);
    if (!dictionary_) {
      dictionary_ = std::make_shared<const Dictionary>(text.substr(0, kDictionaryBytesMax));
    }
    packed.dictionary = dictionary_;
  }
  std::string out(ZSTD_compressBound(text.size()), '\0');
  size_t size = 0;
  {
    std::lock_guard lock(contexts().mutex);
    size = ZSTD_compress_usingCDict(contexts().compressor.get(), out.data(), out.size(), text.data(),
                                    text.size(), packed.dictionary->compressing.get());
  }
  CHECK(!ZSTD_isError(size));
  packed.bytes.assign(out, 0, size);
  return packed;
}

std::string unpack(const Packing::Text& text) {
  const auto size = ZSTD_getFrameContentSize(text.bytes.data(), text.bytes.size());
  std::string out(size, '\0');
  std::lock_guard lock(contexts().mutex);
  const size_t got = ZSTD_decompress_usingDDict(contexts().decompressor.get(), out.data(), out.size(),
                                                text.bytes.data(), text.bytes.size(),
                                                text.dictionary->decompressing.get());
  CHECK_EQ(got, size);
  return out;
}

}  // namespace sluice_operator::kube
