// Events to text and elements: nothing here knows the socket.

export function clock(ms) {
  const tenths = Math.floor(ms / 100);
  const pad = (n) => String(n).padStart(2, "0");
  return `${pad(Math.floor(tenths / 600))}:${pad(Math.floor(tenths / 10) % 60)}.${tenths % 10}`;
}

export function certainty(confidence) {
  if (confidence >= 0.8) return "likely right";
  return confidence >= 0.5 ? "unsure" : "probably wrong";
}

function tone(confidence) {
  if (confidence >= 0.8) return "sure";
  return confidence >= 0.5 ? "unsure" : "doubtful";
}

function note(caption) {
  if (caption.withheld) return `${clock(caption.start_ms)} · withheld, too unsure`;
  return `${clock(caption.start_ms)} · ${Math.round(100 * caption.confidence)} %, ${certainty(caption.confidence)}`;
}

export function meterLine(status) {
  const lost = status.frames_dropped ? ` · ${status.frames_dropped} frames lost` : "";
  return `${status.fps_effective.toFixed(0)} frames a second · ${(status.lag_ms / 1000).toFixed(1)} s waiting${lost}`;
}

function wordElement(word) {
  const part = document.createElement("span");
  part.className = `word ${tone(word.confidence)}`;
  part.textContent = word.text;
  part.title = `${Math.round(100 * word.confidence)} %, ${certainty(word.confidence)} (${word.source})`;
  return part;
}

// The caption's text, each word in its tone where the words make up the text.
export function spoken(caption) {
  const words = caption.words || [];
  if (words.map((word) => word.text).join(" ") !== caption.text) return [caption.text || "…"];
  return words.flatMap((word, index) => (index ? [" ", wordElement(word)] : [wordElement(word)]));
}

// [text, note] of a caption, for the list or the draft below it.
export function captionParts(caption) {
  const text = document.createElement("div");
  text.className = "text";
  text.replaceChildren(...spoken(caption));
  const small = document.createElement("div");
  small.className = "small";
  small.textContent = caption.is_final ? note(caption) : `${note(caption)} · still changing`;
  return [text, small];
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
