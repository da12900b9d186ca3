// The page: a sample, a camera or a file to a live session, its captions to the screen.
import { Session } from "./session.js";
import { played, recorded } from "./sources.js";
import { captionParts, meterLine, spoken, subtitles, words } from "./view.js";

const $ = (id) => document.getElementById(id);
const STARTERS = ["sample", "camera", "file"];
let session = null;
let finals = [];

function say(text) {
  $("status").textContent = text;
}

function fail(text) {
  $("alert").textContent = text;
  $("alert").hidden = !text;
}

function options() {
  const chosen = { endpoint_ms: Number($("endpoint").value) };
  const least = Number($("least").value) / 100;
  if (least > 0) chosen.min_confidence = least;
  const names = words($("vocabulary").value);
  if (names.length) chosen.vocabulary = names;
  return chosen;
}

function showFinal(caption) {
  $("draft").hidden = true;
  if (!caption.text) return; // the draft was no word after all
  const item = document.createElement("li");
  item.append(...captionParts(caption));
  $("captions").append(item);
  $("captions").scrollTop = $("captions").scrollHeight;
  finals.push(caption);
  $("vtt").disabled = $("srt").disabled = false;
}

function showDraft(caption) {
  $("draft").replaceChildren(...captionParts(caption));
  $("draft").hidden = false;
}

function hear(event) {
  if (event.type === "session.ready") say("Captions appear here as you sign.");
  else if (event.type === "caption") {
    $("over").replaceChildren(...spoken(event));
    (event.is_final ? showFinal : showDraft)(event);
  } else if (event.type === "status") $("meter").textContent = meterLine(event);
  else if (event.type === "signing.started") say("Signing.");
  else if (event.type === "signing.ended") say("Resting.");
  else if (event.type === "error" && event.code === "not_ready") say("The server is still loading its weights; it begins as soon as it can.");
  else if (event.type === "go_away") say("The server ends this session soon.");
}

function busy(is) {
  $("stop").disabled = !is;
  for (const id of STARTERS) $(id).disabled = is;
}

function begin(source, ended) {
  finals = [];
  $("captions").replaceChildren();
  $("over").replaceChildren();
  $("draft").hidden = $("vtt").disabled = $("srt").disabled = true;
  fail("");
  busy(true);
  say("Connecting to the server.");
  session = new Session(source, options(), $("key").value, { hear, over: (problem) => {
    ended();
    session = null;
    busy(false);
    $("draft").hidden = true;
    $("meter").textContent = "";
    fail(problem);
    say(problem ? "Stopped." : "Done. Captions stay until you begin again.");
  } });
}

$("sample").onclick = async () => {
  const video = $("video");
  try {
    const answer = await fetch("sample.webm");
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    const data = await answer.arrayBuffer();
    video.srcObject = null;
    video.src = URL.createObjectURL(new Blob([data], { type: "video/webm" }));
    video.onended = null;
    begin(played(new Uint8Array(data), video), () => {});
  } catch (error) {
    fail(`The sample cannot be played: ${error.message}.`);
  }
};

$("camera").onclick = async () => {
  const video = $("video");
  let stream = null;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480, frameRate: 25 } });
    video.srcObject = stream;
    video.onended = null;
    await video.play();
    begin(recorded(stream), () => { video.srcObject = null; });
  } catch (error) {
    if (stream) stream.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
    const why = stream ? error.message : `${error.name}: allow it for this page (https or localhost), or open a file`;
    fail(`The camera cannot be used (${why}).`);
  }
};

$("file").onchange = async (event) => {
  const file = event.target.files[0];
  const video = $("video");
  if (!file) return;
  event.target.value = "";
  video.srcObject = null;
  video.src = URL.createObjectURL(file);
  try {
    await video.play();
    const capture = video.captureStream || video.mozCaptureStream;
    if (!capture) throw new Error("this browser cannot read it out; use Chrome or Firefox, or upload it to /v1/translations");
    video.onended = () => session && session.finish();
    begin(recorded(capture.call(video)), () => video.pause());
  } catch (error) {
    const reason = error.name === "NotSupportedError" ? "it is no video that this browser can play; choose a WebM or MP4" : error.message;
    fail(`The file cannot be used: ${reason}.`);
  }
};

$("stop").onclick = () => {
  $("video").pause();
  if (session) session.finish();
};
$("large").onchange = (event) => document.body.classList.toggle("large", event.target.checked);
for (const format of ["vtt", "srt"]) {
  $(format).onclick = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([subtitles(finals, format)], { type: "text/plain" }));
    link.download = `captions.${format}`;
    link.click();
  };
}
