// Follow a target from another program, in C++ with libzmq and msgpack. docs/messages.md has every field.
//   g++ -std=c++17 -O2 -DMSGPACK_NO_BOOST follow_target.cpp -lzmq -o follow && ./follow ENDPOINT SESSION STRUCTURE 60
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>
#include <msgpack.hpp>
#include <zmq.h>

using Position = std::map<std::string, msgpack::object>;
constexpr double MOST_LEASE_S = 0.1;
constexpr size_t AXES[] = {1, 2};  // the coordinates that this machine needs: AP and SI of (LR, AP, SI)

static double monotonic_s() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Follower {  // which position may be followed now
    std::string session, structure, publisher{};
    int64_t sequence = -1;
    double heard_s = 0, fastest_s = 1e300, until_s = 0;
    std::vector<msgpack::object> predicted{};

    void hear(Position& position, double now_s) {
        if (position["session_id"].as<std::string>() != session) return;
        if (position["structure"].as<std::string>() != structure) return;
        const bool running = now_s < until_s;
        until_s = 0;  // whatever is wrong with a position, the answer is to hold
        const auto sender = position["publisher_id"].as<std::string>();
        if (sender != publisher) {
            if (!publisher.empty() && now_s - heard_s < 1.0) return;  // two publishers: believe neither
            publisher = sender, fastest_s = 1e300;
            sequence = position["position_sequence"].as<int64_t>(), heard_s = now_s;
            return;  // the first one of a publisher permits nothing: it may be of an old log
        }
        const auto number = position["position_sequence"].as<int64_t>();
        if (number <= sequence) return;
        sequence = number, heard_s = now_s;
        const double under_way_s = now_s - position["sent_ns"].as<int64_t>() / 1e9;
        fastest_s = std::min(fastest_s, under_way_s);
        const double stated_s = position["lease_ms"].as<double>() / 1e3;
        const double lease_s = std::min(stated_s, MOST_LEASE_S) - (under_way_s - fastest_s);
        predicted = position["predicted_mm"].as<std::vector<msgpack::object>>();
        for (size_t axis : AXES)
            if (predicted.at(axis).is_nil()) return;
        if (position["valid"].as<bool>() && lease_s > 0 && (running || !position["renewal"].as<bool>()))
            until_s = now_s + lease_s;
    }
};

int main(int count, char** arguments) {
    if (count < 4) return std::fprintf(stderr, "follow ENDPOINT SESSION STRUCTURE [SECONDS]\n"), 2;
    if (std::strncmp(arguments[1], "ipc://", 6) != 0)
        return std::fprintf(stderr, "without keys, anybody at %s could repeat old positions\n", arguments[1]), 2;
    void* context = zmq_ctx_new();
    void* socket = zmq_socket(context, ZMQ_SUB);
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "position", 8);
    if (zmq_connect(socket, arguments[1]) != 0) return std::perror(arguments[1]), 1;
    Follower follower{arguments[2], arguments[3]};
    const double end_s = monotonic_s() + (count > 4 ? std::atof(arguments[4]) : 1e9);
    char topic[16], header[16384];
    for (bool followed = false; monotonic_s() < end_s;) {
        zmq_pollitem_t item{socket, 0, ZMQ_POLLIN, 0};
        zmq_poll(&item, 1, 10);  // 64 at most: a flood must not keep the lease from running out
        for (int heard = 0; heard < 64 && zmq_poll(&item, 1, 0) > 0; ++heard) {
            zmq_recv(socket, topic, sizeof topic, 0);
            const int size = zmq_recv(socket, header, sizeof header, 0);
            try {
                const auto unpacked = msgpack::unpack(header, std::min<size_t>(size, sizeof header));
                auto position = unpacked.get().as<Position>();
                follower.hear(position, monotonic_s());
            } catch (const std::exception&) { follower.until_s = 0; }
        }
        const bool follows = monotonic_s() < follower.until_s;
        if (follows) std::printf("follow %lld %f %f\n", (long long)follower.sequence,  // yours: move there
                                 follower.predicted[1].as<double>(), follower.predicted[2].as<double>());
        else if (followed) std::puts("hold");  // yours: stand still
        std::fflush(stdout), followed = follows;
    }
    return zmq_close(socket), zmq_ctx_term(context), 0;
}
