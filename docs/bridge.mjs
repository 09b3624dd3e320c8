// A bridge: from a vendor's frames to cinegate, in JavaScript (Node.js). docs/messages.md has every field.
//   npm install zeromq@6 @msgpack/msgpack@3 hash-wasm@4
//   node bridge.mjs ipc:///tmp/site-bridge 200 8
//   cinegate source zeromq -o endpoint=ipc:///tmp/site-bridge
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Encoder } from "@msgpack/msgpack";
import { xxhash3 } from "hash-wasm";
import { Publisher } from "zeromq";

const [endpoint = "ipc:///tmp/site-bridge", frames = "200", rate = "8"] = process.argv.slice(2);
const [rows, columns] = [96, 80];
const now = () => process.hrtime.bigint(); // CLOCK_MONOTONIC, which is cinegate's clock on Linux
const clock = "monotonic:" + readFileSync("/proc/sys/kernel/random/boot_id", "utf8").slice(0, 8);
const described = {
  schema: "cinegate/1.0", session_id: "bridge", source: "example bridge",
  source_kind: "phantom", pacing: "real_time", // yours: "live"
  dtype: "uint16", shape: [rows, columns], pixel_spacing_mm: [2, 2],
  image_orientation: [0, 1, 0, 0, 0, -1], image_position_mm: [0, -80, 96],
  acquired_clock: clock, acquired_meaning: "acquisition_end",
};
const stream = { ...described, planes: ["sagittal"], nominal_interval_ns: Math.round(1e9 / Number(rate)) };
const encoder = new Encoder({ useBigInt64: true }); // nanoseconds may exceed 2^53: they are BigInt here
const publisher_id = String(now());
const socket = new Publisher({ linger: 0 });
await socket.bind(endpoint);

for (let sequence = 0; sequence < Number(frames); sequence++) {
  await sleep(1000 / Number(rate));
  const acquired_ns = now(); // yours: the vendor's stamp, and its clock's name
  const pixels = Uint16Array.from({ length: rows * columns }, (_, i) => (i * 37 + sequence * 11) % 1000); // yours
  const bytes = new Uint8Array(pixels.buffer);
  if (sequence % 4 === 0) await socket.send(["stream", encoder.encode(stream)]); // often, for subscribers that join late
  const header = {
    ...described, publisher_id, sequence, content_hash: await xxhash3(bytes),
    acquired_ns, acquired_on_publish_clock_ns: acquired_ns, published_ns: now(), publish_clock: clock,
  };
  await socket.send(["frame", encoder.encode(header), bytes]);
}
socket.close();
