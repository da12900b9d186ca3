// Where video comes from: each source is { media, begin(send, ended), stop() }; `send` takes bytes of one stream. What `stop`
// returns can be awaited: then the last bytes were sent.

const SLICE_MS = 100;
const RECORDINGS = [
  ["video/webm;codecs=vp8", "webm"], ["video/webm;codecs=vp9", "webm"], ["video/webm", "webm"],
  ["video/mp4;codecs=avc1", "fmp4"], ["video/mp4", "fmp4"],
];
const CLUSTER = [0x1f, 0x43, 0xb6, 0x75];

// A MediaStream as the browser's recorder encodes it, slice by slice.
export function recorded(stream) {
  const found = RECORDINGS.find(([type]) => window.MediaRecorder && MediaRecorder.isTypeSupported(type));
  if (!found) throw new Error("this browser cannot record video; use a current Chrome, Firefox or Safari");
  const [mimeType, media] = found;
  const recorder = new MediaRecorder(new MediaStream(stream.getVideoTracks()), { mimeType, videoBitsPerSecond: 1500000 });
  let sending = Promise.resolve(), stopped = Promise.resolve();
  return {
    media,
    begin(send, ended) {
      recorder.ondataavailable = ({ data }) => { sending = sending.then(async () => send(await data.arrayBuffer())); };
      stopped = new Promise((done) => { recorder.onstop = () => sending.then(ended).then(done); });
      recorder.start(SLICE_MS);
    },
    stop() {
      if (recorder.state !== "inactive") recorder.stop();
      stream.getTracks().forEach((track) => track.stop());
      return stopped;
    },
  };
}

// A WebM with one frame a cluster -> [{ at_ms, bytes }], cut before each cluster.
export function clusters(data) {
  const starts = [];
  for (let at = 0; at + 4 < data.length; at++) if (CLUSTER.every((byte, i) => data[at + i] === byte)) starts.push(at);
  return starts.map((start, i) => ({
    at_ms: clusterTime(data, start),
    bytes: data.subarray(i ? start : 0, i + 1 < starts.length ? starts[i + 1] : data.length),
  }));
}

// The Timecode (0xE7) that begins a cluster, after 4 bytes of name and a size whose first bits say how long it is.
function clusterTime(data, start) {
  let at = start + 4 + Math.clz32(data[start + 4]) - 23;
  if (data[at++] !== 0xe7) return 0;
  let time = 0;
  for (let left = data[at++] & 0x7f; left > 0; left--) time = time * 256 + data[at++];
  return time;
}

// A file of `clusters`, each sent when `video` shows its time (where it cannot be shown: when its time has come).
export function played(data, video) {
  const pieces = clusters(data);
  let timer = 0, now = () => (video.ended ? Infinity : 1000 * video.currentTime);
  return {
    media: "webm",
    begin(send, ended) {
      let next = 0;
      const tick = () => {
        const now_ms = now();
        while (next < pieces.length && pieces[next].at_ms <= now_ms) send(pieces[next++].bytes);
        if (next < pieces.length) return;
        clearInterval(timer);
        ended();
      };
      timer = setInterval(tick, 20);
      video.currentTime = 0;
      video.play().catch(() => {
        const begun = performance.now();
        now = () => performance.now() - begun;
      });
    },
    stop() {
      clearInterval(timer);
      video.pause();
    },
  };
}
