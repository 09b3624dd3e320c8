// A bridge: from a vendor's frames to cinegate, in C++ with libzmq, msgpack and xxHash. docs/messages.md has every field.
//   g++ -std=c++17 -O2 -DMSGPACK_NO_BOOST bridge.cpp -lzmq -o bridge && ./bridge ipc:///tmp/site-bridge 200 8
//   cinegate source zeromq -o endpoint=ipc:///tmp/site-bridge
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>
#define XXH_INLINE_ALL
#include <msgpack.hpp>
#include <xxhash.h>
#include <zmq.h>

struct Header {  // one msgpack map, key by key
    msgpack::sbuffer bytes;
    explicit Header(uint32_t keys) { msgpack::packer<msgpack::sbuffer>(bytes).pack_map(keys); }
    template <class T> Header& operator()(const char* key, const T& value) {
        msgpack::pack(bytes, key);
        msgpack::pack(bytes, value);
        return *this;
    }
    Header& describe(const std::string& clock) {  // 12 keys that the stream and every frame share
        return (*this)("schema", "cinegate/1.0")("session_id", "bridge")("source", "example bridge")
            ("source_kind", "phantom")("pacing", "real_time")  // yours: "live"
            ("dtype", "uint16")("shape", std::vector<int>{96, 80})("pixel_spacing_mm", std::vector<double>{2.0, 2.0})
            ("image_orientation", std::vector<double>{0, 1, 0, 0, 0, -1})
            ("image_position_mm", std::vector<double>{0, -80, 96})
            ("acquired_clock", clock)("acquired_meaning", "acquisition_end");
    }
    void send(void* socket, const char* topic, const std::vector<uint16_t>* pixels = nullptr) const {
        zmq_send(socket, topic, std::char_traits<char>::length(topic), ZMQ_SNDMORE);
        zmq_send(socket, bytes.data(), bytes.size(), pixels ? ZMQ_SNDMORE : 0);
        if (pixels) zmq_send(socket, pixels->data(), pixels->size() * 2, 0);
    }
};

static int64_t monotonic_ns() {  // CLOCK_MONOTONIC, which is cinegate's clock on Linux
    return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int main(int count, char** arguments) {
    const char* endpoint = count > 1 ? arguments[1] : "ipc:///tmp/site-bridge";
    const int frames = count > 2 ? std::atoi(arguments[2]) : 200;
    const double rate = count > 3 ? std::atof(arguments[3]) : 8.0;
    std::string boot;
    std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
    const std::string clock = "monotonic:" + boot.substr(0, 8), publisher = std::to_string(monotonic_ns());
    void* context = zmq_ctx_new();
    void* socket = zmq_socket(context, ZMQ_PUB);
    if (zmq_bind(socket, endpoint) != 0) return std::perror(endpoint), 1;
    std::vector<uint16_t> pixels(96 * 80);
    for (int sequence = 0; sequence < frames; ++sequence) {
        std::this_thread::sleep_for(std::chrono::duration<double>(1 / rate));
        const int64_t acquired_ns = monotonic_ns();  // yours: the vendor's stamp, and its clock's name
        for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = (i * 37 + sequence * 11) % 1000;  // yours: its pixels
        char hash[17];
        std::snprintf(hash, sizeof hash, "%016llx", (unsigned long long)XXH3_64bits(pixels.data(), pixels.size() * 2));
        if (sequence % 4 == 0)  // often, for subscribers that join late
            Header(14).describe(clock)("planes", std::vector<std::string>{"sagittal"})
                ("nominal_interval_ns", int64_t(1e9 / rate)).send(socket, "stream");
        Header(19).describe(clock)("publisher_id", publisher)("sequence", sequence)("content_hash", std::string(hash))
            ("acquired_ns", acquired_ns)("acquired_on_publish_clock_ns", acquired_ns)
            ("published_ns", monotonic_ns())("publish_clock", clock).send(socket, "frame", &pixels);
    }
    return zmq_close(socket), zmq_ctx_term(context), 0;
}
