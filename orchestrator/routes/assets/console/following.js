// Following a log over a socket: what was missed comes first, and no event twice, whatever happens to the connection.
import { socket } from "./api.js";

const NO_RETURN = new Set([1000, 4001, 4003, 4004]);

/**
 * Follow a socket until the page is left; returns `send(type, data)`.
 * frame: gets each frame once, in order; status: gets how the connection is, as text.
 */
export function follow(path, signal, { frame, status = () => {} }) {
  let current = null, offset = null, epoch = null, tries = 0;
  const waiting = [];

  function connect() {
    if (signal.aborted) return;
    status("connecting");
    current = socket(path, { last_offset: offset, epoch });
    current.onopen = () => { tries = 0; status("connected"); while (waiting.length) current.send(waiting.shift()); };
    current.onmessage = ({ data }) => take(JSON.parse(data));
    current.onclose = ({ code, reason }) => {
      if (signal.aborted) return;
      if (NO_RETURN.has(code)) { status(`closed: ${reason || code}`); return; }
      const pause = Math.min(15_000, 500 * 2 ** tries) * (0.5 + Math.random() / 2);
      tries += 1;
      status("connection lost, trying again");
      setTimeout(connect, pause);
    };
  }

  function take(one) {
    if (one.offset) { offset = one.offset; epoch = one.epoch; }
    frame(one);
  }

  signal.addEventListener("abort", () => current?.close(1000));
  connect();
  return (domain, action, data) => {
    const [text, id] = [crypto.randomUUID(), crypto.randomUUID()];
    const envelope = JSON.stringify({ message_id: text, correlation_id: id, type: { domain, action }, data });
    if (current?.readyState === WebSocket.OPEN) current.send(envelope); else waiting.push(envelope);
    return { messageId: text, correlationId: id };
  };
}
