// Takes what the server sent as bytes to the viewer on the same page: a length, a header in JSON, then packed values.
// Pixels come apart from what else the viewer is told, so that nothing is sent twice.

export default function ({ data }) {
  if (!data?.byteLength) return;
  const size = new DataView(data.buffer, data.byteOffset, 4).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(data.subarray(4, 4 + size)));
  if (shelf.waiting.get(head.key)?.stamp === head.stamp) return; // drawn again, not sent again
  shelf.waiting.set(head.key, { ...head, bytes: data.slice(4 + size) });
  shelf.dispatchEvent(new CustomEvent("parcel", { detail: head.key }));
}
