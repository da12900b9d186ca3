// One live session: bytes of a source to /v1/live, events to `hear`; `over` is called once, with an error's text or "".

async function subprotocols(key) {
  if (!key) return [];
  const answer = await fetch("/v1/tokens", { method: "POST", headers: { Authorization: `Bearer ${key}` } });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.detail);
  return [said.subprotocol];
}

export class Session {
  constructor(source, options, key, { hear, over }) {
    this.source = source;
    this.hear = hear;
    this.over = over;
    this.problem = "";
    this.finished = false;
    subprotocols(key).then((names) => this.connect(options, names)).catch((error) => this.end(error.message));
  }

  connect(options, names) {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/v1/live`, names);
    this.socket.onopen = () => this.say({ type: "session.start", media: this.source.media, ...options });
    this.socket.onmessage = ({ data }) => this.take(JSON.parse(data));
    this.socket.onclose = ({ code }) => this.end(code === 1000 || this.problem ? "" : "The connection to the server broke off: look whether it still runs, then begin again.");
  }

  say(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  take(event) {
    if (event.type === "error") this.problem = event.message;
    if (event.type === "session.ready" && this.finished) this.say({ type: "close" });
    else if (event.type === "session.ready") this.source.begin((bytes) => this.send(bytes), () => this.say({ type: "close" }));
    this.hear(event);
  }

  send(bytes) {
    if (this.socket.readyState === WebSocket.OPEN && bytes.byteLength) this.socket.send(bytes);
  }

  // No more video: the last captions still come.
  async finish() {
    this.finished = true;
    await this.source.stop();
    if (this.socket) this.say({ type: "close" });
  }

  end(problem) {
    if (!this.over) return;
    const over = this.over;
    this.over = null;
    this.source.stop();
    over(this.problem || problem);
  }
}
