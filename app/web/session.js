// One live session: bytes of a source to /v1/live, events to `hear`; `over` is called once, with an error's text or "".

const LONGEST_LOADING_MS = 120_000;

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
    this.finished = this.isLoading = false;
    this.until = Date.now() + LONGEST_LOADING_MS;
    this.start = () => subprotocols(key).then((names) => this.connect(options, names)).catch((error) => this.end(error.message));
    this.start();
  }

  connect(options, names) {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/v1/live`, names);
    this.socket.onopen = () => this.say({ type: "session.start", media: this.source.media, ...options });
    this.socket.onmessage = ({ data }) => this.take(JSON.parse(data));
    this.socket.onclose = ({ code }) => this.isLoading && !this.finished ? this.again() : this.end(code === 1000 || this.problem ? "" : "The connection to the server broke off: look whether it still runs, then begin again.");
  }

  // The server loads its weights for some seconds after its start; no video was sent yet.
  again() {
    this.isLoading = false;
    this.problem = "";
    setTimeout(() => this.finished ? this.end("") : this.start(), this.pause_ms);
  }

  say(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  take(event) {
    if (event.type === "error") {
      this.problem = event.message;
      this.isLoading = event.code === "not_ready" && Date.now() < this.until;
      this.pause_ms = event.retry_after_ms;
    }
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
