// The page: a camera or a file to /v1/live, captions to the list.
import { note, statusLine, subtitles, words } from "./view.js";

const $ = (id) => document.getElementById(id);
const SLICE_MS = 100;
let session = null;

class Session {
  constructor(stream, onEnd) {
    this.stream = stream;
    this.onEnd = onEnd;
    this.items = new Map();
    this.finals = [];
    this.waiting = [];
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/v1/live`);
    this.socket.onopen = () => this.socket.send(JSON.stringify(this.start()));
    this.socket.onmessage = (message) => this.hear(JSON.parse(message.data));
    this.socket.onclose = (closed) => this.end(closed.reason);
    this.socket.onerror = () => say("The connection to the server failed.");
  }

  start() {
    const start = { type: "session.start", media: "webm", endpoint_ms: Number($("endpoint").value) };
    const least = Number($("least").value) / 100;
    if (least > 0) start.min_confidence = least;
    const names = words($("vocabulary").value);
    if (names.length) start.vocabulary = names;
    return start;
  }

  hear(event) {
    if (event.type === "session.ready") this.record();
    else if (event.type === "caption") this.show(event);
    else if (event.type === "status") say(statusLine(event));
    else if (event.type === "error") say(event.message);
    else if (event.type === "session.closed") this.end("");
  }

  record() {
    const type = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm"].find((t) => MediaRecorder.isTypeSupported(t));
    this.recorder = new MediaRecorder(new MediaStream(this.stream.getVideoTracks()), { mimeType: type, videoBitsPerSecond: 1500000 });
    this.recorder.ondataavailable = async (slice) => {
      if (slice.data.size && this.socket.readyState === WebSocket.OPEN) this.socket.send(await slice.data.arrayBuffer());
    };
    this.recorder.start(SLICE_MS);
  }

  show(caption) {
    let item = this.items.get(caption.segment_id);
    if (!item) {
      item = document.createElement("li");
      item.innerHTML = '<div class="text"></div><div class="note"></div>';
      this.items.set(caption.segment_id, item);
      $("captions").append(item);
    }
    item.className = caption.is_final ? "final" : "draft";
    const text = item.querySelector(".text");
    text.replaceChildren(...this.spoken(caption));
    item.querySelector(".note").textContent = note(caption);
    item.scrollIntoView({ block: "nearest" });
    if (caption.is_final) {
      this.finals.push(caption);
      $("vtt").disabled = $("srt").disabled = false;
    }
  }

  spoken(caption) {
    if (!caption.words || caption.words.map((word) => word.text).join(" ") !== caption.text) return [caption.text || "…"];
    return caption.words.flatMap((word) => {
      const part = document.createElement("span");
      part.textContent = word.text;
      part.title = `${word.source}, ${Math.round(100 * word.confidence)} %`;
      if (word.source === "fingerspelling") part.className = "spelled";
      return [part, " "];
    });
  }

  finish() {
    if (this.recorder && this.recorder.state !== "inactive") this.recorder.stop();
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: "close" }));
  }

  end(reason) {
    if (this.recorder && this.recorder.state !== "inactive") this.recorder.stop();
    if (reason) say(reason);
    this.onEnd();
  }
}

function say(text) {
  $("status").textContent = text;
}

function begin(stream, onEnd = () => {}) {
  $("captions").replaceChildren();
  $("stop").disabled = false;
  session = new Session(stream, () => {
    $("stop").disabled = true;
    onEnd();
  });
}

$("camera").onclick = async () => {
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480, frameRate: 25 } });
    $("video").srcObject = stream;
    await $("video").play();
    begin(stream, () => stream.getTracks().forEach((track) => track.stop()));
  } catch (error) {
    say(`The camera cannot be used (${error.name}): allow it for this page, or choose a file.`);
  }
};

$("file").onchange = async (event) => {
  const file = event.target.files[0];
  if (!file) return;
  const video = $("video");
  video.srcObject = null;
  video.src = URL.createObjectURL(file);
  video.onended = () => session && session.finish();
  try {
    await video.play();
    begin(video.captureStream ? video.captureStream() : video.mozCaptureStream());
  } catch (error) {
    say(`This browser cannot play the file (${error.name}): choose an mp4 or webm video.`);
  }
};

$("stop").onclick = () => {
  $("video").pause();
  if (session) session.finish();
};
$("large").onchange = (event) => $("captions").classList.toggle("large", event.target.checked);
for (const format of ["vtt", "srt"]) {
  $(format).onclick = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([subtitles(session.finals, format)], { type: "text/plain" }));
    link.download = `captions.${format}`;
    link.click();
  };
}
