// Events to text: pure functions, without the page.

export function clock(ms) {
  const tenths = Math.floor(ms / 100);
  const pad = (n) => String(n).padStart(2, "0");
  return `${pad(Math.floor(tenths / 600))}:${pad(Math.floor(tenths / 10) % 60)}.${tenths % 10}`;
}

export function certainty(confidence) {
  if (confidence >= 0.8) return "likely right";
  return confidence >= 0.5 ? "unsure" : "probably wrong";
}

export function note(caption) {
  const percent = Math.round(100 * caption.confidence);
  return `${clock(caption.start_ms)} · ${percent} %, ${certainty(caption.confidence)}${caption.is_final ? "" : " · still changing"}`;
}

export function statusLine(status) {
  const seen = status.signer_visible ? "signer in the picture" : "no signer in the picture";
  return `${seen} · ${Math.round(status.lag_ms)} ms behind · ${status.frames_dropped} frames lost`;
}

function stamp(ms, point) {
  const pad = (n, width = 2) => String(n).padStart(width, "0");
  const s = Math.floor(ms / 1000);
  return `${pad(Math.floor(s / 3600))}:${pad(Math.floor(s / 60) % 60)}:${pad(s % 60)}${point}${pad(ms % 1000, 3)}`;
}

export function subtitles(captions, format) {
  const point = format === "vtt" ? "." : ",";
  const cues = captions.filter((c) => c.text).map((c, i) =>
    `${i + 1}\n${stamp(c.start_ms, point)} --> ${stamp(Math.max(c.end_ms, c.start_ms + 500), point)}\n${c.text}\n`);
  return (format === "vtt" ? "WEBVTT\n\n" : "") + cues.join("\n");
}

export function words(text) {
  return text.split(",").map((word) => word.trim()).filter(Boolean);
}
